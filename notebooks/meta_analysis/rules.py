"""Rules between cells of the data tables: what a table schema cannot say.

A rule is a small pure function. It takes tables as frames indexed by the row's line in the file, and returns what it
finds wrong with the first of them. It is given the columns it declares and no others, so a fault elsewhere in a table
never silences it. Cells that could not be read are NaN here; they are reported before the rules run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

#: line in the file, column, what is wrong
Finding = tuple[int, str, str]

# A role that is none of these is reported where it stands, not again in every row that refers to the arm.
ROLES = ("active", "control", "whole_trial", "combined", "open_label")

# Baseline, endpoint and change are each printed to one decimal: half a unit of the last digit, three times.
ROUNDING_OF_A_CHANGE = 0.15


class Rule(NamedTuple):
    """A check, and the columns of each table it reads; the first table is the one at fault."""

    check: Callable[..., list[Finding]]
    columns: dict[str, list[str]]


RULES: list[Rule] = []


def rule(tables: str, columns: str, **others: str) -> Callable:
    """Register a check for each of `tables`, with the `columns` it reads there and those of `others` to look up."""

    def register(check: Callable[..., list[Finding]]) -> Callable[..., list[Finding]]:
        for table in tables.split():
            needs = {table: columns} | others
            RULES.append(Rule(check, {name: wanted.split() for name, wanted in needs.items()}))
        return check

    return register


def _lookup(column: pd.Series, table: pd.DataFrame, key: str, wanted: str) -> pd.Series:
    """Value of `wanted` in the row of `table` whose `key` is the cell; NaN where there is no such row."""
    return column.map(table.drop_duplicates(key).set_index(key)[wanted])


def _repeats(rows: pd.DataFrame, keys: list[str]) -> list[tuple[int, int]]:
    """Lines which repeat the `keys` of an earlier line, each with that earlier line."""
    first = rows.assign(line=rows.index).groupby(keys)["line"].transform("first")
    return [(line, earlier) for line, earlier in first.items() if line != earlier]


# --- Counts ---------------------------------------------------------------------------------------------------------


@rule("event_outcomes", "events n")
def events_within_n(rows: pd.DataFrame) -> list[Finding]:
    wrong = rows[rows.events > rows.n]
    return [(line, "events", f"more events than the {n:g} people counted") for line, n in wrong.n.items()]


@rule("harms", "events n unit")
def people_with_a_harm_within_n(rows: pd.DataFrame) -> list[Finding]:
    return events_within_n(rows[rows.unit == "participants"])


@rule("continuous_outcomes event_outcomes", "arm_id n", arms="arm_id n_randomised")
def n_within_the_arm(rows: pd.DataFrame, arms: pd.DataFrame) -> list[Finding]:
    randomised = _lookup(rows.arm_id, arms, "arm_id", "n_randomised")
    wrong = randomised[rows.n > randomised]
    return [(line, "n", f"more people than the {n:g} randomised to the arm") for line, n in wrong.items()]


@rule("harms", "arm_id n unit", arms="arm_id n_randomised")
def people_at_risk_within_the_arm(rows: pd.DataFrame, arms: pd.DataFrame) -> list[Finding]:
    return n_within_the_arm(rows[rows.unit == "participants"], arms)


# --- Means, SDs, changes --------------------------------------------------------------------------------------------


@rule("continuous_outcomes", "statistic value")
def sd_above_zero(rows: pd.DataFrame) -> list[Finding]:
    wrong = rows[rows.statistic.isin(["sd", "sd_change"]) & (rows.value <= 0)]
    return [(line, "value", "an SD must be above 0") for line in wrong.index]


@rule("continuous_outcomes", "arm_id timepoint_id outcome instrument statistic value n use conflict_id")
def change_is_endpoint_minus_baseline(rows: pd.DataFrame) -> list[Finding]:
    """A printed mean change that its own baseline and endpoint contradict is a conflict between sources: name it."""
    rows = rows.assign(line=rows.index)[rows.use.isin(["used", "set_aside"]) & rows.n.notna()]
    keys = ["arm_id", "outcome", "instrument", "n"]
    means = rows[rows.statistic == "mean"]
    at_baseline = means.timepoint_id.str.endswith(":baseline")
    changes = rows[(rows.statistic == "mean_change") & (rows.conflict_id == "")]
    both = changes.merge(means[~at_baseline], on=[*keys, "timepoint_id"], suffixes=("", "_endpoint"))
    both = both.merge(means[at_baseline], on=keys, suffixes=("", "_baseline"))
    computed = both.value_endpoint - both.value_baseline
    # The tenth of a millionth lets a difference of exactly 0.15 pass, which binary fractions may put just above.
    wrong = both.assign(computed=computed)[(both.value - computed).abs() > ROUNDING_OF_A_CHANGE + 1e-7]
    said = "endpoint minus baseline (rows {} and {}) is {:.4g}: such a difference needs a conflict_id"
    return [
        (row.line, "value", said.format(row.line_endpoint, row.line_baseline, row.computed))
        for row in wrong.drop_duplicates("line").itertuples()
    ]


# --- Time points and arms -------------------------------------------------------------------------------------------


@rule("timepoints", "is_primary post_crossover")
def primary_is_before_the_crossover(timepoints: pd.DataFrame) -> list[Finding]:
    wrong = timepoints[timepoints.is_primary & timepoints.post_crossover]
    return [(line, "is_primary", "a time point after the crossover cannot be primary") for line in wrong.index]


@rule("timepoints", "trial_id is_primary")
def one_primary_timepoint(timepoints: pd.DataFrame) -> list[Finding]:
    pairs = _repeats(timepoints[timepoints.is_primary], ["trial_id"])
    return [(line, "is_primary", f"the trial has its primary time point in row {first}") for line, first in pairs]


@rule("timepoints", "timepoint_id sessions_so_far")
def no_session_before_baseline(timepoints: pd.DataFrame) -> list[Finding]:
    wrong = timepoints[timepoints.timepoint_id.str.endswith(":baseline") & (timepoints.sessions_so_far != 0)]
    return [(line, "sessions_so_far", "must be 0 at baseline") for line in wrong.index]


@rule("arms", "trial_id role")
def one_control_arm(arms: pd.DataFrame) -> list[Finding]:
    pairs = _repeats(arms[arms.role == "control"], ["trial_id"])
    return [(line, "role", f"the trial has its control arm in row {first}") for line, first in pairs]


@rule("contrasts", "active_arm_id control_arm_id")
def two_different_arms(contrasts: pd.DataFrame) -> list[Finding]:
    wrong = contrasts[contrasts.active_arm_id == contrasts.control_arm_id]
    return [(line, "control_arm_id", "the same arm stands on both sides") for line in wrong.index]


@rule("contrasts", "active_arm_id control_arm_id", arms="arm_id role")
def active_arm_first(contrasts: pd.DataFrame, arms: pd.DataFrame) -> list[Finding]:
    findings = []
    for side, wanted in (("active_arm_id", "active"), ("control_arm_id", "control")):
        role = _lookup(contrasts[side], arms, "arm_id", "role")
        wrong = role[role.isin(ROLES) & (role != wanted)]
        findings += [(line, side, f"has the role {role} where {wanted} is expected") for line, role in wrong.items()]
    return findings


@rule("contrasts", "timepoint_id randomised_comparison", timepoints="timepoint_id post_crossover")
def no_randomised_comparison_after_the_crossover(contrasts: pd.DataFrame, timepoints: pd.DataFrame) -> list[Finding]:
    after = contrasts.timepoint_id.isin(timepoints.timepoint_id[timepoints.post_crossover])
    wrong = contrasts[after & contrasts.randomised_comparison]
    return [(line, "randomised_comparison", "nothing is randomised after the crossover") for line in wrong.index]


@rule("harms", "arm_id use randomised_comparison", arms="arm_id role")
def no_randomised_comparison_in_open_label(harms: pd.DataFrame, arms: pd.DataFrame) -> list[Finding]:
    open_label = harms.arm_id.isin(arms.arm_id[arms.role == "open_label"])
    wrong = harms[open_label & (harms.use == "used") & harms.randomised_comparison]
    return [(line, "randomised_comparison", "an open-label arm is not randomised") for line in wrong.index]


def _of_another_trial(
    rows: pd.DataFrame, column: str, table: pd.DataFrame, key: str, trials: pd.DataFrame
) -> list[Finding]:
    owner = _lookup(rows[column], table, key, "trial_id")
    wrong = owner[owner.isin(trials.trial_id) & rows.trial_id.isin(trials.trial_id) & (owner != rows.trial_id)]
    return [(line, column, f"belongs to {owner}, the row to {rows.trial_id[line]}") for line, owner in wrong.items()]


@rule(
    "continuous_outcomes event_outcomes harms participants characteristics",
    "trial_id arm_id",
    arms="arm_id trial_id",
    trials="trial_id",
)
def arm_of_the_trial(rows: pd.DataFrame, arms: pd.DataFrame, trials: pd.DataFrame) -> list[Finding]:
    return _of_another_trial(rows, "arm_id", arms, "arm_id", trials)


@rule("contrasts", "trial_id active_arm_id control_arm_id", arms="arm_id trial_id", trials="trial_id")
def arms_of_the_trial(rows: pd.DataFrame, arms: pd.DataFrame, trials: pd.DataFrame) -> list[Finding]:
    sides = ("active_arm_id", "control_arm_id")
    return [finding for side in sides for finding in _of_another_trial(rows, side, arms, "arm_id", trials)]


@rule(
    "continuous_outcomes event_outcomes contrasts",
    "trial_id timepoint_id",
    timepoints="timepoint_id trial_id",
    trials="trial_id",
)
def timepoint_of_the_trial(rows: pd.DataFrame, timepoints: pd.DataFrame, trials: pd.DataFrame) -> list[Finding]:
    return _of_another_trial(rows, "timepoint_id", timepoints, "timepoint_id", trials)


@rule("event_outcomes", "trial_id definition_id", definitions="definition_id trial_id", trials="trial_id")
def definition_of_the_trial(rows: pd.DataFrame, definitions: pd.DataFrame, trials: pd.DataFrame) -> list[Finding]:
    return _of_another_trial(rows, "definition_id", definitions, "definition_id", trials)


@rule("event_outcomes", "outcome definition_id", definitions="definition_id outcome")
def definition_of_the_outcome(rows: pd.DataFrame, definitions: pd.DataFrame) -> list[Finding]:
    defined = _lookup(rows.definition_id, definitions, "definition_id", "outcome")
    wrong = defined[defined.notna() & (defined != rows.outcome)]
    return [(line, "definition_id", f"defines {outcome}, not {rows.outcome[line]}") for line, outcome in wrong.items()]


@rule(
    "continuous_outcomes event_outcomes harms participants characteristics contrasts",
    "trial_id conflict_id",
    conflicts="conflict_id trial_id",
    trials="trial_id",
)
def conflict_of_the_trial(rows: pd.DataFrame, conflicts: pd.DataFrame, trials: pd.DataFrame) -> list[Finding]:
    """A conflict with a blank trial touches several; blank is no trial, so that it belongs to no other one."""
    return _of_another_trial(rows, "conflict_id", conflicts, "conflict_id", trials)


# --- Nobody is counted twice; nothing is set aside or cited without saying why and where ----------------------------


def _used_once(rows: pd.DataFrame, keys: list[str]) -> list[Finding]:
    pairs = _repeats(rows[rows.use == "used"], keys)
    return [(line, "use", f"counted twice: row {first} is used for the same fact") for line, first in pairs]


@rule("continuous_outcomes", "arm_id timepoint_id outcome instrument statistic use")
def measured_once(rows: pd.DataFrame) -> list[Finding]:
    return _used_once(rows, ["arm_id", "timepoint_id", "outcome", "instrument", "statistic"])


@rule("event_outcomes", "arm_id timepoint_id outcome use")
def counted_once(rows: pd.DataFrame) -> list[Finding]:
    return _used_once(rows, ["arm_id", "timepoint_id", "outcome"])


@rule("harms", "arm_id kind term window unit use")
def harmed_once(rows: pd.DataFrame) -> list[Finding]:
    return _used_once(rows, ["arm_id", "kind", "term", "window", "unit"])


@rule("participants", "arm_id stage use")
def in_the_flow_once(rows: pd.DataFrame) -> list[Finding]:
    return _used_once(rows, ["arm_id", "stage"])


@rule("continuous_outcomes event_outcomes harms participants characteristics contrasts", "use conflict_id")
def set_aside_for_a_reason(rows: pd.DataFrame) -> list[Finding]:
    wrong = rows[(rows.use == "set_aside") & (rows.conflict_id == "")]
    return [(line, "conflict_id", "a row set aside needs a conflict_id") for line in wrong.index]


@rule(
    "trials arms timepoints definitions continuous_outcomes event_outcomes harms participants characteristics "
    "contrasts risk_of_bias pooled_reports",
    "level locator",
)
def seen_somewhere(rows: pd.DataFrame) -> list[Finding]:
    wrong = rows[(rows.level == "SEEN") & (rows.locator == "")]
    return [(line, "locator", "a SEEN row must say where in the source") for line in wrong.index]


# --- The primary analysis -------------------------------------------------------------------------------------------


@rule("trials", "in_primary evidence")
def full_evidence_for_the_primary_analysis(trials: pd.DataFrame) -> list[Finding]:
    wrong = trials[trials.in_primary & (trials.evidence != "full")]
    return [(line, "in_primary", "the primary analysis takes trials with full evidence only") for line in wrong.index]


@rule(
    "trials",
    "trial_id severity_instrument in_primary",
    arms="arm_id trial_id role",
    timepoints="timepoint_id is_primary",
    continuous_outcomes="arm_id timepoint_id instrument statistic use",
)
def both_arms_at_the_primary_timepoint(
    trials: pd.DataFrame, arms: pd.DataFrame, timepoints: pd.DataFrame, rows: pd.DataFrame
) -> list[Finding]:
    primary = timepoints.timepoint_id[timepoints.is_primary]
    rows = rows[rows.timepoint_id.isin(primary) & (rows.use == "used")]
    findings = []
    for trial in trials[trials.in_primary].itertuples():
        of_trial = rows[rows.instrument == trial.severity_instrument]
        for role in ("active", "control"):
            mine = arms.arm_id[(arms.trial_id == trial.trial_id) & (arms.role == role)]
            statistics = of_trial[of_trial.arm_id.isin(mine)].groupby("arm_id").statistic.agg(set)
            if not any({"mean", "sd"} <= found for found in statistics):
                missing = f"no {role} arm has a mean and an sd of {trial.severity_instrument} at the primary time point"
                findings.append((trial.Index, "in_primary", missing))
    return findings


@rule("continuous_outcomes", "timepoint_id statistic n use", timepoints="timepoint_id is_primary")
def n_at_the_primary_timepoint(rows: pd.DataFrame, timepoints: pd.DataFrame) -> list[Finding]:
    primary = rows.timepoint_id.isin(timepoints.timepoint_id[timepoints.is_primary])
    wrong = rows[primary & (rows.use == "used") & rows.statistic.isin(["mean", "sd"]) & ~(rows.n > 0)]
    return [(line, "n", "a mean or SD at the primary time point needs its n") for line in wrong.index]
