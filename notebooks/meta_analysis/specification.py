"""Specifications: the defensible choices of one outcome, and any one combination of them run alone.

A *family* is a declared table of choices for one outcome: which trials, which arms, which score, which measure, which
model, and so on, each with its levels. A *specification* takes one level of each; its id spells them out
("severity/all/out/combined/.../REML/mHK"), so that `run_specification` can run it again, alone and by another path than
the batch of `specification_curve` (Simonsohn, Simmons and Nelson 2020, Nature Human Behaviour, on the idea; Steegen and
others 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meta_analysis.pooling import Pool

TOO_FEW = "fewer than two trials have the data"
NO_EVENTS = "too few events in one arm for the method"
SELECTION, POOLING = ("trials", "mp9"), ("model", "interval")  # choices that do not touch a trial's effect
ARRAYS = ("yi", "vi", "events_active", "n_active", "events_control", "n_control")


class TooFewTrials(ValueError):
    """Nothing to pool: fewer than two trials of the specification have the data."""


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
        The choices of `POOLING` are the last.
    rules : tuple of Rule
    slots : tuple of str
        Names of all comparisons that can occur, "MP-8" or "MP-8 arm 2" (`arm_slot`).
    members : callable
        {choice: level} -> the trials that take part (names before a blank in `slots`; a split of MP-9 is a slot).
    comparisons : callable
        {choice: level} -> a list with a tuple for each comparison: its slot, its trial, and the numbers of its arms.
        The choices of `SELECTION`, `POOLING` and `measured_by` play no part here.
    effects : callable
        ({choice: level}, such lists) -> columns, one entry a comparison: `set` (number of the list it stems from),
        `slot`, `trial_id`, those of `ARRAYS` that the family has, and what else a reader may want.
    measured_by : tuple of str
        The choices that `effects` looks at.
    fit : callable
        ({choice: level}, arrays, mask, known) -> Pool, for arrays of shape (..., k); known: the Pool with another
        interval and all else the same, where there is one, else None.
    finish : callable
        ({choice: level}, Pool, arrays, mask) -> (estimate, low, high) on the natural scale of `measure`.
    pooled_by : tuple of str
        The choices that `fit` and `finish` look at, besides `POOLING`; what agrees in them is pooled in one call.
    estimable : callable or None
        ({choice: level}, arrays, mask) -> bool, shape (...): whether there are events enough for `fit` and `finish`;
        None where there always are.
    """

    name: str
    measure: str
    choices: Mapping[str, Mapping[str, str]]
    rules: tuple[Rule, ...]
    slots: tuple[str, ...]
    members: Callable[[Mapping[str, str]], set[str]]
    comparisons: Callable[[Mapping[str, str]], list[tuple]]
    effects: Callable[[Mapping[str, str], Sequence[list[tuple]]], dict[str, NDArray]]
    measured_by: tuple[str, ...]
    fit: Callable[[Mapping[str, str], Mapping[str, NDArray], NDArray | None, Pool | None], Pool]
    finish: Callable[..., tuple[NDArray, NDArray, NDArray]]
    pooled_by: tuple[str, ...] = ()
    estimable: Callable[[Mapping[str, str], Mapping[str, NDArray], NDArray], NDArray[np.bool_]] | None = None

    @property
    def primary(self) -> str:
        """Id of the specification with the first level of each choice."""
        return "/".join([self.name, *(next(iter(levels)) for levels in self.choices.values())])


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
        On an id that does not fit the family, or a combination that is excluded (with the reason); `TooFewTrials` where
        there is nothing to pool.
    """
    choice = parse(family, specification)
    for rule in family.rules:
        if all(choice[name] in levels for name, levels in rule.levels.items()):
            raise ValueError(f"{specification} is excluded: {rule.reason}")
    columns, members = family.effects(choice, [family.comparisons(choice)]), family.members(choice)
    trials = [trial_of(slot) for slot in columns["slot"]]
    taken = np.array([trial in members for trial in trials], dtype=bool) & np.isfinite(columns["yi"])
    if len(set(compress(trials, taken))) < 2:
        raise TooFewTrials(f"{specification} is excluded: {TOO_FEW}")
    rows = {name: values[taken] for name, values in columns.items() if name != "set"}
    arrays = {name: rows[name].astype(float) for name in ARRAYS if name in rows}
    result = family.fit(choice, arrays, None, None)
    estimate, low, high = family.finish(choice, result, arrays, None)
    return {"id": specification, "k": int(result.k), "estimate": float(estimate), "ci_low": float(low),
            "ci_high": float(high), "tau2": float(result.tau2), "pool": result, "choice": choice,
            "comparisons": pd.DataFrame(rows)}


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


def stack(sets: Sequence[list[tuple]], names: Sequence[str]) -> dict[str, NDArray]:
    """The comparisons of all sets as columns with these names, and `set`: the number of the set each stems from."""
    rows = [row for found in sets for row in found]
    columns = zip(*rows) if rows else [()] * len(names)
    numbers = np.repeat(np.arange(len(sets)), [len(found) for found in sets])
    return {"set": numbers} | {name: np.array(values) for name, values in zip(names, columns)}


def arm_slot(trial: str, place: int) -> str:
    """Name of the comparison of a trial's active arm at `place` (from 0): "MP-8", "MP-8 arm 2", ..."""
    return trial if place == 0 else f"{trial} arm {place + 1}"


def trial_of(slot: str) -> str:
    """The trial that a slot belongs to; a split of MP-9 stands for itself."""
    return slot.partition(" arm ")[0]
