"""Rows of a results table from the three-level models of all time points, and the table of who took part."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from meta_analysis.cluster_robust import RobustResult
from meta_analysis.multilevel import MultilevelFit
from meta_analysis.results import result_row


def course_rows(analysis_id: str, fit: MultilevelFit, robust: RobustResult, coefficient: int, effects: pd.DataFrame, *,
                note: str = "") -> list[dict[str, Any]]:
    """One coefficient of a three-level model as two rows: with the model's errors, and with cluster-robust (CR2) ones.

    Parameters
    ----------
    analysis_id : str
        The rows end in ``.model`` and ``.cr2``.
    fit, robust : MultilevelFit, RobustResult
        From `dose_time.fit_course`.
    coefficient : int
        0 is the intercept.
    effects : DataFrame
        What was fitted. `k` counts trials; people are those of each trial's largest comparison, each arm once.
    note : str
        The number of effects and the degrees of freedom are added to it; `tau2` is the variance between trials.
    """
    people = effects.drop_duplicates("arm").groupby("trial_id")
    people = people.agg(active=("n_active", "sum"), control=("n_control", "max"))
    rows = []
    for kind, source, df in (("model", fit, float(fit.df)), ("cr2", robust, float(robust.df[coefficient]))):
        values = {name: getattr(source, "coefficients" if name == "estimate" else name)[coefficient]
                  for name in ("estimate", "se", "ci_low", "ci_high", "p")}
        values |= {"k": fit.n_clusters, "tau2": fit.sigma2_between, "i2": fit.i2_between + fit.i2_within, "q": fit.q,
                   "q_df": fit.q_df, "q_p": fit.q_p}
        nothing = dict.fromkeys(("pi_low", "pi_high", "tau2_low", "tau2_high"), np.nan)
        words = f"{len(effects)} effects, {df:.1f} degrees of freedom"
        rows.append(result_row(
            f"{analysis_id}.{kind}", SimpleNamespace(**values, **nothing), outcome="ptsd_severity", measure="SMD",
            study_set="all time points before crossover", arms="each", scale_kind="endpoint", model="three-level",
            tau2_method="REML", ci_method="t" if kind == "model" else "CR2", n_active=int(people["active"].sum()),
            n_control=int(people["control"].sum()), note=f"{note}; {words}" if note else words))
    return rows


def contrast_row(
    analysis_id: str, values: dict[str, float], *, study_set: str, arms: str, n_active: float, n_control: float, k: int,
    note: str,
) -> dict[str, Any]:
    """A slope or a contrast (`estimate`, `se`, `ci_low`, `ci_high`, `p`, and if known `q`, `q_df`, `q_p`) as a row."""
    blank = dict.fromkeys(("pi_low", "pi_high", "tau2", "tau2_low", "tau2_high", "i2", "q", "q_p"), np.nan)
    found = SimpleNamespace(**(blank | {"q_df": 0} | values | {"k": k}))
    return result_row(analysis_id, found, outcome="ptsd_severity", measure="SMD", study_set=study_set, arms=arms,
                      scale_kind="endpoint", model="common", tau2_method="", ci_method="Wald", n_active=int(n_active),
                      n_control=int(n_control), note=note)


def participants_table(characteristics: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Who took part: one row a trial of the analysis table, blank where no source prints it.

    Parameters
    ----------
    characteristics : DataFrame
        The extracted table; rows for the whole trial where they exist, otherwise the arms weighted by their people.
    table : DataFrame
        The analysis table, for the baseline of severity.

    Returns
    -------
    DataFrame
        trial_id, report, age (mean, years), women, prior_mdma, veterans (percent), instrument, baseline (mean score).
    """
    used = characteristics[characteristics["use"] == "used"]
    severity = table[(table["outcome"] == "ptsd_severity") & table["primary"]].dropna(subset=["baseline_mean"])
    rows = []
    for (trial, report), arms in severity.groupby(["trial_id", "report"], sort=False):
        own = used[used["trial_id"] == trial]
        rows.append({
            "trial_id": trial, "report": report, "age": _mean(own, "age_years"), "women": _percent(own, "women"),
            "prior_mdma": _percent(own, "prior_mdma_use"), "veterans": _percent(own, "veterans"),
            "instrument": arms["instrument"].iloc[0],
            "baseline": float(np.average(arms["baseline_mean"], weights=arms["baseline_n"])),
        })
    return pd.DataFrame(rows)


def _whole_or_arms(rows: pd.DataFrame) -> pd.DataFrame:
    whole = rows[rows["arm_id"].str.endswith(":all")]
    return whole if len(whole) else rows


def _mean(own: pd.DataFrame, name: str) -> float:
    rows = _whole_or_arms(own[(own["characteristic"] == name) & (own["statistic"] == "mean")]).dropna(subset=["value"])
    if len(rows) == 1:
        return float(rows["value"].iloc[0])
    rows = rows.dropna(subset=["n"])
    return float(np.average(rows["value"], weights=rows["n"].astype(float))) if len(rows) else np.nan


def _percent(own: pd.DataFrame, name: str) -> float:
    rows = own[own["characteristic"] == name]
    counts = _whole_or_arms(rows[rows["statistic"] == "count"]).dropna(subset=["value", "n"])
    if len(counts):
        return float(100 * counts["value"].sum() / counts["n"].astype(float).sum())
    shares = _whole_or_arms(rows[rows["statistic"] == "percent"])["value"].dropna()
    return float(shares.iloc[0]) if len(shares) == 1 else np.nan
