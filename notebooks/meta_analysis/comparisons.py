"""From single facts to arms, and from arms to comparisons: one row a trial, MDMA-AT first, control second."""

from __future__ import annotations

import pandas as pd

from meta_analysis.event_effects import odds_ratio, risk_difference, risk_ratio
from meta_analysis.groups import combine_groups
from meta_analysis.mean_differences import mean_difference, standardised_mean_difference

#: Instruments on which a higher score is better. Their effects change sign, so that a negative one favours MDMA-AT.
HIGHER_IS_BETTER = ("GAF", "PTGI")
CONTINUOUS = {"SMD": standardised_mean_difference, "MD": mean_difference}
EVENTS = {"RR": risk_ratio, "OR": odds_ratio, "RD": risk_difference}
ARM_KEYS = ["trial_id", "arm_id", "timepoint_id", "outcome", "instrument"]
COMPARISON_KEYS = ["trial_id", "report", "timepoint_id", "outcome", "instrument"]


def continuous_arms(facts: pd.DataFrame) -> pd.DataFrame:
    """Set the statistics of each arm side by side.

    Parameters
    ----------
    facts : DataFrame
        Rows of ``continuous_outcomes`` with ``use == "used"``: one statistic a row.

    Returns
    -------
    DataFrame
        One row per trial, arm, time point, outcome and instrument: `n`, `mean`, `sd` at that time, `n_change`,
        `mean_change`, `sd_change` from baseline, and `baseline_n`, `baseline_mean`, `baseline_sd`. Units are points of
        the instrument; what no source prints is NaN. Baseline itself is not a row.

    Raises
    ------
    ValueError
        If a statistic stands twice for one arm (pandas says so).
    """
    values = facts.pivot(index=ARM_KEYS, columns="statistic", values="value")
    people = facts.pivot(index=ARM_KEYS, columns="statistic", values="n")
    wide = values.reindex(columns=["mean", "sd", "mean_change", "sd_change"])
    wide.insert(0, "n", people["mean"])
    wide.insert(3, "n_change", people["mean_change"])
    wide = wide.astype(float).reset_index()
    at_baseline = wide["timepoint_id"].str.endswith(":baseline")
    baseline = wide[at_baseline].rename(columns={"n": "baseline_n", "mean": "baseline_mean", "sd": "baseline_sd"})
    keys = ["trial_id", "arm_id", "outcome", "instrument"]
    baseline = baseline[[*keys, "baseline_n", "baseline_mean", "baseline_sd"]]
    return wide[~at_baseline].merge(baseline, on=keys, how="left")


def mark_primary(rows: pd.DataFrame) -> pd.Series:
    """Tell which rows feed the primary analysis.

    A trial's own primary time point; where an outcome has no row there, its last time point before crossover.

    Parameters
    ----------
    rows : DataFrame
        Rows before crossover with `trial_id`, `outcome`, `instrument`, `is_primary`, `days_since_baseline`.

    Returns
    -------
    Series of bool, in the order of `rows`.
    """
    groups = rows.groupby(["trial_id", "outcome", "instrument"])
    has_primary = groups["is_primary"].transform("any")
    last = rows["days_since_baseline"] == groups["days_since_baseline"].transform("max")
    return rows["is_primary"].where(has_primary, last).astype(bool)


def _choose_active(arms: pd.DataFrame, choice: str) -> pd.DataFrame:
    if choice == "combined":
        return arms[arms["role"] == "active"]
    if choice == "high_dose":
        return arms[(arms["role"] == "active") & arms["high_dose"]]
    raise ValueError(f"arms must be 'combined' or 'high_dose', not {choice!r}")


