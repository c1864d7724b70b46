"""All time points and doses of the trials in one model: effects of each arm at each time, and their covariance.

Every row is a randomised comparison, an active arm against its trial's control arm at the same time point, before any
crossover. Rows of one trial share people, so they enter a three-level model (`multilevel`) with their covariance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from meta_analysis.cluster_robust import RobustResult, robust_multilevel
from meta_analysis.comparisons import with_effects
from meta_analysis.multilevel import MultilevelFit, fit_multilevel
from meta_analysis.sampling_covariance import shared_control_smd

KEYS = ["trial_id", "report", "timepoint_id", "outcome", "instrument"]
ABOUT_TIME = ["days_since_baseline", "days_since_last_dose", "sessions_so_far"]
LENT = 0.001  # share of the smallest sampling variance; see fit_course
MODERATORS = {"sessions": "sessions so far", "dose": "extra dose so far, per 100 mg", "weeks": "weeks since baseline"}


def all_time_effects(
    table: pd.DataFrame, characteristics: pd.DataFrame, outcome: str = "ptsd_severity"
) -> pd.DataFrame:
    """Hedges' g of each active arm against its control at each time point before crossover.

    Parameters
    ----------
    table : DataFrame
        The analysis table.
    characteristics : DataFrame
        The extracted table; its rows ``cumulative_dose_mg`` name the time point in `text`. A control arm without such a
        row had no MDMA.
    outcome : str

    Returns
    -------
    DataFrame
        trial_id, report, timepoint_id, arm (active), n, mean, sd of both sides, days_since_baseline, sessions (so far),
        weeks (since baseline), dose (cumulative mg in the active arm less that in the control arm, in 100 mg),
        high_dose, yi, vi: sorted by trial, time and dose.
    """
    rows = table[(table["outcome"] == outcome) & ~table["post_crossover"]].dropna(subset=["n", "mean", "sd"])
    dose = characteristics[characteristics["characteristic"] == "cumulative_dose_mg"]
    dose = dose.assign(timepoint_id=dose["trial_id"] + ":" + dose["text"])
    by_arm = dose.set_index(["arm_id", "timepoint_id"])["value"]
    rows = rows.join(by_arm.rename("cumulative"), on=["arm_id", "timepoint_id"])
    columns = [*KEYS, "arm_id", "n", "mean", "sd", "cumulative"]
    active = rows[rows["role"] == "active"][[*columns, *ABOUT_TIME, "dose_mg", "high_dose"]]
    control = rows[rows["role"] == "control"][columns]
    pairs = active.merge(control.assign(cumulative=control["cumulative"].fillna(0.0)), on=KEYS,
                         suffixes=("_active", "_control"))
    pairs = with_effects(pairs, "SMD").reset_index(drop=True)
    return pairs.assign(
        arm=pairs["arm_id_active"], sessions=pairs["sessions_so_far"].astype(float),
        weeks=pairs["days_since_baseline"].astype(float) / 7,
        dose=(pairs["cumulative_active"] - pairs["cumulative_control"]) / 100,
    )


def sampling_covariance(effects: pd.DataFrame, rho: float, *, shared: str = "exact") -> NDArray[np.float64]:
    """Covariance of the sampling errors of all rows, zero between trials.

    Parameters
    ----------
    effects : DataFrame
        From `all_time_effects`.
    rho : float
        Correlation of the errors of one arm's effects at two time points; no source prints it, so vary it. At 1 the
        matrix is singular.
    shared : {"exact", "rho"}
        Two arms at the same time share their control group: the covariance that follows from the numbers of people and
        the effects (`sampling_covariance.shared_control_smd`), or `rho` here too.

    Returns
    -------
    (m, m) matrix
        Two arms of a trial at different times (none here) get rho times the exact correlation.

    Raises
    ------
    ValueError
        On a rho outside 0 to 1, or another word for `shared`.
    """
    if not 0 <= rho <= 1 or shared not in ("exact", "rho"):
        raise ValueError(f'rho must lie from 0 to 1 and shared be "exact" or "rho"; got {rho:g}, {shared!r}')
    v = effects["vi"].to_numpy(dtype=float)
    trial, arm, time = (effects[name].to_numpy() for name in ("trial_id", "arm", "timepoint_id"))
    correlation = np.where(trial[:, None] == trial[None, :], rho, 0.0)
    if shared == "exact":
        for i, j in zip(*np.nonzero((trial[:, None] == trial[None, :]) & (arm[:, None] != arm[None, :]))):
            pair = effects.iloc[[i, j]]
            block = shared_control_smd(pair["yi"], pair["n_active"], float(pair["n_control"].iloc[0]))
            exact = block[0, 1] / np.sqrt(block[0, 0] * block[1, 1])
            correlation[i, j] = exact if time[i] == time[j] else rho * exact
    np.fill_diagonal(correlation, 1.0)
    return correlation * np.sqrt(np.outer(v, v))


def fit_course(
    effects: pd.DataFrame, moderators: tuple[str, ...] = (), *, rho: float = 0.6, shared: str = "exact",
    at: ArrayLike | None = None,
) -> tuple[MultilevelFit, RobustResult]:
    """Three-level model of all rows, with its cluster-robust (CR2) errors beside the model's own.

    At rho = 1 the sampling covariance V is singular (if an arm was measured more than once), but the model is not: its
    covariance V + sigma2_between J + sigma2_within I is regular as long as effects of one trial truly differ
    (sigma2_within > 0). It is then fitted as (V + c I) with sigma2_within - c, the same model for every c below
    sigma2_within. What divides by V alone, Q and I2, does not exist there.

    Parameters
    ----------
    effects : DataFrame
        From `all_time_effects`.
    moderators : tuple of str
        Columns of `effects`.
    rho, shared
        As `sampling_covariance`.
    at : array_like, one value a moderator, optional
        Where the intercept stands: the moderators are measured from here. By default from 0.

    Returns
    -------
    (MultilevelFit, RobustResult)
        Coefficients: the intercept, then the moderators. Degrees of freedom: trials less coefficients for the model
        (at least 1), Satterthwaite's for CR2. At rho = 1 `q`, `q_p`, `i2_between` and `i2_within` are NaN.

    Raises
    ------
    ValueError
        As `sampling_covariance` and `fit_multilevel`; and at rho = 1 if sigma2_within vanishes: the likelihood then has
        no maximum.
    """
    values = effects[list(moderators)].to_numpy(dtype=float) - (0.0 if at is None else np.asarray(at, dtype=float))
    design = np.column_stack([np.ones(len(effects)), values])
    v = sampling_covariance(effects, rho, shared=shared)
    singular = np.linalg.matrix_rank(v, hermitian=True) < len(v)  # at rho = 1, if an arm has several times
    lent = LENT * np.diag(v).min() if singular else 0.0
    fit = fit_multilevel(effects["yi"], v + lent * np.eye(len(v)), effects["trial_id"], design=design)
    if lent:
        if fit.sigma2_within == 0:
            raise ValueError("rho = 1, and no variance within trials: the likelihood has no maximum")
        nothing = dict.fromkeys(("q", "q_p", "i2_between", "i2_within"), np.nan)
        fit = replace(fit, sigma2_within=fit.sigma2_within + lent, sampling_covariance=v, **nothing)
    return fit, robust_multilevel(fit)


def band(effects: pd.DataFrame, moderator: str, places: ArrayLike, **options: Any) -> pd.DataFrame:
    """Fitted effect along one moderator, with the model's interval and the honest (CR2) one at each place.

    The robust interval at a place is that of the intercept of a model whose moderator is measured from there, with its
    own Satterthwaite degrees of freedom.

    Parameters
    ----------
    effects : DataFrame
        As for `fit_course`.
    moderator : str
        Its column.
    places : array_like, shape (n,)
        In the unit of the moderator.
    **options
        As for `fit_course`.

    Returns
    -------
    DataFrame
        place, estimate, model_low, model_high, robust_low, robust_high, df.
    """
    rows = []
    for place in np.asarray(places, dtype=float):
        fit, robust = fit_course(effects, (moderator,), at=[place], **options)
        rows.append([place, fit.coefficients[0], fit.ci_low[0], fit.ci_high[0], robust.ci_low[0], robust.ci_high[0],
                     robust.df[0]])
    columns = ["place", "estimate", "model_low", "model_high", "robust_low", "robust_high", "df"]
    return pd.DataFrame(rows, columns=columns)


def courses(table: pd.DataFrame, outcome: str = "ptsd_severity") -> pd.DataFrame:
    """Mean of each arm from baseline to its last time point before crossover, with the 95 % interval of that mean.

    Parameters
    ----------
    table : DataFrame
        The analysis table, one row an arm and time point.
    outcome : str
        Which outcome.

    Returns
    -------
    DataFrame
        trial_id, report, instrument, arm_id, role, dose_mg, weeks, sessions (so far), n, mean, low, high (mean plus and
        minus t(n - 1) standard errors), sorted by trial, arm and time.
    """
    rows = table[(table["outcome"] == outcome) & ~table["post_crossover"]].dropna(subset=["n", "mean", "sd"])
    rows = rows.assign(weeks=rows["days_since_baseline"].astype(float) / 7,
                       sessions=rows["sessions_so_far"].astype(float))
    start = rows.drop_duplicates("arm_id").assign(weeks=0.0, sessions=0.0)
    start[["n", "mean", "sd"]] = start[["baseline_n", "baseline_mean", "baseline_sd"]].to_numpy()
    rows = pd.concat([start, rows])
    order = {trial: place for place, trial in enumerate(dict.fromkeys(rows["trial_id"]))}
    rows = rows.assign(place=rows["trial_id"].map(order), control=rows["role"] == "control")
    rows = rows.sort_values(["place", "control", "dose_mg", "arm_id", "weeks"], kind="stable", ignore_index=True)
    half = stats.t.ppf(0.975, rows["n"] - 1) * rows["sd"] / np.sqrt(rows["n"])
    kept = ["trial_id", "report", "instrument", "arm_id", "role", "dose_mg", "weeks", "sessions", "n", "mean"]
    return rows[kept].assign(low=rows["mean"] - half, high=rows["mean"] + half)


def between_and_within(effects: pd.DataFrame, moderator: str) -> pd.DataFrame:
    """Each row's moderator split into its trial's mean and its distance from that mean; as two new columns."""
    mean = effects.groupby("trial_id")[moderator].transform("mean")
    return effects.assign(**{f"{moderator}_between": mean, f"{moderator}_within": effects[moderator] - mean})


def dose_contrasts(table: pd.DataFrame, outcome: str = "ptsd_severity") -> pd.DataFrame:
    """The higher active dose against the lower one of the same trial at the primary time: a randomised comparison.

    Parameters
    ----------
    table : DataFrame
        The analysis table, one row an arm and time point.
    outcome : str
        Which outcome.

    Returns
    -------
    DataFrame
        trial_id, report, higher, lower (mg), n, mean and sd of both (higher dose in the place of the active arm), yi,
        vi. A negative value says that the higher dose left people less ill.
    """
    rows = table[(table["outcome"] == outcome) & table["primary"] & (table["role"] == "active")]
    rows = rows.dropna(subset=["n", "mean", "sd"])
    columns = [*KEYS, "n", "mean", "sd", "dose_mg"]
    high, low = rows[rows["high_dose"]][columns], rows[~rows["high_dose"]][columns]
    pairs = high.merge(low, on=KEYS, suffixes=("_active", "_control"))
    pairs = pairs.rename(columns={"dose_mg_active": "higher", "dose_mg_control": "lower"})
    return with_effects(pairs, "SMD")


def dose_slope(effects: pd.DataFrame, control_dose: ArrayLike) -> dict[str, float]:
    """Effect per 25 mg within trials: a line through each trial's control arm, by generalised least squares.

    The contrasts of a trial have a common control group, whose covariance is exact; a contrast of 0 mg is 0, so that
    the line has no intercept and only doses of the same trial are compared (Greenland and Longnecker 1992, on the
    idea). Common effect: two trials cannot tell how slopes vary.

    Parameters
    ----------
    effects : DataFrame
        Rows of `all_time_effects` at one time point a trial, with `dose_mg`.
    control_dose : array_like
        Dose of each row's control arm, mg.

    Returns
    -------
    dict
        estimate, se, ci_low, ci_high (normal, SMD per 25 mg), p, q, q_df, q_p: Cochran's Q of the contrasts about the
        line.
    """
    x = (effects["dose_mg"].to_numpy(dtype=float) - np.asarray(control_dose, dtype=float)) / 25
    y, w = effects["yi"].to_numpy(dtype=float), np.linalg.inv(sampling_covariance(effects, 0.0))
    variance = float(1 / (x @ w @ x))
    slope = float(x @ w @ y) * variance
    rest = y - slope * x
    q, df = float(rest @ w @ rest), y.size - 1
    return normal_test(slope, variance) | {"q": q, "q_df": df, "q_p": float(stats.chi2.sf(q, df))}


def normal_test(estimate: float, variance: float) -> dict[str, float]:
    """estimate, se, ci_low, ci_high (95 %, normal) and two-sided p of an effect and its sampling variance."""
    se = float(np.sqrt(variance))
    margin = float(stats.norm.ppf(0.975)) * se
    return {"estimate": float(estimate), "se": se, "ci_low": float(estimate - margin),
            "ci_high": float(estimate + margin), "p": float(2 * stats.norm.sf(abs(estimate) / se))}
