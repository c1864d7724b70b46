"""Every rule is turned each way it can turn, by made-up results."""

import math

import pytest

from meta_analysis.verdicts import (
    DIFFERENT_SIZE,
    MISLEADING,
    NOT_CHECKABLE,
    NOT_REPRODUCED,
    REPRODUCED,
    Estimate,
    conclusion,
    distance,
    verdict_on_all,
    verdict_on_count,
    verdict_on_equal_dropout,
    verdict_on_estimate,
    verdict_on_no_increase,
)

CLAIM = Estimate(-1.10, -1.62, -0.59)


@pytest.mark.parametrize(("natural", "expected"), [
    ([Estimate(-1.104, -1.616, -0.594)], REPRODUCED),
    ([Estimate(-0.73, -0.99, -0.47), Estimate(-1.096, -1.6246, -0.5851)], REPRODUCED),
    ([Estimate(-1.106, -1.62, -0.59)], DIFFERENT_SIZE),
    ([Estimate(-1.10, -1.62, -0.50)], DIFFERENT_SIZE),
    ([Estimate(-0.73, -0.99, -0.47)], DIFFERENT_SIZE),
    ([Estimate(-0.73, -1.60, 0.10)], NOT_REPRODUCED),
    ([Estimate(0.73, 0.47, 0.99)], NOT_REPRODUCED),
    ([], NOT_CHECKABLE),
])
def test_an_estimate(natural, expected):
    assert verdict_on_estimate(CLAIM, natural, null=0.0) == expected


def test_the_first_natural_coding_gives_the_conclusion():
    natural = [Estimate(-0.7, -1.5, 0.1), Estimate(-0.7, -1.0, -0.4)]
    assert verdict_on_estimate(CLAIM, natural, null=0.0) == NOT_REPRODUCED
    assert verdict_on_estimate(CLAIM, natural[::-1], null=0.0) == DIFFERENT_SIZE


def test_a_ratio_is_judged_against_one():
    claim = Estimate(1.59, 1.22, 2.08)
    assert verdict_on_estimate(claim, [Estimate(1.50, 1.12, 2.01)], null=1.0) == DIFFERENT_SIZE
    assert verdict_on_estimate(claim, [Estimate(1.20, 0.80, 1.80)], null=1.0) == NOT_REPRODUCED


def test_an_estimate_without_limits_is_refused():
    with pytest.raises(ValueError, match="needs a value and two limits"):
        verdict_on_estimate(Estimate(1.5, math.nan, math.nan), [], null=1.0)


@pytest.mark.parametrize(("natural", "expected"), [
    ([285, 297], REPRODUCED), ([285, 296], NOT_REPRODUCED), ([], NOT_CHECKABLE)
])
def test_a_count(natural, expected):
    assert verdict_on_count(297, natural) == expected


@pytest.mark.parametrize(("ratios", "expected"), [
    ([Estimate(0.82, 0.5, 1.35)], REPRODUCED),
    ([Estimate(2.4, 0.49, 11.9)], MISLEADING),
    ([Estimate(0.82, 0.5, 1.35), Estimate(0.57, 0.15, 2.27)], MISLEADING),
    ([Estimate(4.6, 1.9, 11.0), Estimate(0.82, 0.5, 1.35)], NOT_REPRODUCED),
    ([], NOT_CHECKABLE),
])
def test_no_increase(ratios, expected):
    assert verdict_on_no_increase(ratios) == expected


@pytest.mark.parametrize(("holds", "expected"), [
    ([True, True], REPRODUCED), ([True, False], MISLEADING), ([False, False], NOT_REPRODUCED), ([], NOT_CHECKABLE)
])
def test_a_statement_about_all_trials(holds, expected):
    assert verdict_on_all(holds) == expected


@pytest.mark.parametrize(("active", "control", "difference", "expected"), [
    (0.05, 0.06, Estimate(-0.01, -0.06, 0.04), REPRODUCED),
    (0.05, 0.09, Estimate(-0.04, -0.07, -0.01), MISLEADING),
    (0.05, 0.16, Estimate(-0.11, -0.18, -0.03), MISLEADING),
    (0.15, 0.16, Estimate(-0.01, -0.10, 0.08), NOT_REPRODUCED),
])
def test_low_dropout(active, control, difference, expected):
    assert verdict_on_equal_dropout(active, control, difference) == expected


def test_conclusion_and_distance():
    assert [conclusion(Estimate(0, *ends), 1.0) for ends in ((1.1, 2), (0.5, 0.9), (0.5, 2))] == [1, -1, 0]
    assert distance(CLAIM, Estimate(-1.10, -1.60, -0.60)) == pytest.approx(0.02)
