"""Certainty of the evidence by GRADE, each judgement following from a computed quantity by a rule stated here.

A body of randomised trials starts at high certainty and loses one level for a serious and two for a very serious
concern in each of five domains (Guyatt and others 2011, J Clin Epidemiol 64:383-394). GRADE leaves the judgements to a
panel. These rules make a proposal that anybody can recompute, and that a panel may overrule. Each constant below is a
choice of ours where GRADE names no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from statsmodels.stats.power import tt_ind_solve_power
from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

from meta_analysis.report import RATIO_MEASURES, interval, no_effect, number, percent

SERIOUS_WEIGHT = 0.5  # share of the weight from trials at high risk of bias, or with no judgement at all
SOME_CONCERNS_WEIGHT = 0.9  # share of the weight from trials that are not at low risk
SUBSTANTIAL_I2, CONSIDERABLE_I2 = 50.0, 75.0  # percent; where the Cochrane Handbook (10.10.2) begins to use the words
DURABLE_DAYS = 182  # half a year after the last dose
PRIOR_USE = 0.2  # share of people who had taken the drug before the trial
SMALL_SMD, IMPORTANT_SMD = 0.2, 0.5  # small and medium by Cohen (1988)
IMPORTANT_RATIO = 0.25  # a quarter more or fewer events (GRADE's usual choice)
MISSING_PEOPLE = 0.2  # share of the people known to be randomised whose trial gives no result for the outcome
LEVELS = ("High", "Moderate", "Low", "Very low")
CONCERNS = {0: "not serious", -1: "serious", -2: "very serious"}


@dataclass(frozen=True)
class Judgement:
    """One domain of one outcome: the quantity looked at, its value, the threshold, levels lost (0, -1, -2), why."""

    domain: str
    quantity: str
    value: float
    threshold: float
    levels: int
    reason: str

    def __post_init__(self) -> None:
        if self.levels not in CONCERNS:
            raise ValueError(f"{self.domain}: a domain costs 0, 1 or 2 levels, not {self.levels}")


def risk_of_bias(shares: Mapping[str, float]) -> Judgement:
    """Serious if half of the weight is at high risk or unjudged, or nearly all of it is not at low risk.

    Parameters
    ----------
    shares : mapping
        Overall judgement -> share of the weight, summing to 1 (a row of `judgements.weight_shares`).

    Raises
    ------
    ValueError
        If they do not sum to 1.
    """
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"shares of the weight sum to 1, these to {number(sum(shares.values()), 3)}")
    bad = shares.get("High", 0.0) + shares.get("No information", 0.0)
    not_low = 1 - shares.get("Low", 0.0)
    serious = bad >= SERIOUS_WEIGHT or not_low >= SOME_CONCERNS_WEIGHT
    reason = f"{percent(100 * bad)} of the weight at high risk or unjudged, {percent(100 * not_low)} not at low risk"
    return Judgement("risk of bias", "share of weight at high risk or unjudged", bad, SERIOUS_WEIGHT, -serious, reason)


def inconsistency(k: int, i2: float, tau2_high: float = np.nan) -> Judgement:
    """Serious if I2 is substantial, very serious if it is considerable; one trial cannot disagree with itself.

    Parameters
    ----------
    k : int
        Number of trials.
    i2 : float
        Percent.
    tau2_high : float
        Upper limit of tau2, named in the reason if known.
    """
    if k < 2:
        return Judgement("inconsistency", "I2, percent", np.nan, SUBSTANTIAL_I2, 0, "one trial: cannot be judged")
    levels = -2 if i2 >= CONSIDERABLE_I2 else -1 if i2 >= SUBSTANTIAL_I2 else 0
    wide = "" if np.isnan(tau2_high) else f"; the data allow a between-trial variance up to {number(tau2_high)}"
    return Judgement("inconsistency", "I2, percent", i2, SUBSTANTIAL_I2, levels, f"I2 {percent(i2)}{wide}")


def indirectness(days: float, prior_use: float, instruments: int) -> Judgement:
    """Serious with one or two of three gaps between trials and question, very serious with all three.

    Parameters
    ----------
    days : float
        Longest randomised follow-up after the last dose; NaN if not known, which counts as a gap.
    prior_use : float
        Share of the people who had taken the drug before, where it is known; NaN if it is known for no trial.
    instruments : int
        Number of different instruments that define the event; 1 for scores, which are standardised.
    """
    gaps = []
    if not days >= DURABLE_DAYS:
        known = "unknown" if np.isnan(days) else f"{number(days, 0)} days after the last dose"
        gaps.append(f"longest randomised follow-up {known}")
    if prior_use >= PRIOR_USE:
        gaps.append(f"{percent(100 * prior_use)} of those asked had taken MDMA before")
    if instruments > 1:
        gaps.append(f"the event is defined on {instruments} instruments")
    levels = 0 if not gaps else -1 if len(gaps) < 3 else -2
    return Judgement("indirectness", "gaps between trials and question", len(gaps), 1, levels,
                     "; ".join(gaps) or "no gap of the three looked for")


def optimal_information_size(measure: str, control_risk: float = np.nan) -> float:
    """People, in both arms together, that one trial would need to find the smallest difference that matters.

    Two arms of equal size, two-sided 5%, chance of 80% (statsmodels). A small standardised difference (`SMALL_SMD`),
    or a quarter fewer events (`IMPORTANT_RATIO`); of an event that half of the controls have or more, a quarter fewer
    people without it, so that good news and its absence need alike many.

    Parameters
    ----------
    measure : str
        SMD, MD, RR, OR or RD.
    control_risk : float
        Per person; for events only.

    Returns
    -------
    float
        Rounded up to whole people; infinite if nobody in the control arm had the event.

    Raises
    ------
    ValueError
        If a control risk is not between 0 and 1.
    """
    if measure in ("SMD", "MD"):
        return float(2 * np.ceil(tt_ind_solve_power(effect_size=SMALL_SMD, alpha=0.05, power=0.8)))
    if not 0 <= control_risk <= 1:
        raise ValueError(f"a control risk lies between 0 and 1, got {control_risk:g}")
    risk = min(control_risk, 1 - control_risk)
    if risk == 0:
        return float("inf")
    change = -IMPORTANT_RATIO * risk
    per_arm = samplesize_proportions_2indep_onetail(change, risk, 0.8, alpha=0.05, alternative="two-sided")
    return float(2 * np.ceil(per_arm))


def imprecision(measure: str, low: float, high: float, people: float, needed: float) -> Judgement:
    """Serious if the interval holds no effect or too few people were studied, very serious if it holds everything.

    Very serious: the interval holds an important benefit and an important harm (`IMPORTANT_SMD`, `IMPORTANT_RATIO`).

    Parameters
    ----------
    measure : str
        SMD, RR or OR.
    low, high : float
        Confidence limits on the natural scale.
    people : float
        Analysed, in both arms.
    needed : float
        `optimal_information_size`.

    Raises
    ------
    ValueError
        On another measure.
    """
    if measure in RATIO_MEASURES:
        important = 1 - IMPORTANT_RATIO, 1 + IMPORTANT_RATIO
    elif measure == "SMD":
        important = -IMPORTANT_SMD, IMPORTANT_SMD
    else:
        raise ValueError(f"imprecision is judged on an SMD, RR or OR, not on {measure!r}")
    null = no_effect(measure)
    holds_null = low <= null <= high
    if low <= important[0] and high >= important[1]:
        levels, words = -2, "the interval holds an important benefit and an important harm"
    elif holds_null:
        levels, words = -1, f"{null:g} (no effect) lies inside the interval"
    else:
        levels, words = (-1 if people < needed else 0), f"{null:g} (no effect) lies outside the interval"
    size = f" of {number(needed, 0)} needed"
    if np.isinf(needed):
        size = "; no number of people is enough to find a change from a risk of nothing"
    return Judgement("imprecision", "people analysed", people, needed, levels,
                     f"{words} ({interval(low, high)}); {number(people, 0)} people{size}")


def missing_results(people_in: float, people_known: float) -> Judgement:
    """Suspected (serious) if many of the people known to be randomised are in trials that give no result for it.

    Parameters
    ----------
    people_in : float
        People randomised in the trials that give a result.
    people_known : float
        People randomised in all known trials.

    Raises
    ------
    ValueError
        If more people have a result than are known.
    """
    if not 0 <= people_in <= people_known or people_known == 0:
        raise ValueError(f"people with a result lie among the people known; got {people_in:g} of {people_known:g}")
    missing = (people_known - people_in) / people_known
    reason = f"no result for {number(people_known - people_in, 0)} of {number(people_known, 0)} people known ("
    return Judgement("missing results", "share of people without a result", missing, MISSING_PEOPLE,
                     -int(missing >= MISSING_PEOPLE), f"{reason}{percent(100 * missing)}); too few trials for a funnel")


def certainty(judgements: Sequence[Judgement]) -> str:
    """High, Moderate, Low or Very low: high less the levels lost, never below very low."""
    return LEVELS[min(-sum(judgement.levels for judgement in judgements), len(LEVELS) - 1)]


def judgement_rows(outcome: str, reading: str, judgements: Sequence[Judgement]) -> list[dict[str, Any]]:
    """Judgements as rows of a table: outcome, reading, then the fields of `Judgement`, and its name in words."""
    return [{"outcome": outcome, "reading": reading, **asdict(item), "concern": CONCERNS[item.levels]}
            for item in judgements]
