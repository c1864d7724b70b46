"""Covariance of the sampling errors of effects that share patients: several outcomes of a trial, or one control arm.

Each function but the last returns a matrix for `multilevel.fit_multilevel`; blocks of several trials are put together
with `scipy.linalg.block_diag`, in the order of the effects. `combine_correlated` makes one effect of several.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from meta_analysis.effect import Effect


def correlated_effects(
    variances: ArrayLike, clusters: ArrayLike, rho: float, *, average_variances: bool = False
) -> np.ndarray:
    """Covariance of sampling errors with one correlation inside clusters (trials) and none between them.

    Parameters
    ----------
    variances : (m,) sampling variances, all above zero.
    clusters : (m,) labels of the trials, in any order.
    rho : correlation of two sampling errors of one trial; an assumption, so vary it.
    average_variances : replace each variance by its cluster's mean first, as in the working model of Pustejovsky and
        Tipton (2022, Prevention Science 23:425-438): weights do not chase differences in precision inside a trial.

    Returns
    -------
    (m, m) matrix; entry (i, j) is rho sqrt(v_i v_j) inside a cluster. Same as metafor's
    `vcalc(vi, cluster, obs, rho)`.

    Raises
    ------
    ValueError
        For lengths that differ, a variance that is not positive and finite, or a rho no cluster of that size can have.
    """
    v = np.asarray(variances, dtype=float)
    labels, index = np.unique(np.asarray(clusters), return_inverse=True)
    if v.ndim != 1 or index.shape != v.shape:
        raise ValueError(f"variances {v.shape} and clusters {index.shape} must be one-dimensional and equally long")
    for effect in np.flatnonzero(~(np.isfinite(v) & (v > 0))):
        raise ValueError(f"effect {effect} (cluster {labels[index[effect]]}): variance {v[effect]} is not positive")
    sizes = np.bincount(index)
    largest = int(np.argmax(sizes))
    if not -1 < rho < 1 or 1 + (sizes[largest] - 1) * rho <= 0:
        raise ValueError(f"cluster {labels[largest]} ({sizes[largest]} effects): rho {rho} must lie in (-1/(n-1), 1)")
    if average_variances:
        v = (np.bincount(index, v) / sizes)[index]
    covariance = rho * np.sqrt(np.outer(v, v)) * (index[:, None] == index[None, :])
    np.fill_diagonal(covariance, v)
    return covariance


def shared_control_smd(
    effects: ArrayLike,
    n_active: ArrayLike,
    n_control: float,
    *,
    standardiser: Literal["pair", "control", "all"] = "pair",
) -> np.ndarray:
    """Covariance of the standardised mean differences of several active arms against one control arm.

    Large-sample (delta method) covariance of d_i = (mean_i - mean_control) / sd, true variances equal in all arms.

    Parameters
    ----------
    effects : (a,) standardised mean differences; negative where the active arm has the lower mean.
    n_active : (a,) participants of the active arms.
    n_control : participants of the control arm.
    standardiser : whose SD divides the differences. With N_i = n_i + n_c and N everybody:
        "pair", pooled over the two arms compared, as when each comparison went through
        `mean_differences.standardised_mean_difference`: the two SDs share the control group's part only, hence
        covariance 1/n_c + d_i d_j n_c/(2 N_i N_j), variance 1/n_i + 1/n_c + d_i^2/(2 N_i).
        "control", the control group's, as in `mean_differences.glass_delta`: covariance 1/n_c + d_i d_j/(2 n_c),
        variance 1/n_i + 1/n_c + d_i^2/(2 n_c).
        "all", pooled over every arm of the trial: covariance 1/n_c + d_i d_j/(2N), variance 1/n_i + 1/n_c +
        d_i^2/(2N). The last two are of Gleser and Olkin (2009, in The Handbook of Research Synthesis and
        Meta-Analysis, 2nd ed.).

    Returns
    -------
    (a, a) matrix.

    Raises
    ------
    ValueError
        For lengths that differ, values that are not finite, or an empty arm.
    """
    d, n = _arms(effects, n_active)
    for arm in np.flatnonzero(~(np.append(n, n_control) > 0)):
        raise ValueError(f"{_arm_name(arm, n.size)}: {np.append(n, n_control)[arm]:g} participants; must be above 0")
    if standardiser == "all":
        return np.diag(1 / n) + 1 / n_control + np.outer(d, d) / (2 * (n.sum() + n_control))
    if standardiser not in ("pair", "control"):
        raise ValueError(f'standardiser must be "pair", "control" or "all", not {standardiser!r}')
    size = n + n_control if standardiser == "pair" else n_control  # people behind the SD
    covariance = 1 / n_control + np.outer(d / size, d / size) * n_control / 2
    np.fill_diagonal(covariance, 1 / n + 1 / n_control + d**2 / (2 * size))
    return covariance


def shared_control_log_risk_ratio(
    events_active: ArrayLike, n_active: ArrayLike, events_control: float, n_control: float
) -> np.ndarray:
    """Covariance of the log risk ratios of several active arms against one control arm.

    Variance 1/x_i - 1/n_i + 1/x_c - 1/n_c; covariance 1/x_c - 1/n_c, the variance of the log control risk that all of
    them share (delta method; Gleser and Olkin 2009). Correct empty cells, of events or of non-events, before the call.

    Parameters
    ----------
    events_active, n_active : (a,) participants with the event, and all participants, of the active arms.
    events_control, n_control : the same of the control arm.

    Returns
    -------
    (a, a) matrix.

    Raises
    ------
    ValueError
        For lengths that differ, values that are not finite, or an arm where nobody or everybody had the event.
    """
    x, n = _arms(events_active, n_active)
    for arm, (events, total) in enumerate(zip([*x, events_control], [*n, n_control], strict=True)):
        if not 0 < events < total:  # at 0 there is no log, and at n the variance would be 0
            raise ValueError(f"{_arm_name(arm, x.size)}: {events:g} events of {total:g}; correct empty cells first")
    return np.diag(1 / x - 1 / n) + (1 / events_control - 1 / n_control)


def combine_correlated(effects: ArrayLike, covariance: ArrayLike) -> Effect:
    """One effect from several of the same trial: their best average, by generalised least squares.

    With u = V^-1 1: estimate u'y / u'1, variance 1 / u'1. Pooling these averages over trials with a variance tau2
    between trials gives the result of the multivariate model in which all effects of a trial share their random part.

    Parameters
    ----------
    effects : array_like, shape (m,)
    covariance : array_like, shape (m, m)
        Of their sampling errors; symmetric and positive definite.

    Returns
    -------
    Effect
        On the scale of the effects, with their sign.

    Raises
    ------
    ValueError
        If the shapes do not fit or the covariance is not positive definite.
    """
    y, v = np.asarray(effects, dtype=float), np.asarray(covariance, dtype=float)
    if y.ndim != 1 or v.shape != (y.size, y.size):
        raise ValueError(f"want effects (m,) and their covariance (m, m); got {y.shape} and {v.shape}")
    if not np.allclose(v, v.T) or np.linalg.eigvalsh(v)[0] <= 0:
        raise ValueError("the covariance of the effects must be symmetric and positive definite")
    u = np.linalg.solve(v, np.ones(y.size))
    return Effect(np.dot(u, y) / u.sum(), 1 / u.sum())


def _arms(*columns: ArrayLike) -> list[np.ndarray]:
    """The columns as equally long one-dimensional float arrays of finite numbers."""
    arrays = [np.atleast_1d(np.asarray(column, dtype=float)) for column in columns]
    if any(array.ndim != 1 or array.shape != arrays[0].shape for array in arrays):
        raise ValueError(f"one value for each active arm is needed, got shapes {[array.shape for array in arrays]}")
    for arm in np.flatnonzero(~np.isfinite(arrays).all(axis=0)):
        raise ValueError(f"{_arm_name(arm, arrays[0].size)}: {[float(array[arm]) for array in arrays]} must be finite")
    return arrays


def _arm_name(arm: int, n_arms: int) -> str:
    return "control arm" if arm == n_arms else f"active arm {arm}"
