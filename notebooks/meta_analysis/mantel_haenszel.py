"""Pooling of 2 x 2 tables: Mantel and Haenszel's estimates, Review Manager's random-effects model, and Peto's.

Cells of a table: a and b are the active arm's participants with and without the event, c and d the control arm's;
n1 = a + b, n2 = c + d, N = n1 + n2. No cell is corrected except where said.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_analysis import heterogeneity
from meta_analysis.event_effects import odds_ratio, risk_difference, risk_ratio
from meta_analysis.pooling import MODELS, Pool, Results, check_options
from meta_analysis.studies import align, ensure_counts, name_pool, require
from meta_analysis.weighted_mean import average, confidence, critical_value, p_value, predict

MEASURES = {"RR": risk_ratio, "OR": odds_ratio, "RD": risk_difference}


def mantel_haenszel(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    measure: str = "RR",
    model: str = "common",
    level: float = 0.95,
    mask: ArrayLike | None = None,
) -> Pool:
    """Pool 2 x 2 tables by Mantel and Haenszel's method, or by Review Manager's random-effects form of it.

    With a of n1 and c of n2 people, b and d without the event, and N = n1 + n2, the common model is
    RR = sum(a n2/N) / sum(c n1/N), OR = sum(a d/N) / sum(b c/N), RD = sum((a n2 - c n1)/N) / sum(n1 n2/N).

    Parameters
    ----------
    events_active, n_active, events_control, n_control : array_like, shape (..., k)
        Participants with the event and all participants, of each arm. Leading axes are separate pools.
    measure : {"RR", "OR", "RD"}
        Risk ratio, odds ratio (both pooled and returned as logs) or risk difference (per person, active minus control).
    model : {"common", "random"}
        ``"common"``: Mantel and Haenszel (1959) with the variance of Greenland and Robins (1985; RR and RD, the latter
        with Sato's 1989 form) or Robins, Breslow and Greenland (1986; OR), as metafor's ``rma.mh``. ``"random"``: the
        model Review Manager calls "Mantel-Haenszel, random effects" (Deeks and Higgins 2010, Statistical algorithms in
        Review Manager 5): inverse-variance weights 1/(v + tau2), with DerSimonian and Laird's moment estimator of tau2
        in which Q is taken about the Mantel-Haenszel estimate. Normal interval; prediction interval with t(k - 2).
    level : float
        Level of all intervals.
    mask : array_like of bool, shape (..., k), optional
        True where the table is present; absent entries may be NaN.

    Returns
    -------
    Pool
        As `pooling.pool`. Q is the sum of w (y - MH estimate)^2 with inverse-variance weights w; there, and in the
        random-effects model, 1/2 is added to all four cells of a table that holds a zero. For ratios, a table in which
        nobody or everybody had the event says nothing and is left out altogether (weight 0, not counted in `k`).
        The weights of the common model are those of the weighted mean of natural ratios or differences.

    Raises
    ------
    ValueError
        On an unknown option, bad counts (named by pool and table, from 0), too few tables, or a pool in which an arm
        has no events over all tables, so that a ratio cannot be estimated.
    """
    check_options(level, measure=(measure, tuple(MEASURES)), model=(model, MODELS))
    a, n1, c, n2, present = _check_tables(events_active, n_active, events_control, n_control, mask)
    if measure != "RD":
        present = present & (a + c > 0) & (a + c < n1 + n2)
    require(present, 2 if model == "random" else 1)
    # Laid out as the pooling functions want it: tables down the first axis, pools along the second.
    shape = present.shape
    a, n1, c, n2, present = (x.reshape(-1, shape[-1]).T for x in (a, n1, c, n2, present))
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, variance, weights = _COMMON[measure](*(np.where(present, x, 0.0) for x in (a, n1, c, n2)), present)
    if not np.isfinite(estimate).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(estimate.reshape(shape[:-1])))[0])
        reason = "one of its Mantel-Haenszel sums is 0 (an arm without events?)"
        raise ValueError(f"{name_pool(first)}the {measure} is 0 or infinite: {reason}")

    effect = MEASURES[measure](a, n1, c, n2)
    y, v = np.where(present, effect.estimate - estimate, 0.0), np.where(present, effect.variance, np.inf)
    values = _heterogeneity((y * y / v).sum(axis=0), present.sum(axis=0))
    if model == "common":
        values |= _normal(estimate, np.sqrt(variance), level) | {"weights": weights.T}
    else:
        w = 1 / v
        scale = w.sum(axis=0) - (w * w).sum(axis=0) / w.sum(axis=0)
        tau2 = np.maximum((values["q"] - values["q_df"]) / scale, 0.0)
        values |= average(y, v, present, tau2, estimate)
        values |= confidence(values, "Wald", level)
        values["i2"], values["h2"] = heterogeneity.i2_h2_random(tau2, values["q_df"] / scale)
        values |= predict(values, "HTS", level)
    return _pack(shape, values)


def peto(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    level: float = 0.95,
    mask: ArrayLike | None = None,
) -> Pool:
    """Pool 2 x 2 tables by Peto's one-step odds ratio (Yusuf and others 1985), as metafor's ``rma.peto``.

    The log odds ratio is sum(O - E) / sum(V): O the events of the active arm, E = (a + c) n1/N their expectation and
    V = (a + c)(b + d) n1 n2 / (N^2 (N - 1)) their hypergeometric variance. For rare events and balanced arms.

    Parameters, errors and result as `mantel_haenszel`, common effect. Tables in which nobody or everybody had the event
    have V = 0 and are left out; a pool with no other table is an error.
    """
    check_options(level)
    a, n1, c, n2, present = _check_tables(events_active, n_active, events_control, n_control, mask)
    present = present & (a + c > 0) & (a + c < n1 + n2)
    require(present, 1)
    shape = present.shape
    a, n1, c, n2, present = (x.reshape(-1, shape[-1]).T for x in (a, n1, c, n2, present))
    total, events = n1 + n2, a + c
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.where(present, a - events * n1 / total, 0.0)
        v = np.where(present, events * (total - events) * (n1 / total) * (n2 / total) / (total - 1), 0.0)
        estimate = difference.sum(axis=0) / v.sum(axis=0)
        # sum((O-E)^2/V) - sum(O-E)^2/sum(V), written as squares so that it cannot fall below zero.
        q = np.where(present, v * (difference / v - estimate) ** 2, 0.0).sum(axis=0)
    values = _heterogeneity(q, present.sum(axis=0)) | _normal(estimate, v.sum(axis=0) ** -0.5, level)
    return _pack(shape, values | {"weights": (v / v.sum(axis=0)).T})


def _check_tables(
    a: ArrayLike, n1: ArrayLike, c: ArrayLike, n2: ArrayLike, mask: ArrayLike | None
) -> tuple[NDArray, ...]:
    """Counts and mask as arrays of one shape (..., k); absent tables may hold anything and get harmless counts."""
    a, n1, c, n2, present = align(mask, events_active=a, n_active=n1, events_control=c, n_control=n2)
    ensure_counts(a, n1, c, n2, present)
    return *(np.where(present, x, harmless) for x, harmless in ((a, 1.0), (n1, 2.0), (c, 1.0), (n2, 2.0))), present


def _risk_ratio(a: NDArray, n1: NDArray, c: NDArray, n2: NDArray, present: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Log MH risk ratio, its variance (Greenland and Robins 1985) and weights c n1/N."""
    total = np.where(present, n1 + n2, 1.0)
    r, s = a * n2 / total, c * n1 / total
    spread = (n1 * n2 * (a + c) / total - a * c) / total
    return (
        np.log(r.sum(axis=0) / s.sum(axis=0)),
        spread.sum(axis=0) / (r.sum(axis=0) * s.sum(axis=0)),
        s / s.sum(axis=0),
    )


def _odds_ratio(a: NDArray, n1: NDArray, c: NDArray, n2: NDArray, present: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Log MH odds ratio, its variance (Robins, Breslow and Greenland 1986) and weights b c/N."""
    b, d, total = n1 - a, n2 - c, np.where(present, n1 + n2, 1.0)
    r, s, p, q = a * d / total, b * c / total, (a + d) / total, (b + c) / total
    sum_r, sum_s = r.sum(axis=0), s.sum(axis=0)
    variance = (
        (p * r).sum(axis=0) / sum_r**2 + (p * s + q * r).sum(axis=0) / (sum_r * sum_s) + (q * s).sum(axis=0) / sum_s**2
    ) / 2
    return np.log(sum_r / sum_s), variance, s / sum_s


def _risk_difference(
    a: NDArray, n1: NDArray, c: NDArray, n2: NDArray, present: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """MH risk difference, its variance (Sato, Greenland and Robins 1989) and weights n1 n2/N."""
    total = np.where(present, n1 + n2, 1.0)
    weight = n1 * n2 / total
    scale = weight.sum(axis=0)
    estimate = ((a * n2 - c * n1) / total).sum(axis=0) / scale
    p = (c * (n1 / total) ** 2 - a * (n2 / total) ** 2 + (n1 / total) * (n2 / total) * (n2 - n1) / 2).sum(axis=0)
    q = ((a * (n2 - c) + c * (n1 - a)) / total).sum(axis=0) / 2
    return estimate, (estimate * p + q) / scale**2, weight / scale


_COMMON = {"RR": _risk_ratio, "OR": _odds_ratio, "RD": _risk_difference}


def _heterogeneity(q: NDArray, k: NDArray) -> dict[str, NDArray]:
    """Q (0 for a single table), its test, and I2 and H2 of the common-effect model."""
    df = k - 1
    q = np.where(df > 0, q, 0.0)
    i2, h2 = heterogeneity.i2_h2_common(q, df)
    return {"k": k, "q": q, "q_df": df, "q_p": heterogeneity.q_p_value(q, df), "i2": i2, "h2": h2}


def _normal(estimate: NDArray, se: NDArray, level: float) -> dict[str, NDArray]:
    """Estimate with its normal interval and p value; tau2 is 0."""
    df = np.full(estimate.shape, np.inf)
    margin = critical_value(df, level) * se
    interval = {"estimate": estimate, "se": se, "ci_low": estimate - margin, "ci_high": estimate + margin}
    return interval | {"p": p_value(estimate, se, df), "df": df, "tau2": np.zeros(estimate.shape)}


def _pack(shape: tuple[int, ...], values: dict[str, NDArray]) -> Pool:
    result = Results(shape)
    result.store(slice(None), values)
    return result.pool()
