"""Rules about single facts: counts, means and SDs that fit together, used once, set aside or cited with a reason."""

from __future__ import annotations

import pandas as pd

from meta_analysis.rule_register import Finding, lookup, repeats, rule

# Baseline, endpoint and change are each printed to one decimal: half a unit of the last digit, three times.
ROUNDING_OF_A_CHANGE = 0.15

# --- Counts -----------------------------------------------------------------------------------------------------------


@rule("event_outcomes", "events n")
def events_within_n(rows: pd.DataFrame) -> list[Finding]:
    wrong = rows[rows.events > rows.n]
    return [(line, "events", f"more events than the {n:g} people counted") for line, n in wrong.n.items()]


@rule("harms", "events n unit")
def harmed_within_n(rows: pd.DataFrame) -> list[Finding]:
    """A session, like a person, counts once for a term, however often it came up."""
    wrong = rows[rows.unit.isin(["participants", "sessions"]) & (rows.events > rows.n)]
    return [(line, "events", f"more events than the {row.n:g} {row.unit} counted") for line, row in wrong.iterrows()]


@rule("continuous_outcomes event_outcomes", "arm_id n", arms="arm_id n_randomised")
def n_within_the_arm(rows: pd.DataFrame, arms: pd.DataFrame) -> list[Finding]:
    randomised = lookup(rows.arm_id, arms, "arm_id", "n_randomised")
    wrong = randomised[rows.n > randomised]
    return [(line, "n", f"more people than the {n:g} randomised to the arm") for line, n in wrong.items()]


@rule("harms", "arm_id n unit", arms="arm_id n_randomised")
def people_at_risk_within_the_arm(rows: pd.DataFrame, arms: pd.DataFrame) -> list[Finding]:
    return n_within_the_arm(rows[rows.unit == "participants"], arms)


# --- Means, SDs, changes ----------------------------------------------------------------------------------------------


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


@rule("continuous_outcomes", "timepoint_id statistic n use", timepoints="timepoint_id is_primary")
def n_at_the_primary_timepoint(rows: pd.DataFrame, timepoints: pd.DataFrame) -> list[Finding]:
    primary = rows.timepoint_id.isin(timepoints.timepoint_id[timepoints.is_primary])
    wrong = rows[primary & (rows.use == "used") & rows.statistic.isin(["mean", "sd"]) & ~(rows.n > 0)]
    return [(line, "n", "a mean or SD at the primary time point needs its n") for line in wrong.index]


# --- Nobody is counted twice; nothing is set aside or cited without saying why and where ------------------------------


def _used_once(rows: pd.DataFrame, keys: list[str]) -> list[Finding]:
    pairs = repeats(rows[rows.use == "used"], keys)
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
