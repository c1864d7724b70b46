"""GRADE by rule: every rule is turned each way by made-up quantities; sample sizes against R."""

import json
from pathlib import Path

import numpy as np
import pytest

from meta_analysis import grade

REFERENCE = Path(__file__).parents[1] / "data" / "reference" / "harms.json"
SIZES = json.loads(REFERENCE.read_text(encoding="utf-8"))["sizes"]
# R's power.prop.test uses the pooled standard error under no difference, statsmodels the same but adds the other tail's
# power; both are then rounded up to whole people, in each arm.
ROUNDED_UP = 4
LOW = {"Low": 1.0}


@pytest.mark.parametrize("shares, levels", [
    (LOW, 0),
    ({"Low": 0.9, "Some concerns": 0.1}, 0),
    ({"Low": 0.51, "High": 0.49}, 0),
    ({"Low": 0.5, "High": 0.5}, -1),
    ({"Low": 0.5, "High": 0.25, "No information": 0.25}, -1),
    ({"Low": 0.05, "Some concerns": 0.95}, -1),
    ({"High": 1.0}, -1),
])
def test_risk_of_bias(shares, levels):
    assert grade.risk_of_bias(shares).levels == levels


@pytest.mark.parametrize("k, i2, levels", [
    (6, 0, 0), (6, 49.9, 0), (6, 50, -1), (6, 74.9, -1), (6, 75, -2), (1, 90, 0)])
def test_inconsistency(k, i2, levels):
    judged = grade.inconsistency(k, i2)
    assert judged.levels == levels
    assert ("one trial" in judged.reason) == (k == 1)


@pytest.mark.parametrize("days, prior, instruments, levels", [
    (200, 0.05, 1, 0), (63, 0.05, 1, -1), (np.nan, 0.05, 1, -1), (200, 0.3, 1, -1), (200, np.nan, 1, 0),
    (63, 0.3, 1, -1), (63, 0.3, 2, -2), (200, 0.05, 2, -1)])
def test_indirectness(days, prior, instruments, levels):
    assert grade.indirectness(days, prior, instruments).levels == levels


@pytest.mark.parametrize("measure, low, high, people, levels", [
    ("SMD", -1.0, -0.4, 1000, 0),  # excludes no effect, enough people
    ("SMD", -1.0, -0.4, 258, -1),  # too few people
    ("SMD", -1.0, 0.1, 1000, -1),  # holds no effect
    ("SMD", -0.6, 0.6, 1000, -2),  # holds an important benefit and an important harm
    ("RR", 1.1, 1.8, 1000, 0),
    ("RR", 0.9, 1.8, 1000, -1),
    ("RR", 0.7, 1.3, 1000, -2),
    ("RR", 0.0, np.inf, 1000, -2),
    ("OR", 0.9, 1.1, 100, -1),
])
def test_imprecision(measure, low, high, people, levels):
    assert grade.imprecision(measure, low, high, people, 500).levels == levels


@pytest.mark.parametrize("people, levels", [(305, 0), (245, 0), (244, -1), (0, -1)])
def test_missing_results(people, levels):
    assert grade.missing_results(people, 305).levels == levels


@pytest.mark.parametrize("levels, expected", [
    ((0, 0, 0, 0, 0), "High"), ((-1, 0, 0, 0, 0), "Moderate"), ((-1, 0, -1, 0, 0), "Low"), ((-2, 0, 0, 0, 0), "Low"),
    ((-1, -1, -1, 0, 0), "Very low"), ((-2, -2, -2, -2, -1), "Very low")])
def test_certainty(levels, expected):
    assert grade.certainty([grade.Judgement("x", "q", 0, 0, level, "") for level in levels]) == expected


def test_information_size_of_a_score_is_rs_power_t_test():
    assert grade.optimal_information_size("SMD") == 2 * np.ceil(SIZES["smd_0.2"])


@pytest.mark.parametrize("row", SIZES["props"], ids=lambda row: f"{row['p1']:g}")
def test_information_size_of_an_event_is_rs_power_prop_test(row):
    assert grade.optimal_information_size("RR", row["p1"]) == pytest.approx(2 * row["n"], abs=ROUNDED_UP)
    assert grade.optimal_information_size("RR", 1 - row["p1"]) == grade.optimal_information_size("RR", row["p1"])


def test_the_reason_says_on_which_side_no_effect_lies():
    assert "1 (no effect) lies inside the interval (0.90 to 1.80); 100 people of 500 needed" == grade.imprecision(
        "RR", 0.9, 1.8, 100, 500).reason
    assert grade.imprecision("SMD", -1.0, -0.4, 100, 500).reason.startswith("0 (no effect) lies outside the interval")


def test_an_event_that_nobody_has_needs_no_end_of_people():
    assert grade.optimal_information_size("RR", 0.0) == np.inf
    assert "no number of people" in grade.imprecision("RR", 0.0, np.inf, 104, np.inf).reason


def test_rows_name_the_quantity_and_the_concern():
    rows = grade.judgement_rows("severity", "Sypres", [grade.inconsistency(6, 60.0, 0.76)])
    assert rows[0]["outcome"] == "severity" and rows[0]["concern"] == "serious"
    assert rows[0]["value"] == 60 and rows[0]["threshold"] == 50 and "up to 0.76" in rows[0]["reason"]


@pytest.mark.parametrize("call, message", [
    (lambda: grade.risk_of_bias({"Low": 0.5}), "sum to 1, these to 0.500"),
    (lambda: grade.imprecision("MD", -1, 1, 10, 10), "on an SMD, RR or OR, not on 'MD'"),
    (lambda: grade.optimal_information_size("RR", 1.5), "between 0 and 1, got 1.5"),
    (lambda: grade.optimal_information_size("RR"), "between 0 and 1, got nan"),
    (lambda: grade.missing_results(10, 5), "got 10 of 5"),
    (lambda: grade.Judgement("x", "q", 0, 0, -3, ""), "costs 0, 1 or 2 levels, not -3"),
])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
