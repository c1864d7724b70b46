"""Permutation tests of a pooled effect and of moderators: p values that need no distribution of the test statistic.

Without moderators the signs of the effects are flipped (Follmann and Proschan 1999); with moderators the rows of the
design change places among the studies (Higgins and Thompson 2004; Viechtbauer and others 2015). Every rearrangement is
pooled, tau2 included, in one batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_analysis.leave_out import binary
from meta_analysis.meta_regression import estimate
from meta_analysis.pooling import CI_METHODS, check_options, pool
from meta_analysis.regression_design import check_design, orthonormal, sort_columns
from meta_analysis.studies import CHUNK_NUMBERS
from meta_analysis.tau2 import METHODS, warn_unless

ALTERNATIVES = ("two-sided", "less", "greater")
# Rearrangements whose statistics are equal on paper differ by rounding; metafor's margin, the root of the precision.
SAME = np.finfo(float).eps ** 0.5


@dataclass(frozen=True)
class PermutationTest:
    """Result of a permutation test of p coefficients (one, without a design) over n rearrangements.

    Attributes
    ----------
    p : float, shape (p,)
        p value of each coefficient.
    qm_p : float
        p value of the omnibus test of the moderators.
    exact : bool
        Whether all rearrangements were looked at; if not, they are random ones and the observed one (the first).
    statistic : float, shape (n, p)
        Coefficient over standard error in each rearrangement.
    qm : float, shape (n,)
        Omnibus statistic in each.
    observed : float, shape (p,)
        The statistics of the data as they are.
    """

    p: NDArray[np.float64]
    qm_p: float
    exact: bool
    statistic: NDArray[np.float64]
    qm: NDArray[np.float64]
    observed: NDArray[np.float64]


def permutation_test(
    effects: ArrayLike,
    variances: ArrayLike,
    design: ArrayLike | None = None,
    *,
    tau2_method: str = "REML",
    ci_method: str = "mHK",
    alternative: str = "two-sided",
    permutations: int = 20_000,
    seed: int = 0,
) -> PermutationTest:
    """Permutation test of the pooled effect, or of the coefficients of a meta-regression, as metafor's `permutest`.

    Parameters
    ----------
    effects, variances : array_like, shape (k,)
        Effects and their sampling variances (logs for ratios).
    design : array_like, shape (k, p), optional
        Design matrix with its column of ones; None tests the pooled effect.
    tau2_method, ci_method : str
        As in `pooling.pool`; `ci_method` says which standard error the statistic has.
    alternative : {"two-sided", "less", "greater"}
        ``"two-sided"``: rearrangements with at least the observed absolute statistic; ``"less"``, ``"greater"``: with a
        statistic that is at most, at least the observed one.
    permutations : int
        Largest number of rearrangements. If there are not more, all are looked at and the p value is exact: 2^k changes
        of sign, or all distinct orders of the design's rows. Otherwise so many are drawn, the observed one included,
        which keeps p above 0.
    seed : int
        Seed of the random draw; it changes nothing in an exact test.

    Returns
    -------
    PermutationTest

    Raises
    ------
    ValueError
        On an unknown option, more than one set of studies, fewer than two rearrangements asked for, and as
        `pooling.pool` and `meta_regression.meta_regression`.
    """
    check_options(0.95, tau2_method=(tau2_method, METHODS), ci_method=(ci_method, CI_METHODS))
    check_options(0.95, alternative=(alternative, ALTERNATIVES))
    if permutations < 2:
        raise ValueError(f"permutations must be at least 2, got {permutations}")
    intercept = np.ones((*np.shape(effects)[-1:], 1)) if np.ndim(effects) else None
    studies, x = check_design(effects, variances, intercept if design is None else design)
    if studies.pools:
        raise ValueError(f"one set of studies at a time, effects of shape (k,); got {studies.present.shape}")
    rng, options = np.random.default_rng(seed), {"tau2_method": tau2_method, "ci_method": ci_method}
    y, v = studies.effects, studies.variances
    if design is None:
        signs, exact = _signs(y.size, permutations, rng)
        pools = pool(np.concatenate([y[None], signs * y]), v, **options)
        with np.errstate(invalid="ignore", divide="ignore"):
            statistic = (pools.estimate / pools.se)[:, None]
        qm = statistic[:, 0] ** 2
    else:
        orders, exact = _orders(x, permutations, rng)
        statistic, qm = _regress(y, v, x, np.concatenate([np.arange(y.size)[None], orders]), **options)
    observed, statistic, qm_observed, qm = statistic[0], statistic[1:], qm[0], qm[1:]
    extreme = {
        "two-sided": np.abs(statistic) >= np.abs(observed) - SAME,
        "less": statistic <= observed + SAME,
        "greater": statistic >= observed - SAME,
    }[alternative]
    return PermutationTest(
        extreme.mean(axis=0), float(np.mean(qm >= qm_observed - SAME)), exact, statistic, qm, observed
    )


def _signs(k: int, most: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], bool]:
    """Changes of sign (n, k), 1 or -1, the first without a change; and whether they are all of them."""
    exact = 2**k <= most
    flip = binary(0, 2**k, k) if exact else rng.integers(0, 2, (most, k), dtype=bool)
    flip[0] = False
    return np.where(flip, -1.0, 1.0), exact


def _orders(design: NDArray, most: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], bool]:
    """Orders of the rows of a design as indices (n, k), and whether they are all that differ in a row somewhere."""
    _, first, counts = np.unique(design, axis=0, return_index=True, return_counts=True)
    k = len(design)
    exact = math.factorial(k) // math.prod(math.factorial(int(count)) for count in counts) <= most
    if exact:
        return first[_arrangements(counts)], True
    orders = rng.permuted(np.tile(np.arange(k), (most, 1)), axis=1)
    orders[0] = np.arange(k)
    return orders, False


def _arrangements(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """All distinct rows that hold label i counts[i] times, in lexical order, shape (n, sum of counts).

    Grown from the left: every row so far is continued by each label of which some are left.
    """
    rows, left = np.empty((1, 0), dtype=np.int64), counts[None]
    for _ in range(int(counts.sum())):
        row, label = np.nonzero(left)
        rows = np.column_stack([rows[row], label])
        left = left[row] - np.eye(counts.size, dtype=np.int64)[label]
    return rows


def _regress(
    y: NDArray, v: NDArray, design: NDArray, orders: NDArray, *, tau2_method: str, ci_method: str
) -> tuple[NDArray, NDArray]:
    """Statistics (n, p) of the coefficients and (n,) of the omnibus test, with the design's rows in each order."""
    basis, r_inverse = orthonormal(design[None])
    present = np.ones(y.size, dtype=bool)
    _, tested = sort_columns(design[None], present[None])
    size = max(1, CHUNK_NUMBERS // y.size)
    statistic, qm, converged = [], [], []
    for start in range(0, len(orders), size):
        order = orders[start : start + size]
        z = np.ascontiguousarray(basis[:, :, 0][:, order.T])
        repeated = [np.repeat(column[:, None], len(order), axis=1) for column in (y, v, present)]
        part = estimate(*repeated, z, r_inverse, tested, tau2_method, ci_method)
        with np.errstate(invalid="ignore", divide="ignore"):
            statistic.append(part["coefficients"] / part["se"])
        qm.append(part["qm"])
        converged.append(part["converged"])
    warn_unless(np.concatenate(converged), tau2_method)
    return np.concatenate(statistic), np.concatenate(qm)
