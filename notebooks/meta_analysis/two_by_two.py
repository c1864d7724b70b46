"""One trial's 2 x 2 table: intervals that hold in small samples, and what the table could have shown.

The active arm comes first and the control second. Risks and differences are per person. Nothing is added to any cell.
Pools of several tables are in `mantel_haenszel`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize, stats
from scipy.stats.contingency import odds_ratio as conditional_odds_ratio
from statsmodels.stats.proportion import proportion_confint

from meta_analysis.studies import ensure_counts

EDGE = 1e-12  # risks are searched this far inside 0 and 1, where likelihoods are finite
FAR = 1e8  # odds ratios beyond this, or below its inverse, count as infinite or zero


class Interval(NamedTuple):
    """An estimate and its confidence limits; NaN where the table says nothing."""

    estimate: float
    low: float
    high: float


def share(events: int, n: int, level: float = 0.95) -> Interval:
    """Risk in one arm with its exact interval (Clopper and Pearson 1934, by statsmodels).

    Parameters
    ----------
    events, n : int
        People with the event, and all people.
    level : float
        Level of the interval; each tail has half of the rest.

    Returns
    -------
    Interval
        Per person.

    Raises
    ------
    ValueError
        On counts that are negative or above their total.
    """
    _check(events, n, 0, 1)
    low, high = proportion_confint(events, n, alpha=1 - level, method="beta")
    return Interval(events / n, float(np.nan_to_num(low)), float(high))


def score_z(events_active: int, n_active: int, events_control: int, n_control: int, difference: float = 0.0) -> float:
    """Distance of a table from a given risk difference, in standard errors (Miettinen and Nurminen 1985).

    (a/n1 - c/n2 - D) / sqrt((p1 (1 - p1)/n1 + p2 (1 - p2)/n2) N/(N - 1)), where p1 = p2 + D is the likeliest pair of
    risks which are D apart.

    Parameters
    ----------
    events_active, n_active, events_control, n_control : int
        The table: a of n1, c of n2.
    difference : float
        Risk difference under test, active minus control, between -1 and 1.

    Returns
    -------
    float
        Positive: the table lies above `difference`. 0 where table and difference agree exactly.
    """
    risk_control = _likeliest_control_risk(events_active, n_active, events_control, n_control, difference)
    risk_active = risk_control + difference
    total = n_active + n_control
    variance = risk_active * (1 - risk_active) / n_active + risk_control * (1 - risk_control) / n_control
    gap = events_active / n_active - events_control / n_control - difference
    if abs(gap) < EDGE:
        return 0.0
    return gap / np.sqrt(max(variance, EDGE**2) * total / (total - 1))


def risk_difference(
    events_active: int, n_active: int, events_control: int, n_control: int, level: float = 0.95
) -> Interval:
    """Risk difference of one trial with its score interval (Miettinen and Nurminen 1985).

    Parameters
    ----------
    events_active, n_active, events_control, n_control : int
        People with the event and all people, of each arm. Zero cells are allowed, in both arms too.
    level : float
        Level of the interval.

    Returns
    -------
    Interval
        Per person, active minus control. statsmodels has the same interval, but its search breaks down where few or no
        events were seen, which is what it is needed for here.

    Raises
    ------
    ValueError
        On counts that are negative or above their total.
    """
    table = (events_active, n_active, events_control, n_control)
    _check(*table)
    z = stats.norm.ppf(0.5 + level / 2)
    estimate = events_active / n_active - events_control / n_control

    def limit(end: float, wanted: float) -> float:
        # At the end of the scale the table may be exactly as expected: then the interval reaches that end.
        inside = np.sign(end) * (1 - EDGE)
        if (score_z(*table, inside) - wanted) * (0.0 - wanted) >= 0:
            return float(end)
        return float(optimize.brentq(lambda d: score_z(*table, d) - wanted, *sorted((estimate, inside)), xtol=1e-13))

    return Interval(estimate, limit(-1.0, z), limit(1.0, -z))


def risk_ratio(events_active: int, n_active: int, events_control: int, n_control: int, level: float = 0.95) -> Interval:
    """Risk ratio of one trial with its score interval (Koopman 1984; Miettinen and Nurminen 1985).

    The limits are the ratios R at which (a/n1 - R c/n2) / sqrt((p1 (1 - p1)/n1 + R^2 p2 (1 - p2)/n2) N/(N - 1)) is as
    far from 0 as a normal deviate allows, with p1 = R p2 the likeliest pair of risks.

    Parameters and errors as `risk_difference`. A table in which nobody had the event gives NaN, 0 and infinity; with no
    event in the control arm alone the ratio and its upper limit are infinite.
    """
    a, n1, c, n2 = events_active, n_active, events_control, n_control
    _check(a, n1, c, n2)
    if a == c == 0:
        return Interval(np.nan, 0.0, np.inf)
    z, total = stats.norm.ppf(0.5 + level / 2), n1 + n2

    def distance(log_ratio: float) -> float:
        """Standard errors between the table and a ratio, at the likeliest risks of that ratio (a quadratic root)."""
        ratio = np.exp(log_ratio)
        half = (n1 * ratio + a + n2 + c * ratio) / 2
        risk = (half - np.sqrt(max(half**2 - total * ratio * (a + c), 0.0))) / (total * ratio)
        active = ratio * risk
        variance = active * (1 - active) / n1 + ratio**2 * risk * (1 - risk) / n2
        return (a / n1 - ratio * c / n2) / np.sqrt(max(variance, EDGE**2) * total / (total - 1))

    def limit(wanted: float) -> float:
        ends = -np.log(FAR), np.log(FAR)
        if (distance(ends[0]) - wanted) * (distance(ends[1]) - wanted) >= 0:
            return 0.0 if distance(ends[0]) < wanted else np.inf
        return float(np.exp(optimize.brentq(lambda x: distance(x) - wanted, *ends, xtol=1e-13)))

    estimate = np.inf if c == 0 else (a / n1) / (c / n2)
    return Interval(estimate, limit(z) if a else 0.0, limit(-z) if c else np.inf)


def odds_ratio(
    events_active: int, n_active: int, events_control: int, n_control: int, *, method: str = "mid-p",
    level: float = 0.95,
) -> Interval:
    """Conditional odds ratio of one trial with its exact or mid-p interval.

    Parameters
    ----------
    events_active, n_active, events_control, n_control : int
        As in `risk_difference`.
    method : {"mid-p", "exact"}
        ``"exact"``: all tables at least as extreme count fully (scipy; R's fisher.test), wider than it need be.
        ``"mid-p"``: the observed table counts by half (Lancaster 1961; Berry and Armitage 1995).
    level : float
        Level of the interval.

    Returns
    -------
    Interval
        The conditional maximum-likelihood odds ratio and its limits, on the natural scale; NaN, 0 and infinity where
        nobody, or everybody, had the event.

    Raises
    ------
    ValueError
        On an unknown method or bad counts.
    """
    _check(events_active, n_active, events_control, n_control)
    events = events_active + events_control
    if events in (0, n_active + n_control):
        return Interval(np.nan, 0.0, np.inf)
    cells = [[events_active, n_active - events_active], [events_control, n_control - events_control]]
    result = conditional_odds_ratio(cells)
    if method == "exact":
        return Interval(float(result.statistic), *(float(x) for x in result.confidence_interval(level)))
    if method != "mid-p":
        raise ValueError(f"unknown method {method!r}; use one of mid-p, exact")

    def above(log_odds: float) -> float:
        """Chance of more events in the active arm than seen, and half of the chance of as many."""
        law = stats.nchypergeom_fisher(n_active + n_control, n_active, events, np.exp(log_odds))
        return law.sf(events_active) + law.pmf(events_active) / 2

    def limit(tail: float) -> float:
        ends = -np.log(FAR), np.log(FAR)
        if (above(ends[0]) - tail) * (above(ends[1]) - tail) >= 0:
            return 0.0 if above(ends[0]) > tail else np.inf
        return float(np.exp(optimize.brentq(lambda x: above(x) - tail, *ends, xtol=1e-12)))

    return Interval(float(result.statistic), limit((1 - level) / 2), limit((1 + level) / 2))


def p_value(events_active: int, n_active: int, events_control: int, n_control: int) -> float:
    """Two-sided p value of no difference, by the score test that belongs to `risk_difference`; 1 without any events.

    Parameters and errors as `risk_difference`.
    """
    _check(events_active, n_active, events_control, n_control)
    return float(2 * stats.norm.sf(abs(score_z(events_active, n_active, events_control, n_control))))


def power(risk_active: float, n_active: int, risk_control: float, n_control: int, level: float = 0.95) -> float:
    """Exact chance that a trial shows an increase by the two-sided score test.

    All tables are enumerated, with their binomial probabilities; what counts is p < 1 - `level` with the active arm
    above the control arm.

    Parameters
    ----------
    risk_active, risk_control : float
        True risks, 0 to 1.
    n_active, n_control : int
        People in each arm.

    Returns
    -------
    float
        Between 0 and 1.
    """
    shown = _shows_increase(n_active, n_control, level)
    active = stats.binom.pmf(np.arange(n_active + 1), n_active, risk_active)
    control = stats.binom.pmf(np.arange(n_control + 1), n_control, risk_control)
    return float(active @ shown @ control)


def smallest_detectable_increase(
    risk_control: float, n_active: int, n_control: int, *, chance: float = 0.8, level: float = 0.95
) -> float:
    """Smallest true increase in risk that a trial of this size would have shown with the given chance.

    Parameters
    ----------
    risk_control : float
        True risk in the control arm, 0 to 1.
    n_active, n_control : int
        People in each arm.
    chance, level : float
        Power wanted, and level of the test (`power`).

    Returns
    -------
    float
        Risk difference per person; NaN if even a risk of 1 in the active arm would not have been shown so often.

    Raises
    ------
    ValueError
        On a risk outside 0 to 1, a chance outside (0, 1), or arms without people.
    """
    if not (0 <= risk_control <= 1 and 0 < chance < 1):
        raise ValueError(f"a risk lies in 0 to 1, a chance between 0 and 1, got {risk_control:g} and {chance:g}")
    _check(0, n_active, 0, n_control)

    def lacking(increase: float) -> float:
        return power(risk_control + increase, n_active, risk_control, n_control, level) - chance

    largest = 1.0 - risk_control
    if lacking(largest) < 0:
        return float("nan")
    return float(optimize.brentq(lacking, 0.0, largest, xtol=1e-10))


def _shows_increase(n1: int, n2: int, level: float) -> np.ndarray:
    """Of all (n1 + 1) x (n2 + 1) tables, those whose score test shows more events in the active arm."""
    a, c = np.ogrid[: n1 + 1, : n2 + 1]
    total = n1 + n2
    risk = (a + c) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(risk * (1 - risk) * (1 / n1 + 1 / n2) * total / (total - 1))
        z = (a / n1 - c / n2) / se
    return z > stats.norm.ppf(0.5 + level / 2)


def _likeliest_control_risk(a: int, n1: int, c: int, n2: int, difference: float) -> float:
    """Control risk at which the likelihood of the table is highest when the active risk is `difference` above it."""
    low, high = max(0.0, -difference), min(1.0, 1.0 - difference)

    def slope(risk: float) -> float:
        """Slope of the log-likelihood; a term without people drops out, also where its risk is 0."""
        active = risk + difference
        terms = ((a, active), (-(n1 - a), 1 - active), (c, risk), (-(n2 - c), 1 - risk))
        return sum(count / max(chance, EDGE**2) for count, chance in terms if count)

    margin = EDGE * (high - low)
    if slope(low + margin) <= 0:
        return low
    if slope(high - margin) >= 0:
        return high
    return optimize.brentq(slope, low + margin, high - margin, xtol=1e-15)


def _check(a: int, n1: int, c: int, n2: int) -> None:
    ensure_counts(*(np.asarray(x, dtype=float) for x in (a, n1, c, n2)))
