"""Tables of the classic sensitivity analyses: one trial at a time, influence, small studies, lost people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meta_analysis import missing_outcomes, small_study
from meta_analysis.analyses import pooled_row
from meta_analysis.influence import baujat, influence
from meta_analysis.reader_table import show_table
from meta_analysis.report import RATIO_MEASURES, estimate_with_interval
from meta_analysis.results import results_table
from meta_analysis.sensitivity import egger_power, next_trial_to_overturn

NEXT_TRIAL = {"confidence interval, random effects": {}, "confidence interval, common effect": {"model": "common"},
              "prediction interval": {"interval": "pi"}}


def one_at_a_time(effects: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    """Rows of the primary model with each trial left out in turn, and with the trials joining in the order of the
    table.

    Parameters
    ----------
    effects : DataFrame
        One row a trial, from `analyses.choose`, in the order of publication.
    name : str
        Beginning of the `analysis_id`: ``severity.without.MP-1``, ``severity.up_to.MP-2``.
    """
    found = []
    for trial, report in zip(effects["trial_id"], effects["report"]):
        others = effects[effects["trial_id"] != trial]
        found.append(pooled_row(others, f"{name}.without.{trial}", study_set=f"without {report}"))
    for last, (trial, report) in enumerate(zip(effects["trial_id"], effects["report"]), start=1):
        found.append(pooled_row(effects[:last], f"{name}.up_to.{trial}", study_set=f"up to {report}"))
    return found


def show_rows(
    found: Sequence[Mapping[str, Any]], columns: Sequence[str] = ("analysis_id", "note", "k")
) -> pd.DataFrame:
    """Rows of results for the reader's eye: `columns`, the result with its interval, and tau2."""
    shown = results_table(found).rename(columns={"tau2": "\N{GREEK SMALL LETTER TAU}\N{SUPERSCRIPT TWO}"})
    shown["result"] = [estimate_with_interval(row) for row in found]
    return show_table(shown, columns=[*columns, "result", "\N{GREEK SMALL LETTER TAU}\N{SUPERSCRIPT TWO}"])


def influence_table(effects: pd.DataFrame, name: str) -> pd.DataFrame:
    """Influence of each trial (`influence.Influence`) and its Baujat coordinates, one row a trial."""
    found, where = influence(effects["yi"], effects["vi"]), baujat(effects["yi"], effects["vi"])
    columns = ("rstudent", "dffits", "cooks_distance", "covariance_ratio", "dfbetas", "weight", "tau2_deleted",
               "q_deleted", "influential")
    values = {column: getattr(found, column) for column in columns}
    values |= {"baujat_heterogeneity": where.heterogeneity, "baujat_influence": where.influence}
    return pd.DataFrame({"set": name, "trial_id": effects["trial_id"].to_numpy(), **values})


def small_study_row(effects: pd.DataFrame, name: str, excess: float) -> dict[str, Any]:
    """Egger's and Begg's tests of one set of trials, and what Egger's could have found.

    Parameters
    ----------
    effects : DataFrame
    name : str
        Its `analysis_id`.
    excess : float
        How much larger the effect of the smallest trial is than that of the largest, on the natural scale: an SMD, or
        the factor between ratios; the power is against that.

    Returns
    -------
    dict
        analysis_id, k, slope and p of Egger's regression with a dispersion that may fall below chance ("classic", as
        Egger wrote it), p with a spread that may not (a mixed model with t), Begg's p, `excess`, its `power`, and
        `detectable`: the excess that would be found four times in five (natural scale).
    """
    y, v = effects["yi"], effects["vi"]
    classic = small_study.egger_test(y, v)
    mixed = small_study.egger_test(y, v, model="rma", ci_method="t")
    ratio = effects["measure"].iloc[0] in RATIO_MEASURES
    reach = float(np.ptp(np.sqrt(v)))
    power = egger_power(v, (np.log(excess) if ratio else excess) / reach)
    detectable = power.detectable * reach
    return {"analysis_id": name, "k": len(effects), "egger_slope": float(classic.slope), "egger_p": float(classic.p),
            "egger_mixed_p": float(mixed.p), "begg_p": small_study.rank_test(y, v).p, "excess": excess,
            "power": power.power, "detectable": float(np.exp(detectable)) if ratio else detectable}


def counts_with_lost(effects: pd.DataFrame, flow: pd.DataFrame) -> dict[str, NDArray]:
    """Columns for `missing_outcomes`, with the people lost from each arm; 0 where no source tells.

    Parameters
    ----------
    effects : DataFrame
        One row a trial with events and n of each side.
    flow : DataFrame
        ``derived/01_trial_flow.csv``.
    """
    lost = flow.groupby(["trial_id", "role"])["n_lost"].sum().unstack().reindex(effects["trial_id"]).fillna(0.0)
    columns = {f"{kind}_{side}": effects[f"{kind}_{side}"].to_numpy(float) for side in ("active", "control")
               for kind in ("events", "n")}
    return columns | {f"missing_{side}": lost[side].to_numpy(float) for side in ("active", "control")}


def scenario_rows(effects: pd.DataFrame, counts: Mapping[str, NDArray], name: str) -> list[dict[str, Any]]:
    """A row for each of `missing_outcomes.SCENARIOS`: ``response.missing.worst_case``."""
    found = []
    for scenario, (active, control) in missing_outcomes.SCENARIOS.items():
        effect = missing_outcomes.log_risk_ratio_with_missing(**counts, imor_active=active, imor_control=control)
        found.append(pooled_row(effects.assign(yi=effect.estimate, vi=effect.variance), f"{name}.missing.{scenario}",
                                note=f"people lost: {scenario.replace('_', ' ')}"))
    return found


def next_trial_row(effects: pd.DataFrame, name: str, finds: float, variance_of: Any) -> dict[str, Any]:
    """People per arm that a next trial needs to overturn the result, in the three ways of `NEXT_TRIAL`.

    `finds` is what it observes, on the natural scale; `variance_of` as `sensitivity.next_trial_to_overturn`, called
    with people per arm.
    """
    effect = float(np.log(finds)) if effects["measure"].iloc[0] in RATIO_MEASURES else finds
    sizes = {words: next_trial_to_overturn(effects["yi"], effects["vi"], effect, variance_of, **way)
             for words, way in NEXT_TRIAL.items()}
    return {"outcome": name, "next_trial_finds": finds, **sizes}
