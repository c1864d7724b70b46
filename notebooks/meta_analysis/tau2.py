"""Estimators of tau2, the variance of the true effects between studies, for many pools of studies at once.

The functions whose names begin with an underscore work on the layout of `studies.chunks`: studies down the first axis,
pools along the second, absent studies with effect 0 and an infinite variance (a weight of exactly 0).
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meta_analysis import tau2_search
from meta_analysis.studies import check, chunks
from meta_analysis.tau2_search import Flags, Vector

# Weights multiplied before a logarithm is taken: relative to the largest, eight leave the range of a double only if
# they differ by a factor beyond 1e38.
PRODUCT = 8


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
    """tau2 >= 0 at which the generalised Q, sum of (y - mean)^2 / (v + tau2), equals `target`; 0 if Q(0) is below."""
    return tau2_search.solve_q(_q_and_slope, target, y, v)


def _q_and_slope(t: Vector, y: Vector, v: Vector) -> tuple[Vector, Vector]:
    """The generalised Q at tau2 = t, and how fast it falls."""
    w = 1 / (v + t)
    residual = y - column_sums(w, y) / w.sum(axis=0)
    weighted = w * residual
    return column_sums(weighted, residual), column_sums(weighted, weighted)


def _maximise(y: Vector, v: Vector, present: Flags, *, restricted: bool) -> tuple[Vector, Flags]:
    """Maximum of the (restricted) likelihood of tau2 >= 0: the best point of a grid, then safeguarded Newton steps."""
    k, squares = _deviations(y, present)
    smallest, highest = tau2_search.bounds(squares / (k - 1), v, present)
    filled = np.where(present, v, smallest)
    functions = (partial(function, restricted=restricted) for function in (_log_likelihood, _score))
    return tau2_search.maximise(*functions, smallest, highest, y, v, filled, smallest, k)


def _score(t: Vector, y: Vector, v: Vector, *_: Vector, restricted: bool) -> tuple[Vector, Vector, Vector]:
    """Twice the score of tau2, the size of its two terms at the root, and the next step (score: Viechtbauer 2005).

    With P = W - W1(1'W1)^-1 1'W, the score is y'PPy - tr P (restricted) or y'PPy - tr W. Dividing it by its Fisher
    information, tr PP or tr WW, makes it a straight line in tau2 where the variances are equal, so the steps are
    Newton's on that quotient: as steady far away as Fisher scoring and quadratic near the root. Where the quotient
    rises with tau2 they would lead away from a maximum: the step is NaN.
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
    return score, size, score / np.where(slope > 0, slope, np.nan)


def _log_likelihood(
    t: Vector, y: Vector, _: Vector, filled: Vector, smallest: Vector, k: Vector, *, restricted: bool
) -> Vector:
    """Log-likelihood of tau2 = t, without the terms that do not depend on it; see `estimate_tau2`.

    Absent studies have effect 0 and the smallest variance of their pool here. Weights are relative to that of the most
    precise study, so they lie between 0 and 1 and those of absent studies are 1: their product leaves these out.
    """
    scale = smallest + t
    w = scale / (filled + t)
    weighted = w * y
    total = w.sum(axis=0) - (len(y) - k)
    q = (column_sums(weighted, y) - weighted.sum(axis=0) ** 2 / total) / scale
    product = sum(np.log(w[i : i + PRODUCT].prod(axis=0)) for i in range(0, len(w), PRODUCT))
    log_determinant = k * np.log(scale) - product
    if restricted:
        log_determinant = log_determinant + np.log(total / scale)
    return -(log_determinant + q) / 2
