"""Numbers as text: what a reader sees must not change from run to run."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_analysis import report

# A printed number stands for all values within half a unit of its last digit.
HALF_UNIT = 0.5
# Powers of ten and the multiplication round once each.
FLOAT_SLACK = 1e-9


@pytest.mark.parametrize(("x", "digits", "text"), [
    (-0.001, 2, "0.00"), (-0.0, 2, "0.00"), (-0.4, 0, "0"), (-0.006, 2, "-0.01"), (np.float64(0.1), 2, "0.10"),
    (np.array(1.5), 1, "1.5"), (12, 0, "12"), (1234.5678, 2, "1234.57"), (math.inf, 2, "infinity"),
    (-math.inf, 2, "-infinity"),
])
def test_number_prints_plain_text(x, digits, text):
    assert report.number(x, digits) == text


@pytest.mark.parametrize("x", [math.nan, None, pd.NA, np.float64("nan")])
def test_a_missing_number_is_named(x):
    assert report.number(x) == "not estimable"
    assert report.number(x, missing="") == ""


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_number_is_ascii_within_half_a_unit_and_never_minus_zero(x, digits):
    text = report.number(x, digits)
    assert text.isascii() and "e" not in text
    assert abs(float(text) - x) <= HALF_UNIT * 10.0**-digits + FLOAT_SLACK * abs(x)
    assert not (text.startswith("-") and float(text) == 0)


def test_interval():
    assert report.interval(-1.054, -0.388) == "-1.05 to -0.39"
    assert report.interval(-0.001, math.inf, 1) == "0.0 to infinity"
    assert report.interval(math.nan, 1, missing="?") == "?"
    with pytest.raises(ValueError, match=r"got 2\.00 to 1\.00"):
        report.interval(2, 1)


@pytest.mark.parametrize(("p", "text"), [
    (0.0324, "p = 0.032"), (0.001, "p = 0.001"), (0.00099, "p < 0.001"), (0.0, "p < 0.001"), (0.9994, "p > 0.999"),
    (0.999, "p = 0.999"), (1.0, "p > 0.999"), (math.nan, "not estimable"),
])
def test_p_value(p, text):
    assert report.p_value(p) == text


def test_p_value_outside_zero_to_one_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        report.p_value(1.2)


def test_percent_takes_percent():
    assert report.percent(46.7) == "47%"
    assert report.percent(46.72, 1) == "46.7%"
    assert report.percent(math.nan, missing="") == ""


def test_estimate_with_interval_takes_a_row_or_three_numbers():
    text = "-0.72 (95% CI -1.05 to -0.39)"
    row = {"estimate": -0.7199, "ci_low": -1.0501, "ci_high": -0.3899}
    assert report.estimate_with_interval(row) == text
    assert report.estimate_with_interval(pd.Series(row)) == text
    assert report.estimate_with_interval(tuple(row.values())) == text
    assert report.estimate_with_interval((-0.7, math.nan, math.nan)) == "-0.70 (95% CI not estimable)"
    assert report.estimate_with_interval((math.nan, math.nan, math.nan)) == "not estimable"
