"""The specification curve: every combination of defensible choices, pooled in one batch, and any one of them alone.

A *family* is a declared table of choices for one outcome: which trials, which arms, which score, which measure, which
model, and so on, each with its levels. A *specification* takes one level of each; its id spells them out
("severity/all/out/combined/.../REML/mHK"), so that `run_specification` can run it again, alone and by another path than
the batch (Simonsohn, Simmons and Nelson 2020, Nature Human Behaviour, on the idea; Steegen and others 2016).

Combinations that make no sense are excluded by the family's rules, those with fewer than two trials because there is
nothing to pool, and those that give the very same trial effects as an earlier one because they are the same analysis.
All are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meta_analysis.pooling import Pool
from meta_analysis.report import no_effect

TOO_FEW = "fewer than two trials have the data"
SAME = "the same trial effects as an earlier combination"
SELECTION, POOLING = ("trials", "mp9"), ("model", "interval")  # choices that do not touch a trial's effect
ARRAYS = ("yi", "vi", "events_active", "n_active", "events_control", "n_control")


class Rule(NamedTuple):
    """A combination that is excluded: every choice named here has one of the levels named here."""

    reason: str
    levels: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Family:
    """The choices of one outcome and how they act.

    Attributes
    ----------
    name, measure : str
        Such as "severity"; the scale of all estimates, "SMD" or "RR".
    choices : dict
        choice -> {level: what it means, in words}, in the order of the id; the first level of each is the primary one.
    rules : tuple of Rule
    slots : tuple of str
        Names of all comparisons that can occur, "MP-8" or "MP-8 arm 2" (`arm_slot`).
    members : callable
        {choice: level} -> the trials that take part (names before a blank in `slots`; a split of MP-9 is a slot).
    effects : callable
        {choice: level} -> columns, one entry a comparison: `slot`, `trial_id`, those of `ARRAYS` that the family has,
        and what else a reader may want. The choices of `SELECTION` and `POOLING` play no part here.
    fit : callable
        ({choice: level}, arrays, mask) -> Pool, for arrays of shape (..., k).
    finish : callable
        ({choice: level}, Pool, arrays, mask) -> (estimate, low, high) on the natural scale of `measure`.
    """

    name: str
    measure: str
    choices: Mapping[str, Mapping[str, str]]
    rules: tuple[Rule, ...]
    slots: tuple[str, ...]
    members: Callable[[Mapping[str, str]], set[str]]
    effects: Callable[[Mapping[str, str]], dict[str, NDArray]]
    fit: Callable[[Mapping[str, str], Mapping[str, NDArray], NDArray | None], Pool]
    finish: Callable[..., tuple[NDArray, NDArray, NDArray]]

    @property
    def primary(self) -> str:
        """Id of the specification with the first level of each choice."""
        return "/".join([self.name, *(next(iter(levels)) for levels in self.choices.values())])


@dataclass(frozen=True)
class Curve:
    """All specifications of a family that were run, n of them.

    Attributes
    ----------
    family : Family
    codes : uint8, shape (n, choices)
        Number of the level of each choice.
    k : int, shape (n,)
        Comparisons pooled.
    estimate, ci_low, ci_high : float, shape (n,)
        On the natural scale.
    tau2 : float, shape (n,)
        On the scale of the pooling (log for ratios).
    combinations : int
        Size of the full product.
    excluded : DataFrame
        reason, specifications: what was left out of the full product, each once, under the first reason that applies.
    """

    family: Family
    codes: NDArray[np.uint8]
    k: NDArray[np.int64]
    estimate: NDArray[np.float64]
    ci_low: NDArray[np.float64]
    ci_high: NDArray[np.float64]
    tau2: NDArray[np.float64]
    combinations: int
    excluded: pd.DataFrame

    @property
    def excludes_no_effect(self) -> NDArray[np.bool_]:
        """Whether each interval lies wholly on one side of no effect."""
        null = no_effect(self.family.measure)
        return (self.ci_low > null) | (self.ci_high < null)

    def ids(self, which: NDArray | slice = slice(None)) -> list[str]:
        """Ids of the specifications at these positions."""
        levels = [list(levels) for levels in self.family.choices.values()]
        rows = self.codes[which]
        return ["/".join([self.family.name, *(names[code] for names, code in zip(levels, row))]) for row in rows]


def specification_curve(family: Family) -> Curve:
    """Run every valid specification of a family in batches.

    Parameters
    ----------
    family : Family

    Returns
    -------
    Curve
        In the order of the full product, so that two runs give the same rows.
    """
    names, sizes = list(family.choices), [len(levels) for levels in family.choices.values()]
    valid, excluded = _apply_rules(family)
    pooling = [names.index(name) for name in POOLING]
    data_codes = np.argwhere(valid.any(axis=tuple(pooling)))  # every choice but model and interval, in order
    data_names = [name for name in names if name not in POOLING]
    arrays, present = _all_effects(family, data_codes, data_names)
    same_as = _classes(arrays, present)
    trials = _count_trials(family, present)
    found, dropped = [], {TOO_FEW: 0, SAME: 0}
    acts = [i for i, name in enumerate(data_names) if name in ("measure", "zero")]  # they decide what can be pooled
    kind = np.zeros(len(trials), dtype=int)
    if acts:
        kind = np.unique(data_codes[:, acts], axis=0, return_inverse=True)[1].ravel()
    for model, interval in product(range(sizes[pooling[0]]), range(sizes[pooling[1]])):
        allowed = valid[..., model, interval][tuple(data_codes.T)]
        enough = np.flatnonzero(allowed & (trials >= 2))
        run = enough[np.sort(np.unique(same_as[enough], return_index=True)[1])]  # of each class the first one allowed
        dropped[TOO_FEW] += int(allowed.sum()) - enough.size
        dropped[SAME] += enough.size - run.size
        for one in np.unique(kind[run]):
            rows = run[kind[run] == one]
            codes = np.column_stack([data_codes[rows], np.full(rows.size, model), np.full(rows.size, interval)])
            chosen = {name: values[rows] for name, values in arrays.items()}
            found.append((codes, *_pool(family, codes[0], chosen, present[rows])))
    codes, k, estimate, low, high, tau2 = (np.concatenate(parts) for parts in zip(*found))
    order = np.lexsort(codes.T[::-1])
    excluded |= dropped
    excluded = pd.DataFrame({"reason": list(excluded), "specifications": list(excluded.values())})
    return Curve(family, codes[order].astype(np.uint8), *(a[order] for a in (k, estimate, low, high, tau2)),
                 combinations=int(np.prod(sizes)), excluded=excluded)


def run_specification(family: Family, specification: str) -> dict[str, Any]:
    """Run one specification alone: its own comparisons, its own trials, one pool; no masks and no batch.

    Parameters
    ----------
    family : Family
    specification : str
        Its id, as `Curve.ids` gives it.

    Returns
    -------
    dict
        id, k, estimate, ci_low, ci_high (natural scale), tau2, `pool`: the whole result as pooled, `choice`: the
        levels, and `comparisons`: the pooled rows, a DataFrame.

    Raises
    ------
    ValueError
        On an id that does not fit the family, or a combination that is excluded (with the reason).
    """
    choice = parse(family, specification)
    for rule in family.rules:
        if all(choice[name] in levels for name, levels in rule.levels.items()):
            raise ValueError(f"{specification} is excluded: {rule.reason}")
    rows = pd.DataFrame(family.effects(choice))
    taken = rows["slot"].map(trial_of).isin(family.members(choice)) & np.isfinite(rows["yi"])
    rows = rows[taken].reset_index(drop=True)
    if rows["slot"].map(trial_of).nunique() < 2:
        raise ValueError(f"{specification} is excluded: {TOO_FEW}")
    arrays = {name: rows[name].to_numpy(dtype=float) for name in ARRAYS if name in rows}
    result = family.fit(choice, arrays, None)
    estimate, low, high = family.finish(choice, result, arrays, None)
    return {"id": specification, "k": int(result.k), "estimate": float(estimate), "ci_low": float(low),
            "ci_high": float(high), "tau2": float(result.tau2), "pool": result, "choice": choice, "comparisons": rows}


def vary(family: Family, **levels: str) -> str:
    """Id of the primary specification with some choices changed: ``vary(family, arms="split", model="DL")``.

    Raises ValueError on a choice or level that the family does not have. Whether it is allowed shows when it is run.
    """
    if unknown := sorted(set(levels) - set(family.choices)):
        raise ValueError(f"{family.name} has no choice {', '.join(unknown)}; there are {', '.join(family.choices)}")
    found = "/".join([family.name, *(levels.get(name, next(iter(known))) for name, known in family.choices.items())])
    parse(family, found)
    return found


def parse(family: Family, specification: str) -> dict[str, str]:
    """The levels that an id spells out, by choice; ValueError if it does not fit the family."""
    name, *levels = specification.split("/")
    if name != family.name or len(levels) != len(family.choices):
        raise ValueError(f"{specification!r} is no id of {family.name!r}: that name and {len(family.choices)} levels")
    choice = dict(zip(family.choices, levels))
    for key, level in choice.items():
        if level not in family.choices[key]:
            raise ValueError(f"{specification!r}: no {key} {level!r}; there are {', '.join(family.choices[key])}")
    return choice


def arm_slot(trial: str, place: int) -> str:
    """Name of the comparison of a trial's active arm at `place` (from 0): "MP-8", "MP-8 arm 2", ..."""
    return trial if place == 0 else f"{trial} arm {place + 1}"


