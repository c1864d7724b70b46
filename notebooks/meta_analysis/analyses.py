"""One analysis, one row: pool a set of trial effects and describe the result."""

from __future__ import annotations

from typing import Any

import pandas as pd

from meta_analysis.mantel_haenszel import mantel_haenszel
from meta_analysis.pooling import pool
from meta_analysis.results import result_row


def choose(effects: pd.DataFrame, effect_set: str, measure: str) -> pd.DataFrame:
    """Take the rows of one effect set and measure from ``derived/02_effects.csv``.

    Raises
    ------
    ValueError
        If there are none; the message says which sets exist.
    """
    rows = effects[(effects["effect_set"] == effect_set) & (effects["measure"] == measure)]
    if rows.empty:
        known = effects[["effect_set", "measure"]].drop_duplicates().agg(" ".join, axis=1)
        raise ValueError(f"no effects {effect_set} {measure}; there are: {', '.join(known)}")
    return rows.reset_index(drop=True)


def described(effects: pd.DataFrame) -> dict[str, Any]:
    """What a results row says about the trials it was made of."""
    first = {name: effects[name].iloc[0] for name in ("outcome", "measure", "arms", "scale_kind")}
    return first | {f"n_{side}": round(effects[f"n_{side}"].to_numpy().sum()) for side in ("active", "control")}


def pooled_row(
    effects: pd.DataFrame,
    analysis_id: str,
    *,
    model: str = "random",
    tau2_method: str = "REML",
    ci_method: str = "mHK",
    pi_method: str = "HK",
    study_set: str = "all with results",
    note: str = "",
) -> dict[str, Any]:
    """Pool trial effects by inverse variance and describe the result as a row of a results table.

    Parameters
    ----------
    effects : DataFrame, one row a trial
        From `choose`: `yi`, `vi`, and what describes them.
    analysis_id, study_set, note : str
        Name of the analysis, of its trials, and what a reader should know.
    model, tau2_method, ci_method, pi_method : str
        As for `pooling.pool`; the defaults are those of the primary analysis.

    Returns
    -------
    dict
        As from `results.result_row`: ratios on their natural scale. With a single trial the row is that trial's effect
        with its normal interval, and says so.
    """
    if len(effects) == 1:
        model, tau2_method, ci_method = "common", "", "Wald"
        note = note or "a single trial: its own estimate, not a pool"
    options = {} if model == "common" else {"tau2_method": tau2_method, "pi_method": pi_method, "tau2_interval": True}
    result = pool(effects["yi"], effects["vi"], model=model, ci_method=ci_method, **options)
    methods = {"model": model, "tau2_method": "" if model == "common" else tau2_method, "ci_method": ci_method}
    return result_row(analysis_id, result, study_set=study_set, note=note, **methods, **described(effects))


def mantel_haenszel_row(
    effects: pd.DataFrame, analysis_id: str, *, model: str = "common", study_set: str = "all with results",
    note: str = ""
) -> dict[str, Any]:
    """Pool event counts by Mantel-Haenszel weights; parameters and result as `pooled_row`.

    `model` "random" is Review Manager's form: DerSimonian-Laird with Q taken around the Mantel-Haenszel estimate. A
    trial in which nobody or everybody had the event says nothing of a ratio: it counts neither in `k` nor among the
    people. Where one trial is left nothing can differ between trials: its row is that of the common-effect model.
    """
    counts = [effects[name] for name in ("events_active", "n_active", "events_control", "n_control")]
    events, people = counts[0] + counts[2], counts[1] + counts[3]
    tells = (effects["measure"] == "RD") | ((events > 0) & (events < people))
    model = model if tells.sum() > 1 else "common"
    result = mantel_haenszel(*counts, measure=effects["measure"].iloc[0], model=model)
    methods = {"model": model, "tau2_method": "" if model == "common" else "DL around MH", "ci_method": "Wald"}
    return result_row(analysis_id, result, study_set=study_set, note=note, **methods, **described(effects[tells]))
