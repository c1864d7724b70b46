"""The forest plot of one set of trial effects and its pooled results, with its alternative text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from meta_analysis.forest import forest_figure
from meta_analysis.forest_rows import model_summaries, study_rows
from meta_analysis.forest_text import forest_alt_text, heterogeneity_text
from meta_analysis.pooling import pool


def with_counts(effects: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Add the text columns that stand left of a forest plot: people, or events over people, of each arm.

    Parameters
    ----------
    effects : DataFrame, one row a trial
        n_active and n_control; events_active and events_control where events were counted.

    Returns
    -------
    (DataFrame, dict)
        The effects with text columns `active` and `control`, and the headers of these columns.
    """
    effects = effects.copy()
    by_events = effects["events_active"].notna().all()
    for side in ("active", "control"):
        columns = [f"events_{side}", f"n_{side}"] if by_events else [f"n_{side}"]
        effects[side] = effects[columns].astype(int).astype(str).agg("/".join, axis=1)
    unit = "events/n" if by_events else "n"
    return effects, {"active": f"MDMA-AT\n{unit}", "control": f"Control\n{unit}"}


def trial_forest(
    effects: pd.DataFrame,
    results: Sequence[Mapping[str, Any]],
    *,
    outcome: str,
    event: str | None = None,
    judgements: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame, str]:
    """Draw the forest plot of one analysis.

    Parameters
    ----------
    effects : DataFrame, one row a trial
        From `analyses.choose`.
    results : sequence of result rows
        From `analyses`; the last one is the primary result, whose weights and heterogeneity are shown.
    outcome : str
        In words, for the alternative text.
    event : {"good", "bad"}, optional
        For ratios: whether the event is to be hoped for.
    judgements : DataFrame, optional
        Risk of bias, one row a trial (report) and one column a domain; drawn at the right.
    notes : sequence of str
        Lines below the plot, after the heterogeneity.

    Returns
    -------
    (Figure, DataFrame, str)
        The figure, the plotted numbers, and the alternative text.
    """
    measure = effects["measure"].iloc[0]
    effects, columns = with_counts(effects)
    if len(effects) == 1:  # nothing to be weighed against, and the same under every model
        weights, results = np.ones(1), results[-1:]
    else:
        weights = pool(effects["yi"], effects["vi"], tau2_method=results[-1]["tau2_method"]).weights
    studies = study_rows(effects["report"], effects["yi"], effects["vi"], measure=measure, weights=weights)
    studies = studies.join(effects[list(columns)])
    lines = [heterogeneity_text(results[-1]), *notes]
    fig, plotted = forest_figure(
        studies, model_summaries(*results), measure=measure, columns=columns, event=event, notes=lines,
        judgements=judgements,
    )
    return fig, plotted, forest_alt_text(plotted, measure=measure, outcome=outcome, event=event, notes=lines)
