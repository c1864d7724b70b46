"""Effect sizes of two-arm trials and the small sums around them.

The active arm comes first and the control second, always. Effects are active minus control (differences) or the log of
active over control (ratios): with severity scores a negative standardised mean difference favours the active arm, and
a positive log risk ratio means more of the event under it. All functions take numbers or arrays that broadcast.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from meta_analysis.absolute_effects import AbsoluteEffect, NumberNeeded, absolute_effect, number_needed_to_treat
from meta_analysis.studies import ensure, ensure_counts

__all__ = [
    "AbsoluteEffect",
    "Effect",
    "Group",
    "NumberNeeded",
    "absolute_effect",
    "combine_groups",
    "hedges_correction",
    "implied_correlation",
    "mean_difference",
    "number_needed_to_treat",
    "odds_ratio",
    "risk_difference",
    "risk_ratio",
    "sd_of_change",
    "standardised_mean_difference",
]

Array = NDArray[np.float64]
ZERO_CELLS = ("only_zero", "always", "treatment_arm", "none", "events_and_totals")


class Effect(NamedTuple):
    """An effect and its sampling variance, in the effect's unit and its square; ratios as logs."""

    estimate: Array
    variance: Array


class Group(NamedTuple):
    """Size, mean and standard deviation of a group of participants."""

    n: Array
    mean: Array
    sd: Array


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
        On an unknown method or df below 2.
    """
    df = np.asarray(df, dtype=float)
    ensure(df >= 2, "the degrees of freedom must be at least 2", df)
    if method == "exact":
        return np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    if method == "approximate":
        return 1 - 3 / (4 * df - 1)
    raise ValueError(f"unknown correction {method!r}; use one of exact, approximate")


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
    """Hedges' g: the mean difference over the pooled standard deviation, times the correction J.

    Parameters
    ----------
    mean_active, sd_active, n_active, mean_control, sd_control, n_control : array_like
        Mean, standard deviation and number of participants of each arm.
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
    m1, s1, n1, m2, s2, n2 = _groups(mean_active, sd_active, n_active, mean_control, sd_control, n_control)
    total = n1 + n2
    pooled_sd = np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (total - 2))
    d = (m1 - m2) / pooled_sd
    g = hedges_correction(total - 2, correction) * d
    if variance == "metafor":
        return Effect(g, 1 / n1 + 1 / n2 + g**2 / (2 * total))
    if variance == "statsmodels":
        return Effect(g, total / (n1 * n2) + g**2 / (2 * (total - 3.94)))
    if variance == "uncorrected_d":
        return Effect(g, total / (n1 * n2) + d**2 / (2 * total))
    raise ValueError(f"unknown variance {variance!r}; use one of metafor, statsmodels, uncorrected_d")


