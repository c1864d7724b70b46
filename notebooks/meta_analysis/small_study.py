"""Small-study effects: do small studies show other effects than large ones, and what if some are missing?

An asymmetric funnel plot can come from unpublished studies, from real differences between small and large trials, or
from chance; the tests do not tell these apart, and below some ten studies they have little power.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from meta_analysis.meta_regression import fit, meta_regression
from meta_analysis.pooling import MODELS, Pool, check_options, pool
from meta_analysis.regression_design import check_design
from meta_analysis.studies import align, check, ensure, name_pool

EGGER_MODELS = ("lm", "rma")
PREDICTORS = ("sei", "vi", "ni", "ninv", "sqrtni", "sqrtninv")
# Predictors that are 0 for a study of infinite size, where the line then gives the limit estimate.
VANISHING = ("sei", "vi", "ninv", "sqrtninv")
ESTIMATORS = ("L0", "R0")
SIDES = ("left", "right")
# Share of the largest effect by which an effect may differ from the pooled one and still be equal to it.
ROUNDING = 1e-14


@dataclass(frozen=True)
class EggerTest:
    """Regression test of funnel-plot asymmetry; fields have the shape ``(...)`` of the batch.

    Attributes
    ----------
    slope, se : float
        Change of the effect per unit of the predictor, and its standard error. With a standard error as the predictor,
        a negative slope says that small studies have lower effects: with severity, they favour the active arm more.
    statistic, df, p : float
        slope/se, its degrees of freedom (infinite: normal) and the two-sided p value.
    limit, limit_low, limit_high : float
        Effect expected of a study of infinite size, with its interval; NaN for the predictors ni and sqrtni.
    tau2 : float
        Residual between-study variance; NaN for the model "lm", which has a dispersion factor instead.
    """

    slope: NDArray[np.float64]
    se: NDArray[np.float64]
    statistic: NDArray[np.float64]
    df: NDArray[np.float64]
    p: NDArray[np.float64]
    limit: NDArray[np.float64]
    limit_low: NDArray[np.float64]
    limit_high: NDArray[np.float64]
    tau2: NDArray[np.float64]


class RankTest(NamedTuple):
    """Kendall's tau-b between standardised effects and variances, and its two-sided p value."""

    tau: float
    p: float


@dataclass(frozen=True)
class TrimAndFill:
    """Result of trim-and-fill.

    Attributes
    ----------
    k0, se : int, float
        Estimated number of missing studies and its standard error (NaN where L0's formula has a negative variance).
    side : str
        Side of the funnel on which they are missing.
    p : float
        One-sided p value of no missing study; R0 only, otherwise NaN.
    effects, variances : float, shape (k + k0,)
        The studies, then the filled ones: mirror images of the k0 outermost on the other side.
    pool : Pool
        Pool of all of them.
    """

    k0: int
    se: float
    side: str
    p: float
    effects: NDArray[np.float64]
    variances: NDArray[np.float64]
    pool: Pool


