"""The specification curve: all specifications of a family, pooled in batches.

Combinations that make no sense are excluded by the family's rules, those with fewer than two trials because there is
nothing to pool, those with too few events for the method, and those that give the very same trial effects as an earlier
one because they are the same analysis. All are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meta_analysis.report import no_effect
from meta_analysis.specification import ARRAYS, NO_EVENTS, POOLING, SELECTION, TOO_FEW, Family, trial_of

SAME = "the same trial effects as an earlier combination"


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
    kind = _number_codes(data_codes, [data_names.index(name) for name in family.pooled_by])
    for model, interval in product(range(sizes[pooling[0]]), range(sizes[pooling[1]])):
        allowed = valid[..., model, interval][tuple(data_codes.T)]
        enough = np.flatnonzero(allowed & (trials >= 2))
        first = np.empty(len(trials), dtype=int)
        first[same_as[enough][::-1]] = enough[::-1]  # of each class the first one allowed: the last to be written
        run = enough[first[same_as[enough]] == enough]
        dropped[TOO_FEW] += int(allowed.sum()) - enough.size
        dropped[SAME] += enough.size - run.size
        for one in np.unique(kind[run]):
            rows = run[kind[run] == one]
            codes = np.column_stack([data_codes[rows], np.full(rows.size, model), np.full(rows.size, interval)])
            chosen = {name: values[rows] for name, values in arrays.items()}
            choice = {name: list(levels)[code] for (name, levels), code in zip(family.choices.items(), codes[0])}
            if family.estimable and not (can := family.estimable(choice, chosen, present[rows])).all():
                dropped[NO_EVENTS] = dropped.get(NO_EVENTS, 0) + int((~can).sum())
                rows, codes = rows[can], codes[can]
                chosen = {name: values[can] for name, values in chosen.items()}
            if rows.size:
                found.append((codes, *_pool(family, choice, chosen, present[rows])))
    codes, k, estimate, low, high, tau2 = (np.concatenate(parts) for parts in zip(*found))
    order = np.lexsort(codes.T[::-1])
    excluded |= dropped
    excluded = pd.DataFrame({"reason": list(excluded), "specifications": list(excluded.values())})
    return Curve(family, codes[order].astype(np.uint8), *(a[order] for a in (k, estimate, low, high, tau2)),
                 combinations=int(np.prod(sizes)), excluded=excluded)


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
        _, first, which = np.unique(_number_codes(codes, columns), return_index=True, return_inverse=True)
        return [{names[c]: levels[c][codes[row, c]] for c in columns} for row in first], which

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


def _number_codes(codes: NDArray[np.int64], columns: list[int]) -> NDArray[np.int64]:
    """A number for each row; rows that agree in these columns have the same one, in their order."""
    number = np.zeros(len(codes), dtype=np.int64)
    for column in columns:
        number = number * (codes[:, column].max() + 1) + codes[:, column]
    return number


def _classes(arrays: Mapping[str, NDArray], present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A number for each row; rows with exactly the same pooled numbers in the same slots have the same one."""
    stacked = np.stack(list(arrays.values()), axis=-1) + 0.0  # never -0.0, whose bytes differ
    numbers = np.zeros(present.shape, dtype=np.int32)  # 0: absent
    for slot, taken in enumerate(present.T):
        numbers[taken, slot] = 1 + _number_rows(stacked[taken, slot])
    return _number_rows(numbers)


def _number_rows(rows: NDArray) -> NDArray[np.int64]:
    """A number for each row, from 0; equal rows have the same one. (As bytes: much faster than by `axis`.)"""
    rows = np.ascontiguousarray(rows)
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))
    return np.unique(whole.ravel(), return_inverse=True)[1]


def _count_trials(family: Family, present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Trials (not comparisons) in each row."""
    owners = np.array([trial_of(slot) for slot in family.slots])
    return sum(present[:, owners == trial].any(axis=1).astype(int) for trial in np.unique(owners))


def _pool(
    family: Family, choice: Mapping[str, str], arrays: Mapping[str, NDArray], present: NDArray
) -> tuple[NDArray, ...]:
    """k, estimate, low, high, tau2 of rows that share the levels of measure, zero cells, model and interval."""
    result = family.fit(choice, arrays, present)
    return np.asarray(result.k), *family.finish(choice, result, arrays, present), np.asarray(result.tau2)
