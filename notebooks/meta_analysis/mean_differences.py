"""Differences between the means of two arms: in the unit of the scale, and standardised (Hedges, Cohen, Glass).

Active arm first, control second; a negative difference is a lower mean in the active arm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from meta_analysis.effect import Array, Effect, broadcast
from meta_analysis.groups import check_group
from meta_analysis.studies import ensure


def mean_difference(
    mean_active: ArrayLike,
    sd_active: ArrayLike,
    n_active: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> Effect:
    """Difference in means, m1 - m2, with the variance s1^2/n1 + s2^2/n2 (escalc's MD).

    Parameters and errors as `standardised_mean_difference`; the difference is in the unit of the scale, negative where
    the active arm has the lower mean.
    """
    m1, s1, n1, m2, s2, n2 = _arms(mean_active, sd_active, n_active, mean_control, sd_control, n_control)
    return Effect(m1 - m2, s1**2 / n1 + s2**2 / n2)


def standardised_mean_difference(
    mean_active: ArrayLike,
    sd_active: ArrayLike,
    n_active: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
    *,
    correction: str = "exact",
    variance: str = "metafor",
) -> Effect:
    """Hedges' g: the mean difference over the pooled standard deviation, times the correction J (Hedges 1981).

    g = J (m1 - m2)/s with s^2 = ((n1 - 1) s1^2 + (n2 - 1) s2^2)/(n1 + n2 - 2).

    Parameters
    ----------
    mean_active, sd_active, n_active, mean_control, sd_control, n_control : array_like
        Mean, standard deviation and number of participants of each arm; they broadcast.
    correction : {"exact", "approximate"}
        J, see `hedges_correction`. It is chosen apart from the variance: metafor uses ``"exact"``; statsmodels,
        Review Manager and the open Metapsy datasets use ``"approximate"``, 1 - 3/(4N - 9).
    variance : {"metafor", "statsmodels", "uncorrected_d"}
        With N = n1 + n2. ``"metafor"``: 1/n1 + 1/n2 + g^2/(2N) (escalc's measure SMD, vtype LS; Hedges 1982).
        ``"statsmodels"``: N/(n1 n2) + g^2/(2(N - 3.94)) (effectsize_smd; Review Manager too, Deeks and Higgins 2010).
        ``"uncorrected_d"``: N/(n1 n2) + d^2/(2N), not multiplied by J (Metapsy's open datasets).

    Returns
    -------
    Effect
        g in standard deviations (negative: a lower mean in the active arm) and its variance.

    Raises
    ------
    ValueError
        On an unknown option, values that are not finite, a standard deviation not above zero, or an arm below 2.
    """
    m1, s1, n1, m2, s2, n2 = _arms(mean_active, sd_active, n_active, mean_control, sd_control, n_control)
    total = n1 + n2
    d = (m1 - m2) / _pooled_sd(s1, n1, s2, n2)
    g = hedges_correction(total - 2, correction) * d
    if variance == "metafor":
        return Effect(g, 1 / n1 + 1 / n2 + g**2 / (2 * total))
    if variance == "statsmodels":
        return Effect(g, total / (n1 * n2) + g**2 / (2 * (total - 3.94)))
    if variance == "uncorrected_d":
        return Effect(g, total / (n1 * n2) + d**2 / (2 * total))
    raise ValueError(f"unknown variance {variance!r}; use one of metafor, statsmodels, uncorrected_d")


def hedges_correction(df: ArrayLike, method: str = "exact") -> Array:
    """Factor J that takes the small-sample bias out of Cohen's d.

    Parameters
    ----------
    df : array_like
        Degrees of freedom of the pooled standard deviation, n_active + n_control - 2; at least 2.
    method : {"exact", "approximate"}
        ``"exact"``: gamma(df/2) / (sqrt(df/2) gamma((df - 1)/2)); ``"approximate"``:
        1 - 3/(4 df - 1), which is 1 - 3/(4N - 9) in terms of N. Both are from Hedges (1981).

    Returns
    -------
    ndarray
        J, below 1.

    Raises
    ------
    ValueError
        On an unknown method, or degrees of freedom below 2.
    """
    df = np.asarray(df, dtype=float)
    ensure(df >= 2, "the degrees of freedom must be at least 2", df)
    if method == "exact":
        return np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    if method == "approximate":
        return 1 - 3 / (4 * df - 1)
    raise ValueError(f"unknown correction {method!r}; use one of exact, approximate")


def cohen_d(
    mean_active: ArrayLike,
    sd_active: ArrayLike,
    n_active: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> Effect:
    """Cohen's d: the mean difference over the pooled standard deviation, not corrected for small samples.

    d = (m1 - m2)/s with s^2 = ((n1 - 1) s1^2 + (n2 - 1) s2^2)/(N - 2) and N = n1 + n2; variance N/(n1 n2) + d^2/(2N)
    (Hedges and Olkin 1985). In small trials d is too far from zero: by 8 % with 12 people.

    Parameters, sign and errors as `standardised_mean_difference`.
    """
    m1, s1, n1, m2, s2, n2 = _arms(mean_active, sd_active, n_active, mean_control, sd_control, n_control)
    total = n1 + n2
    d = (m1 - m2) / _pooled_sd(s1, n1, s2, n2)
    return Effect(d, total / (n1 * n2) + d**2 / (2 * total))


def glass_delta(
    mean_active: ArrayLike,
    sd_active: ArrayLike,
    n_active: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> Effect:
    """Glass's delta: the mean difference over the control group's standard deviation, corrected for small samples.

    (m1 - m2)/s2 times J(n2 - 1), exact; variance 1/n1 + 1/n2 + delta^2/(2 n2) (metafor's escalc, measure SMD1). It
    asks for no equal spread in the two arms, but leans on the standard deviation of the smaller group.

    Parameters, sign and errors as `standardised_mean_difference`; the control arm needs at least 3 people.
    """
    m1, _, n1, m2, s2, n2 = _arms(mean_active, sd_active, n_active, mean_control, sd_control, n_control)
    delta = hedges_correction(n2 - 1) * (m1 - m2) / s2
    return Effect(delta, 1 / n1 + 1 / n2 + delta**2 / (2 * n2))


def _arms(
    m1: ArrayLike, s1: ArrayLike, n1: ArrayLike, m2: ArrayLike, s2: ArrayLike, n2: ArrayLike
) -> tuple[Array, ...]:
    """Checked means, standard deviations and sizes of both arms as float arrays of one shape."""
    m1, s1, n1, m2, s2, n2 = broadcast(m1, s1, n1, m2, s2, n2)
    check_group(n1, m1, s1, "active arm: ")
    check_group(n2, m2, s2, "control arm: ")
    return m1, s1, n1, m2, s2, n2


def _pooled_sd(s1: Array, n1: Array, s2: Array, n2: Array) -> Array:
    """Standard deviation within the arms, sqrt(((n1 - 1) s1^2 + (n2 - 1) s2^2)/(n1 + n2 - 2))."""
    return np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2))
