"""Estimators of tau2, the variance of the true effects between studies, for many pools of studies at once.

The functions whose names begin with an underscore work on the layout of `studies.chunks`: studies down the first axis,
pools along the second, absent studies with effect 0 and an infinite variance (a weight of exactly 0).
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_analysis.studies import check, chunks

# Newton steps are quadratic near a root: at a relative residual of 1e-10 one more step (which is always taken) leaves
# an error below the rounding of a double.
RELATIVE_RESIDUAL = 1e-10
# Points at which the likelihood is looked at before the first step.
GRID = 16
# Ordinary pools need three to eight; the worst that bracketing can need is about sixty halvings.
MAX_ITERATIONS = 200

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Tau2(NamedTuple):
    """Between-study variance of each pool, shape ``(...)``, in the effect's unit squared, and whether it converged."""

    tau2: Vector
    converged: Flags


def estimate_tau2(
    effects: ArrayLike, variances: ArrayLike, method: str = "REML", mask: ArrayLike | None = None
) -> Tau2:
    """Estimate the between-study variance tau2 of each pool.

    Parameters
    ----------
    effects, variances : array_like, shape (..., k)
        Effects and their sampling variances (log scale for ratios).
    method : str
        With w = 1/v, Q the weighted sum of squares about the weighted mean and Q(t) the same with w = 1/(v + t):

        - ``"DL"`` (DerSimonian and Laird 1986): (Q - (k - 1)) / (sum w - sum w^2 / sum w)
        - ``"HE"`` (Hedges and Olkin 1985): sum (y - mean y)^2 / (k - 1) - mean v
        - ``"HS"`` (Hunter and Schmidt 2004): (Q - k) / sum w
        - ``"SJ"`` (Sidik and Jonkman 2005): t0 Q(t0) / (k - 1) with t0 = sum (y - mean y)^2 / k
        - ``"PM"`` (Paule and Mandel 1982): the t at which Q(t) = k - 1
        - ``"EB"``, empirical Bayes (Morris 1983): t = t + (Q(t) k/(k - 1) - k) / sum w, whose fixed point is PM's
        - ``"ML"``, maximum likelihood: largest -(sum log(v + t) + Q(t)) / 2
        - ``"REML"``, restricted maximum likelihood: largest -(sum log(v + t) + log sum 1/(v + t) + Q(t)) / 2

        The last two, and the whole list side by side, are in Viechtbauer (2005).
    mask : array_like of bool, shape (..., k), optional
        True where the study is present.

    Returns
    -------
    Tau2
        ``tau2``, never below zero and exactly 0 on the boundary, and ``converged``, both of shape ``(...)``.

    Raises
    ------
    ValueError
        On an unknown method, bad studies (see `studies.check`) or fewer than two studies in a pool.

    Warns
    -----
    RuntimeWarning
        If an iteration did not converge in some pool; `converged` says which.

    Notes
    -----
    The likelihoods of ML and REML can have several maxima when the variances differ widely. Here the highest is sought
    on a grid before the iteration. metafor climbs from Hedges' estimate and compares the peak it reaches with
    tau2 = 0 only; where it stops on a lower peak, the two programs differ on purpose (tests/test_tau2.py).
    """
    check_method(method)
    studies = check(effects, variances, mask, at_least=2)
    tau2, converged = np.empty(int(np.prod(studies.pools))), np.empty(int(np.prod(studies.pools)), dtype=bool)
    for which, _, y, v, present in chunks(studies):
        tau2[which], converged[which] = solve(y, v, present, method)
    warn_unless(converged, method)
    return Tau2(tau2.reshape(studies.pools)[()], converged.reshape(studies.pools)[()])


def check_method(method: str) -> None:
    """Raise a one-line ValueError unless `method` names an estimator."""
    if method not in METHODS:
        raise ValueError(f"unknown tau2_method {method!r}; use one of {', '.join(METHODS)}")


def warn_unless(converged: Flags, method: str) -> None:
    """Warn once when some pools did not converge, for the caller's caller."""
    failed = converged.size - int(np.count_nonzero(converged))
    if failed:
        message = f"tau2 ({method}) did not converge in {failed} of {converged.size} pools; see their 'converged'"
        warnings.warn(message, RuntimeWarning, stacklevel=3)


