"""What a bias of a given size would do to a pooled result, and how large it must be to undo it.

Every trial's effect is taken as its true effect plus a bias of its own, drawn from a normal distribution with mean
`bias_mean` and standard deviation `bias_sd` (additive bias: Turner, Spiegelhalter, Smith and Thompson 2009, J R Stat
Soc A 172:21-47). Nobody knows these two numbers here, so they are swept, not estimated.

A bias has the sign of what it adds to the effect: with severity scores, for which negative favours the active arm, a
negative bias flatters the active arm. Ratios are logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from meta_analysis.pooling import pool
from meta_analysis.report import RATIO_MEASURES
from meta_analysis.weighted_mean import critical_value

Array = NDArray[np.float64]


class Adjusted(NamedTuple):
    """A pooled effect with its interval after taking a bias away; ratios as logs."""

    estimate: Array
    se: Array
    ci_low: Array
    ci_high: Array


def adjusted_pool(
    effects: ArrayLike,
    variances: ArrayLike,
    bias_mean: ArrayLike = 0.0,
    bias_sd: ArrayLike = 0.0,
    *,
    shared: float = 0.0,
    level: float = 0.95,
    **options: Any,
) -> Adjusted:
    """Pool trials after taking away an additive bias and adding its spread to what is unknown (Turner and others 2009).

    The pool is that of y - mean with variances v + (1 - shared) sd^2; its squared standard error then gains
    shared (sum of weight x sd)^2.

    Parameters
    ----------
    effects, variances : array_like, shape (..., k)
        As for `pooling.pool`.
    bias_mean, bias_sd : array_like, broadcast against (..., k)
        Mean and standard deviation of each trial's bias, in the unit of the effects. A grid over pools has a last axis
        of length 1.
    shared : float
        Part of the variance of the bias (0 to 1) that is the same draw in all trials. Independent biases (0) partly
        cancel out over trials; a bias with one cause, such as people who know what they took, does not (1).
    level, **options
        As for `pooling.pool`.

    Returns
    -------
    Adjusted
        Arrays of shape (...).

    Raises
    ------
    ValueError
        On a negative or missing spread, a part outside 0 to 1, and as `pooling.pool` does.
    """
    effects, variances = np.asarray(effects, dtype=float), np.asarray(variances, dtype=float)
    mean, sd = np.asarray(bias_mean, dtype=float), np.asarray(bias_sd, dtype=float)
    if not (np.isfinite(mean).all() and np.isfinite(sd).all() and (sd >= 0).all()):
        raise ValueError("a bias needs a finite mean and a standard deviation of 0 or more")
    if not 0 <= shared <= 1:
        raise ValueError(f"the shared part of a bias lies between 0 and 1, got {shared:g}")
    shape = np.broadcast_shapes(effects.shape, variances.shape, mean.shape, sd.shape)
    result = pool(
        np.broadcast_to(effects - mean, shape),
        np.broadcast_to(variances + (1 - shared) * sd**2, shape),
        level=level,
        **options,
    )
    common = (result.weights * np.broadcast_to(sd, shape)).sum(axis=-1)
    se = np.sqrt(result.se**2 + shared * common**2)
    margin = critical_value(result.df, level) * se
    return Adjusted(result.estimate, se, result.estimate - margin, result.estimate + margin)


def bias_surface(
    effects: ArrayLike, variances: ArrayLike, means: ArrayLike, sds: ArrayLike, *, shared: float = 0.0, **options: Any
) -> pd.DataFrame:
    """The adjusted result for every pair of a bias mean and a bias spread.

    Parameters
    ----------
    effects, variances : array_like, shape (k,)
    means, sds : array_like
        The values to be crossed.
    shared, **options
        As for `adjusted_pool`.

    Returns
    -------
    DataFrame, one row a pair
        bias_mean, bias_sd, shared, estimate, ci_low, ci_high.
    """
    mean, sd = (grid.ravel() for grid in np.meshgrid(means, sds))
    result = adjusted_pool(effects, variances, mean[:, None], sd[:, None], shared=shared, **options)
    return pd.DataFrame(
        {"bias_mean": mean, "bias_sd": sd, "shared": float(shared), "estimate": result.estimate,
         "ci_low": result.ci_low, "ci_high": result.ci_high}
    )


def tipping_bias(
    effects: ArrayLike, variances: ArrayLike, bias_sd: float = 0.0, *, shared: float = 0.0, **options: Any
) -> float:
    """Smallest bias, alike on average in all trials, at which the interval of the pooled effect reaches no effect.

    A bias that is the same in all trials moves estimate and interval by itself and changes nothing else, so the answer
    is the limit of the interval that lies nearer to no effect.

    Parameters
    ----------
    effects, variances : array_like, shape (k,)
    bias_sd, shared, **options
        As for `adjusted_pool`; the spread is taken as given.

    Returns
    -------
    float
        Bias mean, signed, in the unit of the effects; 0 if the interval holds no effect already.
    """
    result = adjusted_pool(effects, variances, 0.0, bias_sd, shared=shared, **options)
    if result.ci_low <= 0 <= result.ci_high:
        return 0.0
    return float(result.ci_high if result.ci_high < 0 else result.ci_low)


def tipping_spread(effects: ArrayLike, variances: ArrayLike, *, shared: float = 0.0, **options: Any) -> float:
    """Smallest spread (standard deviation) of a bias with mean 0 at which the interval reaches no effect.

    Parameters as for `tipping_bias`. Returns 0 if the interval holds no effect already, and infinity if none is enough.
    """

    def beyond(sd: float) -> float:
        result = adjusted_pool(effects, variances, 0.0, sd, shared=shared, **options)
        return float(max(result.ci_low, -result.ci_high))

    largest = 100.0 * float(np.max(np.abs(effects)))
    if beyond(0.0) <= 0:
        return 0.0
    if beyond(largest) > 0:
        return float("inf")
    return float(optimize.brentq(beyond, 0.0, largest, xtol=1e-12))


class EValue(NamedTuple):
    """E-values of a ratio and of the end of its interval that is nearer to 1."""

    estimate: float
    limit: float


def e_value(ratio: float, low: float, high: float) -> EValue:
    """E-value of a risk ratio: how strongly something else must be tied to both arm and outcome to explain it away.

    For a ratio above 1 it is ratio + sqrt(ratio (ratio - 1)); ratios below 1 are inverted first (VanderWeele and Ding
    2017, Ann Intern Med 167:268-274).

    Parameters
    ----------
    ratio, low, high : float
        Risk ratio and its confidence limits, on the natural scale.

    Returns
    -------
    EValue
        On the scale of risk ratios, 1 or more; the limit's is 1 if the interval holds 1.

    Raises
    ------
    ValueError
        On ratios that are not above zero, or limits that are not on either side of the ratio.
    """
    if not 0 < low <= ratio <= high:
        raise ValueError(f"ratios must be above zero, the limits around them; got {low:g}, {ratio:g}, {high:g}")

    def of(value: float) -> float:
        value = max(value, 1 / value)
        return value + np.sqrt(value * (value - 1))

    limit = 1.0 if low <= 1 <= high else of(low if ratio > 1 else high)
    return EValue(float(of(ratio)), float(limit))


def tipping_row(trials: pd.DataFrame, row: Mapping[str, Any], *, points: float = np.nan) -> dict[str, Any]:
    """Tipping points and E-values of one result, as a row of a table.

    Parameters
    ----------
    trials : DataFrame, one row a trial
        The trials behind the result: yi (ratios as logs) and vi.
    row : mapping
        The result: analysis_id, measure, estimate, ci_low, ci_high, tau2_method and ci_method.
    points : float
        Points of a scale in one unit of a standardised difference.

    Returns
    -------
    dict
        analysis_id, measure, estimate; tipping_bias (for ratios the factor, 1 if the interval holds no effect) and the
        same in caps_5_points; tipping_spread with independent and with shared biases (log scale for ratios); for ratios
        e_value and e_value_limit. What does not apply is NaN.
    """
    ratio = row["measure"] in RATIO_MEASURES
    effects, variances = trials["yi"], trials["vi"]
    options = {"tau2_method": row["tau2_method"], "ci_method": row["ci_method"]}
    bias = tipping_bias(effects, variances, **options)
    e_values = e_value(row["estimate"], row["ci_low"], row["ci_high"]) if ratio else EValue(np.nan, np.nan)
    return {
        "analysis_id": row["analysis_id"], "measure": row["measure"], "estimate": row["estimate"],
        "tipping_bias": float(np.exp(bias)) if ratio else bias,
        "caps_5_points": np.nan if ratio else bias * points,
        "tipping_spread": tipping_spread(effects, variances, **options),
        "tipping_spread_shared": tipping_spread(effects, variances, shared=1.0, **options),
        "e_value": e_values.estimate, "e_value_limit": e_values.limit,
    }


def tipping_table(
    results: Mapping[str, tuple[pd.DataFrame, Mapping[str, Any]]], *, points: float = np.nan
) -> pd.DataFrame:
    """Tipping points of several results; one of a single trial is left out, and a printed line says so.

    Parameters
    ----------
    results : mapping
        Name -> trials and row of the result, as for `tipping_row`; the name is for the printed line.
    points : float
        As for `tipping_row`.

    Returns
    -------
    DataFrame
        A `tipping_row` for each result of two trials or more.
    """
    found = []
    for name, (trials, row) in results.items():
        if len(trials) > 1:
            found.append(tipping_row(trials, row, points=points))
        else:
            print(f"{name} is left out: fewer than two trials have the data")
    return pd.DataFrame(found)
