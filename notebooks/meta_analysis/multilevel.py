"""Three-level random-effects model for trials that give several effects: correlated and hierarchical effects (CHE).

    y_ij = x_ij' beta + u_j + w_ij + e_ij,   u_j ~ N(0, sigma2_between),   w_ij ~ N(0, sigma2_within),   e ~ N(0, V)

for effect i of trial (cluster) j (Pustejovsky and Tipton 2022, Prevention Science 23:425-438). V, the covariance of the
sampling errors, comes from `sampling_covariance`. The model is that of metafor's
`rma.mv(yi, V, random = ~ 1 | trial/effect)`. Standard errors that survive a wrong V are in `cluster_robust`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from meta_analysis.multilevel_likelihood import COMPONENTS, generalised_least_squares, level_matrices, maximise


@dataclass(frozen=True)
class MultilevelFit:
    """A fitted three-level model: m effects, p coefficients.

    Effects are on the scale they came in (log for ratios), variances on its square.

    Attributes
    ----------
    coefficients, se, p, ci_low, ci_high : (p,); two-sided p values and intervals from t with `df` (infinite: normal).
    covariance : (p, p), of the coefficients, model-based.
    sigma2_between, sigma2_within : variance components.
    log_likelihood : restricted log-likelihood, with metafor's constants.
    q, q_df, q_p : residual heterogeneity, given V.
    i2_between, i2_within : percent (0-100) of total variance, the typical sampling variance being (m - p) / tr(P)
        (W. Viechtbauer, "I2 for multilevel and multivariate models", metafor project page).
    effects (m,), design (m, p), clusters (m,), sampling_covariance (m, m) : the data.
    marginal_covariance : (m, m), V plus both components.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    se: np.ndarray
    df: float
    p: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    sigma2_between: float
    sigma2_within: float
    log_likelihood: float
    q: float
    q_df: int
    q_p: float
    i2_between: float
    i2_within: float
    n_effects: int
    n_clusters: int
    components: tuple[str, ...]
    effects: np.ndarray
    design: np.ndarray
    clusters: np.ndarray
    sampling_covariance: np.ndarray
    marginal_covariance: np.ndarray


