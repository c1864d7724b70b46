"""The choices behind a pooled effect on severity, and what each does to the six or seven numbers of a trial.

`severity_family` turns the tables into a `specification.Family`. MP-9 printed changes only and not how many of its
eight people were in which arm, so each split is a comparison of its own, and a specification takes one of them or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import compress
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meta_analysis.choices_trials import SETS, trial_sets
from meta_analysis.groups import combine_groups, sd_of_change
from meta_analysis.mean_differences import cohen_d, glass_delta, standardised_mean_difference
from meta_analysis.pooling import Pool, pool, with_interval
from meta_analysis.sampling_covariance import combine_correlated, shared_control_smd
from meta_analysis.specification import Family, Rule, arm_slot, stack

UNSPLIT = "MP-9"
CORRELATIONS = {"change_r30": 0.3, "change_r50": 0.5, "change_r70": 0.7}
CHANGES = ("change_printed", *CORRELATIONS)
MEASURES = {
    "hedges": standardised_mean_difference,
    "review_manager": partial(standardised_mean_difference, correction="approximate", variance="statsmodels"),
    "metapsy": partial(standardised_mean_difference, correction="approximate", variance="uncorrected_d"),
    "cohen": cohen_d,
    "glass": glass_delta,
}
MODELS = {
    "REML": "random effects, REML", "DL": "random, DerSimonian-Laird", "PM": "random, Paule-Mandel",
    "ML": "random, maximum likelihood", "HE": "random, Hedges-Olkin", "SJ": "random, Sidik-Jonkman",
    "HS": "random, Hunter-Schmidt", "common": "common effect",
}
INTERVALS = {"mHK": "Hartung-Knapp, never narrower", "HK": "Hartung-Knapp", "t": "t", "Wald": "normal (Wald)"}
PEOPLE = {
    "analysed": "those analysed", "modified": "modified intention to treat (MAPP2)", "randomised": "those randomised",
}
ARMS = {
    "combined": "all active arms as one", "high_dose": "highest dose only", "lower_dose": "lower active dose only",
    "split": "each arm, control group split",
}


class Arm(NamedTuple):
    """One arm at one time: what is known of its scores."""

    arm_id: str
    role: str
    dose: float
    numbers: dict[str, float]


def severity_family(
    table: pd.DataFrame, facts: pd.DataFrame, trials: pd.DataFrame, arms: pd.DataFrame, participants: pd.DataFrame,
    risk_of_bias: pd.DataFrame,
) -> Family:
    """The family of all defensible analyses of severity.

    Parameters
    ----------
    table : DataFrame
        The analysis table (``derived/01_analysis_table.csv``).
    facts, trials, arms, participants, risk_of_bias : DataFrame
        The extracted tables ``continuous_outcomes`` (for values that were set aside), ``trials``, ``arms``,
        ``participants`` and ``risk_of_bias``.
    """
    rows = table[table["outcome"] == "ptsd_severity"]
    by_time = arms_by_time(rows, list(SCORES))
    splits = mp9_splits(rows, arms)
    sets = trial_sets(trials, arms, risk_of_bias)
    others = other_values(facts)
    modified = modified_intention_to_treat(participants)
    slots = slots_of(by_time, exclude=UNSPLIT) + tuple(splits.values())
    choices = {
        "trials": {name: words for name, (words, _) in SETS.items()},
        "mp9": {"out": "without MP-9"} | {name: f"MP-9 in, split {name}" for name in splits},
        "arms": ARMS | {"shared": "each arm, shared control (covariance)"},
        "score": {"endpoint": "score at the end", "change_printed": "change, printed SDs only"}
        | {name: f"change, else r = {r}" for name, r in CORRELATIONS.items()},
        "mp2": {"means": "MP-2 control: change from the means", "printed": "MP-2 control: change as printed"},
        "time": {"primary": "primary time point", "two_first": "after session 2, first look",
                 "two_last": "after session 2, last look"},
        "people": PEOPLE,
        "measure": {"hedges": "Hedges g, exact (metafor)", "review_manager": "g as Review Manager",
                    "metapsy": "g as Metapsy", "cohen": "Cohen d", "glass": "Glass delta"},
        "model": MODELS,
        "interval": INTERVALS,
    }
    unfit = tuple(name for name in sets if UNSPLIT not in sets[name])
    rules = (
        Rule("MP-9 printed changes only", {"mp9": tuple(splits), "score": ("endpoint",)}),
        Rule("MP-9 does not meet the rule of the trial set", {"mp9": tuple(splits), "trials": unfit}),
        Rule("SDs of change are printed for the primary time only",
             {"score": CHANGES, "time": ("two_first", "two_last")}),
        Rule("Glass delta divides by the SD of scores, not of changes", {"score": CHANGES, "measure": ("glass",)}),
        Rule("t and Hartung-Knapp intervals are for random effects",
             {"model": ("common",), "interval": ("mHK", "HK", "t")}),
    )

    def comparisons(choice: Mapping[str, str]) -> list[tuple]:
        found = []
        for trial, arms_now in by_time[choice["time"]].items():
            scored = [(arm, score(arm, choice, others, modified)) for arm in arms_now]
            if trial == UNSPLIT:
                found += split_comparisons(arms_now, splits) if choice["score"] != "endpoint" else []
            else:
                found += compare(trial, scored, choice["arms"])
        return found

    def effects(choice: Mapping[str, str], sets: Sequence[list[tuple]]) -> dict[str, NDArray]:
        return with_standardised(sets, choice["measure"])

    def members(choice: Mapping[str, str]) -> set[str]:
        extra = {splits[choice["mp9"]]} if choice["mp9"] != "out" else set()
        return set(sets[choice["trials"]]) - {UNSPLIT} | extra

    return Family("severity", "SMD", choices, rules, slots, members, comparisons, effects, ("measure",), fit_smd,
                  as_it_is)


SCORES = ("n", "mean", "sd", "n_change", "mean_change", "sd_change", "baseline_mean", "baseline_sd", "n_randomised")
COLUMNS = ["slot", "trial_id", "n_active", "mean_active", "sd_active", "n_control", "mean_control", "sd_control",
           "shared"]
Numbers = tuple[float, float, float]


def arms_by_time(rows: pd.DataFrame, values: list[str]) -> dict[str, dict[str, list[Arm]]]:
    """time choice -> trial -> its arms then. After session 2: the first and the last time point with two sessions."""
    arms = [Arm(*about, dict(zip(values, numbers)))
            for *about, numbers in zip(rows["arm_id"], rows["role"], rows["dose_mg"].astype(float),
                                       rows[values].to_numpy(float, na_value=np.nan).tolist())]
    days = rows["days_since_baseline"].where(rows["sessions_so_far"] == 2)
    by_trial = days.groupby(rows["trial_id"])
    times = {"primary": rows["primary"], "two_first": days == by_trial.transform("min"),
             "two_last": days == by_trial.transform("max")}
    found: dict[str, dict[str, list[Arm]]] = {name: {} for name in times}
    for name, chosen in times.items():
        for trial, arm in compress(zip(rows["trial_id"], arms), chosen):
            found[name].setdefault(trial, []).append(arm)
    return found


def slots_of(by_time: Mapping[str, Mapping[str, list[Arm]]], exclude: str = "") -> tuple[str, ...]:
    """A slot for each trial, and more for a trial with several active arms."""
    arms: dict[str, int] = {}
    for found in (pair for trials in by_time.values() for pair in trials.items()):
        active = sum(arm.role == "active" for arm in found[1])
        arms[found[0]] = max(active, arms.get(found[0], 0))
    arms.pop(exclude, None)
    return tuple(arm_slot(trial, place) for trial, count in arms.items() for place in range(count))


def other_values(facts: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """conflict -> arm -> values that were set aside at the primary time, to be put in place of those used."""
    conflicts = ["mp2_control_change", "mapp2_denominators"]
    chosen = facts[(facts["use"] == "set_aside") & facts["conflict_id"].isin(conflicts)]
    chosen = chosen[chosen["statistic"].isin(["mean_change", "sd_change"]) & (chosen["outcome"] == "ptsd_severity")]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in chosen.itertuples():
        values = found.setdefault(row.conflict_id, {}).setdefault(row.arm_id, {})
        values |= {row.statistic: float(row.value), "n_change": float(row.n)}
    return found


def modified_intention_to_treat(participants: pd.DataFrame) -> dict[str, float]:
    """arm -> people of its modified intention-to-treat analysis, for the arms of which a source prints it."""
    rows = participants[(participants["stage"] == "modified_intention_to_treat") & (participants["use"] == "used")]
    return dict(zip(rows["arm_id"], rows["n"].astype(float)))


def mp9_splits(rows: pd.DataFrame, arms: pd.DataFrame) -> dict[str, str]:
    """Split "5+3" (active + control) -> its slot, for all splits that leave two people in each arm: an SD needs two."""
    if UNSPLIT not in set(rows["trial_id"]):
        return {}
    whole = arms[(arms["trial_id"] == UNSPLIT) & (arms["role"] == "whole_trial")]["n_randomised"]
    people = int(whole.iloc[0])
    return {f"{n}+{people - n}": f"{UNSPLIT} {n}+{people - n}" for n in range(2, people - 1)}


def score(arm: Arm, choice: Mapping[str, str], others: Mapping, modified: Mapping[str, float]) -> Numbers | None:
    """People, mean and SD of an arm under the choices of score, MP-2's change and people; None if not known."""
    values = dict(arm.numbers)
    if choice["score"] == "endpoint":
        n, mean, sd = values["n"], values["mean"], values["sd"]
    else:
        if choice["mp2"] == "printed":
            values |= others.get("mp2_control_change", {}).get(arm.arm_id, {})
        if choice["people"] == "modified":
            values |= others.get("mapp2_denominators", {}).get(arm.arm_id, {})
        n, mean, sd = values["n_change"], values["mean_change"], values["sd_change"]
        if np.isnan(mean):
            n, mean = values["n"], values["mean"] - values["baseline_mean"]
        if np.isnan(sd) and choice["score"] in CORRELATIONS and np.isfinite(values["baseline_sd"] + values["sd"]):
            sd = float(sd_of_change(values["baseline_sd"], values["sd"], CORRELATIONS[choice["score"]]))
    if choice["people"] == "randomised" and np.isfinite(values["n_randomised"]):
        n = values["n_randomised"]
    if choice["people"] == "modified":
        n = modified.get(arm.arm_id, n)
    return (n, mean, sd) if np.isfinite(n + mean + sd) else None


