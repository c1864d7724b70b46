"""Harms by arm: comparisons that count people, and the results of single trials and of pools.

Active arm first, control second; risks and differences are per person. A harm that a source does not list for an arm is
not known there: it is never taken as zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from meta_analysis import two_by_two
from meta_analysis.analyses import mantel_haenszel_row, pooled_row
from meta_analysis.comparisons import with_effects
from meta_analysis.mantel_haenszel import peto
from meta_analysis.results import RESULT_COLUMNS, result_row

#: Windows that cover a whole trial, by whatever words the sources name it. Others stand for themselves.
WHOLE_TRIAL = ("treatment period", "study", "not stated, probably the whole trial")
KEYS = ["kind", "term", "period", "trial_id"]
COUNTS = ["events_active", "n_active", "events_control", "n_control"]


def comparable(harms: pd.DataFrame) -> pd.DataFrame:
    """The rows that may be compared between randomised arms: used, counting people, in a randomised comparison.

    Parameters
    ----------
    harms : DataFrame
        ``extracted/harms.csv``.

    Returns
    -------
    DataFrame
        With a further column `period`: "whole trial", "dosing session" or "7 days after a session".
    """
    keep = (harms["use"] == "used") & (harms["unit"] == "participants") & harms["randomised_comparison"]
    rows = harms[keep & (harms["kind"] != "composite")]
    return rows.assign(period=rows["window"].where(~rows["window"].isin(WHOLE_TRIAL), "whole trial"))


def compare_arms(harms: pd.DataFrame, arms: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Set MDMA-AT against control for each harm of each trial, all active arms of a trial as one group.

    Parameters
    ----------
    harms : DataFrame
        From `comparable`.
    arms : DataFrame
        ``extracted/arms.csv``.

    Returns
    -------
    comparisons : DataFrame, one row a trial and harm
        kind, term, period, trial_id, events and n of each side, active_arms, facts and sources (their names).
    incomplete : DataFrame
        Harms that a source lists for some of a trial's randomised arms only: kind, term, period, trial_id, listed,
        not_listed. They are compared nowhere.

    Raises
    ------
    ValueError
        If one arm has two counts of one harm.
    """
    randomised = arms[arms["role"].isin(["active", "control"])]
    rows = harms.merge(randomised[["arm_id", "role"]], on="arm_id")
    if (twice := rows.duplicated([*KEYS, "arm_id"])).any():
        first = rows[twice].iloc[0]
        raise ValueError(f"harms: {first['arm_id']} has two counts of {first['term']} ({first['period']})")
    comparisons, incomplete = [], []
    for keys, group in rows.groupby(KEYS, sort=False):
        wanted = randomised.loc[randomised["trial_id"] == keys[-1], "arm_id"]
        absent = [arm for arm in wanted if arm not in set(group["arm_id"])]
        row = dict(zip(KEYS, keys))
        if absent:
            listed = " + ".join(group["arm_id"])
            incomplete.append(row | {"listed": listed, "not_listed": " + ".join(absent)})
            continue
        for side in ("active", "control"):
            mine = group[group["role"] == side]
            row |= {f"events_{side}": int(mine["events"].sum()), f"n_{side}": int(mine["n"].sum())}
        row["active_arms"] = " + ".join(group.loc[group["role"] == "active", "arm_id"])
        row |= {"facts": " ".join(group["fact_id"]), "sources": " ".join(sorted(set(group["source_id"])))}
        comparisons.append(row)
    columns = [*KEYS, *COUNTS, "active_arms", "facts", "sources"]
    return (pd.DataFrame(comparisons, columns=columns),
            pd.DataFrame(incomplete, columns=[*KEYS, "listed", "not_listed"]))