def mean_difference(
    mean_active: ArrayLike,
    sd_active: ArrayLike,
    n_active: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> Effect:
    """Difference in means, active minus control, in the unit of the scale; variance s1^2/n1 + s2^2/n2 (escalc's MD).

    Parameters and errors as `standardised_mean_difference`.
    """
    m1, s1, n1, m2, s2, n2 = _groups(mean_active, sd_active, n_active, mean_control, sd_control, n_control)
    return Effect(m1 - m2, s1**2 / n1 + s2**2 / n2)


def risk_ratio(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    zero_cells: str = "only_zero",
) -> Effect:
    """Log risk ratio and its variance 1/a - 1/n1 + 1/c - 1/n2 (Katz and others 1978; escalc's RR).

    Parameters
    ----------
    events_active, n_active, events_control, n_control : array_like
        Participants with the event and all participants, of each arm.
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
    """Log odds ratio and its variance 1/a + 1/b + 1/c + 1/d (Woolf 1955; escalc's OR).

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
    """Risk difference, active minus control, and its variance p1(1 - p1)/n1 + p2(1 - p2)/n2 (escalc's RD).

    Parameters and errors as `risk_ratio`; per person, from -1 to 1. As in escalc, a correction moves the difference
    itself too. With ``"none"`` it is always defined, but its variance is 0 where both risks are 0 or 1.
    """
    a, n1, c, n2 = _corrected(events_active, n_active, events_control, n_control, zero_cells)
    p1, p2 = a / n1, c / n2
    return Effect(p1 - p2, p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2)


def combine_groups(n: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> Group:
    """Merge groups along the last axis into one, such as two dose arms of a trial.

    The result is the mean and the standard deviation of all participants taken together (Cochrane Handbook 6.5.2.10,
    table 6.5.a, which merges two groups; for more it is applied one after the other, with this same result).

    Parameters
    ----------
    n, mean, sd : array_like, shape (..., groups)
        Size, mean and standard deviation of each group.

    Returns
    -------
    Group
        Arrays of shape ``(...)``.

    Raises
    ------
    ValueError
        On values that are not finite, a standard deviation not above zero, or a group below 2.
    """
    n, mean, sd = _broadcast(n, mean, sd)
    _check_group(n, mean, sd, "")
    total = n.sum(axis=-1)
    grand = (n * mean).sum(axis=-1) / total
    squares = ((n - 1) * sd**2 + n * (mean - grand[..., None]) ** 2).sum(axis=-1)
    return Group(total, grand, np.sqrt(squares / (total - 1)))


def sd_of_change(sd_baseline: ArrayLike, sd_endpoint: ArrayLike, r: ArrayLike) -> Array:
    """Standard deviation of the change from baseline when baseline and endpoint correlate by `r`.

    sqrt(sb^2 + se^2 - 2 r sb se) (Cochrane Handbook 6.5.2.8). Raises ValueError on a standard deviation that is not
    above zero or a correlation outside [-1, 1].
    """
    sb, se, r = _broadcast(sd_baseline, sd_endpoint, r)
    ensure((sb > 0) & (se > 0) & np.isfinite(sb + se), "standard deviations must be finite and above zero", sb, se)
    ensure(np.abs(r) <= 1, "a correlation must lie between -1 and 1", r)
    return np.sqrt(sb**2 + se**2 - 2 * r * sb * se)


def implied_correlation(sd_baseline: ArrayLike, sd_endpoint: ArrayLike, sd_change: ArrayLike) -> Array:
    """Correlation of baseline and endpoint implied by three standard deviations; the inverse of `sd_of_change`.

    (sb^2 + se^2 - sc^2) / (2 sb se) (Cochrane Handbook 6.5.2.8). A result outside [-1, 1] is returned as it is: it
    shows that the three were not measured on the same people, or were rounded hard. Raises ValueError on a standard
    deviation that is not above zero.
    """
    sb, se, sc = _broadcast(sd_baseline, sd_endpoint, sd_change)
    good = (sb > 0) & (se > 0) & (sc > 0) & np.isfinite(sb + se + sc)
    ensure(good, "standard deviations must be finite and above zero", sb, se, sc)
    return (sb**2 + se**2 - sc**2) / (2 * sb * se)


def _corrected(
    events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike, zero_cells: str
) -> tuple[Array, Array, Array, Array]:
    """Checked events and totals after the continuity correction `zero_cells`."""
    a, n1, c, n2 = _broadcast(events_active, n_active, events_control, n_control)
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


def _groups(
    m1: ArrayLike, s1: ArrayLike, n1: ArrayLike, m2: ArrayLike, s2: ArrayLike, n2: ArrayLike
) -> tuple[Array, ...]:
    """Checked means, standard deviations and sizes of both arms as float arrays of one shape."""
    m1, s1, n1, m2, s2, n2 = _broadcast(m1, s1, n1, m2, s2, n2)
    _check_group(n1, m1, s1, "active arm: ")
    _check_group(n2, m2, s2, "control arm: ")
    return m1, s1, n1, m2, s2, n2


def _check_group(n: Array, mean: Array, sd: Array, arm: str) -> None:
    ensure(np.isfinite(mean), f"{arm}the mean must be finite", mean)
    ensure(np.isfinite(sd) & (sd > 0), f"{arm}the standard deviation must be finite and above zero", sd)
    ensure(np.isfinite(n) & (n >= 2), f"{arm}at least 2 participants needed", n)


def _broadcast(*arrays: ArrayLike) -> tuple[Array, ...]:
    arrays = [np.asarray(x, dtype=float) for x in arrays]
    try:
        return np.broadcast_arrays(*arrays)
    except ValueError:
        raise ValueError(f"the shapes do not match: {', '.join(str(a.shape) for a in arrays)}") from None
