"""Small questions about a pooled result: which trial splits it, what a test could find, what could overturn it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from meta_analysis.leave_out import Gosh
from meta_analysis.pooling import pool
from meta_analysis.studies import check


class Split(NamedTuple):
    """The study whose presence moves the pools of subsets most.

    `study` is its index; `shifts` (k,) are, for every study, the mean estimate of the subsets with it less that of
    those without it, in SDs of all estimates.
    """

    study: int
    shifts: NDArray[np.float64]


class EggerPower(NamedTuple):
    """What Egger's test could have found: its power against `slope`, and the slope found with a chance of 0.8."""

    power: float
    detectable: float


def gosh_split(gosh: Gosh, at_least: int = 2) -> Split:
    """Find the study that splits the cloud of GOSH.

    Parameters
    ----------
    gosh : Gosh
        From `leave_out.gosh`.
    at_least : int
        Smallest number of studies of a subset that counts.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If fewer than two subsets have so many studies.
    """
    many = gosh.k >= at_least
    if many.sum() < 2:
        raise ValueError(f"two subsets with {at_least} studies or more are needed, got {int(many.sum())}")
    present, estimate = gosh.present[many], gosh.estimate[many]
    shifts = [estimate[with_it].mean() - estimate[~with_it].mean() if with_it.any() and not with_it.all() else 0.0
              for with_it in present.T]
    shifts = np.array(shifts) / estimate.std()
    return Split(int(np.argmax(np.abs(shifts))), shifts)


def egger_power(variances: ArrayLike, slope: float, *, level: float = 0.95) -> EggerPower:
    """Power of Egger's regression test against a true slope, with these variances and no heterogeneity.

    The slope's standard error is that of weighted least squares, 1/sqrt(sum w (s - mean s)^2) with s the standard
    errors and w = 1/s^2; slope over standard error follows the noncentral t(k - 2). Heterogeneity would lower the
    power.

    Parameters
    ----------
    variances : array_like, shape (k,)
        Sampling variances of at least three studies, not all alike.
    slope : float
        Change of the effect for one unit of standard error.
    level : float
        1 less the level of the test.

    Returns
    -------
    EggerPower

    Raises
    ------
    ValueError
        On fewer than three studies, a variance that is not positive, or variances that are all alike.
    """
    v = check(np.zeros(np.shape(variances)), variances, at_least=3).variances
    s, w = np.sqrt(v), 1 / v
    spread = np.sum(w * (s - np.sum(w * s) / w.sum()) ** 2)
    if spread <= 1e-12 * np.sum(w * s**2):
        raise ValueError("the variances are all alike: Egger's test has nothing to regress on")
    se, df = spread**-0.5, v.size - 2
    critical = stats.t.ppf(0.5 + level / 2, df)

    def power(value: float) -> float:
        centre = abs(value) / se
        return float(stats.nct.sf(critical, df, centre) + stats.nct.cdf(-critical, df, centre))

    most = 2.0 * se
    while power(most) < 0.8:
        most *= 2
    return EggerPower(power(slope), float(optimize.brentq(lambda value: power(value) - 0.8, 0.0, most)))


def smd_variance(effect: float, n_per_arm: ArrayLike) -> NDArray[np.float64]:
    """Sampling variance of a standardised mean difference with equal arms, 2/n + d^2/(4n)."""
    n = np.asarray(n_per_arm, dtype=float)
    return 2 / n + effect**2 / (4 * n)


def log_risk_ratio_variance(effect: float, n_per_arm: ArrayLike, control_risk: float) -> NDArray[np.float64]:
    """Sampling variance of a log risk ratio with n people in each arm and a given control risk.

    (1 - p1)/(n p1) + (1 - p2)/(n p2), with p2 the control risk and p1 = p2 e^effect.

    Parameters
    ----------
    effect : float
        Log risk ratio.
    n_per_arm : array_like
        n, people.
    control_risk : float
        Per person.

    Returns
    -------
    ndarray
        Of the shape of n.

    Raises
    ------
    ValueError
        If a risk does not lie between 0 and 1.
    """
    n, active_risk = np.asarray(n_per_arm, dtype=float), control_risk * np.exp(effect)
    if not (0 < control_risk < 1 and active_risk < 1):
        raise ValueError(f"risks must lie between 0 and 1, got {control_risk:g} and {active_risk:g}")
    return (1 - active_risk) / (n * active_risk) + (1 - control_risk) / (n * control_risk)


def next_trial_to_overturn(
    effects: ArrayLike, variances: ArrayLike, next_effect: float, variance_of: Callable[[NDArray], NDArray], *,
    interval: str = "ci", largest: int = 5000, **options: str,
) -> int | None:
    """People per arm that the next trial needs so that the interval of the pool no longer excludes no effect.

    The next trial is taken to observe exactly `next_effect`, and joins the pool.

    Parameters
    ----------
    effects, variances : array_like, shape (k,)
        Those pooled so far.
    next_effect : float
        What the next trial finds (a log for ratios).
    variance_of : callable
        People per arm -> sampling variance of the next trial, both arrays.
    interval : {"ci", "pi"}
        The confidence interval, or the prediction interval.
    largest : int
        Largest number of people per arm that is looked at.
    **options
        Keywords of `pooling.pool`.

    Returns
    -------
    int or None
        The smallest number from which on, up to `largest`, every larger trial overturns the result too; None if
        `largest` does not; 2 if the interval includes no effect from the start.

    Raises
    ------
    ValueError
        As `pooling.pool`.
    """
    if interval not in ("ci", "pi"):
        raise ValueError(f'interval must be "ci" or "pi", not {interval!r}')
    y, v, _ = check(effects, variances, at_least=2)

    def overturned(n: NDArray) -> NDArray[np.bool_]:
        many_v = np.column_stack([np.broadcast_to(v, (n.size, v.size)), variance_of(n)])
        result = pool(np.append(y, next_effect), many_v, **options)
        return (getattr(result, f"{interval}_low") <= 0) & (getattr(result, f"{interval}_high") >= 0)

    if not overturned(np.array([largest])).all():
        return None
    n = np.arange(2, largest + 1)
    standing = n[~overturned(n)]
    return int(standing[-1] + 1) if standing.size else 2
