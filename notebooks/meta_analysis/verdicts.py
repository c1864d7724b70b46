"""The rules by which a published claim gets its verdict.

Each rule is a pure function of numbers, so that made-up results can turn it every way. The words are fixed:

- reproduced: a natural coding gives the printed value within rounding (for words: the data bear them out).
- same conclusion, different size: no natural coding gives the printed value, but the direction and whether the interval
  excludes no effect are the same.
- not reproduced: the direction or the significance is another.
- not checkable: the public data lack what a check would need.
- misleading as worded: what is said holds for a part of the evidence, or rests on data that could not have shown
  otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

REPRODUCED = "reproduced"
DIFFERENT_SIZE = "same conclusion, different size"
NOT_REPRODUCED = "not reproduced"
NOT_CHECKABLE = "not checkable"
MISLEADING = "misleading as worded"
VERDICTS = (REPRODUCED, DIFFERENT_SIZE, NOT_REPRODUCED, NOT_CHECKABLE, MISLEADING)

#: Half a unit of the second decimal, in which estimates are printed, and a hair for the representation of numbers.
ROUNDING = 0.005 + 1e-9
#: An increase that "no significant increase" should at least rule out: a doubling of the risk.
DOUBLING = 2.0


class Estimate(NamedTuple):
    """An estimate and its 95 % interval, on the natural scale."""

    estimate: float
    low: float
    high: float


def conclusion(result: Estimate, null: float) -> int:
    """Which side of no effect the interval excludes: -1 below it, 1 above it, 0 if it holds it."""
    return int(result.low > null) - int(result.high < null)


def distance(claim: Estimate, result: Estimate) -> float:
    """Largest difference between the printed and the computed estimate and limits, in the unit of the measure."""
    return float(np.max(np.abs(np.subtract(claim, result))))


def verdict_on_estimate(claim: Estimate, natural: Sequence[Estimate], null: float) -> str:
    """Judge a printed estimate by the results of the natural codings, all under the claim's own method.

    Parameters
    ----------
    claim : Estimate
        As printed.
    natural : sequence of Estimate
        Results of the codings that a rule without sight of results calls natural (`natural_codings`); the first is the
        one nearest to the primary analysis, and gives the conclusion.
    null : float
        No effect: 0 for differences, 1 for ratios.

    Raises
    ------
    ValueError
        If a value of the claim is missing.
    """
    if not np.isfinite(claim).all():
        raise ValueError(f"a claimed estimate needs a value and two limits, got {tuple(claim)}")
    if not natural:
        return NOT_CHECKABLE
    if any(distance(claim, result) <= ROUNDING for result in natural):
        return REPRODUCED
    same_side = (claim.estimate > null) == (natural[0].estimate > null)
    return DIFFERENT_SIZE if same_side and conclusion(claim, null) == conclusion(natural[0], null) else NOT_REPRODUCED


def verdict_on_count(claim: float, natural: Iterable[float]) -> str:
    """Judge a printed count by the counts that the natural codings give."""
    natural = list(natural)
    if not natural:
        return NOT_CHECKABLE
    return REPRODUCED if claim in natural else NOT_REPRODUCED


def verdict_on_no_increase(risk_ratios: Sequence[Estimate]) -> str:
    """Judge "no significant increase" of a harm by the risk ratios of the constructs that fit its words.

    Not checkable without any. Not reproduced if one shows an increase. Misleading as worded if none does but one of
    them does not even rule out a doubling: data that could not have shown an increase do not show its absence.
    """
    if not risk_ratios:
        return NOT_CHECKABLE
    if any(conclusion(result, 1.0) > 0 for result in risk_ratios):
        return NOT_REPRODUCED
    return MISLEADING if any(result.high >= DOUBLING for result in risk_ratios) else REPRODUCED


def verdict_on_all(holds: Sequence[bool]) -> str:
    """Judge a statement about all trials: reproduced if it holds for each, misleading if only for some of them."""
    if not len(holds):
        return NOT_CHECKABLE
    return REPRODUCED if all(holds) else MISLEADING if any(holds) else NOT_REPRODUCED


def verdict_on_equal_dropout(active: float, control: float, difference: Estimate, low: float = 0.1) -> str:
    """Judge "low dropout" by the shares lost in each arm and the interval of their difference.

    Reproduced if both shares are below `low`; misleading as worded if one is, or if the arms differ; else not
    reproduced.
    """
    if active < low and control < low and conclusion(difference, 0.0) == 0:
        return REPRODUCED
    return MISLEADING if min(active, control) < low else NOT_REPRODUCED
