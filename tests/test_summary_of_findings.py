"""The facts behind a certainty, and the row it ends in, on made-up tables."""

import numpy as np
import pandas as pd
import pytest

from meta_analysis import summary_of_findings as sof

ARMS = pd.DataFrame([
    ("T1:all", "T1", "whole_trial", 100), ("T2:all", "T2", "whole_trial", 60), ("T3:all", "T3", "whole_trial", 40),
    ("T1:a", "T1", "active", 50)], columns=["arm_id", "trial_id", "role", "n_randomised"])
TIMEPOINTS = pd.DataFrame({"trial_id": ["T1", "T1", "T2", "T3"], "is_primary": [True, False, True, True],
                           "days_since_last_dose": [28.0, 400.0, 63.0, 500.0]})
TRIALS = pd.DataFrame({"trial_id": ["T1", "T2", "T3"], "severity_instrument": ["X", "Y", ""]})
TRAITS = pd.DataFrame([
    ("T1", "prior_mdma_use", "count", "used", 10.0, 50), ("T1", "prior_mdma_use", "count", "used", 5.0, 50),
    ("T2", "prior_mdma_use", "percent", "used", 90.0, 60), ("T3", "prior_mdma_use", "count", "check", 40.0, 40)],
    columns=["trial_id", "characteristic", "statistic", "use", "value", "n"])
TABLES = {"arms": ARMS, "timepoints": TIMEPOINTS, "trial_table": TRIALS, "characteristics": TRAITS}
EVENTS = pd.DataFrame({"trial_id": ["T1", "T2"], "report": ["A", "B"], "events_control": [10, 5], "n_control": [40, 20],
                       "yi": [0.5, 0.4], "vi": [0.04, 0.12]})
ROW = {"analysis_id": "x.primary", "measure": "RR", "k": 2, "n_active": 60, "n_control": 60, "estimate": 1.6,
       "ci_low": 1.1, "ci_high": 2.3, "i2": 0.0, "tau2_high": np.nan, "model": "common", "tau2_method": ""}
LIGHTS = pd.DataFrame({"overall": ["Low", "High"]}, index=["A", "B"])


def test_facts_are_those_of_the_trials_behind_the_outcome():
    facts = sof.gather(EVENTS, **TABLES, defined_on_a_scale=True)
    assert facts.days == 63, "the longest primary follow-up of the two trials, not later visits nor other trials"
    assert facts.prior_use == pytest.approx(0.15), "counts only"
    assert (facts.instruments, facts.people_in, facts.people_known) == (2, 160, 200)
    assert facts.control_risk == pytest.approx(0.25)


def test_what_is_not_known_stays_unknown():
    facts = sof.gather(EVENTS.iloc[1:].drop(columns=["events_control", "n_control"]), **TABLES)
    assert np.isnan(facts.prior_use) and np.isnan(facts.control_risk)
    assert facts.instruments == 1


def test_the_lights_count_by_weight_and_a_missing_one_counts_as_unjudged():
    facts = sof.gather(EVENTS, **TABLES)
    both = sof.judge(ROW, EVENTS, LIGHTS, facts)[0]
    assert both.value == pytest.approx(0.25), "weights 1/0.04 and 1/0.12: three quarters and one quarter"
    without = sof.judge(ROW, EVENTS, LIGHTS.iloc[1:], facts)[0]
    assert without.value == pytest.approx(1.0)
    assert sof.judge(ROW, EVENTS, sof.UNJUDGED, facts)[0].value == 1


def test_a_single_trial_has_all_the_weight():
    facts = sof.gather(EVENTS.iloc[1:], **TABLES)
    judged = sof.judge(ROW | {"k": 1}, EVENTS.iloc[1:], LIGHTS, facts)
    assert judged[0].value == 1 and judged[1].reason.startswith("one trial")


def test_each_reading_has_its_certainty():
    facts = sof.gather(EVENTS, **TABLES)
    facts = facts._replace(days=365.0, people_in=200.0)  # nothing indirect, nothing missing
    readings = {"all low": LIGHTS.assign(overall="Low"), "all high": LIGHTS.assign(overall="High")}
    rows, certainties = sof.assess("x", ROW, EVENTS, readings, facts)
    assert len(rows) == 10
    lost = {reading: sum(row["levels"] for row in rows if row["reading"] == reading) for reading in readings}
    assert lost == {"all low": -1, "all high": -2}, "too few people, and then the bias"
    assert certainties == {"all low": "Moderate", "all high": "Low"}


def test_a_trial_without_a_ratio_has_no_say_in_its_weights():
    facts = sof.gather(EVENTS, **TABLES)
    with_zero = pd.concat([EVENTS, EVENTS.iloc[1:].assign(yi=np.nan, vi=np.nan)])
    assert sof.judge(ROW, with_zero, LIGHTS, facts)[0].value == pytest.approx(0.25)
    nowhere = EVENTS.assign(yi=np.nan, vi=np.nan)
    assert sof.judge(ROW, nowhere, LIGHTS, facts)[0].value == pytest.approx(0.5), "no weights: each trial counts alike"


def test_a_row_of_the_summary():
    rows, certainties = sof.assess("x", ROW, EVENTS, {"Sypres": LIGHTS}, sof.gather(EVENTS, **TABLES))
    row = sof.summary_row("response", ROW, measured_as="event", domains=rows, certainties=certainties,
                          levels={"middle": "150 more"}, basis="RR")
    assert row["effect"] == "RR 1.60 (95% CI 1.10 to 2.30)" and row["people"] == 120
    assert row["per 1000, middle control risk"] == "150 more" and row["per 1000, low control risk"] == ""
    assert row["risk of bias, Sypres"].startswith("not serious: 25% of the weight at high risk")
    assert row["imprecision"].startswith("serious (-1): 1 (no effect) lies outside the interval")
    assert row["inconsistency"] == "not serious: I2 0%"
    assert row["certainty, Sypres"] == certainties["Sypres"]
    score = sof.summary_row("x", ROW, measured_as="X", domains=rows, certainties=certainties, points="3", basis="SD")
    assert list(score) == list(row), "scores and events have the same columns"
