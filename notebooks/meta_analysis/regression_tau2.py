"""Estimators of tau2 in meta-regression: the variance of the true effects that the moderators leave unexplained.

The same estimators as in `tau2`, with a design of p columns in place of the common mean, for many regressions at once.
The layout is that of `studies.chunks`: studies down, pools along, absent studies with effect 0 and infinite variance.
The design has its columns in front, ``(p, k, pools)``, and rows of zeros for absent studies.

Everything rests on the projection P = W - WX (X'WX)^-1 X'W with W = diag(1/(v + tau2)). No k x k matrix is formed: with
Q an orthonormal basis of the columns of W^1/2 X, P = W^1/2 (I - QQ') W^1/2, and traces need only p x p matrices.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from meta_analysis import tau2_search
from meta_analysis.tau2 import column_sums
from meta_analysis.tau2_search import Flags, Vector


class Projection(NamedTuple):
    """What `project` returns: Q (p, k, pools), the residual of W^1/2 y (k, pools), and log |X'WX| (pools,)."""

    q: Vector
    residual: Vector
    log_determinant: Vector


def project(y: Vector, w: Vector, x: Vector) -> Projection:
    """Gram-Schmidt (the modified, stable form) on the columns of W^1/2 X, then on W^1/2 y."""
    root = np.sqrt(w)
    q, residual = x * root, y * root
    log_determinant = np.zeros(y.shape[1])
    for j, column in enumerate(q):
        squares = column_sums(column, column)
        log_determinant += np.log(squares)
        column /= np.sqrt(squares)
        for later in (*q[j + 1 :], residual):
            later -= column_sums(column, later) * column
    return Projection(q, residual, log_determinant)


def plain_residual(y: Vector, x: Vector) -> Vector:
    """Residual of the unweighted regression of y on orthonormal columns x."""
    return y - np.einsum("akj,aj->kj", x, np.einsum("akj,kj->aj", x, y))


def generalised_q(y: Vector, w: Vector, x: Vector) -> Vector:
    """y'Py, the weighted sum of squares about the weighted regression; QE for weights 1/v."""
    residual = project(y, w, x).residual
    return column_sums(residual, residual)


def trace(w: Vector, q: Vector) -> Vector:
    """tr P, the sum of w (1 - h) with h the leverages of the studies."""
    return column_sums(w, 1 - _leverages(q))


def _leverages(q: Vector) -> Vector:
    return np.einsum("akj,akj->kj", q, q)


def solve(y: Vector, v: Vector, x: Vector, present: Flags, method: str) -> tuple[Vector, Flags]:
    """tau2 of each regression, shape ``(pools,)``, and whether it converged.

    With P as above, P0 = P at tau2 = 0 and H = I - X (X'X)^-1 X' (the matrix form is Raudenbush's 2009; for an
    intercept alone these are the formulas of `tau2.estimate_tau2`, where their sources are):

    - DL: (y'P0y - (k - p)) / tr P0
    - HE: (y'Hy - tr HV) / (k - p)
    - HS: (y'P0y - k) / sum w
    - SJ: t0 y'Py / (k - p), P at t0 = sum (y - mean y)^2 / k
    - PM, EB: y'Py = k - p
    - ML: largest -(sum log(v + tau2) + y'Py) / 2
    - REML: largest -(sum log(v + tau2) + log |X'WX| + y'Py) / 2

    The columns of `x` must be orthonormal, which does not change tau2 and keeps the digits.

    Parameters
    ----------
    y, v : ndarray, shape (k, pools)
        Effects and variances, in the effect's unit and its square.
    x : ndarray, shape (p, k, pools)
        The designs.
    present : ndarray of bool, shape (k, pools)
    method : str
        One of `tau2.METHODS`.

    Returns
    -------
    tau2 : ndarray, shape (pools,)
    converged : ndarray of bool, shape (pools,)
    """
    k, p = np.count_nonzero(present, axis=0), len(x)
    residual = plain_residual(y, x)
    if method in ("REML", "ML"):
        return _maximise(residual, v, x, present, restricted=method == "REML")
    if method in ("PM", "EB"):
        return tau2_search.solve_q(_q_and_slope, k - p, residual, v, x)
    tau2 = np.maximum(_closed_form(y, residual, v, x, present, method), 0.0)
    return tau2, np.ones(tau2.shape, dtype=bool)


