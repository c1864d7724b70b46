"""What a specification curve says: which choices move the estimate, how far each moves it alone, where results lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from meta_analysis.report import RATIO_MEASURES, percent
from meta_analysis.specification import parse
from meta_analysis.specification_curve import DECIMALS, Curve

SHOWN = 1000  # rows kept of a thinned curve


def on_pooling_scale(curve: Curve, values: NDArray) -> NDArray:
    """Logarithms for ratios, the values themselves otherwise."""
    return np.log(values) if curve.family.measure in RATIO_MEASURES else np.asarray(values)


def curve_rows(curve: Curve, which: NDArray | None = None) -> pd.DataFrame:
    """Specifications as a table: id, rank (0 lowest), k, estimate, ci_low, ci_high, tau2.

    Parameters
    ----------
    curve : Curve
    which : int, shape (n,), optional
        Positions in the curve; all of them by default (large).

    Returns
    -------
    DataFrame
        Sorted by estimate, then by id's order in the full product.
    """
    rank = np.empty(curve.by_estimate.size, dtype=int)
    rank[curve.by_estimate] = np.arange(rank.size)
    return _rows_at(curve, np.sort(rank if which is None else rank[which]))


def thinned(curve: Curve, shown: int = SHOWN) -> pd.DataFrame:
    """Every n-th specification by rank, the lowest and the highest included, as `curve_rows`."""
    return _rows_at(curve, np.unique(np.linspace(0, curve.estimate.size - 1, shown).round().astype(int)))


def _rows_at(curve: Curve, ranks: NDArray) -> pd.DataFrame:
    """Rows of the specifications at these ranks."""
    which = curve.by_estimate[ranks]
    columns = {name: getattr(curve, name)[which] for name in ("k", "estimate", "ci_low", "ci_high", "tau2")}
    return pd.DataFrame({"id": curve.ids(which), "rank": ranks, **columns})


def position(curve: Curve, specification: str) -> int:
    """Position of a specification in the curve; ValueError if it was not run."""
    choice = parse(curve.family, specification)
    code = [list(levels).index(choice[name]) for name, levels in curve.family.choices.items()]
    found = np.flatnonzero(~_differs(curve, code).any(axis=0))
    if found.size != 1:
        raise ValueError(f"{specification} was not run: excluded, or the same analysis as an earlier one")
    return int(found[0])


def _differs(curve: Curve, code: ArrayLike) -> NDArray[np.bool_]:
    """Whether each choice, along the first axis, of each specification has another level than `code` (choices,)."""
    by_choice = curve.codes.T.copy()  # what is summed over choices goes many times faster with specifications last
    return by_choice != np.asarray(code)[:, None]


def restricted(curve: Curve, **levels: str) -> Curve:
    """The part of a curve in which some choices are held: ``restricted(curve, score="endpoint")``.

    Parameters
    ----------
    curve : Curve
    **levels : str
        Level of each choice that is held.

    Returns
    -------
    Curve
        `combinations` and `excluded` stay those of the whole product.

    Raises
    ------
    ValueError
        If nothing is left.
    """
    names = list(curve.family.choices)
    keep = np.ones(curve.estimate.size, dtype=bool)
    for name, level in levels.items():
        keep &= curve.codes[:, names.index(name)] == list(curve.family.choices[name]).index(level)
    if not keep.any():
        raise ValueError(f"no specification of {curve.family.name} has {levels}")
    parts = {name: getattr(curve, name)[keep] for name in ("codes", "k", "estimate", "ci_low", "ci_high", "tau2")}
    return replace(curve, **parts)


def share_below(curve: Curve, value: float) -> float:
    """Percent of the specifications whose estimate is lower than `value`."""
    return float(100 * np.mean(curve.estimate < value))


def level_summary(curve: Curve) -> pd.DataFrame:
    """What becomes of the estimate under each level of each choice.

    Parameters
    ----------
    curve : Curve

    Returns
    -------
    DataFrame
        choice, level, meaning, specifications, lowest, median, highest (natural scale), excludes_no_effect (percent of
        the level's intervals), median_rank (percent of the curve).
    """
    order = curve.by_estimate
    estimate, excludes = curve.estimate[order], curve.excludes_no_effect[order]
    codes, rows = curve.codes.take(order, axis=0).T.copy(), []
    for place, (choice, levels) in enumerate(curve.family.choices.items()):
        for code, (level, meaning) in enumerate(levels.items()):
            ranks = np.flatnonzero(codes[place] == code)
            row: dict[str, Any] = {"choice": choice, "level": level, "meaning": meaning, "specifications": ranks.size}
            if ranks.size:
                middle = ranks[[(ranks.size - 1) // 2, ranks.size // 2]]
                row |= {"lowest": estimate[ranks[0]], "median": estimate[middle].mean(),
                        "highest": estimate[ranks[-1]], "excludes_no_effect": 100 * excludes[ranks].mean(),
                        "median_rank": 100 * middle.mean() / order.size}
            rows.append(row)
    return pd.DataFrame(rows)


def one_choice_freed(curve: Curve, start: str | None = None) -> pd.DataFrame:
    """How far the estimate moves when one choice alone is freed and all others stay as they are in `start`.

    Parameters
    ----------
    curve : Curve
    start : str, optional
        Id of a specification that was run; by default the primary one.

    Returns
    -------
    DataFrame
        choice, specifications (the start included; fewer than the levels where the others are excluded or change
        nothing), lowest, highest, lowest_level, highest_level, spread (on the pooling scale).
    """
    start = curve.family.primary if start is None else start
    differs = _differs(curve, curve.codes[position(curve, start)])
    near = np.flatnonzero(differs.sum(axis=0, dtype=np.uint8) <= 1)  # few: they differ in one choice at most
    differs, rows = differs[:, near], []
    for place, (choice, levels) in enumerate(curve.family.choices.items()):
        found = near[~np.delete(differs, place, axis=0).any(axis=0)]
        estimate = np.round(curve.estimate[found], DECIMALS)
        low, high = found[np.argmin(estimate)], found[np.argmax(estimate)]
        names = list(levels)
        ends = on_pooling_scale(curve, curve.estimate[[low, high]])
        rows.append({"choice": choice, "specifications": found.size, "lowest": curve.estimate[low],
                     "highest": curve.estimate[high], "lowest_level": names[curve.codes[low, place]],
                     "highest_level": names[curve.codes[high, place]], "spread": float(ends[1] - ends[0])})
    return pd.DataFrame(rows)


def variance_shares(curve: Curve) -> pd.DataFrame:
    """Share of the variance of the estimate that each choice explains: Shapley effects over the valid specifications.

    The valid set is no balanced design (some levels exclude others), so main effects would overlap. Shapley effects
    divide the variance without a rest: with c(S) = Var(E[estimate | choices in S]), a choice gets the average of
    c(S + choice) - c(S) over all orders in which the choices can be revealed (Song, Nelson and Staum 2016, SIAM/ASA
    Journal on Uncertainty Quantification; Owen 2014). The interval never moves the estimate, so each estimate counts
    once, with its Wald interval. All estimates count alike, so the shares depend on the levels that were declared.
    `alone` is the first-order share, c({choice}) over the whole variance.

    Parameters
    ----------
    curve : Curve

    Returns
    -------
    DataFrame
        choice, share, alone (percent, on the pooling scale; the shares sum to 100), the largest share first.
    """
    choices = curve.family.choices
    place = {name: number for number, name in enumerate(choices)}
    once = curve.codes[:, place.pop("interval")] == list(choices["interval"]).index("Wald")
    names = sorted(place, key=lambda name: len(choices[name]))  # the last is summed over first: that takes off most
    codes = curve.codes[once].T[[place[name] for name in names]].astype(np.intp)
    y = on_pooling_scale(curve, curve.estimate[once])
    sizes = codes.max(axis=1) + 1  # levels at the end that nobody has need no cells
    cells = np.ravel_multi_index(tuple(codes), sizes)
    total = np.bincount(cells, y - y.mean(), sizes.prod()).reshape(sizes)
    count = np.bincount(cells, minlength=sizes.prod()).reshape(sizes)
    explained = np.array(_explained(total, count, len(sizes) - 1)).T  # an axis a choice: 1 where it is known
    others = np.bitwise_count(np.arange(explained.size // 2))  # how many other choices are known
    weights = 1 / (len(sizes) * special.comb(len(sizes) - 1, others))  # share of the orders that reveal them before
    rows = []
    for axis, name in enumerate(names):
        gained = 100 * np.diff(explained, axis=axis).ravel() / explained.flat[-1]
        rows.append({"choice": name, "share": np.sum(weights * gained), "alone": gained[0]})
    return pd.DataFrame(rows).sort_values("share", ascending=False, kind="stable", ignore_index=True)


def _explained(total: NDArray, count: NDArray, axis: int) -> list[Any] | float:
    """Sum of squares explained by each subset of the choices up to `axis`, from sums and counts by cell.

    Lists of two within each other: choice `axis` not known and known, within them the one before it, and so on.
    """
    if axis < 0:
        seen = count > 0
        return float(np.sum(total[seen] ** 2 / count[seen]))
    return [_explained(total.sum(axis=axis), count.sum(axis=axis), axis - 1), _explained(total, count, axis - 1)]


def most_frequent(curve: Curve, which: NDArray, choices: tuple[str, ...]) -> dict[str, str]:
    """The level that most of the specifications at `which` have, by choice, with its percentage: "phase_2 41%"."""
    found = {}
    for choice in choices:
        place = list(curve.family.choices).index(choice)
        codes, counts = np.unique(curve.codes[which, place], return_counts=True)
        level = list(curve.family.choices[choice])[codes[counts.argmax()]] if counts.size else ""
        found[choice] = f"{level} {percent(100 * counts.max() / len(which))}" if counts.size else ""
    return found


def reaching(curve: Curve, value: float, low: float, high: float, digits: int = 2) -> dict[str, Any]:
    """Which specifications reach a printed result within rounding.

    Parameters
    ----------
    curve : Curve
    value, low, high : float
        As printed, with `digits` decimals.
    digits : int

    Returns
    -------
    dict
        `estimates`: positions whose estimate rounds to `value`; `intervals`: those of them whose interval rounds to
        `low` and `high` too; `nearest`: position of the estimate nearest to `value`, on the pooling scale; `distance`:
        of the estimate and its interval together to the printed three, the smallest of all (root mean square on the
        pooling scale) and `best`, its position.
    """
    half = 0.5 * 10.0**-digits + 10.0**-DECIMALS
    near = [np.abs(found - printed) <= half for found, printed in
            ((curve.estimate, value), (curve.ci_low, low), (curve.ci_high, high))]
    found = np.stack([curve.estimate, curve.ci_low, curve.ci_high])
    printed = on_pooling_scale(curve, np.array([value, low, high]))
    with np.errstate(divide="ignore"):  # a risk ratio of 0 lies infinitely far away
        distance = on_pooling_scale(curve, found) - printed[:, None]
    together = np.sqrt((distance**2).mean(axis=0))
    nearest, best = (int(np.argmin(np.round(far, DECIMALS))) for far in (np.abs(distance[0]), together))
    return {"estimates": np.flatnonzero(near[0]), "intervals": np.flatnonzero(np.all(near, axis=0)),
            "nearest": nearest, "best": best, "distance": float(together[best])}
