"""How well a trial was blinded, and whether trials with another kind of control find another effect."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.power import TTestPower

from meta_analysis.multilevel import fit_multilevel


class GroupDifference(NamedTuple):
    """Difference between two groups of trials, in the unit of the effects, with its test and what it could find.

    `power` is the chance of finding a true difference of `supposed` with this standard error; `detectable` the true
    difference that would be found with a chance of 0.8.
    """

    estimate: float
    se: float
    df: int
    ci_low: float
    ci_high: float
    p: float
    tau2: float
    supposed: float
    power: float
    detectable: float


def bang_index(right: float, wrong: float, unsure: float = 0.0) -> float:
    """Blinding index of one arm: how much more often people guessed right than wrong (Bang, Ni and Davis 2004).

    Parameters
    ----------
    right, wrong, unsure : float
        People, or shares of people, who guessed right, guessed wrong, and did not venture a guess.

    Returns
    -------
    float
        (right - wrong) / all: 0 when guesses are as good as tossing a coin, 1 when everybody knew, -1 when everybody
        was wrong.

    Raises
    ------
    ValueError
        On negative numbers, or when all three are zero.
    """
    counts = (right, wrong, unsure)
    if not (all(np.isfinite(count) and count >= 0 for count in counts) and sum(counts) > 0):
        raise ValueError(f"guesses are counts of 0 or more, and not all 0; got {right:g}, {wrong:g}, {unsure:g}")
    return (right - wrong) / sum(counts)


def group_difference(
    effects: ArrayLike, variances: ArrayLike, in_group: ArrayLike, *, supposed: float, level: float = 0.95
) -> GroupDifference:
    """Compare two groups of trials by meta-regression on one yes-or-no feature.

    A random-effects model with one tau2 for both groups (REML) and t(k - 2): metafor's
    ``rma(yi, vi, mods = ~ in_group, test = "t")``.

    Parameters
    ----------
    effects, variances : array_like, shape (k,)
        Effects (ratios as logs) and their sampling variances.
    in_group : array_like of bool, shape (k,)
        True for the group whose effect comes first in the difference.
    supposed : float
        A difference whose chance of being found is wanted, in the unit of the effects.
    level : float
        Level of the interval and of the test.

    Returns
    -------
    GroupDifference
        `estimate` is the effect of the group less that of the other trials.

    Raises
    ------
    ValueError
        If a group is empty, there are fewer than three trials, or the shapes differ.
    """
    y, v = np.asarray(effects, dtype=float), np.asarray(variances, dtype=float)
    group = np.asarray(in_group)
    if group.dtype != bool or not y.shape == v.shape == group.shape:
        raise ValueError("effects, variances and a true or false for each trial are needed, all of one length")
    if group.all() or not group.any() or group.size < 3:
        raise ValueError("two groups and at least three trials are needed for a difference between groups")
    design = np.column_stack([np.ones(y.size), group])
    fit = fit_multilevel(
        y, np.diag(v), np.arange(y.size), design=design, components=("between",), df="residual", level=level
    )
    estimate, se, df = float(fit.coefficients[1]), float(fit.se[1]), y.size - 2
    test = TTestPower()
    chances = {"nobs": df + 1, "alpha": 1 - level, "alternative": "two-sided"}
    # TTestPower counts in standard deviations of one observation: a standard error times the root of its nobs.
    unit = se * np.sqrt(df + 1)
    power = test.power(abs(supposed) / unit, **chances)
    detectable = test.solve_power(effect_size=None, power=0.8, **chances) * unit
    margin = stats.t.ppf(0.5 + level / 2, df) * se
    return GroupDifference(
        estimate, se, df, float(estimate - margin), float(estimate + margin), float(fit.p[1]),
        float(fit.sigma2_between), supposed, float(power), float(detectable),
    )
