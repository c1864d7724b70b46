"""What a forest plot says in words: the line on heterogeneity below it, and its alternative text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from meta_analysis import lights
from meta_analysis.plots import scale_sentence
from meta_analysis.report import interval, no_effect, number, p_value, percent

NUMBER_WORDS = "no one two three four five six seven eight nine ten eleven twelve".split()


def heterogeneity_text(result: Mapping[str, Any]) -> str:
    """Q, its degrees of freedom and p value, τ² with its interval if known, and I², of a row of a results table."""
    tau2 = f"τ² = {number(result['tau2'])}"
    if pd.notna(result["tau2_low"]):
        tau2 += f" (95% CI {interval(result['tau2_low'], result['tau2_high'])})"
    return (f"Heterogeneity: Q = {number(result['q'])}, df = {number(result['q_df'], 0)}, {p_value(result['q_p'])}; "
            f"{tau2}; I² = {percent(result['i2'])}")


def forest_alt_text(plotted: pd.DataFrame, *, measure: str, outcome: str, event: str | None = None,
                    notes: Sequence[str] = (), active: str = "MDMA-AT", control: str = "control",
                    digits: int = 2) -> str:
    """What a forest plot shows, in words and numbers, from the table that `forest.forest_plot` gave back.

    Parameters
    ----------
    plotted : DataFrame
        From `forest.forest_plot` or `forest.forest_figure`.
    measure, event, active, control : as for `forest.forest_plot`
    outcome : str
        For example "severity of PTSD".
    notes : sequence of str
        Sentences to add, for example `heterogeneity_text`.

    Returns
    -------
    str
        On the natural scale, with the side that favours each arm.
    """
    trials = plotted[plotted["kind"] == "study"]
    count = NUMBER_WORDS[len(trials)] if len(trials) < len(NUMBER_WORDS) else str(len(trials))
    null = number(no_effect(measure), 0)
    sentences = [f"Forest plot of {outcome}, {count} {'trial' if len(trials) == 1 else 'trials'}.",
                 scale_sentence(measure, event, active, control)]
    group = ""
    for _, mark in plotted.iterrows():
        if mark["group"] != group:
            group = mark["group"]
            sentences.append(f"{group}:" if group else "All trials:")
        ends = interval(mark["low"], mark["high"], digits, missing="")
        if not ends:
            sentences.append(f"{mark['label']}: not estimable.")
        elif mark["kind"] == "prediction":
            sentences.append(f"{mark['label']}: {ends}.")
        else:
            text = f"{mark['label']}: {measure} {number(mark['estimate'], digits)} (95% CI {ends})"
            text += f", interval crosses {null}" if mark["low"] < no_effect(measure) < mark["high"] else ""
            text += f", weight {percent(100 * mark['weight'], 1)}" if not np.isnan(mark["weight"]) else ""
            sentences.append(text + ".")
    domains = [name for name in plotted.columns if name in lights.DOMAINS]
    if domains:
        judged = trials.rename(columns={"label": "trial"})[["trial", *domains]]
        sentences.append(lights.rob_alt_text(judged.melt("trial", var_name="domain", value_name="judgement")))
    return " ".join([*sentences, *(f"{note.rstrip('.')}." for note in notes)])
