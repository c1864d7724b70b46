"""The search for a tau2 that has no formula: the highest point of a likelihood, and the iteration to a root.

`tau2` and `regression_tau2` say what the likelihood and its score are; how they are searched stands here once. All
arrays have the pools along their last axis, as in `studies.chunks`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]
Likelihood = Callable[..., Vector]
Score = Callable[..., tuple[Vector, Vector, Vector]]

# Newton steps are quadratic near a root: at a relative residual of 1e-10 one more step (which is always taken) leaves
# an error below the rounding of a double.
RELATIVE_RESIDUAL = 1e-10
# Ordinary pools need three to eight; the worst that bracketing can need is about sixty halvings.
MAX_ITERATIONS = 200
# The likelihood is looked at in at most so many points before the first step, and no closer than this in the logarithm
# of tau2 + v, in which its peaks are about 1 wide.
GRID, SPACING = 16, 0.5


def bounds(s: Vector, v: Vector, present: Flags) -> tuple[Vector, Vector]:
    """The smallest variance of each pool, and a tau2 above every stationary point of its likelihoods.

    y'PPy is at most s (k - p) / (tau2 + v_min)^2 and tr P at least (k - p) / (tau2 + v_max). The score is negative
    where the first is below the second, which is beyond the root of a quadratic.

    Parameters
    ----------
    s : ndarray, shape (pools,)
        Residual mean square of the unweighted fit, on k - p degrees of freedom, in the effect's unit squared.
    v, present : ndarray, shape (k, pools)
        Sampling variances, infinite where absent, and which studies are there.

    Returns
    -------
    smallest, highest : ndarray, shape (pools,)
    """
    smallest = v.min(axis=0)
    spread = np.where(present, v, 0.0).max(axis=0) - smallest
    root = (s + np.sqrt(s * (s + 4 * spread))) / 2 - smallest
    return smallest, np.maximum(root, 0.0) + 1e-6 * (s + smallest)  # a margin for rounding


def maximise(
    log_likelihood: Likelihood, score: Score, smallest: Vector, highest: Vector, *studies: NDArray
) -> tuple[Vector, Flags]:
    """The tau2 >= 0 with the highest likelihood, and whether it was found: a grid, then Newton steps from its peak.

    The likelihood can have several maxima, which climbing from one start may miss. It varies with the logarithm of
    tau2 + v on a scale of about 1, so the grid is geometric in tau2 + the smallest v; it runs from 0 to `highest`.
    Where it has two peaks or more, the two highest are climbed.

    Parameters
    ----------
    log_likelihood : callable
        (t, *studies) -> its value at tau2 = t, shape (pools,).
    score : callable
        As for `climb`.
    smallest, highest : ndarray, shape (pools,)
        From `bounds`.
    *studies : ndarray, shape (..., pools)
        What the two functions need.

    Returns
    -------
    tau2, converged : ndarray, shape (pools,)
    """
    end = np.log1p(highest / smallest)
    step = np.maximum(end / (GRID - 1), SPACING)
    points = 1 + int(np.ceil(min(GRID - 1, end.max() / SPACING)))  # pools that reach their end sooner stay there
    grid = smallest * np.expm1(np.minimum(np.arange(points)[:, None] * step, end))
    values = np.array([log_likelihood(t, *studies) for t in grid])
    best, falls = values.argmax(axis=0), values[1:] <= values[:-1]
    two = np.flatnonzero((falls[:-1] > falls[1:]).any(axis=0))
    pools, place = np.append(np.arange(best.size), two), np.append(best, _next_peak(values[:, two]))
    low, start, high = (grid[np.clip(place + i, 0, points - 1), pools] for i in (-1, 0, 1))
    climbing = [array.take(pools, axis=-1) for array in studies] if two.size else studies
    tau2, converged = climb(score, start, low, high, *climbing)

    (tau2, rival), (converged, found) = (np.split(array, [best.size]) for array in (tau2, converged))
    if two.size:
        studies = [array.take(two, axis=-1) for array in studies]
        higher = log_likelihood(rival, *studies) > log_likelihood(tau2[two], *studies)
        tau2[two[higher]], converged[two[higher]] = rival[higher], found[higher]
    return tau2, converged


def _next_peak(values: Vector) -> NDArray[np.int64]:
    """Place of the second highest peak of each column; all have two or more."""
    rises = np.diff(values, axis=0, prepend=-np.inf, append=-np.inf) > 0
    peaks = np.where(rises[:-1] & ~rises[1:], values, -np.inf)
    return peaks.argsort(axis=0, kind="stable")[-2]


def climb(score: Score, start: Vector, low: Vector, high: Vector, *studies: NDArray) -> tuple[Vector, Flags]:
    """The maximum between `low` and `high` by safeguarded Newton steps from `start`, and whether they converged.

    No step, or one that leaves `low` and `high`, which close in on a maximum, is replaced by their midpoint.

    Parameters
    ----------
    score : callable
        (t, *studies) -> the score at tau2 = t, the size of its two terms at the root, and the next step, NaN
        where Newton's would lead away from a maximum.
    start, low, high : ndarray, shape (pools,)
        Where to begin, and two values of tau2 on either side of a maximum.
    *studies : ndarray, shape (..., pools)

    Returns
    -------
    tau2, converged : ndarray, shape (pools,)
    """

    def step(t: Vector, low: Vector, high: Vector, *studies: NDArray) -> tuple[Flags, tuple[NDArray, ...]]:
        slope, size, move = score(t, *studies)
        low, high = np.where(slope > 0, t, low), np.where(slope < 0, t, high)
        near = np.abs(slope) <= RELATIVE_RESIDUAL * size
        boundary = (t == 0) & (slope <= 0)
        done, proposal = boundary | near, t + move
        inside = (proposal > low) & (proposal < high)
        t = np.where(inside, proposal, np.where(done, t, (low + high) / 2))
        return done, (t, low, high, *studies)

    return iterate(step, start, low, high, *studies)


def solve_q(
    q_and_slope: Callable[..., tuple[Vector, Vector]], target: Vector, *studies: NDArray
) -> tuple[Vector, Flags]:
    """tau2 >= 0 at which the generalised Q equals `target`, and whether it was found; 0 if Q(0) is below it.

    1/Q is an increasing, concave function of tau2 (Q is a sum of terms c / (tau2 + lambda)), so Newton's method on
    1/Q = 1/target started at 0 rises to the root without overshooting: no bracket is needed.

    Parameters
    ----------
    q_and_slope : callable
        (t, *studies) -> Q at tau2 = t, and -dQ/dt.
    target : ndarray, shape (pools,)
    *studies : ndarray, shape (..., pools)

    Returns
    -------
    tau2, converged : ndarray, shape (pools,)
    """

    def step(t: Vector, target: Vector, *studies: NDArray) -> tuple[Flags, tuple[NDArray, ...]]:
        q, slope = q_and_slope(t, *studies)
        boundary = (q <= target) & (t == 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.where(boundary, 0.0, np.maximum(t + (q / target - 1) * q / slope, 0.0))
        return boundary | (np.abs(q - target) <= RELATIVE_RESIDUAL * target), (t, target, *studies)

    return iterate(step, np.zeros(studies[0].shape[-1]), target, *studies)


def iterate(step: Callable[..., tuple[Flags, tuple[NDArray, ...]]], *state: NDArray) -> tuple[Vector, Flags]:
    """Repeat `done, state = step(*state)` with the pools that are not done yet.

    Parameters
    ----------
    step : callable
        (*state) -> which pools are done, and the next state.
    *state : ndarray, shape (..., pools)
        The first is tau2.

    Returns
    -------
    tau2, converged : ndarray, shape (pools,)
        tau2 as its last step left it, and which pools were done within `MAX_ITERATIONS`.
    """
    tau2, converged = np.zeros(state[0].shape), np.zeros(state[0].shape, dtype=bool)
    active = np.arange(tau2.size)
    for _ in range(MAX_ITERATIONS):
        done, state = step(*state)
        tau2[active], converged[active] = state[0], done
        if done.all():
            break
        if done.any():
            left = np.flatnonzero(~done)
            active, *state = (array.take(left, axis=-1) for array in (active, *state))
    return tau2, converged
