"""The specification curve: all specifications of a family, pooled in batches.

Combinations that make no sense are excluded by the family's rules, those with fewer than two trials because there is
nothing to pool, those with too few events for the method, and those that give the very same trial effects as an earlier
one because they are the same analysis. All are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meta_analysis.report import no_effect
from meta_analysis.specification import ARRAYS, NO_EVENTS, POOLING, SELECTION, TOO_FEW, Family, trial_of

SAME = "the same trial effects as an earlier combination"
# Specifications that are equal on paper differ by rounding, and not alike on every machine: they are ranked after
# rounding to this many decimals, equal ones in the order of the full product.
DECIMALS = 9


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

    @cached_property
    def by_estimate(self) -> NDArray[np.int64]:
        """Positions of the specifications from the lowest estimate to the highest, the same on every machine."""
        return np.argsort(np.round(self.estimate, DECIMALS), kind="stable")

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

    Raises
    ------
    ValueError
        If the choices of `POOLING` are not the family's last.
    """
    names, sizes = list(family.choices), [len(levels) for levels in family.choices.values()]
    if tuple(names[-2:]) != POOLING:
        raise ValueError(f"the last choices of {family.name} must be {', '.join(POOLING)}; got {', '.join(names[-2:])}")
    valid, excluded = _apply_rules(family)
    valid = valid.reshape(-1, *sizes[-2:])
    combinations = np.flatnonzero(valid.any(axis=(1, 2)))
    data_codes = np.column_stack(np.unravel_index(combinations, sizes[:-2])).astype(np.uint8)
    arrays, present = _all_effects(family, data_codes, names[:-2])
    same_as = _classes(arrays, present)
    trials = _count_trials(family, present)
    kind = _number_codes(data_codes, [names.index(name) for name in family.pooled_by])
    found, dropped = [], {TOO_FEW: 0, SAME: 0}
    for model, intervals, allowed in _to_be_pooled(valid[combinations]):
        enough = np.flatnonzero(allowed & (trials >= 2))
        first = np.empty(len(trials), dtype=int)
        first[same_as[enough][::-1]] = enough[::-1]  # of each class the first one allowed: the last to be written
        run = enough[first[same_as[enough]] == enough]
        dropped[TOO_FEW] += (int(allowed.sum()) - enough.size) * len(intervals)
        dropped[SAME] += (enough.size - run.size) * len(intervals)
        for one in np.unique(kind[run]):
            rows = run[kind[run] == one]
            levels = _levels(family, [*data_codes[rows[0]], model, intervals[0]])
            chosen = {name: values[rows] for name, values in arrays.items()}
            if family.estimable and not (can := family.estimable(levels, chosen, present[rows])).all():
                dropped[NO_EVENTS] = dropped.get(NO_EVENTS, 0) + int((~can).sum()) * len(intervals)
                rows, chosen = rows[can], {name: values[can] for name, values in chosen.items()}
            if rows.size:
                found += _pool(family, chosen, present[rows], data_codes[rows], rows, model, intervals)
    row, codes, *numbers = (np.concatenate(parts) for parts in zip(*found))
    order = np.lexsort((codes[:, -1], codes[:, -2], row))
    excluded |= dropped
    excluded = pd.DataFrame({"reason": list(excluded), "specifications": list(excluded.values())})
    return Curve(family, codes[order], *(a[order] for a in numbers), combinations=int(np.prod(sizes)),
                 excluded=excluded)


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
        excluded[rule.reason] = excluded.get(rule.reason, 0) + int(np.count_nonzero(valid & hit))
        valid &= ~hit
    return valid, excluded


def _to_be_pooled(valid: NDArray[np.bool_]) -> Iterator[tuple[int, list[int], NDArray[np.bool_]]]:
    """Each model, with the intervals under which the very same combinations are allowed, and these combinations.

    `valid` has the shape (combinations, models, intervals). What is found for one such interval serves the others.
    """
    for model in range(valid.shape[1]):
        alike: dict[bytes, list[int]] = {}
        for interval in range(valid.shape[2]):
            alike.setdefault(valid[:, model, interval].tobytes(), []).append(interval)
        for intervals in alike.values():
            yield model, intervals, valid[:, model, intervals[0]]


def _levels(family: Family, codes: Sequence[int]) -> dict[str, str]:
    """{choice: level} for the numbers of the levels of all choices."""
    return {name: list(levels)[code] for (name, levels), code in zip(family.choices.items(), codes)}


def _all_effects(
    family: Family, codes: NDArray[np.uint8], names: list[str]
) -> tuple[dict[str, NDArray], NDArray[np.bool_]]:
    """Effects (n, slots) of each data combination, and which of them take part; the absent ones are NaN."""
    levels = [list(family.choices[name]) for name in names]
    columns = {"selection": [], "measured": [], "compared": []}
    for place, name in enumerate(names):
        part = "selection" if name in SELECTION else "measured" if name in family.measured_by else "compared"
        columns[part].append(place)

    def distinct(part: str) -> tuple[list[dict[str, str]], NDArray[np.int64]]:
        _, first, which = np.unique(_number_codes(codes, columns[part]), return_index=True, return_inverse=True)
        return [{names[c]: levels[c][codes[row, c]] for c in columns[part]} for row in first], which

    (selections, which_trials), (measures, which_measure), (compared, which_set) = map(distinct, columns)
    slot = {name: i for i, name in enumerate(family.slots)}
    sets = [family.comparisons(choice) for choice in compared]
    grids: dict[str, NDArray] = {}
    for place, choice in enumerate(measures):
        used = np.unique(which_set[which_measure == place])  # a rule may keep a measure from some
        found = family.effects(choice, [sets[number] for number in used])
        for name in (name for name in ARRAYS if name in found):
            grid = grids.setdefault(name, np.full((len(measures), len(sets), len(slot)), np.nan))
            grid[place, used[found["set"]], [slot[which] for which in found["slot"]]] = found[name]
    arrays = {name: grid[which_measure, which_set] for name, grid in grids.items()}
    members = [family.members(choice) for choice in selections]
    takes_part = np.array([[trial_of(name) in trials for name in slot] for trials in members])
    return arrays, takes_part[which_trials] & np.isfinite(arrays["yi"])


def _number_codes(codes: NDArray[np.uint8], columns: list[int]) -> NDArray[np.int64]:
    """A number for each row; rows that agree in these columns have the same one, in their order."""
    number = np.zeros(len(codes), dtype=np.int64)
    for column in columns:
        number = number * (int(codes[:, column].max()) + 1) + codes[:, column]
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
    family: Family, arrays: Mapping[str, NDArray], present: NDArray, data_codes: NDArray[np.uint8],
    rows: NDArray[np.int64], model: int, intervals: Sequence[int],
) -> list[tuple[NDArray, ...]]:
    """(row, codes, k, estimate, low, high, tau2) for each interval, of rows that agree in `family.pooled_by`."""
    found, known = [], None
    for interval in intervals:
        codes = np.column_stack([data_codes, *(np.full(rows.size, code, np.uint8) for code in (model, interval))])
        levels = _levels(family, codes[0])
        known = family.fit(levels, arrays, present, known)
        numbers = known.k, *family.finish(levels, known, arrays, present), known.tau2
        found.append((rows, codes, *map(np.asarray, numbers)))
    return found