def egger_test(
    effects: ArrayLike,
    variances: ArrayLike,
    *,
    model: str = "lm",
    predictor: str = "sei",
    sample_sizes: ArrayLike | None = None,
    tau2_method: str = "REML",
    ci_method: str = "Wald",
    level: float = 0.95,
    mask: ArrayLike | None = None,
) -> EggerTest:
    """Egger's regression test and its variants, as metafor's `regtest`.

    Parameters
    ----------
    effects, variances : array_like, shape (..., k)
        Effects and their sampling variances (logs for ratios); at least three studies.
    model : {"lm", "rma"}
        ``"lm"``: least squares with weights 1/v and a multiplicative dispersion, t(k - 2) (Egger and others 1997; with
        the predictor sei the slope is their intercept of y/se on 1/se). ``"rma"``: mixed-effects meta-regression
        (Sterne and Egger 2005), with `tau2_method` and `ci_method`, which "lm" does not use.
    predictor : {"sei", "vi", "ni", "ninv", "sqrtni", "sqrtninv"}
        Standard error, variance, or sample size n as n, 1/n, root n or 1/root n. For ratios and standardised mean
        differences, whose standard error depends on the effect itself, a function of n is the safer choice (Peters and
        others 2006).
    sample_sizes : array_like, shape (..., k), optional
        Participants of each study, for the predictors made of them.
    tau2_method, ci_method : str
        As in `meta_regression.meta_regression`.
    level : float
        Level of the interval of the limit estimate.
    mask : array_like of bool, shape (..., k), optional
        True where the study is present.

    Returns
    -------
    EggerTest

    Raises
    ------
    ValueError
        On an unknown option, sample sizes that are missing or not above zero, a predictor that is the same in all
        studies, and as `meta_regression.meta_regression`.
    """
    check_options(level, model=(model, EGGER_MODELS), predictor=(predictor, PREDICTORS))
    studies = check(effects, variances, mask, at_least=3)
    if predictor in ("sei", "vi"):
        x = studies.variances
    elif sample_sizes is None:
        raise ValueError(f"predictor {predictor!r} needs sample_sizes")
    else:
        *_, x, present = align(mask, effects=effects, variances=variances, sample_sizes=sample_sizes)
        ensure((np.isfinite(x) & (x > 0)) | ~present, "a sample size must be finite and above zero", x)
    _require_spread(x, studies.present, predictor)
    x = np.where(studies.present, x, 1.0)
    power = {"sei": 0.5, "vi": 1.0, "ni": 1.0, "ninv": -1.0, "sqrtni": 0.5, "sqrtninv": -0.5}[predictor]
    design = np.stack([np.ones(x.shape), x**power], axis=-1)
    if model == "rma":
        how = {"tau2_method": tau2_method, "ci_method": ci_method, "level": level}
        line = meta_regression(effects, variances, design, mask=mask, **how)
    else:
        line = fit(*check_design(effects, variances, design, mask), tau2_method=None, ci_method="HK", level=level)
    slope, se, p = (values[..., 1][()] for values in (line.coefficients, line.se, line.p))
    known = np.where(predictor in VANISHING, 0.0, np.nan)
    limits = (values[..., 0] + known for values in (line.coefficients, line.ci_low, line.ci_high))
    tau2 = line.tau2 if model == "rma" else np.full(slope.shape, np.nan)[()]
    return EggerTest(slope, se, slope / se, line.df, p, *limits, tau2)


def rank_test(effects: ArrayLike, variances: ArrayLike) -> RankTest:
    """Rank correlation test of funnel-plot asymmetry (Begg and Mazumdar 1994), as metafor's `ranktest`.

    Kendall's tau-b between (y - b)/sqrt(v - 1/sum(1/v)) and v, with b the common-effect mean. The p value is exact
    where there are no ties, and otherwise from the normal approximation with the variance corrected for ties.

    Parameters
    ----------
    effects, variances : array_like, shape (k,)
        Effects and their sampling variances (logs for ratios); at least two studies.

    Returns
    -------
    RankTest
        Positive: the less precise studies have the higher effects. NaN where all variances are equal.

    Raises
    ------
    ValueError
        On bad studies (see `studies.check`) or more than one set of them.
    """
    y, v = _one_set(effects, variances)
    mean = pool(y, v, model="common")
    standardised = (y - mean.estimate) / np.sqrt(v - mean.se**2)
    ties = min(np.unique(standardised).size, np.unique(v).size) < y.size
    tau, p = stats.kendalltau(standardised, v, method="asymptotic" if ties else "exact")
    return RankTest(float(tau), float(p))