def _closed_form(y: Vector, residual: Vector, v: Vector, x: Vector, present: Flags, method: str) -> Vector:
    k, p = np.count_nonzero(present, axis=0), len(x)
    if method == "HE":
        spread = column_sums(np.where(present, v, 0.0), 1 - _leverages(x))
        return (column_sums(residual, residual) - spread) / (k - p)
    if method == "SJ":
        deviation = np.where(present, y - y.sum(axis=0) / k, 0.0)
        start = column_sums(deviation, deviation) / k
        return start * generalised_q(residual, 1 / (v + start), x) / (k - p)
    w = 1 / v
    q, weighted, _ = project(residual, w, x)
    qe = column_sums(weighted, weighted)
    return (qe - (k - p)) / trace(w, q) if method == "DL" else (qe - k) / w.sum(axis=0)


def _q_and_slope(t: Vector, y: Vector, v: Vector, x: Vector) -> tuple[Vector, Vector]:
    """y'Py at tau2 = t, and how fast it falls: y'PPy."""
    w = 1 / (v + t)
    residual = project(y, w, x).residual
    return column_sums(residual, residual), column_sums(w * residual, residual)


def _maximise(y: Vector, v: Vector, x: Vector, present: Flags, *, restricted: bool) -> tuple[Vector, Flags]:
    """Maximum of the (restricted) likelihood of tau2 >= 0: the best point of a grid, then safeguarded Newton steps."""
    mean_square = column_sums(y, y) / (np.count_nonzero(present, axis=0) - len(x))
    functions = (partial(function, restricted=restricted) for function in (_log_likelihood, _score))
    return tau2_search.maximise(*functions, *tau2_search.bounds(mean_square, v, present), y, v, x, present)


def _log_likelihood(t: Vector, y: Vector, v: Vector, x: Vector, present: Flags, *, restricted: bool) -> Vector:
    """Log-likelihood of tau2 = t, without the terms that do not depend on it; see `solve`."""
    marginal = v + t
    _, residual, log_determinant = project(y, 1 / marginal, x)
    sum_of_logs = np.log(np.where(present, marginal, 1.0)).sum(axis=0)
    return -(sum_of_logs + restricted * log_determinant + column_sums(residual, residual)) / 2


def _score(t: Vector, y: Vector, v: Vector, x: Vector, *_: Flags, restricted: bool) -> tuple[Vector, Vector, Vector]:
    """Twice the score of tau2, the size of its two terms at the root, and the next step, as in `tau2`.

    The score is y'PPy - tr P (restricted) or y'PPy - tr W, its Fisher information tr PP or tr WW; the step is Newton's
    on their quotient, NaN where that rises. With G = Q'WQ and G2 = Q'WWQ: tr P = tr W - tr G,
    tr PP = tr WW - 2 tr G2 + tr GG, and tr PPP = tr WWW - 3 tr Q'WWWQ + 3 tr G G2 - tr GGG.
    """
    w = 1 / (v + t)
    q, residual, _ = project(y, w, x)
    w2 = w * w
    s1, s2, s3 = w.sum(axis=0), w2.sum(axis=0), column_sums(w, w2)
    wpy = w * residual  # W^1/2 Py
    inner = np.einsum("akj,kj->aj", q, wpy)
    ypppy = column_sums(wpy, wpy) - column_sums(inner, inner)
    if restricted:
        h = _leverages(q)
        g = np.einsum("akj,ckj->acj", q * w, q)
        g2 = np.einsum("akj,ckj->acj", q * w2, q)
        size = s1 - column_sums(w, h)
        information = s2 - 2 * column_sums(w2, h) + (g * g).sum(axis=(0, 1))
        change = s3 - 3 * column_sums(w * w2, h) + 3 * (g * g2).sum(axis=(0, 1)) - np.einsum("abj,bcj,caj->j", g, g, g)
    else:
        size, information, change = s1, s2, s3
    score = column_sums(wpy, residual) - size
    slope = 2 * ypppy - information - 2 * score * change / information
    return score, size, score / np.where(slope > 0, slope, np.nan)