def trial_of(slot: str) -> str:
    """The trial that a slot belongs to; a split of MP-9 stands for itself."""
    return slot.partition(" arm ")[0]


def _apply_rules(family: Family) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which cells of the full product are allowed, shape (levels of choice 1, ...), and how many each rule took."""
    names = list(family.choices)
    valid = np.ones([len(levels) for levels in family.choices.values()], dtype=bool)
    excluded: dict[str, int] = {}
    for rule in family.rules:
        hit = np.ones((1,) * valid.ndim, dtype=bool)
        for name, levels in rule.levels.items():
            shape = [1] * valid.ndim
            shape[names.index(name)] = -1
            hit = hit & np.array([level in levels for level in family.choices[name]]).reshape(shape)
        excluded[rule.reason] = excluded.get(rule.reason, 0) + int((valid & hit).sum())
        valid &= ~hit
    return valid, excluded


def _all_effects(
    family: Family, codes: NDArray[np.int64], names: list[str]
) -> tuple[dict[str, NDArray], NDArray[np.bool_]]:
    """Effects (n, slots) of each data combination, and which of them take part; the absent ones are NaN."""
    levels = [list(family.choices[name]) for name in names]
    about_effects = [i for i, name in enumerate(names) if name not in SELECTION]
    about_trials = [i for i, name in enumerate(names) if name in SELECTION]

    def distinct(columns: list[int]) -> tuple[list[dict[str, str]], NDArray[np.int64]]:
        rows, which = np.unique(codes[:, columns], axis=0, return_inverse=True)
        return [{names[c]: levels[c][code] for c, code in zip(columns, row)} for row in rows], which.ravel()

    effect_choices, which_effect = distinct(about_effects)
    trial_choices, which_trials = distinct(about_trials)
    slot = {name: i for i, name in enumerate(family.slots)}
    found = [family.effects(choice) for choice in effect_choices]
    place = np.repeat(np.arange(len(found)), [len(columns["slot"]) for columns in found])
    column = np.array([slot[name] for columns in found for name in columns["slot"]])
    arrays = {}
    for name in ARRAYS:
        if name in found[0]:
            grid = np.full((len(found), len(slot)), np.nan)
            grid[place, column] = np.concatenate([columns[name] for columns in found])
            arrays[name] = grid[which_effect]
    sets = [family.members(choice) for choice in trial_choices]
    takes_part = np.array([[trial_of(name) in members for name in slot] for members in sets])
    return arrays, takes_part[which_trials] & np.isfinite(arrays["yi"])


def _classes(arrays: Mapping[str, NDArray], present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A number for each row; rows with exactly the same pooled numbers in the same slots have the same one."""
    rows = np.concatenate([np.where(present, values, 0.0) for values in arrays.values()], axis=1)
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


def _count_trials(family: Family, present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Trials (not comparisons) in each row."""
    owners = np.array([trial_of(slot) for slot in family.slots])
    return sum(present[:, owners == trial].any(axis=1).astype(int) for trial in np.unique(owners))


def _pool(family: Family, codes: NDArray, arrays: Mapping[str, NDArray], present: NDArray) -> tuple[NDArray, ...]:
    """k, estimate, low, high, tau2 of rows that share the levels of measure, zero cells, model and interval."""
    choice = {name: list(levels)[code] for (name, levels), code in zip(family.choices.items(), codes)}
    result = family.fit(choice, arrays, present)
    return np.asarray(result.k), *family.finish(choice, result, arrays, present), np.asarray(result.tau2)