def _sides(table: pd.DataFrame, outcome: str, arms: str, needed: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = table[(table["outcome"] == outcome) & table["primary"]].dropna(subset=needed)
    return _choose_active(rows, arms), rows[rows["role"] == "control"]


def _pair(active: pd.DataFrame, control: pd.DataFrame, values: list[str]) -> pd.DataFrame:
    pairs = active.merge(control[[*COMPARISON_KEYS, *values]], on=COMPARISON_KEYS, suffixes=("_active", "_control"))
    order = [f"{value}_{side}" for side in ("active", "control") for value in values]
    return pairs[[*COMPARISON_KEYS, "active_arms", *order]]


def continuous_comparisons(
    table: pd.DataFrame, outcome: str, *, arms: str = "combined", scale_kind: str = "endpoint"
) -> pd.DataFrame:
    """Compare MDMA-AT with control on a continuous outcome, one row a trial and instrument.

    Parameters
    ----------
    table : DataFrame
        The analysis table (``derived/01_analysis_table.csv``).
    outcome : str
        Such as ``"ptsd_severity"``.
    arms : {"combined", "high_dose"}
        All active arms of a trial as one group (Cochrane Handbook, section 6.5.2.10), or its highest dose alone.
    scale_kind : {"endpoint", "change"}
        Scores at the time point, or the change from baseline.

    Returns
    -------
    DataFrame
        `n`, `mean` and `sd` of each side, in the table's order; trials that lack any of the six are absent.

    Raises
    ------
    ValueError
        On an unknown choice.
    """
    if scale_kind not in ("endpoint", "change"):
        raise ValueError(f"scale_kind must be 'endpoint' or 'change', not {scale_kind!r}")
    if scale_kind == "change":
        table = table.drop(columns=["n", "mean", "sd"]).rename(
            columns={"n_change": "n", "mean_change": "mean", "sd_change": "sd"}
        )
    active, control = _sides(table, outcome, arms, ["n", "mean", "sd"])
    rows = []
    for keys, group in active.groupby(COMPARISON_KEYS, sort=False):
        n, mean, sd = combine_groups(group["n"], group["mean"], group["sd"])
        rows.append([*keys, " + ".join(group["arm_id"]), float(n), float(mean), float(sd)])
    combined = pd.DataFrame(rows, columns=[*COMPARISON_KEYS, "active_arms", "n", "mean", "sd"])
    return _pair(combined, control, ["n", "mean", "sd"])


def event_comparisons(table: pd.DataFrame, outcome: str, *, arms: str = "combined") -> pd.DataFrame:
    """Compare MDMA-AT with control on an event, one row a trial.

    Parameters
    ----------
    table, outcome, arms
        As in `continuous_comparisons`; the outcome is such as ``"response"``.

    Returns
    -------
    DataFrame
        `events` and `n` of each side; trials that lack any of the four are absent.

    Raises
    ------
    ValueError
        If `arms` is unknown.
    """
    active, control = _sides(table, outcome, arms, ["events", "n"])
    grouped = active.groupby(COMPARISON_KEYS, sort=False, as_index=False)
    combined = grouped.agg(active_arms=("arm_id", " + ".join), events=("events", "sum"), n=("n", "sum"))
    return _pair(combined, control, ["events", "n"])


def first_trial(rows: pd.DataFrame, shows: pd.Series, what: str) -> list[tuple[str, pd.DataFrame]]:
    """The first trial that a worked example can show, to be looped over; where there is none, a printed line says so.

    Parameters
    ----------
    rows : DataFrame
        With `trial_id`, in any order.
    shows : Series of bool, as long as `rows`
        Whether a row is of use for the example.
    what : str
        What the example shows, for the printed line: "two active arms".

    Returns
    -------
    list of (str, DataFrame)
        trial_id and rows of that trial; empty where no row is of use.
    """
    trials = rows[shows].groupby("trial_id", sort=False)
    if not len(trials):
        print(f"no trial here has {what}: nothing to show by hand")
    return list(trials)[:1]


def with_effects(comparisons: pd.DataFrame, measure: str, **options: str) -> pd.DataFrame:
    """Add each trial's effect to a table of comparisons.

    Parameters
    ----------
    comparisons : DataFrame
        From `continuous_comparisons` (for SMD and MD) or `event_comparisons` (for RR, OR and RD).
    measure : {"SMD", "MD", "RR", "OR", "RD"}
        What to compute.
    **options
        Handed on to the function of the measure: `correction` and `variance` of an SMD, `zero_cells` of the others.

    Returns
    -------
    DataFrame
        With the columns `measure`, `yi` (the effect; a logarithm for RR and OR) and `vi` (its variance). Scores on
        which higher is better are reversed: a negative SMD or MD favours MDMA-AT.

    Raises
    ------
    ValueError
        On an unknown measure, and as the functions of `mean_differences` and `event_effects` do.
    """
    if measure in CONTINUOUS:
        columns = [f"{value}_{side}" for side in ("active", "control") for value in ("mean", "sd", "n")]
        effect = CONTINUOUS[measure](*(comparisons[column] for column in columns), **options)
        sign = comparisons["instrument"].isin(HIGHER_IS_BETTER).map({True: -1.0, False: 1.0})
    elif measure in EVENTS:
        columns = [f"{value}_{side}" for side in ("active", "control") for value in ("events", "n")]
        effect = EVENTS[measure](*(comparisons[column] for column in columns), **options)
        sign = 1.0
    else:
        raise ValueError(f"unknown measure {measure!r}; use one of {', '.join([*CONTINUOUS, *EVENTS])}")
    return comparisons.assign(measure=measure, yi=sign * effect.estimate, vi=effect.variance)
