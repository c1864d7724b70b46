"""Influence of each study on a pooled effect: what changes when it is left out, and Baujat's coordinates.

The definitions are those of Viechtbauer and Cheung (2010, Research Synthesis Methods 1, 112-125) and the numbers those
of metafor's `influence`. Below, b and t are the pooled effect and tau2 of all k studies, b(-i) and t(-i) those without
study i, and f(-i) is the factor by which the interval's method multiplies the variance there (1 for Wald and t).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from meta_analysis.leave_out import all_but_one, leave_one_out
from meta_analysis.pooling import Pool, pool
from meta_analysis.studies import Studies, check


@dataclass(frozen=True)
class Influence:
    """Influence of each study; every field has the shape ``(..., k)`` of the effects, NaN for absent studies.

    Attributes
    ----------
    rstudent : float
        Externally studentised deleted residual, (y - b(-i)) / sqrt(f(-i) (v + t(-i)) + se(-i)^2). Negative: the study's
        effect lies below that of the others.
    dffits : float
        Change of the study's fitted value, (b - b(-i)) / sqrt(f(-i) hat (v + t(-i))).
    cooks_distance : float
        (b - b(-i))^2 / se^2.
    covariance_ratio : float
        se(-i)^2 / se^2; below 1, the estimate is more precise without the study.
    tau2_deleted, q_deleted : float
        tau2 and Cochran's Q without the study.
    hat : float
        Share of the study in the pooled effect, between 0 and 1 (the diagonal of the hat matrix).
    weight : float
        The same in percent.
    dfbetas : float
        Change of the pooled effect in standard errors, (b - b(-i)) / sqrt(f(-i) / sum of 1/(v + t(-i)) over all k).
    influential : bool
        metafor's rule of thumb: |DFFITS| > 3 / sqrt(k - 1), or Cook's distance beyond the median of chi-square(1), or
        hat > 3/k, or |DFBETAS| > 1. False for absent studies.
    """

    rstudent: NDArray[np.float64]
    dffits: NDArray[np.float64]
    cooks_distance: NDArray[np.float64]
    covariance_ratio: NDArray[np.float64]
    tau2_deleted: NDArray[np.float64]
    q_deleted: NDArray[np.float64]
    hat: NDArray[np.float64]
    weight: NDArray[np.float64]
    dfbetas: NDArray[np.float64]
    influential: NDArray[np.bool_]


class Baujat(NamedTuple):
    """Coordinates of each study in Baujat's plot, shape ``(..., k)``; NaN for absent studies."""

    heterogeneity: NDArray[np.float64]
    influence: NDArray[np.float64]


def influence(
    effects: ArrayLike, variances: ArrayLike, *, mask: ArrayLike | None = None, **options: Any
) -> Influence:
    """Diagnostics of outlying and influential studies.

    Parameters
    ----------
    effects, variances : array_like, shape (..., k)
        Effects and their sampling variances (logs for ratios).
    mask : array_like of bool, shape (..., k), optional
        True where the study is present.
    **options
        Keywords of `pooling.pool`: model, tau2_method, ci_method. The standard errors are those that the interval uses.

    Returns
    -------
    Influence

    Raises
    ------
    ValueError
        As `pooling.pool`; at least two studies are needed.
    """
    studies, whole, without = _fit(effects, variances, mask, options)
    y, v, present = studies
    # Sums over the studies that remain (all but i, along the last axis) and over all of them.
    w = np.where(present[..., None, :], 1 / (v[..., None, :] + without.tau2[..., None]), 0.0)
    factor = without.se**2 * np.where(all_but_one(present), w, 0.0).sum(axis=-1)
    change = whole.estimate[..., None] - without.estimate
    residual = y - without.estimate
    marginal = factor * (v + without.tau2)
    variance, hat = whole.se[..., None] ** 2, whole.weights
    with np.errstate(divide="ignore", invalid="ignore"):  # studies that agree exactly have no spread to divide by
        values = {
            "rstudent": residual / np.sqrt(marginal + without.se**2),
            "dffits": change / np.sqrt(hat * marginal),
            "cooks_distance": change**2 / variance,
            "covariance_ratio": without.se**2 / variance,
            "tau2_deleted": without.tau2,
            "q_deleted": without.q,
            "hat": hat,
            "weight": 100 * hat,
            "dfbetas": change / np.sqrt(factor / w.sum(axis=-1)),
        }
    values = {name: np.where(present, value, np.nan) for name, value in values.items()}
    n = np.asarray(whole.k)[..., None]
    influential = (np.abs(values["dffits"]) > 3 / np.sqrt(n - 1)) | (values["hat"] > 3 / n)
    influential |= (special.chdtr(1, values["cooks_distance"]) > 0.5) | (np.abs(values["dfbetas"]) > 1)
    return Influence(**values, influential=influential)


def baujat(effects: ArrayLike, variances: ArrayLike, *, mask: ArrayLike | None = None, **options: Any) -> Baujat:
    """Coordinates of Baujat's plot (Baujat, Mahé, Pignon and Hill 2002): who makes the heterogeneity, who the result.

    Parameters and errors as `influence`.

    Returns
    -------
    Baujat
        ``heterogeneity``, (y - b)^2 / (v + t): with ``model="common"``, as Baujat and others drew it, the study's part
        of Cochran's Q; otherwise the squared Pearson residual, as metafor draws it. ``influence``,
        (b - b(-i))^2 / se(-i)^2: the squared change of the pooled effect when the study is left out.
    """
    studies, whole, without = _fit(effects, variances, mask, options)
    y, v, present = studies
    estimate, tau2 = whole.estimate[..., None], whole.tau2[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        coordinates = (y - estimate) ** 2 / (v + tau2), (estimate - without.estimate) ** 2 / without.se**2
    return Baujat(*(np.where(present, value, np.nan) for value in coordinates))


def _fit(
    effects: ArrayLike, variances: ArrayLike, mask: ArrayLike | None, options: dict[str, Any]
) -> tuple[Studies, Pool, Pool]:
    """Checked studies, the pool of all of them and the pools without each; absent studies get harmless numbers."""
    studies = check(effects, variances, mask, at_least=2)
    y, v = np.where(studies.present, studies.effects, 0.0), np.where(studies.present, studies.variances, 1.0)
    studies = Studies(y, v, studies.present)
    return studies, pool(y, v, mask=studies.present, **options), leave_one_out(y, v, mask=studies.present, **options)
