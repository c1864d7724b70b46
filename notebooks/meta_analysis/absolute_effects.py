"""What a relative effect means for people: numbers needed to treat, risks per person, points of a scale.

Risks and differences are per person (times 1000 for "per thousand"), active minus control.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_analysis.studies import ensure

Array = NDArray[np.float64]


class NumberNeeded(NamedTuple):
    """Number needed to treat; positive: for one more event under the active arm, negative: for one fewer.

    `low` and `high` are the reciprocals of the upper and the lower limit of the risk difference. Where
    `through_infinity` is true the interval runs from `low` up through infinity and back from minus infinity to `high`.
    """

    estimate: Array
    low: Array
    high: Array
    through_infinity: NDArray[np.bool_]


class AbsoluteEffect(NamedTuple):
    """Risk under the active arm and its difference from the control risk, per person (times 1000 for per thousand)."""

    risk: Array
    risk_low: Array
    risk_high: Array
    difference: Array
    difference_low: Array
    difference_high: Array


def number_needed_to_treat(risk_difference: ArrayLike, low: ArrayLike, high: ArrayLike) -> NumberNeeded:
    """Number needed to treat from a risk difference and its confidence limits (Altman 1998).

    Parameters
    ----------
    risk_difference, low, high : array_like
        Risk difference per person, active minus control, and its limits, with low <= risk_difference <= high.

    Returns
    -------
    NumberNeeded
        Signed as the difference. Limits of exactly 0 have an infinite reciprocal; limits beyond -1 and 1, which a
        normal interval can have, count as -1 and 1, because no number needed to treat is below one person.

    Raises
    ------
    ValueError
        On a risk difference outside [-1, 1] or limits that are not on either side of it.
    """
    estimate, low, high = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (risk_difference, low, high)))
    ordered = (low <= estimate) & (estimate <= high)
    ensure(ordered, "the risk difference must lie between its limits", estimate, low, high)
    ensure(np.abs(estimate) <= 1, "a risk difference is per person, between -1 and 1", estimate)
    low, high = np.maximum(low, -1.0), np.minimum(high, 1.0)
    with np.errstate(divide="ignore"):
        # 0 as a limit lies at the end that its interval comes from: the low limit at +inf, the high one at -inf.
        upper, lower = np.where(low == 0, np.inf, 1 / low)[()], np.where(high == 0, -np.inf, 1 / high)[()]
        return NumberNeeded(1 / np.where(estimate == 0, 0.0, estimate)[()], lower, upper, (low < 0) & (high > 0))


def absolute_effect(
    control_risk: ArrayLike, relative: ArrayLike, low: ArrayLike, high: ArrayLike, measure: str = "RR"
) -> AbsoluteEffect:
    """Risk under the active arm, and the risk difference, when a relative effect meets a given control risk.

    Parameters
    ----------
    control_risk : array_like
        Assumed risk of the event in the control arm, per person, 0 to 1.
    relative, low, high : array_like
        Risk ratio, odds ratio or risk difference (active against control) and its confidence limits, on the natural
        scale.
    measure : {"RR", "OR", "RD"}
        ``"RR"``: risk = ratio * control_risk, held at 1 where the product is above it. ``"OR"``: ratio * odds, turned
        back into a risk (Cochrane Handbook 15.4.4). ``"RD"``: risk = control_risk + difference, held between 0 and 1.

    Returns
    -------
    AbsoluteEffect
        Per person. The uncertainty is that of the relative effect alone; the control risk is taken as known.

    Raises
    ------
    ValueError
        On an unknown measure, a risk outside 0 to 1, a ratio not above zero, a difference outside -1 to 1, or limits
        out of order.
    """
    risk, relative, low, high = (np.asarray(x, dtype=float) for x in (control_risk, relative, low, high))
    ensure((risk >= 0) & (risk <= 1), "a control risk must lie between 0 and 1", risk)
    if measure == "RD":
        ordered = (low <= relative) & (relative <= high) & (np.abs(relative) <= 1)
        ensure(ordered, "a risk difference lies between -1 and 1, the limits around it", relative, low, high)
        risks = [np.clip(risk + x, 0.0, 1.0) for x in (relative, low, high)]
        return AbsoluteEffect(*risks, *(x - risk for x in risks))
    ordered = (0 < low) & (low <= relative) & (relative <= high)
    ensure(ordered, "ratios must be above zero, the limits around them", relative, low, high)
    if measure == "RR":
        risks = [np.minimum(1.0, x * risk) for x in (relative, low, high)]
    elif measure == "OR":
        risks = [x * risk / (1 - risk + x * risk) for x in (relative, low, high)]
    else:
        raise ValueError(f"unknown measure {measure!r}; use one of RR, OR, RD")
    return AbsoluteEffect(*risks, *(x - risk for x in risks))


def pooled_sd(n: ArrayLike, sd: ArrayLike) -> float:
    """Standard deviation that several groups share: sqrt(sum (n - 1) sd^2 / sum (n - 1)).

    A standardised difference times it is a difference in points (Cochrane Handbook 15.5.3.2).

    Parameters
    ----------
    n, sd : array_like, shape (groups,)
        Size and standard deviation of each group.

    Returns
    -------
    float
        In the unit of the standard deviations.

    Raises
    ------
    ValueError
        On groups below 2 people, or a standard deviation that is not above zero.
    """
    n, sd = np.asarray(n, dtype=float), np.asarray(sd, dtype=float)
    if n.shape != sd.shape or n.size == 0 or not ((n >= 2).all() and (sd > 0).all()):
        raise ValueError("each group needs at least 2 people and a standard deviation above zero")
    return float(np.sqrt(np.sum((n - 1) * sd**2) / np.sum(n - 1)))
