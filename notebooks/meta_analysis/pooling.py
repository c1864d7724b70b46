"""Common-effect and random-effects pooling by inverse variance, for one set of studies or for many at once.

Ratios are pooled as logs. Effects keep the sign they come with: a negative standardised mean difference favours the
active arm here, because a lower severity score is better.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_analysis import heterogeneity
from meta_analysis.studies import Studies, check, chunks, name_pool
from meta_analysis.tau2 import METHODS, solve, warn_unless
from meta_analysis.weighted_mean import average, confidence, predict

MODELS = ("random", "common")
CI_METHODS = ("mHK", "HK", "t", "Wald")
PI_METHODS = ("HK", "HTS", "HTS-k1", "Wald")


@dataclass(frozen=True)
class Pool:
    """Result of a pooled analysis; every field has the shape ``(...)`` of the batch, numbers for a single pool.

    Attributes
    ----------
    k : int
        Number of studies.
    estimate, se, ci_low, ci_high, p : float
        Pooled effect (log scale for ratios), the standard error that the interval uses, the confidence interval, and
        the two-sided p value of an effect of 0.
    df : float
        Degrees of freedom of the interval; infinite for a normal interval.
    pi_low, pi_high : float
        Prediction interval for the true effect of a new study; NaN for the common-effect model.
    tau2, tau2_low, tau2_high : float
        Between-study variance, and its Q-profile interval (NaN unless asked for).
    i2, h2 : float
        I2 in percent (0 to 100) and H2, by metafor's definitions.
    q, q_df, q_p : float
        Cochran's Q test of heterogeneity.
    weights : float, shape (..., k)
        Share of each study in the estimate; they sum to 1, absent studies have 0.
    classic_se, hk_factor : float
        (Sum of weights)^-1/2, NaN where weights are not inverse variances; and, for random effects, what Hartung and
        Knapp multiply it by.
    converged : bool
        Whether all iterations of the pool converged.
    """

    k: NDArray[np.int64]
    estimate: NDArray[np.float64]
    se: NDArray[np.float64]
    ci_low: NDArray[np.float64]
    ci_high: NDArray[np.float64]
    p: NDArray[np.float64]
    df: NDArray[np.float64]
    pi_low: NDArray[np.float64]
    pi_high: NDArray[np.float64]
    tau2: NDArray[np.float64]
    tau2_low: NDArray[np.float64]
    tau2_high: NDArray[np.float64]
    i2: NDArray[np.float64]
    h2: NDArray[np.float64]
    q: NDArray[np.float64]
    q_df: NDArray[np.int64]
    q_p: NDArray[np.float64]
    weights: NDArray[np.float64]
    classic_se: NDArray[np.float64]
    hk_factor: NDArray[np.float64]
    converged: NDArray[np.bool_]


def pool(
    effects: ArrayLike,
    variances: ArrayLike,
    *,
    model: str = "random",
    tau2_method: str = "REML",
    tau2: ArrayLike | None = None,
    ci_method: str | None = None,
    pi_method: str = "HK",
    level: float = 0.95,
    mask: ArrayLike | None = None,
    tau2_interval: bool = False,
) -> Pool:
    """Pool studies by inverse variance: estimate sum(w y) / sum(w).

    Parameters
    ----------
    effects, variances : array_like, shape (..., k)
        Effects and their sampling variances (logs for ratios). Leading axes are separate pools.
    model : {"random", "common"}
        Random effects: weights 1/(v + tau2). Common effect: weights 1/v, and no prediction interval.
    tau2_method : {"REML", "DL", "PM", "ML", "EB", "HE", "SJ", "HS"}
        Estimator of tau2, see `tau2.estimate_tau2`.
    tau2 : array_like, shape () or (...), optional
        Between-study variances that are given, not estimated (random effects only; metafor's ``tau2=``).
    ci_method : {"mHK", "HK", "t", "Wald"}, optional
        ``"Wald"``: normal, se = (sum of weights)^-1/2. ``"t"``: the same se with t(k - 1). ``"HK"``: Hartung and Knapp
        (2001), Sidik and Jonkman (2002): se times the root of Q_w/(k - 1), Q_w the weighted sum of squares, t(k - 1).
        ``"mHK"``: that factor not below 1, so never narrower than ``"t"`` (Knapp and Hartung 2003; metafor's
        ``test="adhoc"``). By default mHK for the random-effects model and Wald for the common-effect model, which HK
        and mHK do not fit.
    pi_method : {"HK", "HTS", "HTS-k1", "Wald"}
        Prediction interval, estimate +- crit * sqrt(tau2 + se^2). ``"HK"``: t(k - 1) and the interval's own se
        (metafor's for knha and adhoc). With the classic se: ``"HTS"`` t(k - 2) (Higgins, Thompson and Spiegelhalter
        2009; NaN for two studies), ``"HTS-k1"`` t(k - 1), ``"Wald"`` normal.
    level : float
        Level of all intervals, between 0 and 1.
    mask : array_like of bool, shape (..., k), optional
        True where the study is present; absent entries may be NaN.
    tau2_interval : bool
        Whether to compute the Q-profile interval of tau2 (random effects only).

    Returns
    -------
    Pool

    Raises
    ------
    ValueError
        On an unknown option, shapes that do not match, a given tau2 that is below zero or for a common effect, a
        present study with an effect that is not finite or a variance that is not finite and above zero (named by pool
        and study, from 0), or too few studies: two for random effects, one for the common effect.

    Warns
    -----
    RuntimeWarning
        If an iteration did not converge in some pool; `Pool.converged` says which.
    """
    ci_method = ci_method or ("mHK" if model == "random" else "Wald")
    check_options(level, model=(model, MODELS), tau2_method=(tau2_method, METHODS))
    check_options(level, ci_method=(ci_method, CI_METHODS), pi_method=(pi_method, PI_METHODS))
    check_model(model, ci_method)
    studies = check(effects, variances, mask, at_least=2 if model == "random" else 1)
    given = None if tau2 is None else _given(tau2, studies, model)
    result = Results(studies.present.shape)
    for which, centre, y, v, present in chunks(studies):
        q = heterogeneity.describe(y, v, present)
        values = {"q": q.q, "q_df": q.df, "q_p": q.p}
        if model == "common":
            values["i2"], values["h2"] = heterogeneity.i2_h2_common(q.q, q.df)
            values["tau2"], values["converged"] = np.zeros(q.q.shape), np.ones(q.q.shape, dtype=bool)
        else:
            values["tau2"], values["converged"] = (
                solve(y, v, present, tau2_method) if given is None else (given[which], np.ones(q.q.shape, dtype=bool)))
            values["i2"], values["h2"] = heterogeneity.i2_h2_random(values["tau2"], q.typical_variance)
            if tau2_interval:
                values["tau2_low"], values["tau2_high"], found = heterogeneity.q_profile_limits(y, v, present, level)
                values["converged"] = values["converged"] & found
        values |= average(y, v, present, values["tau2"], centre)
        values |= confidence(values, ci_method, level)
        if model == "random":
            values |= predict(values, pi_method, level)
        else:
            del values["hk_factor"]
        result.store(which, values)
    warn_unless(result.arrays["converged"], tau2_method)
    return result.pool()


def with_interval(pooled: Pool, ci_method: str, *, pi_method: str = "HK", level: float = 0.95) -> Pool:
    """The same pools with other intervals; nothing is pooled again.

    Parameters
    ----------
    pooled : Pool
        From `pool`.
    ci_method, pi_method, level
        As for `pool`.

    Returns
    -------
    Pool
        What `pool` would give with these intervals.

    Raises
    ------
    ValueError
        On an unknown option, an interval that does not fit the model, or pools that are not by inverse variance.
    """
    check_options(level, ci_method=(ci_method, CI_METHODS), pi_method=(pi_method, PI_METHODS))
    random = not np.isnan(pooled.hk_factor).any()
    check_model("random" if random else "common", ci_method)
    if np.isnan(pooled.classic_se).any():
        raise ValueError("other intervals are for pools by inverse variance")
    values = vars(pooled)
    values = values | confidence(values, ci_method, level)
    return Pool(**values | (predict(values, pi_method, level) if random else {}))


def q_profile(
    effects: ArrayLike, variances: ArrayLike, level: float = 0.95, mask: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Q-profile confidence interval of tau2 (Viechtbauer 2007).

    Parameters
    ----------
    effects, variances : array_like, shape (..., k)
        Effects and their sampling variances.
    level : float
        Confidence level.
    mask : array_like of bool, shape (..., k), optional
        True where the study is present.

    Returns
    -------
    tau2_low, tau2_high : float, shape (...)
        The values of tau2 at which the generalised Q meets the upper and lower chi-square(k - 1) quantiles, cut at 0.
        Both are 0 where the studies agree so closely that no tau2 fits (metafor prints the null set).

    Raises
    ------
    ValueError
        As `pool`.
    """
    check_options(level)
    studies = check(effects, variances, mask, at_least=2)
    low, high, converged = (np.empty(int(np.prod(studies.pools)), dtype) for dtype in (float, float, bool))
    for which, _, y, v, present in chunks(studies):
        low[which], high[which], converged[which] = heterogeneity.q_profile_limits(y, v, present, level)
    warn_unless(converged, "Q-profile limits")
    return low.reshape(studies.pools)[()], high.reshape(studies.pools)[()]


def check_options(level: float, **options: tuple[str, tuple[str, ...]]) -> None:
    """Raise a one-line ValueError on a level outside (0, 1) or a choice that does not exist."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level!r}")
    for name, (value, known) in options.items():
        if value not in known:
            raise ValueError(f"unknown {name} {value!r}; use one of {', '.join(known)}")


def check_model(model: str, ci_method: str) -> None:
    """Raise a one-line ValueError on an interval that does not fit the model."""
    if model == "common" and ci_method in ("HK", "mHK"):
        raise ValueError(f"ci_method {ci_method!r} is for the random-effects model; with 'common' use 'Wald' or 't'")


def _given(tau2: ArrayLike, studies: Studies, model: str) -> NDArray[np.float64]:
    """Given values of tau2, one a pool, or a one-line ValueError."""
    if model == "common":
        raise ValueError("tau2 is for the random-effects model")
    values = np.asarray(tau2, dtype=float)
    if values.shape not in ((), studies.pools):
        raise ValueError(f"want one tau2, or one for each pool {studies.pools}; got {values.shape}")
    for index in map(tuple, np.argwhere(~(np.isfinite(values) & (values >= 0))).tolist()):
        raise ValueError(f"{name_pool(index)}tau2 must be finite and not below zero; got {values[index]:g}")
    return np.broadcast_to(values, studies.pools).ravel()


class Results:
    """The fields of a `Pool` while a batch is worked through in pieces; fields never stored stay NaN."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        count = int(np.prod(shape[:-1]))
        self.arrays = {field.name: np.full(count, np.nan) for field in fields(Pool)}
        self.arrays |= {name: np.zeros(count, dtype=np.int64) for name in ("k", "q_df")}
        self.arrays |= {"weights": np.zeros((count, shape[-1])), "converged": np.ones(count, dtype=bool)}

    def store(self, which: slice, values: dict[str, NDArray]) -> None:
        """Put the values of one piece in their place."""
        for name in values.keys() & self.arrays.keys():
            self.arrays[name][which] = values[name]

    def pool(self) -> Pool:
        """The finished result; numbers instead of arrays for a single pool."""
        weights = self.arrays.pop("weights").reshape(self.shape)
        return Pool(**{name: a.reshape(self.shape[:-1])[()] for name, a in self.arrays.items()}, weights=weights)
