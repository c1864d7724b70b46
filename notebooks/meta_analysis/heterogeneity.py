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
    """Cochran's Q (1954), and the typical within-study variance of Higgins and Thompson (2002)."""
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
    """I2 = max(0, 100 (Q - df)/Q) percent, H2 = Q/df (Higgins and Thompson 2002); 0 and 1 if k = 1."""
    with np.errstate(invalid="ignore", divide="ignore"):
        i2 = np.where(q > 0, np.maximum(0.0, 100 * (q - df) / q), 0.0)
        return i2, np.where(df > 0, q / df, 1.0)


def i2_h2_random(tau2: Vector, typical_variance: Vector) -> tuple[Vector, Vector]:
    """I2 = 100 tau2/(tau2 + s2) percent, H2 = tau2/s2 + 1, with s2 the typical variance (metafor's definition)."""
    return 100 * tau2 / (tau2 + typical_variance), tau2 / typical_variance + 1


def q_profile_limits(y: Vector, v: Vector, present: Flags, level: float) -> tuple[Vector, Vector, Flags]:
    """Limits of tau2 at which Q equals the upper and the lower quantile of chi-square(k - 1), and their convergence."""
    df = np.count_nonzero(present, axis=0) - 1
    tail = (1 - level) / 2
    low, low_converged = solve_q(y, v, special.chdtri(df, tail))
    high, high_converged = solve_q(y, v, special.chdtri(df, 1 - tail))
    return low, high, low_converged & high_converged