def fit_multilevel(
    effects: ArrayLike,
    sampling_covariance: ArrayLike,
    clusters: ArrayLike,
    *,
    design: ArrayLike | None = None,
    components: tuple[str, ...] = COMPONENTS,
    df: Literal["clusters", "residual", "normal"] = "clusters",
    level: float = 0.95,
) -> MultilevelFit:
    """Fit the three-level model by restricted maximum likelihood (REML).

    Parameters
    ----------
    effects : (m,) effects, ratios as logs.
    sampling_covariance : (m, m) covariance V of their sampling errors.
    clusters : (m,) labels of the trials, in any order.
    design : (m, p) whole design matrix, with its column of ones; by default only that column.
    components : variance components to estimate; one that is left out is held at zero.
    df : degrees of freedom of tests and intervals. "clusters": n_clusters - p (for an intercept, metafor's
        `dfs="contain"`); "residual": m - p (metafor's `test="t"`); "normal": Wald.
    level : coverage of the confidence intervals.

    Returns
    -------
    MultilevelFit

    Raises
    ------
    ValueError
        For shapes that do not fit, numbers that are not finite, a V that is not symmetric and positive definite, a
        design without full rank, no degrees of freedom, or components that the data cannot tell apart.
    RuntimeError
        If the search for the maximum does not converge.
    """
    y, v, x, labels, index = _checked(effects, sampling_covariance, clusters, design)
    (m, p), n_clusters = x.shape, labels.size
    if set(components) - set(COMPONENTS):
        raise ValueError(f"components must be among {COMPONENTS}, not {components}")
    if set(components) == set(COMPONENTS) and n_clusters in (1, m):
        raise ValueError(f"{m} effects in {n_clusters} clusters cannot tell both components apart: name one")
    freedom = {"clusters": n_clusters - p, "residual": m - p, "normal": np.inf}.get(df, -1)
    if not 0 < level < 1 or df not in ("clusters", "residual", "normal"):
        raise ValueError(f'level {level} must lie in (0, 1) and df {df!r} be "clusters", "residual" or "normal"')
    if freedom < 1 or m <= p:
        raise ValueError(f"{m} effects in {n_clusters} clusters, {p} coefficients: no degrees of freedom (df={df!r})")

    levels = level_matrices(index)
    held = {name: 0.0 for name in COMPONENTS if name not in components}
    sigma2, log_likelihood = maximise(y, x, v, levels, held)
    marginal = v + np.tensordot(sigma2, levels, axes=1)
    beta, covariance, _ = generalised_least_squares(y, x, marginal)
    _, _, fixed_effects_projection = generalised_least_squares(y, x, v)
    q = float(y @ fixed_effects_projection @ y)
    i2 = 100 * sigma2 / (sigma2.sum() + (m - p) / np.trace(fixed_effects_projection))
    se = np.sqrt(np.diag(covariance))
    half_width = stats.t.ppf((1 + level) / 2, freedom) * se
    return MultilevelFit(
        coefficients=beta,
        covariance=covariance,
        se=se,
        df=float(freedom),
        p=2 * stats.t.sf(np.abs(beta / se), freedom),
        ci_low=beta - half_width,
        ci_high=beta + half_width,
        sigma2_between=float(sigma2[0]),
        sigma2_within=float(sigma2[1]),
        log_likelihood=log_likelihood,
        q=q,
        q_df=m - p,
        q_p=float(stats.chi2.sf(q, m - p)),
        i2_between=float(i2[0]),
        i2_within=float(i2[1]),
        n_effects=m,
        n_clusters=n_clusters,
        components=tuple(components),
        effects=y,
        design=x,
        clusters=labels[index],
        sampling_covariance=v,
        marginal_covariance=marginal,
    )


