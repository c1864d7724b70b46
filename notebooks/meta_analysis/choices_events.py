"""The choices behind a pooled effect on response, or on loss of diagnosis and remission, and what each does to the
counts.

All estimates stand on the risk-ratio scale: a pooled odds ratio, risk difference, or risk ratio of *not* having the
event is turned into the risk ratio it means at the pooled control risk of the same trials, so that all can share one
curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meta_analysis.choices_severity import (
    ARMS,
    INTERVALS,
    MODELS,
    PEOPLE,
    Arm,
    arms_by_time,
    modified_intention_to_treat,
    slots_of,
)
from meta_analysis.choices_trials import SETS, trial_sets
from meta_analysis.event_effects import odds_ratio, risk_difference, risk_ratio
from meta_analysis.mantel_haenszel import mantel_haenszel, peto
from meta_analysis.pooling import Pool, pool, with_interval
from meta_analysis.specification import Family, Rule, arm_slot, stack

MEASURES = {"RR": risk_ratio, "OR": odds_ratio, "RD": risk_difference, "failure": risk_ratio}
ZERO_CELLS = {
    "only_zero": "1/2 to all cells of a table with a zero", "always": "1/2 to all cells of all tables",
    "treatment_arm": "by size of the other arm", "events_and_totals": "1/2 to events and totals",
    "none": "nothing: left out of a ratio",
}
TWO_BY_TWO = {"MH": "Mantel-Haenszel, common", "MH_DL": "Mantel-Haenszel, random (RevMan)", "peto": "Peto"}
COLUMNS = ["slot", "trial_id", "events_active", "n_active", "events_control", "n_control"]
DEFINITIONS = {"loss": "loss of diagnosis", "strict": "remission, strict", "mixed": "remission, else loss of diagnosis"}
OUTCOMES = {"loss": ("loss_of_diagnosis",), "strict": ("remission",), "mixed": ("remission", "loss_of_diagnosis")}

Counts = tuple[float, float]


def response_family(
    table: pd.DataFrame, facts: pd.DataFrame, trials: pd.DataFrame, arms: pd.DataFrame, participants: pd.DataFrame,
    risk_of_bias: pd.DataFrame,
) -> Family:
    """The family of all defensible analyses of response; parameters as `choices_severity.severity_family`.

    `facts` is ``event_outcomes``, for the count of placebo responders in MAPP1 that was set aside.
    """
    by_time = {"response": arms_by_time(_dated(table, "response"), COUNTS)}
    other = other_count(facts, "mapp1_placebo_responders")
    words = _in_words(by_time["response"], other)
    choices = {"mapp1": {"as_printed": f"MAPP1 placebo: {words[0]}", "from_average": f"MAPP1 placebo: {words[1]}"}}
    return _family("response", by_time, choices, {"from_average": other}, trials, arms, participants, risk_of_bias)


def remission_family(
    table: pd.DataFrame, facts: pd.DataFrame, trials: pd.DataFrame, arms: pd.DataFrame, participants: pd.DataFrame,
    risk_of_bias: pd.DataFrame,
) -> Family:
    """The family of all defensible analyses of loss of diagnosis and remission, whose definition is one of the choices.

    Parameters as `response_family`; set aside is the count of MP-12's 100 mg arm.
    """
    by_time = {name: arms_by_time(_dated(table, name), COUNTS) for name in ("loss_of_diagnosis", "remission")}
    other = other_count(facts, "mp12_100mg_loss")
    words = _in_words(by_time["loss_of_diagnosis"], other)
    choices = {"definition": DEFINITIONS,
               "mp12": {"dataset": f"MP-12 at 100 mg: {words[0]}", "repository": f"MP-12 at 100 mg: {words[1]}"}}
    return _family("remission", by_time, choices, {"repository": other}, trials, arms, participants, risk_of_bias)


COUNTS = ["events", "n", "n_randomised"]


def _family(
    name: str, by_time: Mapping[str, Mapping[str, Mapping[str, list[Arm]]]], own: Mapping[str, Mapping[str, str]],
    others: Mapping[str, Mapping[str, Counts]], trials: pd.DataFrame, arms: pd.DataFrame, participants: pd.DataFrame,
    risk_of_bias: pd.DataFrame,
) -> Family:
    sets = trial_sets(trials, arms, risk_of_bias)
    modified = modified_intention_to_treat(participants)
    slots = tuple(dict.fromkeys(slot for times in by_time.values() for slot in slots_of(times)))
    choices = {
        "trials": {key: words for key, (words, _) in SETS.items()},
        "arms": ARMS, **own,
        "time": {"primary": "primary time point", "two_first": "after session 2"},
        "people": PEOPLE | {"randomised": "randomised, missing as failures",
                            "control_risk": "randomised, missing at control risk"},
        "measure": {"RR": "risk ratio", "OR": "odds ratio, as a risk ratio", "RD": "risk difference, as a risk ratio",
                    "failure": "ratio of not having it, as a risk ratio"},
        "zero": ZERO_CELLS,
        "model": MODELS | TWO_BY_TWO,
        "interval": INTERVALS,
    }
    rules = (
        Rule("a risk difference needs no correction of zero cells",
             {"measure": ("RD",), "zero": tuple(ZERO_CELLS)[1:]}),
        Rule("Mantel-Haenszel and Peto bring their own treatment of zero cells",
             {"model": tuple(TWO_BY_TWO), "zero": tuple(ZERO_CELLS)[1:]}),
        Rule("Peto's method gives an odds ratio", {"model": ("peto",), "measure": ("RR", "RD", "failure")}),
        Rule("t and Hartung-Knapp intervals are for random effects by inverse variance",
             {"model": ("common", *TWO_BY_TWO), "interval": ("mHK", "HK", "t")}),
    )

    def comparisons(choice: Mapping[str, str]) -> list[tuple]:
        found: dict[str, list[tuple]] = {}
        for outcome in OUTCOMES[choice["definition"]] if "definition" in choice else (name,):
            for trial, arms_now in by_time[outcome][choice["time"]].items():
                if not found.get(trial):
                    counted = [(arm, count(arm, choice, others, modified)) for arm in arms_now]
                    if choice["people"] == "control_risk":
                        counted = at_control_risk(counted)
                    found[trial] = compare(trial, counted, choice["arms"])
        return [row for rows in found.values() for row in rows]

    def effects(choice: Mapping[str, str], counted: Sequence[list[tuple]]) -> dict[str, NDArray]:
        return with_effects(counted, choice["measure"], choice["zero"])

    def members(choice: Mapping[str, str]) -> set[str]:
        return set(sets[choice["trials"]])

    return Family(name, "RR", choices, rules, slots, members, comparisons, effects, ("measure", "zero"), fit_counts,
                  as_risk_ratio, ("measure",), estimable)


def _dated(table: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Rows of an outcome with counts; a row without a count of events or people is not known."""
    return table[table["outcome"] == outcome].dropna(subset=["events", "n"])