def solve(y: Vector, v: Vector, present: Flags, method: str) -> tuple[Vector, Flags]:
    """tau2 and its convergence for pools in the layout of `studies.chunks`, shape ``(k, pools)`` -> ``(pools,)``."""
    if method in ("REML", "ML"):
        return _maximise(y, v, present, restricted=method == "REML")
    if method in ("PM", "EB"):
        return solve_q(y, v, np.count_nonzero(present, axis=0) - 1.0)
    tau2 = np.maximum(_CLOSED_FORMS[method](y, v, present), 0.0)
    return tau2, np.ones(tau2.shape, dtype=bool)


def column_sums(a: Vector, b: Vector) -> Vector:
    """Sum of a * b over studies, without a temporary array."""
    return np.einsum("ij,ij->j", a, b)


def weighted_q(y: Vector, w: Vector) -> Vector:
    """Weighted sum of squares about the weighted mean; Cochran's Q for weights 1/v."""
    residual = y - column_sums(w, y) / w.sum(axis=0)
    return column_sums(w * residual, residual)


def _deviations(y: Vector, present: Flags) -> tuple[Vector, Vector]:
    """Number of studies and sum of squared deviations from the unweighted mean."""
    k = np.count_nonzero(present, axis=0)
    deviation = np.where(present, y - y.sum(axis=0) / k, 0.0)
    return k, column_sums(deviation, deviation)


def _hedges(y: Vector, v: Vector, present: Flags) -> Vector:
    k, squares = _deviations(y, present)
    return squares / (k - 1) - np.where(present, v, 0.0).sum(axis=0) / k


def _dersimonian_laird(y: Vector, v: Vector, present: Flags) -> Vector:
    w = 1 / v
    total = w.sum(axis=0)
    df = np.count_nonzero(present, axis=0) - 1
    return (weighted_q(y, w) - df) / (total - column_sums(w, w) / total)


def _hunter_schmidt(y: Vector, v: Vector, present: Flags) -> Vector:
    w = 1 / v
    return (weighted_q(y, w) - np.count_nonzero(present, axis=0)) / w.sum(axis=0)


def _sidik_jonkman(y: Vector, v: Vector, present: Flags) -> Vector:
    k, squares = _deviations(y, present)
    start = squares / k
    return start * weighted_q(y, 1 / (v + start)) / (k - 1)


_CLOSED_FORMS = {"DL": _dersimonian_laird, "HE": _hedges, "HS": _hunter_schmidt, "SJ": _sidik_jonkman}
METHODS = ("REML", "DL", "PM", "ML", "EB", "HE", "SJ", "HS")


def solve_q(y: Vector, v: Vector, target: Vector) -> tuple[Vector, Flags]:
    """tau2 >= 0 at which the generalised Q, sum of (y - mean)^2 / (v + tau2), equals `target`; 0 if Q(0) is below it.

    1/Q is an increasing, concave function of tau2 (Q is a sum of terms c / (tau2 + lambda)), so Newton's method on
    1/Q = 1/target started at 0 rises to the root without overshooting: no bracket is needed.

    Parameters
    ----------
    y, v : ndarray, shape (k, pools)
        Effects and variances; an absent study has an infinite variance.
    target : ndarray, shape (pools,)

    Returns
    -------
    tau2 : ndarray, shape (pools,)
        In the effect's squared unit.
    converged : ndarray of bool, shape (pools,)
    """
    tau2, converged = np.zeros(y.shape[1]), np.zeros(y.shape[1], dtype=bool)
    active, t = np.arange(y.shape[1]), tau2.copy()
    for _ in range(MAX_ITERATIONS):
        w = 1 / (v + t)
        residual = y - column_sums(w, y) / w.sum(axis=0)
        weighted = w * residual
        q = column_sums(weighted, residual)
        done = (q <= target) & (t == 0)  # the boundary, exactly
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.where(done, 0.0, t + (q / target - 1) * q / column_sums(weighted, weighted))
        done |= np.abs(q - target) <= RELATIVE_RESIDUAL * target
        tau2[active], converged[active] = np.maximum(t, 0.0), done
        if done.all():
            break
        if done.any():  # go on with the pools that still move
            active, t, target, y, v = _keep(~done, active, t, target, y, v)
    return tau2, converged


