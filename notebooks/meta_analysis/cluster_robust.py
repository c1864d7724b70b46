"""Cluster-robust ("sandwich") standard errors: right in the long run even where the assumed covariance is wrong.

With few trials the plain sandwich (CR0, CR1) is too small. CR2 corrects each trial's residuals so that the variance is
exactly unbiased under the working model, and gives each coefficient Satterthwaite degrees of freedom of its own (Tipton
2015, Psychological Methods; Pustejovsky and Tipton 2018, Journal of Business & Economic Statistics). The numbers are
those of the R package clubSandwich. With very few degrees of freedom even these p values are not to be trusted (Tipton
2015 draws the line at 4): look at `df` before `p`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg, stats

from meta_analysis.multilevel import MultilevelFit

# CR2 is unbiased under the working model; a coefficient whose expected variance falls short of it by more than rounding
# rests on trials whose residuals are zero by construction.
UNBIASED_TOLERANCE = 1e-6


class TooFewClusters(ValueError):
    """The trials are too few, or inform a coefficient too little, for robust errors."""


@dataclass(frozen=True)
class RobustResult:
    """Cluster-robust inference for p coefficients.

    `coefficients`, `se`, `df`, `p`, `ci_low`, `ci_high` are (p,), `covariance` is (p, p); same scale as the effects.
    """

    kind: str
    coefficients: np.ndarray
    covariance: np.ndarray
    se: np.ndarray
    df: np.ndarray
    p: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    n_clusters: int


def robust_multilevel(
    fit: MultilevelFit, *, kind: Literal["CR2", "CR1", "CR1p", "CR0"] = "CR2", level: float = 0.95
) -> RobustResult:
    """Cluster-robust errors of a fitted multilevel model: `cluster_robust` on its data and marginal covariance.

    Parameters
    ----------
    fit : from `multilevel.fit_multilevel`.
    kind, level : as for `cluster_robust`.

    Returns
    -------
    RobustResult

    Raises
    ------
    ValueError
        As `cluster_robust`.
    """
    return cluster_robust(fit.effects, fit.design, fit.clusters, fit.marginal_covariance, kind=kind, level=level)


def cluster_robust(
    effects: ArrayLike,
    design: ArrayLike,
    clusters: ArrayLike,
    working_covariance: ArrayLike,
    *,
    kind: Literal["CR2", "CR1", "CR1p", "CR0"] = "CR2",
    level: float = 0.95,
) -> RobustResult:
    """Cluster-robust variance of generalised least squares, weights being the inverse of the working covariance.

        V_R = B [ sum_j X_j' W_j A_j e_j e_j' A_j' W_j X_j ] B,   B = (X'WX)^-1,   e = y - X b

    CR0 has A_j = I. CR1 multiplies it by J/(J - 1) and CR1p by J/(J - p), for J clusters (metafor's `robust()` is
    CR1p; for an intercept alone the two are one). CR2 has A_j = D_j' (D_j (M_j - X_j B X_j') D_j')^(-1/2) D_j, where
    M_j = D_j' D_j is the cluster's working covariance (Pustejovsky and Tipton 2018, bias-reduced linearisation).

    Parameters
    ----------
    effects : (m,) effects.
    design : (m, p) design matrix, column of ones included.
    clusters : (m,) labels of the trials; the covariance between clusters must be zero.
    working_covariance : (m, m) covariance of the effects under the working model, heterogeneity included.
    kind : see above. Degrees of freedom are Satterthwaite's for CR2, J - p for the others.
    level : coverage of the confidence intervals.

    Returns
    -------
    RobustResult
        On the scale of the effects, with their sign.

    Raises
    ------
    ValueError
        For shapes that do not fit, or clusters linked by the working covariance; `TooFewClusters` for as many
        coefficients as clusters (or more), or a coefficient that CR2 cannot estimate because too few inform it.
    """
    y, x, m = (np.asarray(array, dtype=float) for array in (effects, design, working_covariance))
    labels, index = np.unique(np.asarray(clusters), return_inverse=True)
    if y.ndim != 1 or x.ndim != 2 or len(x) != y.size or index.shape != y.shape or m.shape != (y.size, y.size):
        raise ValueError(f"want (m,), (m, p), (m,), (m, m); got {y.shape}, {x.shape}, {index.shape}, {m.shape}")
    if kind not in ("CR2", "CR1", "CR1p", "CR0"):
        raise ValueError(f'kind must be "CR2", "CR1", "CR1p" or "CR0", not {kind!r}')
    n_clusters, p = labels.size, x.shape[1]
    if n_clusters <= p:
        raise TooFewClusters(f"{n_clusters} clusters, {p} coefficients: robust errors need more clusters than that")
    linked = np.argwhere((m != 0) & (index[:, None] != index[None, :]))
    if linked.size:
        first, second = labels[index[linked[0]]]
        raise ValueError(f"working covariance links clusters {first} and {second}: it must be zero between clusters")

    weights = linalg.inv(m)
    bread = linalg.inv(x.T @ weights @ x)
    beta = bread @ (x.T @ weights @ y)
    residual = y - x @ beta
    members = [np.flatnonzero(index == j) for j in range(n_clusters)]
    # loads[j] (p, m_j): how the residuals of cluster j enter the error of each coefficient.
    loads = [bread @ x[rows].T @ weights[np.ix_(rows, rows)] for rows in members]
    if kind == "CR2":
        blocks = [m[np.ix_(rows, rows)] for rows in members]
        loads = [
            load @ _cr2_adjustment(block, x[rows], bread)
            for load, block, rows in zip(loads, blocks, members, strict=True)
        ]
    scores = np.array([load @ residual[rows] for load, rows in zip(loads, members, strict=True)])  # (J, p)
    inflation = {"CR1": n_clusters / (n_clusters - 1), "CR1p": n_clusters / (n_clusters - p)}.get(kind, 1.0)
    covariance = inflation * scores.T @ scores
    if kind == "CR2":
        df = _satterthwaite_df(loads, members, x, m, bread)
    else:
        df = np.full(p, float(n_clusters - p))
    se = np.sqrt(np.diag(covariance))
    half_width = stats.t.ppf((1 + level) / 2, df) * se
    p_value = 2 * stats.t.sf(np.abs(beta / se), df)
    return RobustResult(kind, beta, covariance, se, df, p_value, beta - half_width, beta + half_width, n_clusters)


def _cr2_adjustment(block: np.ndarray, x: np.ndarray, bread: np.ndarray) -> np.ndarray:
    """A_j (m_j, m_j): gives the residuals of cluster j, shrunk by the fit, their working covariance M_j back.

    Where the fit takes a whole direction of the cluster (its own dummy variable) the matrix under the root is singular:
    then the Moore-Penrose inverse root.
    """
    upper = linalg.cholesky(block)
    values, vectors = linalg.eigh(upper @ (block - x @ bread @ x.T) @ upper.T)
    positive = values > 1e-10 * np.abs(values).max(initial=1e-300)
    inverse_root = (vectors[:, positive] / np.sqrt(values[positive])) @ vectors[:, positive].T
    return upper.T @ inverse_root @ upper


def _satterthwaite_df(
    loads: list[np.ndarray], members: list[np.ndarray], x: np.ndarray, m: np.ndarray, bread: np.ndarray
) -> np.ndarray:
    """Degrees of freedom (p,) of each CR2 variance: tr(G)^2 / tr(G^2), G the working covariance of its cluster scores.

    Score j of coefficient c is g_j' e with e = (I - H) y, hence G_ij = g_i' (I - H) M (I - H)' g_j, and
    (I - H) M (I - H)' = M - X B X' (Pustejovsky and Tipton 2018).
    """
    residual_covariance = m - x @ bread @ x.T
    df = np.empty(bread.shape[0])
    for coefficient in range(df.size):
        g = np.zeros((len(members), len(m)))
        for j, (load, rows) in enumerate(zip(loads, members, strict=True)):
            g[j, rows] = load[coefficient]
        gram = g @ residual_covariance @ g.T
        if np.trace(gram) < (1 - UNBIASED_TOLERANCE) * bread[coefficient, coefficient]:
            reason = f"coefficient {coefficient} rests on too few clusters for CR2 to estimate its variance"
            raise TooFewClusters(reason)
        df[coefficient] = np.trace(gram) ** 2 / np.sum(gram**2)
    return df
