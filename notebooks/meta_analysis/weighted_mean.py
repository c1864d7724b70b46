"""A weighted mean of effects with its intervals and p value, for pools in the layout of `studies.chunks`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special


def average(
    y: NDArray, v: NDArray, present: NDArray, tau2: NDArray, centre: NDArray | float
) -> dict[str, NDArray]:
    """Weighted means with weights w = 1/(v + tau2), and what their intervals are made of.

    Parameters
    ----------
    y, v, present : ndarray, shape (k, pools)
        Effects, measured from `centre`, variances, and which studies are there; 0 and infinite where absent.
    tau2, centre : ndarray, shape (pools,)

    Returns
    -------
    dict
        k, estimate, tau2, classic_se (sum w)^-1/2 and hk_factor, shape (pools,); weights, shape (pools, k), sum 1.
        With m the mean, hk_factor is the root of sum w (y - m)^2 / (k - 1) (Hartung and Knapp 2001; NaN for one study).
    """
    w = 1 / (v + tau2)
    total = w.sum(axis=0)
    weights = w / total
    offset = (weights * y).sum(axis=0)
    residual = y - offset
    k = np.count_nonzero(present, axis=0)
    with np.errstate(invalid="ignore"):
        factor = np.sqrt((w * residual * residual).sum(axis=0) / (k - 1))
    return {"k": k, "estimate": centre + offset, "weights": weights.T, "tau2": tau2, "classic_se": total**-0.5,
            "hk_factor": factor}


def confidence(values: Mapping[str, NDArray], ci_method: str, level: float) -> dict[str, NDArray]:
    """Standard error, degrees of freedom, interval and p value from what `average` returned; as `pooling.pool` says."""
    factor = {"HK": values["hk_factor"], "mHK": np.maximum(values["hk_factor"], 1.0)}.get(ci_method, 1.0)
    se, estimate = values["classic_se"] * factor, values["estimate"]
    df = np.full(np.shape(se), np.inf if ci_method == "Wald" else 0.0) + values["k"] - 1
    margin = critical_value(df, level) * se
    return {"se": se, "df": df, "ci_low": estimate - margin, "ci_high": estimate + margin,
            "p": p_value(estimate, se, df)}


def predict(values: Mapping[str, NDArray], pi_method: str, level: float) -> dict[str, NDArray]:
    """Prediction interval from what `average` and `confidence` returned; as `pooling.pool` says."""
    se = values["se"] if pi_method == "HK" else values["classic_se"]
    df = {"HTS": values["k"] - 2.0, "Wald": np.full(se.shape, np.inf)}.get(pi_method, values["k"] - 1.0)
    margin = critical_value(df, level) * np.sqrt(values["tau2"] + se**2)
    return {"pi_low": values["estimate"] - margin, "pi_high": values["estimate"] + margin}


def critical_value(df: NDArray, level: float) -> NDArray:
    """Two-sided quantile of t(df), shape of `df`; of the normal where df is infinite, NaN where it is 0."""
    distinct, which = np.unique(df, return_inverse=True)  # few distinct values, and the quantile is slow
    with np.errstate(invalid="ignore"):
        quantile = special.stdtrit(distinct, 1 - (1 - level) / 2)
    return np.where(np.isinf(distinct), special.ndtri(1 - (1 - level) / 2), quantile)[which]


def p_value(estimate: NDArray, se: NDArray, df: NDArray) -> NDArray:
    """Two-sided p value of an effect of 0; NaN where the standard error and the estimate are both 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.abs(estimate) / se
        return 2 * np.where(np.isinf(df), special.ndtr(-z), special.stdtr(df, -z))
