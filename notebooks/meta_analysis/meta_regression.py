"""Mixed-effects meta-regression: effects explained by moderators, with tau2 for what these leave unexplained.

The model is y = X b + u + e, with u of variance tau2 and e of the known sampling variances v (Berkey and others 1995).
With few studies a moderator explains much by chance: see `permutation` for a test that knows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from meta_analysis import regression_tau2, tau2
from meta_analysis.heterogeneity import i2_h2_random, q_p_value
from meta_analysis.pooling import CI_METHODS, check_options
from meta_analysis.regression_design import check_design, orthonormal, sort_columns
from meta_analysis.studies import Studies, chunks
from meta_analysis.weighted_mean import critical_value, p_value


@dataclass(frozen=True)
class MetaRegression:
    """A fitted meta-regression of p coefficients, or a batch of them of shape ``(...)``.

    Attributes
    ----------
    coefficients, se, ci_low, ci_high, p : float, shape (..., p)
        Coefficients in the effect's unit per unit of the moderator (log scale for ratios), their standard errors and
        confidence intervals, and the two-sided p values of coefficients of 0.
    covariance : float, shape (..., p, p)
        Covariance matrix of the coefficients.
    df : float
        Degrees of freedom of the intervals, k - p; infinite for normal ones.
    tau2 : float
        Residual between-study variance.
    r2 : float
        Share of the between-study variance that the moderators explain, in percent: 100 (t0 - tau2)/t0, cut at 0, with
        t0 the tau2 of the model without moderators (Raudenbush 2009); 0 if t0 is 0, NaN for models without an
        intercept or without moderators. With few studies it is wildly uncertain.
    i2, h2 : float
        Residual I2 in percent and H2, by metafor's definitions.
    qe, qe_df, qe_p : float
        Test of residual heterogeneity: the generalised Q with weights 1/v, chi-square(k - p).
    qm, qm_df, qm_p : float
        Omnibus test of all coefficients but the intercept (of all, if there is no intercept or nothing else). Wald:
        chi-square(m). Otherwise the statistic is divided by m, and F(m, k - p).
    k : int
        Number of studies.
    converged : bool
    """

    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    se: NDArray[np.float64]
    ci_low: NDArray[np.float64]
    ci_high: NDArray[np.float64]
    p: NDArray[np.float64]
    df: NDArray[np.float64]
    tau2: NDArray[np.float64]
    r2: NDArray[np.float64]
    i2: NDArray[np.float64]
    h2: NDArray[np.float64]
    qe: NDArray[np.float64]
    qe_df: NDArray[np.int64]
    qe_p: NDArray[np.float64]
    qm: NDArray[np.float64]
    qm_df: int
    qm_p: NDArray[np.float64]
    k: NDArray[np.int64]
    converged: NDArray[np.bool_]


def meta_regression(
    effects: ArrayLike,
    variances: ArrayLike,
    design: ArrayLike,
    *,
    tau2_method: str = "REML",
    ci_method: str = "mHK",
    level: float = 0.95,
    mask: ArrayLike | None = None,
) -> MetaRegression:
    """Fit a mixed-effects meta-regression, or many at once.

    Parameters
    ----------
    effects, variances : array_like, shape (..., k)
        Effects and their sampling variances (logs for ratios).
    design : array_like, shape (..., k, p)
        Design matrix with its column of ones, one row a study. Its leading axes broadcast against the effects'. A
        constant column counts as the intercept.
    tau2_method : {"REML", "DL", "PM", "ML", "EB", "HE", "SJ", "HS"}
        Estimator of tau2, see `regression_tau2.solve`.
    ci_method : {"mHK", "HK", "t", "Wald"}
        ``"Wald"``: normal, covariance (X'WX)^-1. ``"t"``: the same with t(k - p). ``"HK"``: that covariance times
        y'Py/(k - p) (Knapp and Hartung 2003), t(k - p). ``"mHK"``: that factor not below 1 (metafor's
        ``test="adhoc"``).
    level : float
        Level of the intervals.
    mask : array_like of bool, shape (..., k), optional
        True where the study is present.

    Returns
    -------
    MetaRegression

    Raises
    ------
    ValueError
        On an unknown option, bad studies (see `studies.check`), a moderator of a present study that is not finite,
        columns that are linearly dependent, or fewer than p + 1 studies; study, column and pool are named from 0.

    Warns
    -----
    RuntimeWarning
        If tau2 did not converge in some pool; `converged` says which.
    """
    check_options(level, tau2_method=(tau2_method, tau2.METHODS), ci_method=(ci_method, CI_METHODS))
    studies, x = check_design(effects, variances, design, mask)
    return fit(studies, x, tau2_method=tau2_method, ci_method=ci_method, level=level)


def fit(
    studies: Studies, design: NDArray, *, tau2_method: str | None, ci_method: str, level: float
) -> MetaRegression:
    """`meta_regression` of input that `check_design` has passed.

    Parameters
    ----------
    studies, design
        From `check_design`.
    tau2_method : str or None
        As for `meta_regression`; None holds tau2 at 0, where ``ci_method="HK"`` is least squares with weights 1/v and a
        multiplicative dispersion.
    ci_method, level
        As for `meta_regression`.

    Returns
    -------
    MetaRegression

    Raises
    ------
    ValueError
        On columns that are linearly dependent.
    """
    pools, (k, p) = studies.pools, design.shape[-2:]
    design = np.where(studies.present[..., None], design, 0.0).reshape(-1, k, p)
    intercept, tested = sort_columns(design, studies.present.reshape(-1, k))
    parts = []
    for which, centre, y, v, present in chunks(studies):
        z, r_inverse = orthonormal(design[which], pools, which.start)
        if tau2_method is not None and intercept and p > 1:
            unexplained, found = tau2.solve(y, v, present, tau2_method)
        else:
            unexplained, found = np.full(centre.shape, np.nan), True
        y = np.where(present, y + centre, 0.0)  # a design without an intercept needs the effects as they are
        part = estimate(y, v, present, z, r_inverse, tested, tau2_method, ci_method)
        part["converged"] = part["converged"] & found
        part |= _describe(y, v, z, part["tau2"], part["qe_df"])
        with np.errstate(divide="ignore", invalid="ignore"):
            explained = 100 * np.maximum(0.0, (unexplained - part["tau2"]) / unexplained)
        part["r2"] = np.where(unexplained == 0, 0.0, explained)
        parts.append(part)
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    tau2.warn_unless(values["converged"], str(tau2_method))
    values |= _infer(values, len(tested), level)
    values = {name: value.reshape(pools + value.shape[1:])[()] for name, value in values.items()}
    return MetaRegression(**values, qm_df=len(tested))


def estimate(
    y: NDArray,
    v: NDArray,
    present: NDArray,
    z: NDArray,
    r_inverse: NDArray,
    tested: NDArray,
    tau2_method: str | None,
    ci_method: str,
) -> dict[str, NDArray]:
    """Coefficients, their covariance, and the omnibus statistic, in the layout of `regression_tau2`, pools first.

    With W = 1/(v + tau2): b = (X'WX)^-1 X'W y, and its covariance (X'WX)^-1 times 1 (Wald, t) or the factor y'Py/(k -
    p) (HK; mHK: not below 1) of Knapp and Hartung (2003). The omnibus statistic of m tested coefficients is
    b'(covariance)^-1 b, over m unless ``"Wald"``. The effects are reduced to their residuals about the plain regression
    on Z first, which is where the digits are.

    Parameters
    ----------
    y, v : ndarray, shape (k, n)
        Effects and variances, studies down the first axis; 0 and infinite where absent.
    present : ndarray of bool, shape (k, n)
    z, r_inverse : ndarray, shapes (p, k, n) and (n, p, p)
        From `orthonormal`.
    tested : ndarray of int
        From `sort_columns`.
    tau2_method, ci_method
        As for `fit`.

    Returns
    -------
    dict of ndarray
        coefficients, se (n, p), covariance (n, p, p), tau2, converged, k, qm, qe_df, df (n,).
    """
    k, p = np.count_nonzero(present, axis=0), len(z)
    residual = regression_tau2.plain_residual(y, z)
    if tau2_method is None:
        t, converged = np.zeros(k.shape), np.ones(k.shape, dtype=bool)
    else:
        t, converged = regression_tau2.solve(y, v, z, present, tau2_method)
    weighted = z / (v + t)
    bread = np.linalg.inv(np.einsum("akj,ckj->jac", weighted, z))
    change = np.einsum("jac,cj->ja", bread, np.einsum("akj,kj->aj", weighted, residual))
    factor = np.ones(k.shape)
    if ci_method in ("HK", "mHK"):
        rest = residual - np.einsum("akj,ja->kj", z, change)
        factor = (rest * rest / (v + t)).sum(axis=0) / (k - p)
        factor = np.maximum(factor, 1.0) if ci_method == "mHK" else factor
    coefficients = np.einsum("jac,jc->ja", r_inverse, np.einsum("akj,kj->ja", z, y) + change)
    covariance = r_inverse @ bread @ np.swapaxes(r_inverse, -1, -2)
    chosen, block = coefficients[:, tested], covariance[:, tested][:, :, tested]
    scale = factor if ci_method == "Wald" else factor * len(tested)
    with np.errstate(divide="ignore", invalid="ignore"):  # a perfect fit
        qm = np.einsum("ja,ja->j", chosen, np.linalg.solve(block, chosen[..., None])[..., 0]) / scale
    covariance = covariance * factor[:, None, None]
    values = {"coefficients": coefficients, "covariance": covariance, "tau2": t, "converged": converged, "k": k}
    values |= {"se": np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1)), "qm": qm, "qe_df": k - p}
    return values | {"df": np.where(ci_method == "Wald", np.inf, k - p)}


def _describe(y: NDArray, v: NDArray, z: NDArray, t: NDArray, df: NDArray) -> dict[str, NDArray]:
    """Residual Q and its test, I2 and H2; the "typical" variance of these is (k - p)/tr P with weights 1/v."""
    w = 1 / v
    q, residual, _ = regression_tau2.project(regression_tau2.plain_residual(y, z), w, z)
    qe = (residual * residual).sum(axis=0)
    i2, h2 = i2_h2_random(t, df / regression_tau2.trace(w, q))
    return {"qe": qe, "qe_p": q_p_value(qe, df), "i2": i2, "h2": h2}


def _infer(values: dict[str, NDArray], m: int, level: float) -> dict[str, NDArray]:
    """Confidence intervals and p values from estimates and degrees of freedom."""
    df = np.broadcast_to(values["df"][:, None], values["se"].shape)
    margin = critical_value(df.ravel(), level).reshape(df.shape) * values["se"]
    # F with infinitely many degrees of freedom is chi-square over m.
    normal = np.isinf(values["df"])
    finite = np.where(normal, 1.0, values["df"])
    qm_p = np.where(normal, special.chdtrc(m, values["qm"]), special.fdtrc(m, finite, values["qm"]))
    return {
        "ci_low": values["coefficients"] - margin,
        "ci_high": values["coefficients"] + margin,
        "p": p_value(values["coefficients"], values["se"], df),
        "qm_p": qm_p,
    }
