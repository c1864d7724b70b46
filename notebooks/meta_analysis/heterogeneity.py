"""Cochran's Q, I2, H2 and the Q-profile interval of tau2, for pools in the layout of `studies.chunks`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from meta_analysis.tau2 import Flags, Vector, column_sums, solve_q, weighted_q


class Heterogeneity(NamedTuple):
    """Q, its degrees of freedom and p value, and the "typical" within-study variance, each of shape ``(pools,)``."""

    q: Vector
    df: NDArray[np.int64]
    p: Vector
    typical_variance: Vector


def describe(y: Vector, v: Vector, present: Flags) -> Heterogeneity:
    """Cochran's Q (1954), and the typical within-study variance of Higgins and Thompson (2002).

    With w = 1/v: Q = sum w (y - sum wy/sum w)^2 on k - 1 degrees of freedom, and (k - 1)/(sum w - sum w^2/sum w).

    Parameters
    ----------
    y, v : ndarray, shape (k, pools)
        Effects and variances, in the effect's unit and its square; 0 and infinite where absent.
    present : ndarray of bool, shape (k, pools)

    Returns
    -------
    Heterogeneity
        Q and its p value have no unit, the typical variance has that of `v`.
    """
    w = 1 / v
    total = w.sum(axis=0)
    df = np.count_nonzero(present, axis=0) - 1
    q = np.where(df > 0, weighted_q(y, w), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        typical = df / (total - column_sums(w, w) / total)
    return Heterogeneity(q, df, q_p_value(q, df), typical)


def q_p_value(q: Vector, df: NDArray) -> Vector:
    """Upper tail of chi-square(df) at q; 1 for a single study, as in metafor."""
    return np.where(df > 0, special.chdtrc(np.maximum(df, 1), q), 1.0)


def i2_h2_common(q: Vector, df: NDArray) -> tuple[Vector, Vector]:
    """I2 and H2 of a common-effect model (Higgins and Thompson 2002).

    I2 = max(0, 100 (Q - df)/Q) and H2 = Q/df; 0 and 1 if k = 1.

    Parameters
    ----------
    q, df : ndarray, shape (pools,)

    Returns
    -------
    i2 : ndarray, shape (pools,)
        Percent.
    h2 : ndarray, shape (pools,)
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        i2 = np.where(q > 0, np.maximum(0.0, 100 * (q - df) / q), 0.0)
        return i2, np.where(df > 0, q / df, 1.0)


def i2_h2_random(tau2: Vector, typical_variance: Vector) -> tuple[Vector, Vector]:
    """I2 and H2 of a random-effects model (metafor's definition): 100 tau2/(tau2 + s2) and tau2/s2 + 1.

    Parameters
    ----------
    tau2, typical_variance : ndarray, shape (pools,)
        tau2 and s2, in the effect's squared unit.

    Returns
    -------
    i2 : ndarray, shape (pools,)
        Percent.
    h2 : ndarray, shape (pools,)
    """
    return 100 * tau2 / (tau2 + typical_variance), tau2 / typical_variance + 1


def q_profile_limits(y: Vector, v: Vector, present: Flags, level: float) -> tuple[Vector, Vector, Flags]:
    """Q-profile interval of tau2 (Viechtbauer 2007): where the generalised Q equals quantiles of chi-square(k - 1).

    Q(tau2) = sum (y - mean)^2/(v + tau2), the mean weighted by 1/(v + tau2). The lower limit has Q at the upper
    quantile (1 + level)/2, the upper one at (1 - level)/2; a limit is 0 where Q(0) is already below the quantile.

    Parameters
    ----------
    y, v, present : ndarray, shape (k, pools)
        As for `describe`.
    level : float
        Level of the interval.

    Returns
    -------
    low, high : ndarray, shape (pools,)
        In the effect's squared unit.
    converged : ndarray of bool, shape (pools,)
    """
    df = np.count_nonzero(present, axis=0) - 1
    tail = (1 - level) / 2
    low, low_converged = solve_q(y, v, special.chdtri(df, tail))
    high, high_converged = solve_q(y, v, special.chdtri(df, 1 - tail))
    return low, high, low_converged & high_converged