def prediction_interval(
    fit: MultilevelFit,
    at: ArrayLike | None = None,
    *,
    target: Literal["effect", "trial"] = "effect",
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Prediction interval at rows of the design: estimate plus and minus the quantile times the root of a variance.

    Parameters
    ----------
    fit : from `fit_multilevel`.
    at : (r, p) rows of the design; by default the intercept.
    target : "effect" is a single effect of a new trial (variance se^2 + both components; metafor's `predict`), "trial"
        the new trial's mean effect (se^2 + sigma2_between).
    level : coverage; the quantile is that of the fit's own confidence intervals.

    Returns
    -------
    low, high : each (r,), on the scale of the effects.

    Raises
    ------
    ValueError
        For another target, moderators without `at`, or an `at` with the wrong number of columns.
    """
    if target not in ("effect", "trial"):
        raise ValueError(f'target must be "effect" or "trial", not {target!r}')
    if at is None and np.ptp(fit.design, axis=0).any():
        raise ValueError("the model has moderators: say at which rows of the design to predict")
    rows = np.atleast_2d(fit.design[0] if at is None else np.asarray(at, dtype=float))
    if rows.shape[1] != fit.coefficients.size:
        raise ValueError(f"at has {rows.shape[1]} columns, the design {fit.coefficients.size}")
    estimate = rows @ fit.coefficients
    variance = np.einsum("ij,jk,ik->i", rows, fit.covariance, rows) + fit.sigma2_between
    if target == "effect":
        variance += fit.sigma2_within
    half_width = stats.t.ppf((1 + level) / 2, fit.df) * np.sqrt(variance)
    return estimate - half_width, estimate + half_width


def profile_log_likelihood(fit: MultilevelFit, component: str, values: ArrayLike) -> np.ndarray:
    """Restricted log-likelihood with one component held and the other at its best.

    A flat profile means that the data say little about the component.

    Parameters
    ----------
    fit : from `fit_multilevel`.
    component : "between" or "within", one that was estimated.
    values : (n,) variances at which it is held, on the squared scale of the effects.

    Returns
    -------
    (n,) the log-likelihoods.

    Raises
    ------
    ValueError
        For a component that was not estimated, or a value that is not finite and at least 0.
    """
    if component not in fit.components:
        raise ValueError(f"component must be one that was estimated, {fit.components}, not {component!r}")
    grid = np.atleast_1d(np.asarray(values, dtype=float))
    if not (np.isfinite(grid) & (grid >= 0)).all():
        raise ValueError(f"values of a variance must be finite and at least 0, got {grid.tolist()}")
    levels = level_matrices(np.unique(fit.clusters, return_inverse=True)[1])
    zero = {name: 0.0 for name in COMPONENTS if name not in fit.components}
    problem = (fit.effects, fit.design, fit.sampling_covariance, levels)
    return np.array([maximise(*problem, zero | {component: float(value)})[1] for value in grid])


def profile_interval(fit: MultilevelFit, component: str, *, level: float = 0.95) -> tuple[float, float]:
    """Profile-likelihood confidence interval of a variance component (metafor's `confint`).

    All values whose profile lies less than half the chi-squared quantile (1 df) below the maximum; the lower end is 0
    where zero is one of them.

    Parameters
    ----------
    fit, component : as for `profile_log_likelihood`.
    level : coverage.

    Returns
    -------
    low, high : on the squared scale of the effects.

    Raises
    ------
    ValueError
        For a component that was not estimated.
    """
    best = {"between": fit.sigma2_between, "within": fit.sigma2_within}.get(component, 0.0)
    drop = stats.chi2.ppf(level, 1) / 2

    def excess(value: float) -> float:
        return float(profile_log_likelihood(fit, component, value)[0]) - fit.log_likelihood + drop

    low = 0.0 if excess(0.0) >= 0 else optimize.brentq(excess, 0.0, best, xtol=1e-10)
    high = 2 * best + float(np.mean(np.diag(fit.sampling_covariance)))
    while excess(high) > 0:
        high *= 2
    return float(low), float(optimize.brentq(excess, best, high, xtol=1e-10))


def _checked(
    effects: ArrayLike, covariance: ArrayLike, clusters: ArrayLike, design: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Effects, V, design, cluster labels, cluster index of each effect; or a ValueError that says what is wrong."""
    y, v = np.asarray(effects, dtype=float), np.asarray(covariance, dtype=float)
    labels, index = np.unique(np.asarray(clusters), return_inverse=True)
    m = y.size
    x = np.ones((m, 1)) if design is None else np.asarray(design, dtype=float)
    if y.ndim != 1 or m == 0 or v.shape != (m, m) or index.shape != (m,) or x.ndim != 2 or x.shape[0] != m:
        got = f"{y.shape}, {v.shape}, {index.shape}, {x.shape}"
        raise ValueError(f"want effects (m,), V (m, m), clusters (m,), design (m, p); got {got}")
    for effect in np.flatnonzero(~(np.isfinite(y) & np.isfinite(v).all(axis=1) & np.isfinite(x).all(axis=1))):
        raise ValueError(f"effect {effect} (cluster {labels[index[effect]]}): effect, V and design must be finite")
    if not np.allclose(v, v.T, rtol=1e-12, atol=0):
        raise ValueError("V must be symmetric")
    if not (np.diag(v) > 0).all() or np.linalg.eigvalsh(v)[0] <= 0:
        blocks = [v[np.ix_(index == j, index == j)] for j in range(labels.size)]
        bad = [label for label, block in zip(labels, blocks, strict=True) if np.linalg.eigvalsh(block)[0] <= 0]
        raise ValueError(f"V must be positive definite{f': look at cluster {bad[0]}' if bad else ''}")
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise ValueError(f"design: its {x.shape[1]} columns are linearly dependent")
    return y, v, x, labels, index
