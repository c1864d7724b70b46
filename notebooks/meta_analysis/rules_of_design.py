"""Rules about the design of trials: arms, time points, comparisons, what belongs to which trial, and who is pooled."""

from __future__ import annotations

import pandas as pd

from meta_analysis.rule_register import Finding, lookup, repeats, rule

# A role that is none of these is reported where it stands, not again in every row that refers to the arm.
ROLES = ("active", "control", "whole_trial", "combined", "open_label")

# The domains of RoB 2, and the judgement over all of them.
JUDGED = ("D1", "D2", "D3", "D4", "D5", "overall")

# --- Time points and arms ---------------------------------------------------------------------------------------------


@rule("timepoints", "is_primary post_crossover")
def primary_is_before_the_crossover(timepoints: pd.DataFrame) -> list[Finding]:
    wrong = timepoints[timepoints.is_primary & timepoints.post_crossover]
    return [(line, "is_primary", "a time point after the crossover cannot be primary") for line in wrong.index]


@rule("timepoints", "trial_id is_primary")
def one_primary_timepoint(timepoints: pd.DataFrame) -> list[Finding]:
    pairs = repeats(timepoints[timepoints.is_primary], ["trial_id"])
    return [(line, "is_primary", f"the trial has its primary time point in row {first}") for line, first in pairs]


@rule("timepoints", "timepoint_id sessions_so_far")
def no_session_before_baseline(timepoints: pd.DataFrame) -> list[Finding]:
    wrong = timepoints[timepoints.timepoint_id.str.endswith(":baseline") & (timepoints.sessions_so_far != 0)]
    return [(line, "sessions_so_far", "must be 0 at baseline") for line in wrong.index]


@rule("arms", "trial_id role")
def one_control_arm(arms: pd.DataFrame) -> list[Finding]:
    pairs = repeats(arms[arms.role == "control"], ["trial_id"])
    return [(line, "role", f"the trial has its control arm in row {first}") for line, first in pairs]


@rule("contrasts", "active_arm_id control_arm_id")
def two_different_arms(contrasts: pd.DataFrame) -> list[Finding]:
    wrong = contrasts[contrasts.active_arm_id == contrasts.control_arm_id]
    return [(line, "control_arm_id", "the same arm stands on both sides") for line in wrong.index]


@rule("contrasts", "active_arm_id control_arm_id", arms="arm_id role")
def active_arm_first(contrasts: pd.DataFrame, arms: pd.DataFrame) -> list[Finding]:
    findings = []
    for side, wanted in (("active_arm_id", "active"), ("control_arm_id", "control")):
        role = lookup(contrasts[side], arms, "arm_id", "role")
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


# --- What belongs to which trial --------------------------------------------------------------------------------------


def _of_another_trial(
    rows: pd.DataFrame, column: str, table: pd.DataFrame, key: str, trials: pd.DataFrame
) -> list[Finding]:
    owner = lookup(rows[column], table, key, "trial_id")
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
    defined = lookup(rows.definition_id, definitions, "definition_id", "outcome")
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


# --- The primary analysis ---------------------------------------------------------------------------------------------


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


@rule("trials", "trial_id in_primary", risk_of_bias="trial_id domain judgement")
def every_domain_judged(trials: pd.DataFrame, risk_of_bias: pd.DataFrame) -> list[Finding]:
    """What nobody judged is written down as `No information`, so that a row lost by mistake is not taken for it."""
    judged = risk_of_bias[risk_of_bias.judgement != ""].groupby("trial_id").domain.agg(set)
    findings = []
    for trial in trials[trials.in_primary].itertuples():
        missing = [domain for domain in JUDGED if domain not in judged.get(trial.trial_id, set())]
        if missing:
            findings.append((trial.Index, "in_primary", f"risk_of_bias.csv has no judgement of {', '.join(missing)}"))
    return findings
