"""Effects on an event in two arms: risk ratio, odds ratio and risk difference, and what is done about empty cells.

Active arm first, control second; ratios are logs, and a positive effect is more of the event in the active arm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from meta_analysis.effect import Array, Effect, broadcast
from meta_analysis.studies import ensure_counts

ZERO_CELLS = ("only_zero", "always", "treatment_arm", "none", "events_and_totals")


def risk_ratio(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    zero_cells: str = "only_zero",
) -> Effect:
    """Log risk ratio log((a/n1)/(c/n2)) and its variance 1/a - 1/n1 + 1/c - 1/n2 (Katz and others 1978; escalc's RR).

    Parameters
    ----------
    events_active, n_active, events_control, n_control : array_like
        Participants with the event (a, c) and all participants (n1, n2), of each arm; they broadcast.
    zero_cells : {"only_zero", "always", "treatment_arm", "none", "events_and_totals"}
        What is added before the formula. ``"only_zero"``: 1/2 to all four cells (events and non-events of both arms) of
        a table that holds a zero (metafor's default). ``"always"``: 1/2 to all four cells of every table.
        ``"treatment_arm"``: as only_zero, but n1/N in the active and n2/N in the control arm (Sweeting, Sutton and
        Lambert 2004), so that a table without events gives a ratio of 1. ``"none"``: nothing; what is then undefined is
        NaN, to be masked. ``"events_and_totals"``: 1/2 to the events and 1/2 to the totals of both arms where either
        arm has no event (the open Metapsy datasets).

    Returns
    -------
    Effect
        The log risk ratio (positive: more of the event in the active arm) and its variance.

    Raises
    ------
    ValueError
        On an unknown option, or counts that are not finite, negative, or above their total.
    """
    a, n1, c, n2 = _corrected(events_active, n_active, events_control, n_control, zero_cells)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _defined(np.log(a / n1) - np.log(c / n2), 1 / a - 1 / n1 + 1 / c - 1 / n2)


def odds_ratio(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    zero_cells: str = "only_zero",
) -> Effect:
    """Log odds ratio log(ad/(bc)) and its variance 1/a + 1/b + 1/c + 1/d (Woolf 1955; escalc's OR).

    Events are a and c, people without the event b = n1 - a and d = n2 - c.

    Parameters, sign and errors as `risk_ratio`.
    """
    a, n1, c, n2 = _corrected(events_active, n_active, events_control, n_control, zero_cells)
    b, d = n1 - a, n2 - c
    with np.errstate(divide="ignore", invalid="ignore"):
        return _defined(np.log(a / b) - np.log(c / d), 1 / a + 1 / b + 1 / c + 1 / d)


def risk_difference(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    zero_cells: str = "only_zero",
) -> Effect:
    """Risk difference p1 - p2 and its variance p1(1 - p1)/n1 + p2(1 - p2)/n2, with p1 = a/n1, p2 = c/n2 (escalc's RD).

    Parameters and errors as `risk_ratio`; per person, from -1 to 1, positive where the active arm has more of the
    event. As in escalc, a correction moves the difference itself too. With ``"none"`` it is always defined, but its
    variance is 0 where both risks are 0 or 1.
    """
    a, n1, c, n2 = _corrected(events_active, n_active, events_control, n_control, zero_cells)
    p1, p2 = a / n1, c / n2
    return Effect(p1 - p2, p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2)


def _corrected(
    events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike, zero_cells: str
) -> tuple[Array, Array, Array, Array]:
    """Checked events and totals after the continuity correction `zero_cells`."""
    a, n1, c, n2 = broadcast(events_active, n_active, events_control, n_control)
    ensure_counts(a, n1, c, n2)
    holds_zero = (a == 0) | (c == 0) | (a == n1) | (c == n2)
    if zero_cells == "only_zero":
        add1 = add2 = 0.5 * holds_zero
    elif zero_cells == "always":
        add1 = add2 = np.full(a.shape, 0.5)
    elif zero_cells == "treatment_arm":
        add1, add2 = holds_zero * n1 / (n1 + n2), holds_zero * n2 / (n1 + n2)
    elif zero_cells == "none":
        add1 = add2 = np.zeros(a.shape)
    elif zero_cells == "events_and_totals":
        add = 0.5 * ((a == 0) | (c == 0))
        return a + add, n1 + add, c + add, n2 + add
    else:
        raise ValueError(f"unknown zero_cells {zero_cells!r}; use one of {', '.join(ZERO_CELLS)}")
    return a + add1, n1 + 2 * add1, c + add2, n2 + 2 * add2


def _defined(estimate: Array, variance: Array) -> Effect:
    """The effect, with NaN for both parts where either is undefined or the variance is 0."""
    good = np.isfinite(estimate) & np.isfinite(variance) & (variance > 0)
    return Effect(np.where(good, estimate, np.nan)[()], np.where(good, variance, np.nan)[()])
