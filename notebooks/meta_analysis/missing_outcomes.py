"""Missing outcomes of an event: what the people who were lost would have to have done for the result to change.

People analysed are r events of n; m more were randomised and not seen. An informative missingness odds ratio (IMOR)
says how the odds of the event among the missing compare with those among the observed of the same arm: 1, the same;
1/5, a fifth; 0, nobody; infinity, everybody (Higgins, White and Wood 2008, Clinical Trials 5:225-239).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_analysis.effect import Effect
from meta_analysis.studies import ensure, ensure_counts

#: Both arms' missing people in the classic scenarios, as (active, control) IMORs.
SCENARIOS = {"as_observed": (1.0, 1.0), "failures": (0.0, 0.0), "best_case": (np.inf, 0.0), "worst_case": (0.0, np.inf)}


class Risk(NamedTuple):
    """Risk of the event among all randomised people of an arm, and its sampling variance."""

    risk: NDArray[np.float64]
    variance: NDArray[np.float64]


def risk_with_missing(events: ArrayLike, n: ArrayLike, missing: ArrayLike, imor: ArrayLike) -> Risk:
    """Risk of an arm when the odds among its missing people are `imor` times those among the observed.

    With p = events/n and a = missing/(n + missing), the risk is (1 - a) p + a q, where q = imor p / (imor p + 1 - p) is
    the risk of the missing. Its variance by the delta method, p and a both estimated and the IMOR given (White, Higgins
    and Wood 2008, Statistics in Medicine 27:711-727):
    ((1 - a) + a imor/(imor p + 1 - p)^2)^2 p(1 - p)/n + (q - p)^2 a(1 - a)/(n + missing).

    Parameters
    ----------
    events, n, missing : array_like
        Events and people observed, and people missing, of an arm. Without a missing person the IMOR plays no part.
    imor : array_like
        0 or above, infinity included; broadcasts against the others.

    Returns
    -------
    Risk

    Raises
    ------
    ValueError
        On counts that do not fit, a negative number of missing people, or a negative IMOR.
    """
    r, n, m, c = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (events, n, missing, imor)))
    ensure_counts(r, n, r, n)
    ensure((m >= 0) & np.isfinite(m), "the number missing must be 0 or more", m)
    ensure(c >= 0, "an informative missingness odds ratio must be 0 or more", c)
    p, a = r / n, m / (n + m)
    everybody = np.isinf(c)
    finite = np.where(everybody, 1.0, c)
    scale = finite * p + 1 - p
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 where everybody observed had it and nobody missing did
        q = np.where(scale > 0, finite * p / scale, 0.0)
        slope = np.where(scale > 0, finite / scale**2, 0.0)
    q, slope = np.where(everybody, 1.0, q), np.where(everybody, 0.0, slope)
    variance = ((1 - a) + a * slope) ** 2 * p * (1 - p) / n + (q - p) ** 2 * a * (1 - a) / (n + m)
    return Risk((1 - a) * p + a * q, variance)


def log_risk_ratio_with_missing(
    events_active: ArrayLike, n_active: ArrayLike, missing_active: ArrayLike,
    events_control: ArrayLike, n_control: ArrayLike, missing_control: ArrayLike,
    *, imor_active: ArrayLike = 1.0, imor_control: ArrayLike = 1.0,
) -> Effect:
    """Log risk ratio among all randomised people, under an informative missingness odds ratio in each arm.

    Variance: the sum of variance/risk^2 over the arms (`risk_with_missing`). A table with a zero cell among the
    observed gets 1/2 in all four cells first, as `event_effects.risk_ratio` does by default. With both IMORs 1 the
    result is the risk ratio of the observed, with its variance.

    Parameters
    ----------
    events_active, n_active, missing_active, events_control, n_control, missing_control : array_like
        Of each arm: events and people observed, and people missing.
    imor_active, imor_control : array_like
        The odds ratios; they broadcast, for example with shape (g, 1) against k trials for a grid of g.

    Returns
    -------
    Effect
        Positive: more of the event in the active arm.

    Raises
    ------
    ValueError
        As `risk_with_missing`, and if a risk is 0, so that there is no ratio (an IMOR of 0 with nobody observed).
    """
    a, n1, c, n2 = (np.asarray(x, dtype=float) for x in (events_active, n_active, events_control, n_control))
    add = 0.5 * ((a == 0) | (c == 0) | (a == n1) | (c == n2))
    active = risk_with_missing(a + add, n1 + 2 * add, missing_active, imor_active)
    control = risk_with_missing(c + add, n2 + 2 * add, missing_control, imor_control)
    ensure((active.risk > 0) & (control.risk > 0), "a risk of 0 has no ratio", active.risk, control.risk)
    variance = active.variance / active.risk**2 + control.variance / control.risk**2
    return Effect(np.log(active.risk / control.risk), variance)


def imor_grid(farthest: float = 5.0, steps: int = 21) -> NDArray[np.float64]:
    """IMORs from 1/farthest to farthest, even on the log scale, with 1 in the middle.

    Parameters
    ----------
    farthest : float
        Above 1.
    steps : int
        Odd, at least 3.

    Returns
    -------
    ndarray, shape (steps,)

    Raises
    ------
    ValueError
        On any other number.
    """
    if not farthest > 1 or steps < 3 or steps % 2 == 0:
        raise ValueError(f"want farthest above 1 and an odd number of steps, at least 3; got {farthest:g} and {steps}")
    grid = np.exp(np.linspace(-np.log(farthest), np.log(farthest), steps))
    grid[steps // 2] = 1.0
    return grid


def surface(trials: dict[str, ArrayLike], grid: ArrayLike) -> Effect:
    """Effects of k trials at each pair of IMORs from a grid of g.

    Parameters
    ----------
    trials : dict
        The six count columns of `log_risk_ratio_with_missing`, by name.
    grid : array_like, shape (g,)

    Returns
    -------
    Effect
        Of shape (g, g, k): [active, control, trial].
    """
    grid = np.asarray(grid, dtype=float)
    return log_risk_ratio_with_missing(**trials, imor_active=grid[:, None, None], imor_control=grid[None, :, None])