def other_count(facts: pd.DataFrame, conflict: str) -> dict[str, Counts]:
    """arm -> (events, people) that were set aside in a conflict between sources."""
    rows = facts[(facts["conflict_id"] == conflict) & (facts["use"] == "set_aside")]
    return {row.arm_id: (float(row.events), float(row.n)) for row in rows.itertuples()}


def _in_words(by_time: Mapping[str, Mapping[str, list[Arm]]], other: Mapping[str, Counts]) -> list[str]:
    """The count in use and the one set aside of the arm in conflict, as "23 of 37"."""
    arms = [arm for found in by_time["primary"].values() for arm in found if arm.arm_id in other]
    if not arms:
        return ["not among these trials"] * 2
    pairs = (arms[0].numbers["events"], arms[0].numbers["n"]), other[arms[0].arm_id]
    return [f"{events:.0f} of {n:.0f}" for events, n in pairs]


def count(arm: Arm, choice: Mapping[str, str], others: Mapping[str, Mapping[str, Counts]],
          modified: Mapping[str, float]) -> Counts:
    """Events and people of an arm under the choices of source and people; who is missing counts as a failure.

    The count that was set aside is of the primary time point.
    """
    events, n = arm.numbers["events"], arm.numbers["n"]
    for level in choice.values():
        if level in others and choice["time"] == "primary":
            events, n = others[level].get(arm.arm_id, (events, n))
    if choice["people"] == "randomised":
        n = np.fmax(arm.numbers["n_randomised"], n)
    elif choice["people"] == "modified":
        n = max(modified.get(arm.arm_id, n), n)
    return events, n


def at_control_risk(counted: list[tuple[Arm, Counts]]) -> list[tuple[Arm, Counts]]:
    """Everybody randomised, the missing people of every arm having the event as often as the control arm's observed."""
    control = [events / n for arm, (events, n) in counted if arm.role == "control"]
    if not control:
        return counted
    missing = [np.fmax(arm.numbers["n_randomised"] - n, 0.0) for arm, (_, n) in counted]
    return [(arm, (events + m * control[0], n + m)) for (arm, (events, n)), m in zip(counted, missing)]


