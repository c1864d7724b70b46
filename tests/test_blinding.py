"""Blinding index by hand; two groups of trials against metafor's meta-regression; power against the noncentral t."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from meta_analysis.blinding import bang_index, group_difference

REFERENCE = Path(__file__).parents[1] / "data" / "reference" / "harms.json"
GROUPS = json.loads(REFERENCE.read_text(encoding="utf-8"))["groups"]
# Two REML iterations, of metafor and of the multilevel model, stopped at different places.
ITERATIVE = 1e-6


@pytest.mark.parametrize("right, wrong, unsure, expected", [
    (50, 50, 0, 0.0), (90, 10, 0, 0.8), (75, 25, 0, 0.5), (10, 0, 0, 1.0), (0, 7, 0, -1.0), (6, 2, 2, 0.4)])
def test_bang_index(right, wrong, unsure, expected):
    assert bang_index(right, wrong, unsure) == pytest.approx(expected)


@pytest.mark.parametrize("reference", GROUPS, ids=["normand1999", "bcg"])
def test_group_difference_is_metafors_meta_regression(reference):
    result = group_difference(reference["yi"], reference["vi"], np.array(reference["group"]) == 1, supposed=0.5)
    for name in ("estimate", "se", "p", "ci_low", "ci_high", "tau2"):
        assert getattr(result, name) == pytest.approx(reference[name], rel=ITERATIVE), name
    assert result.df == len(reference["yi"]) - 2


def test_power_is_the_noncentral_t():
    y, v = np.array([-1.2, -0.9, -1.3, -0.2, -0.8, -0.6]), np.array([0.24, 0.4, 0.23, 0.21, 0.055, 0.045])
    result = group_difference(y, v, np.array([True, False, False, False, True, True]), supposed=0.4)
    critical, shift = stats.t.ppf(0.975, 4), 0.4 / result.se
    expected = stats.nct.sf(critical, 4, shift) + stats.nct.cdf(-critical, 4, shift)
    assert result.power == pytest.approx(expected, rel=1e-6)
    shift = result.detectable / result.se
    assert stats.nct.sf(critical, 4, shift) + stats.nct.cdf(-critical, 4, shift) == pytest.approx(0.8, rel=1e-6)


def test_the_sign_follows_the_group():
    y, v = np.array([-1.0, -0.9, -0.2, -0.3]), np.full(4, 0.05)
    group = np.array([True, True, False, False])
    one, other = group_difference(y, v, group, supposed=0.5), group_difference(y, v, ~group, supposed=0.5)
    assert one.estimate == pytest.approx(-0.7) and other.estimate == pytest.approx(0.7)
    assert one.power == pytest.approx(other.power)


@pytest.mark.parametrize("call, message", [
    (lambda: bang_index(0, 0), "not all 0"),
    (lambda: bang_index(-1, 2), "counts of 0 or more"),
    (lambda: group_difference([1, 2, 3], [1, 1, 1], np.array([True, True, True]), supposed=1), "two groups"),
    (lambda: group_difference([1, 2], [1, 1], np.array([True, False]), supposed=1), "at least three trials"),
    (lambda: group_difference([1, 2, 3], [1, 1, 1], [1, 0, 0], supposed=1), "true or false"),
    (lambda: group_difference([1, 2, 3], [1, 1], np.array([True, False, False]), supposed=1), "all of one length"),
])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
