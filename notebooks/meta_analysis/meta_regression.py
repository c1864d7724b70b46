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
from meta_analysis.pooling import CI_METHODS, check_options, critical_value, p_value
from meta_analysis.studies import Studies, check, chunks, ensure, name_pool, require

# A column of the design adds nothing where less than this share of its length is new.
COLLINEAR = 1e-9


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


def check_design(
    effects: ArrayLike, variances: ArrayLike, design: ArrayLike, mask: ArrayLike | None = None
) -> tuple[Studies, NDArray[np.float64]]:
    """Studies and design ``(..., k, p)`` broadcast to the same pools; ValueErrors as in `meta_regression`."""
    studies, x = check(effects, variances, mask), np.asarray(design, dtype=float)
    k = studies.present.shape[-1]
    if x.ndim < 2 or x.shape[-2] != k or not x.shape[-1]:
        raise ValueError(f"the design must have a row for each of the {k} studies, shape (..., {k}, p); got {x.shape}")
    try:
        pools = np.broadcast_shapes(studies.pools, x.shape[:-2])
    except ValueError:
        raise ValueError(f"the leading axes do not broadcast: studies {studies.pools}, design {x.shape[:-2]}") from None
    studies = Studies(*(np.broadcast_to(array, (*pools, k)) for array in studies))
    for column in np.moveaxis(x, -1, 0):
        ensure(np.isfinite(column) | ~studies.present, "a moderator must be finite", column)
    require(studies.present, x.shape[-1] + 1)
    return studies, np.broadcast_to(x, (*pools, *x.shape[-2:]))


def fit(
    studies: Studies, design: NDArray, *, tau2_method: str | None, ci_method: str, level: float
) -> MetaRegression:
    """`meta_regression` of input that `check_design` has passed; a `tau2_method` of None holds tau2 at 0.

    With tau2 at 0, ``ci_method="HK"`` is least squares with weights 1/v and a multiplicative dispersion.
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


def sort_columns(design: NDArray, present: NDArray) -> tuple[bool, NDArray[np.int64]]:
    """Whether the design (n, k, p) has an intercept, a constant column, and which columns the omnibus test is about."""
    low = np.where(present[..., None], design, np.inf).min(axis=1)
    high = np.where(present[..., None], design, -np.inf).max(axis=1)
    constant = np.flatnonzero((low == high).all(axis=0))
    columns = np.arange(design.shape[-1])
    return bool(constant.size), np.setdiff1d(columns, constant[:1]) if columns.size > 1 else columns


def orthonormal(design: NDArray, pools: tuple[int, ...] = (), first: int = 0) -> tuple[NDArray, NDArray]:
    """An orthonormal basis Z (p, k, n) of the columns of designs (n, k, p), and the inverse of R (n, p, p), X = ZR.

    Raises a one-line ValueError on columns that are linearly dependent; `first` is the place of the first design among
    all `pools`.
    """
    basis, r = np.linalg.qr(design)
    new = np.abs(np.diagonal(r, axis1=-2, axis2=-1))
    dependent = np.argwhere(new <= COLLINEAR * np.sqrt((design**2).sum(axis=-2)))
    if dependent.size:
        pool, column = (int(i) for i in dependent[0])
        where = name_pool(tuple(int(i) for i in np.unravel_index(first + pool, pools)) if pools else ())
        raise ValueError(f"{where}column {column} of the design depends linearly on those before it, or is 0")
    return np.ascontiguousarray(basis.T), np.linalg.inv(r)


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

    The effects are reduced to their residuals about the plain regression on Z first, which is where the digits are.
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
