"""Means and standard deviations of groups of participants: merging two groups, and change from baseline."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meta_analysis.effect import Array, broadcast
from meta_analysis.studies import ensure


class Group(NamedTuple):
    """Size, mean and standard deviation of a group of participants."""

    n: Array
    mean: Array
    sd: Array


def combine_groups(n: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> Group:
    """Merge groups along the last axis into one, such as two dose arms of a trial.

    The result is the mean and the standard deviation of all participants taken together: with N = sum n and
    M = sum(n mean)/N, the SD is sqrt((sum (n - 1) sd^2 + sum n (mean - M)^2)/(N - 1)) (Cochrane Handbook 6.5.2.10,
    table 6.5.a, which merges two groups; for more it is applied one after the other, with this same result).

    Parameters
    ----------
    n, mean, sd : array_like, shape (..., groups)
        Size, mean and standard deviation of each group, in the unit of the scale.

    Returns
    -------
    Group
        Arrays of shape ``(...)``.

    Raises
    ------
    ValueError
        On values that are not finite, a standard deviation not above zero, or a group below 2.
    """
    n, mean, sd = broadcast(n, mean, sd)
    check_group(n, mean, sd)
    total = n.sum(axis=-1)
    grand = (n * mean).sum(axis=-1) / total
    squares = ((n - 1) * sd**2 + n * (mean - grand[..., None]) ** 2).sum(axis=-1)
    return Group(total, grand, np.sqrt(squares / (total - 1)))


def sd_of_change(sd_baseline: ArrayLike, sd_endpoint: ArrayLike, r: ArrayLike) -> Array:
    """Standard deviation of the change from baseline when baseline and endpoint correlate by `r`.

    sqrt(sb^2 + se^2 - 2 r sb se) (Cochrane Handbook 6.5.2.8).

    Parameters
    ----------
    sd_baseline, sd_endpoint : array_like
        Standard deviations sb and se, in the unit of the scale.
    r : array_like
        Correlation, from -1 to 1.

    Returns
    -------
    ndarray
        In the unit of the scale, of the shape to which the three broadcast.

    Raises
    ------
    ValueError
        On a standard deviation that is not finite and above zero, or a correlation outside [-1, 1].
    """
    sb, se, r = broadcast(sd_baseline, sd_endpoint, r)
    ensure((sb > 0) & (se > 0) & np.isfinite(sb + se), "standard deviations must be finite and above zero", sb, se)
    ensure(np.abs(r) <= 1, "a correlation must lie between -1 and 1", r)
    return np.sqrt(sb**2 + se**2 - 2 * r * sb * se)


def implied_correlation(sd_baseline: ArrayLike, sd_endpoint: ArrayLike, sd_change: ArrayLike) -> Array:
    """Correlation of baseline and endpoint implied by three standard deviations; the inverse of `sd_of_change`.

    (sb^2 + se^2 - sc^2) / (2 sb se) (Cochrane Handbook 6.5.2.8).

    Parameters
    ----------
    sd_baseline, sd_endpoint, sd_change : array_like
        Standard deviations sb, se and sc, in the unit of the scale.

    Returns
    -------
    ndarray
        A result outside [-1, 1] is returned as it is: it shows that the three were not measured on the same people, or
        were rounded hard.

    Raises
    ------
    ValueError
        On a standard deviation that is not finite and above zero.
    """
    sb, se, sc = broadcast(sd_baseline, sd_endpoint, sd_change)
    good = (sb > 0) & (se > 0) & (sc > 0) & np.isfinite(sb + se + sc)
    ensure(good, "standard deviations must be finite and above zero", sb, se, sc)
    return (sb**2 + se**2 - sc**2) / (2 * sb * se)


def check_group(n: Array, mean: Array, sd: Array, arm: str = "") -> None:
    """Refuse groups whose numbers cannot be right.

    Parameters
    ----------
    n, mean, sd : ndarray
        Size, mean and standard deviation, of one shape.
    arm : str
        How the line of an error begins, such as ``"active arm: "``.

    Raises
    ------
    ValueError
        On a mean that is not finite, a standard deviation not finite and above zero, or fewer than 2 people.
    """
    ensure(np.isfinite(mean), f"{arm}the mean must be finite", mean)
    ensure(np.isfinite(sd) & (sd > 0), f"{arm}the standard deviation must be finite and above zero", sd)
    ensure(np.isfinite(n) & (n >= 2), f"{arm}at least 2 participants needed", n)