def _maximise(y: Vector, v: Vector, present: Flags, *, restricted: bool) -> tuple[Vector, Flags]:
    """Maximum of the (restricted) likelihood of tau2 >= 0: the best point of a grid, then safeguarded Newton steps.

    `low` and `high` enclose a maximum: a step that leaves them is replaced by their midpoint.
    """
    tau2, converged = np.zeros(y.shape[1]), np.zeros(y.shape[1], dtype=bool)
    active, (low, t, high) = np.arange(y.shape[1]), _enclose(y, v, present, restricted=restricted)
    for _ in range(MAX_ITERATIONS):
        score, size, step = _score(y, v, t, restricted=restricted)
        low, high = np.where(score > 0, t, low), np.where(score < 0, t, high)
        near = np.abs(score) <= RELATIVE_RESIDUAL * size
        boundary = (t == 0) & (score <= 0)
        proposal = t + step
        inside = (proposal > low) & (proposal < high)
        t = np.where(boundary, 0.0, np.where(inside | near, np.maximum(proposal, 0.0), (low + high) / 2))
        done = boundary | near
        tau2[active], converged[active] = t, done
        if done.all():
            break
        if done.any():
            active, t, low, high, y, v = _keep(~done, active, t, low, high, y, v)
    return tau2, converged


def _enclose(y: Vector, v: Vector, present: Flags, *, restricted: bool) -> tuple[Vector, Vector, Vector]:
    """The tau2 with the highest likelihood on a grid, between its two neighbours.

    The likelihood can have several maxima, which climbing from one start may miss. It varies with the logarithm of
    tau2 + v on a scale of about 1, so the grid is geometric in tau2 + the smallest v; it includes 0.
    """
    smallest = v.min(axis=0)
    grid = smallest * np.expm1(np.linspace(0, 1, GRID)[:, None] * np.log1p(_highest(y, v, present) / smallest))
    best = np.argmax([_log_likelihood(y, v, present, t, restricted=restricted) for t in grid], axis=0)
    pools = np.arange(best.size)
    return tuple(grid[np.clip(best + i, 0, GRID - 1), pools] for i in (-1, 0, 1))


def _keep(keep: Flags, *arrays: NDArray) -> list[NDArray]:
    """The pools (last axis) of each array that are still to be worked on."""
    return [array[..., keep] for array in arrays]


def _score(y: Vector, v: Vector, t: Vector, *, restricted: bool) -> tuple[Vector, Vector, Vector]:
    """Twice the score of tau2, the size of its two terms at the root, and the next step (score: Viechtbauer 2005).

    With P = W - W1(1'W1)^-1 1'W, the score is y'PPy - tr P (restricted) or y'PPy - tr W. Dividing it by its Fisher
    information, tr PP or tr WW, makes it a straight line in tau2 where the variances are equal, so the steps are
    Newton's on that quotient: as steady far away as Fisher scoring and quadratic near the root.
    """
    w = 1 / (v + t)
    w2 = w * w
    s1, s2, s3 = w.sum(axis=0), w2.sum(axis=0), column_sums(w, w2)
    py = w * (y - column_sums(w, y) / s1)
    wpy = w * py
    ypppy = column_sums(wpy, py) - wpy.sum(axis=0) ** 2 / s1
    if restricted:
        a = s2 / s1
        size = s1 - a
        information = s2 - 2 * s3 / s1 + a * a
        change = s3 - 3 * column_sums(w2, w2) / s1 + 3 * a * s3 / s1 - a**3  # tr PPP
    else:
        size, information, change = s1, s2, s3
    score = column_sums(py, py) - size
    slope = 2 * ypppy - information - 2 * score * change / information
    return score, size, score / np.where(slope > 0, slope, information)


def _highest(y: Vector, v: Vector, present: Flags) -> Vector:
    """A tau2 above every stationary point of the likelihood.

    y'PPy is at most SS/(tau2 + v_min)^2 and tr P at least (k - 1)/(tau2 + v_max), where SS is the unweighted sum of
    squares. The score is negative where the first is below the second, which is beyond the root of a quadratic.
    """
    k, squares = _deviations(y, present)
    s, smallest = squares / (k - 1), v.min(axis=0)
    spread = np.where(present, v, 0.0).max(axis=0) - smallest
    root = (s + np.sqrt(s * (s + 4 * spread))) / 2 - smallest
    return np.maximum(root, 0.0) + 1e-6 * (s + smallest)  # a margin for rounding


def _log_likelihood(y: Vector, v: Vector, present: Flags, t: Vector, *, restricted: bool) -> Vector:
    """Log-likelihood of tau2, without the terms that do not depend on it; see `estimate_tau2`."""
    w = 1 / (v + t)
    log_determinant = -np.log(np.where(present, w, 1.0)).sum(axis=0)
    if restricted:
        log_determinant = log_determinant + np.log(w.sum(axis=0))
    return -(log_determinant + weighted_q(y, w)) / 2