def compare(trial: str, scored: list[tuple[Arm, Numbers | None]], arms: str) -> list[tuple]:
    """The comparisons of one trial: one, or one for each active arm; the last number says whether they share controls.

    Active arms lacking numbers are left out.
    """
    active = [(arm, numbers) for arm, numbers in scored if arm.role == "active" and numbers]
    control = [numbers for arm, numbers in scored if arm.role == "control" and numbers]
    active.sort(key=lambda pair: -pair[0].dose)  # the highest dose first
    if not active or not control:
        return []
    n, mean, sd = control[0]
    if arms == "combined":
        merged = active[0][1] if len(active) == 1 else combine_groups(*np.transpose([numbers for _, numbers in active]))
        chosen = [tuple(map(float, merged))]
    elif arms in ("high_dose", "lower_dose"):
        chosen = [active[0][1] if arms == "high_dose" else active[-1][1]]
    else:
        chosen = [numbers for _, numbers in active]
    if arms == "split":  # Cochrane Handbook 23.3.4: the control group's people are divided, its mean and SD stay
        n = n / len(chosen)
    shared = arms == "shared" and len(chosen) > 1
    return [(arm_slot(trial, place), trial, *numbers, n, mean, sd, shared) for place, numbers in enumerate(chosen)]


def split_comparisons(arms: list[Arm], splits: Mapping[str, str]) -> list[tuple]:
    """The comparison of MP-9's changes under each split of its people."""
    active, control = (next(arm.numbers for arm in arms if arm.role == role) for role in ("active", "control"))
    found = []
    for split, slot in splits.items():
        n1, n2 = map(float, split.split("+"))
        found.append((slot, UNSPLIT, n1, active["mean_change"], active["sd_change"],
                      n2, control["mean_change"], control["sd_change"], False))
    return found