def compare(trial: str, counted: list[tuple[Arm, Counts]], arms: str) -> list[tuple]:
    """The comparisons of one trial: one, or one for each active arm."""
    active = [pair for pair in counted if pair[0].role == "active"]
    control = [counts for arm, counts in counted if arm.role == "control"]
    active.sort(key=lambda pair: -pair[0].dose)  # the highest dose first
    if not active or not control:
        return []
    chosen = [counts for _, counts in active]
    if arms == "combined":
        chosen = [tuple(map(sum, zip(*chosen)))]
    elif arms in ("high_dose", "lower_dose"):
        chosen = [chosen[0 if arms == "high_dose" else -1]]
    parts = len(chosen) if arms == "split" else 1
    events, n = control[0][0] / parts, control[0][1] / parts
    return [(arm_slot(trial, place), trial, *counts, events, n) for place, counts in enumerate(chosen)]


def with_effects(sets: Sequence[list[tuple]], measure: str, zero: str) -> dict[str, NDArray]:
    """Columns of the comparisons with `yi` (a logarithm for ratios) and `vi`.

    A risk difference takes no correction. For the measure "failure" the counts are of people without the event.
    """
    columns = stack(sets, COLUMNS)
    if measure == "failure":
        for side in ("active", "control"):
            columns[f"events_{side}"] = columns[f"n_{side}"] - columns[f"events_{side}"]
    effect = MEASURES[measure](*(columns[name] for name in COLUMNS[2:]), zero_cells="none" if measure == "RD" else zero)
    usable = np.asarray(effect.variance) > 0
    return columns | {"yi": np.where(usable, effect.estimate, np.nan), "vi": np.where(usable, effect.variance, np.nan)}


def estimable(choice: Mapping[str, str], arrays: Mapping[str, NDArray], mask: NDArray) -> NDArray[np.bool_]:
    """Whether the counts of each pool, shape (..., k), suffice for the model, and for a risk ratio in the end.

    Mantel-Haenszel and Peto need two tables that tell of a ratio, and sums on both sides of the ratio that are not 0;
    what is turned into a risk ratio needs a control risk that is neither 0 nor 1.
    """
    a, n1, c, n2 = (np.where(mask, arrays[name], 0.0) for name in COLUMNS[2:])
    enough = np.ones(a.shape[:-1], dtype=bool)
    if choice["model"] in TWO_BY_TWO:
        tells = (a + c > 0) & (a + c < n1 + n2)
        sides = (a * (n2 - c), (n1 - a) * c) if choice["measure"] == "OR" else (a, c)
        enough = np.all([(side * tells).sum(axis=-1) > 0 for side in sides], axis=0) & (tells.sum(axis=-1) >= 2)
    if choice["measure"] in ("RD", "failure"):
        enough &= (c.sum(axis=-1) > 0) & (c.sum(axis=-1) < n2.sum(axis=-1))
    return enough


def fit_counts(choice: Mapping[str, str], arrays: Mapping[str, NDArray], mask: NDArray | None,
               known: Pool | None = None) -> Pool:
    """Pool counts under a choice of measure, model and interval; `known` as in `choices_severity.fit_smd`."""
    if known is not None:
        return with_interval(known, choice["interval"])
    model, counts = choice["model"], [arrays[name] for name in COLUMNS[2:]]
    if model in TWO_BY_TWO:
        kind = "random" if model == "MH_DL" else "common"
        measure = "RR" if choice["measure"] == "failure" else choice["measure"]
        method = peto if model == "peto" else partial(mantel_haenszel, measure=measure, model=kind)
        return method(*counts, mask=mask)
    how = {"model": "common"} if model == "common" else {"tau2_method": model}
    return pool(arrays["yi"], arrays["vi"], ci_method=choice["interval"], mask=mask, **how)


def as_risk_ratio(
    choice: Mapping[str, str], result: Pool, arrays: Mapping[str, NDArray], mask: NDArray | None
) -> tuple[NDArray, NDArray, NDArray]:
    """Estimate and interval as a risk ratio.

    With p the control risk, all control events over all control people: OR / (1 - p (1 - OR)) for an odds ratio
    (Cochrane Handbook 15.4.4.4), (p + RD)/p for a risk difference, (1 - (1 - p) RR)/p for the risk ratio of not having
    the event; not below 0. p is taken as known.
    """
    present = True if mask is None else mask
    events, n = (np.where(present, arrays[name], 0.0).sum(axis=-1) for name in ("events_control", "n_control"))
    p = events / n
    estimate, low, high = (np.asarray(value) for value in (result.estimate, result.ci_low, result.ci_high))
    if choice["measure"] == "RD":
        return tuple(np.maximum((p + value) / p, 0.0) for value in (estimate, low, high))
    if choice["measure"] == "failure":  # here p is the risk of failure, and the ends of the interval change places
        return tuple(np.maximum((1 - p * np.exp(value)) / (1 - p), 0.0) for value in (estimate, high, low))
    ratios = np.exp(estimate), np.exp(low), np.exp(high)
    return tuple(ratio / (1 - p * (1 - ratio)) for ratio in ratios) if choice["measure"] == "OR" else ratios