def with_intervals(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Add to each comparison its risk difference and risk ratio with score intervals, and the score test's p value.

    Returns
    -------
    DataFrame
        With the columns rd, rd_low, rd_high (per person), rr, rr_low, rr_high (NaN, 0 and infinity where nobody had the
        harm) and p.
    """
    tables = comparisons[COUNTS].astype(int).to_numpy().tolist()
    columns = [f"{measure}{end}" for measure in ("rd", "rr") for end in ("", "_low", "_high")]
    values = [[*two_by_two.risk_difference(*table), *two_by_two.risk_ratio(*table)] for table in tables]
    found = pd.DataFrame(values, columns=columns, index=comparisons.index)
    return comparisons.join(found).assign(p=[two_by_two.p_value(*table) for table in tables])


def select(comparisons: pd.DataFrame, kind: str, term: str, period: str = "whole trial") -> pd.DataFrame:
    """The trials that counted one harm in one way; ValueError, naming what there is of this kind, if none did."""
    of_kind = comparisons[comparisons["kind"] == kind]
    found = of_kind[(of_kind["term"] == term) & (of_kind["period"] == period)]
    if found.empty:
        known = (of_kind["term"] + f" ({kind}, " + of_kind["period"] + ")").unique()
        raise ValueError(f"no trial compares {term} ({kind}, {period}); there are: {', '.join(known) or 'none'}")
    return found.reset_index(drop=True)


def single_trial_rows(trial: pd.Series, name: str) -> list[dict[str, Any]]:
    """Risk difference, risk ratio and odds ratio of one trial as rows of a results table.

    Score intervals (Miettinen and Nurminen 1985) for the difference and the risk ratio, a mid-p interval for the odds
    ratio; nothing is added to any cell. `se` is not defined for them. The p value of all three is that of the score
    test, so that the table speaks with one voice.
    """
    table = [int(trial[column]) for column in COUNTS]
    found = {"RD": (two_by_two.risk_difference(*table), "score"), "RR": (two_by_two.risk_ratio(*table), "score"),
             "OR": (two_by_two.odds_ratio(*table), "mid-p")}
    described = {"outcome": name, "study_set": trial["trial_id"], "arms": "combined", "scale_kind": "events",
                 "model": "single trial", "tau2_method": "", "k": 1, "n_active": table[1], "n_control": table[3]}
    rows = []
    for measure, (result, method) in found.items():
        note = "nobody had it in either arm: no ratio can be estimated" if np.isnan(result.estimate) else ""
        values = {"estimate": result.estimate, "ci_low": result.low, "ci_high": result.high,
                  "p": two_by_two.p_value(*table), "measure": measure, "ci_method": method, "note": note}
        row = described | values | {"analysis_id": f"{name}.{measure.lower()}"}
        rows.append({column: row.get(column, np.nan) for column in RESULT_COLUMNS})
    return rows


def pooled_rows(trials: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    """One harm over several trials: Mantel-Haenszel, Peto, and random effects, as rows of a results table.

    Parameters
    ----------
    trials : DataFrame
        From `select`, two trials or more.
    name : str
        Of the harm; the analyses are called name.rd_mh, rr_mh, or_peto, rd_random and rr_random.

    Returns
    -------
    list of dict
        Trials in which nobody had the harm count in the differences and are left out of the ratios. If an arm has no
        event in any trial, the Mantel-Haenszel ratio is NaN with an interval from 0 to infinity, and its note says so.
    """
    trials = trials.assign(outcome=name, arms="combined", scale_kind="events", instrument="")
    informative = trials[trials["events_active"] + trials["events_control"] > 0]
    ids = ", ".join(trials["trial_id"])
    differences, ratios = with_effects(trials, "RD"), with_effects(informative, "RR")
    rows = [mantel_haenszel_row(differences, f"{name}.rd_mh", study_set=ids)]
    if informative["events_active"].sum() and informative["events_control"].sum():
        rows.append(mantel_haenszel_row(ratios, f"{name}.rr_mh", study_set=", ".join(informative["trial_id"])))
    else:
        open_ended = {"estimate": np.nan, "ci_low": 0.0, "ci_high": np.inf, "note": "an arm has no event: no ratio"}
        unknown = dict.fromkeys(("se", "p", "pi_low", "pi_high", "tau2", "tau2_low", "tau2_high", "i2", "q", "q_df",
                                 "q_p"), np.nan)
        rows.append(rows[0] | unknown | open_ended | {"analysis_id": f"{name}.rr_mh", "measure": "RR"})
    if len(informative):
        rows.append(peto_row(informative, f"{name}.or_peto"))
    rows.append(pooled_row(differences, f"{name}.rd_random", study_set=ids))
    if len(informative) > 1:
        rows.append(pooled_row(ratios, f"{name}.rr_random", study_set=", ".join(informative["trial_id"])))
    return rows


def peto_row(trials: pd.DataFrame, analysis_id: str) -> dict[str, Any]:
    """Peto's odds ratio as a row of a results table; trials without events have no say in it."""
    result = peto(*(trials[column] for column in COUNTS))
    return result_row(
        analysis_id, result, outcome=trials["outcome"].iloc[0], measure="OR", arms="combined", scale_kind="events",
        study_set=", ".join(trials["trial_id"]), model="common", tau2_method="", ci_method="Wald",
        n_active=int(trials["n_active"].sum()), n_control=int(trials["n_control"].sum()), note="Peto's one-step method",
    )