def with_standardised(sets: Sequence[list[tuple]], measure: str) -> dict[str, NDArray]:
    """Columns of the comparisons with `yi` and `vi`; arms of a trial that share its controls become one effect."""
    columns = stack(sets, COLUMNS)
    effect = MEASURES[measure](*(columns[f"{value}_{side}"] for side in ("active", "control")
                                 for value in ("mean", "sd", "n")))
    columns |= {"yi": np.array(effect.estimate), "vi": np.array(effect.variance)}
    return _averaged(columns, "control" if measure == "glass" else "pair")


def _averaged(columns: dict[str, NDArray], standardiser: str) -> dict[str, NDArray]:
    """The comparisons with those that share a control group made one by their exact covariance."""
    groups: dict[tuple[int, str], list[int]] = {}
    for row in np.flatnonzero(columns["shared"]):
        groups.setdefault((columns["set"][row], columns["trial_id"][row]), []).append(row)
    kept = np.ones(columns["set"].size, dtype=bool)
    for rows in groups.values():
        y, v, n = (columns[name][rows] for name in ("yi", "vi", "n_active"))
        covariance = shared_control_smd(y, n, float(columns["n_control"][rows[0]]), standardiser=standardiser)
        np.fill_diagonal(covariance, v)
        one = combine_correlated(y, covariance)
        new = {"yi": one.estimate, "vi": one.variance, "n_active": n.sum(), "mean_active": np.nan, "sd_active": np.nan}
        for name, value in new.items():  # the arms keep their own means and SDs
            columns[name][rows[0]] = value
        kept[rows[1:]] = False
    return {name: values[kept] for name, values in columns.items() if name != "shared"}


def fit_smd(choice: Mapping[str, str], arrays: Mapping[str, NDArray], mask: NDArray | None,
            known: Pool | None = None) -> Pool:
    """Pool standardised differences by inverse variance under a choice of model and interval.

    `known` is the same pool with another interval, where there is one.
    """
    if known is not None:
        return with_interval(known, choice["interval"])
    how = {"model": "common"} if choice["model"] == "common" else {"tau2_method": choice["model"]}
    return pool(arrays["yi"], arrays["vi"], ci_method=choice["interval"], mask=mask, **how)


def as_it_is(
    choice: Mapping[str, str], result: Pool, arrays: Mapping[str, NDArray], mask: NDArray | None
) -> tuple[NDArray, NDArray, NDArray]:
    """Estimate and interval of a difference: already on their natural scale."""
    return np.asarray(result.estimate), np.asarray(result.ci_low), np.asarray(result.ci_high)