def trim_and_fill(
    effects: ArrayLike, variances: ArrayLike, *, estimator: str = "L0", side: str | None = None, **options: Any
) -> TrimAndFill:
    """Trim-and-fill: estimate how many studies are missing on one side of the funnel, and fill them in.

    Trim the outermost studies of the other side, pool the rest, estimate the number missing from the ranks of
    |y - pooled|, and repeat until that number stays (Duval and Tweedie 2000, Biometrics 56, 455-463). With k studies, S
    the sum of the ranks of those beyond the pooled effect, and r the highest rank of the others:

    - L0 = (4S - k(k + 1)) / (2k - 1), and R0 = k - r - 1, rounded (halves to even) and not below 0.

    A way to see how sensitive the result is to one kind of selection, not a better estimate.

    Parameters
    ----------
    effects, variances : array_like, shape (k,)
        Effects and their sampling variances (logs for ratios); at least three studies.
    estimator : {"L0", "R0"}
    side : {"left", "right"}, optional
        Side on which studies are missing: left, where effects are lower. By default the one that the slope of the
        effects on their standard errors points to (`egger_test`, with the model of the pool): a negative slope, right.
    **options
        Keywords of `pooling.pool`, for the pools on the way and the last one.

    Returns
    -------
    TrimAndFill

    Raises
    ------
    ValueError
        On an unknown option, bad studies (see `studies.check`), more than one set of them, or if the trimming never
        settles.
    """
    model = options.get("model", "random")
    check_options(options.get("level", 0.95), estimator=(estimator, ESTIMATORS), model=(model, MODELS))
    y, v = _one_set(effects, variances, at_least=3)
    if side is None:
        way = {"model": "rma", "tau2_method": options.get("tau2_method", "REML")} if model == "random" else {}
        side = "right" if egger_test(y, v, **way).slope < 0 else "left"
    check_options(0.95, side=(side, SIDES))
    sign = -1 if side == "right" else 1  # mirrored, so that studies are always missing on the left
    order = np.argsort(sign * y, kind="stable")
    ordered, k, k0, tried = sign * y[order], y.size, 0, []
    while k0 not in tried:
        tried.append(k0)
        # At least one study is left, and one alone is its own pool.
        rest = slice(k - k0)
        centre = float(pool(ordered[rest], v[order][rest], **options).estimate) if k - k0 > 1 else ordered[0]
        deviations = ordered - centre
        deviations[np.abs(deviations) <= ROUNDING * np.abs(y).max()] = 0.0
        estimate, se = _missing(deviations, estimator)
        k0 = max(0, int(np.rint(estimate)))
    if k0 != tried[-1]:
        raise ValueError(f"trim-and-fill ({estimator}) does not settle: the number missing goes {[*tried, k0]}")
    outermost = order[k - k0 :]
    filled = np.append(y, 2 * sign * centre - y[outermost]), np.append(v, v[outermost])
    p = 0.5 ** (k0 + 1) if estimator == "R0" else np.nan
    return TrimAndFill(k0, se, side, p, *filled, pool(*filled, **options))


def _require_spread(x: NDArray, present: NDArray, predictor: str) -> None:
    """Raise a one-line ValueError that names the first pool whose present studies all have the same predictor."""
    same = np.asarray(np.where(present, x, -np.inf).max(axis=-1) == np.where(present, x, np.inf).min(axis=-1))
    if same.any():
        index = tuple(int(i) for i in np.argwhere(same)[0])
        raise ValueError(f"{name_pool(index)}the predictor {predictor!r} is the same in all studies")


def _missing(deviations: NDArray[np.float64], estimator: str) -> tuple[float, float]:
    """Estimated number of missing studies, not yet rounded, and its standard error (Duval and Tweedie 2000)."""
    k = deviations.size
    ranks = stats.rankdata(np.abs(deviations), method="ordinal")
    if estimator == "R0":
        number = float(k - ranks[deviations <= 0].max(initial=0) - 1)
        return number, float(np.sqrt(2 * max(0.0, number) + 2))
    number = float((4 * ranks[deviations > 0].sum() - k * (k + 1)) / (2 * k - 1))
    n = number
    variance = k * (k + 1) * (2 * k + 1) + 10 * n**3 + 27 * n**2 + 17 * n - 18 * k * n**2 - 18 * k * n + 6 * k**2 * n
    return number, float(4 * np.sqrt(variance / 24) / (2 * k - 1)) if variance >= 0 else np.nan


def _one_set(effects: ArrayLike, variances: ArrayLike, at_least: int = 2) -> tuple[NDArray, NDArray]:
    studies = check(effects, variances, at_least=at_least)
    if studies.pools:
        raise ValueError(f"one set of studies at a time, effects of shape (k,); got {studies.present.shape}")
    return studies.effects, studies.variances
