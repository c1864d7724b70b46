"""Which trial splits a cloud, what Egger's test can find, what overturns a result; and the tables made of them."""

import numpy as np
import pandas as pd
import pytest

from meta_analysis import sensitivity, sensitivity_tables
from meta_analysis.analyses import choose
from meta_analysis.data import read_derived
from meta_analysis.leave_out import gosh
from meta_analysis.missing_outcomes import SCENARIOS
from meta_analysis.pooling import pool
from meta_analysis.report import estimate_with_interval
from meta_analysis.results import one, results_table
from meta_analysis.small_study import egger_test

SEVERITY = choose(read_derived("02_effects.csv"), "ptsd_severity", "SMD")
RESPONSE = choose(read_derived("02_effects.csv"), "response", "RR")


def test_the_odd_one_out_splits_the_cloud():
    found = gosh([0.1, 0.0, -0.1, 3.0, 0.05], [0.1] * 5)
    split = sensitivity.gosh_split(found)
    assert split.study == 3 and split.shifts[3] > 1
    assert np.abs(split.shifts[[0, 1, 2, 4]]).max() < split.shifts[3]
    with pytest.raises(ValueError, match="two subsets"):
        sensitivity.gosh_split(found, at_least=5)


def test_power_is_the_level_without_a_slope_and_four_fifths_at_what_is_detectable():
    v = SEVERITY["vi"]
    assert sensitivity.egger_power(v, 0.0).power == pytest.approx(0.05, abs=1e-9)
    detectable = sensitivity.egger_power(v, 1.0).detectable
    assert sensitivity.egger_power(v, detectable).power == pytest.approx(0.8, abs=1e-9)
    assert sensitivity.egger_power(v, -1.0).power == pytest.approx(sensitivity.egger_power(v, 1.0).power)


def test_power_by_simulation():
    """4,000 draws of effects on a line, tested as Egger wrote it: spread estimated, t with four degrees of freedom."""
    v = SEVERITY["vi"].to_numpy()
    rng = np.random.default_rng(3)
    y = 3.0 * np.sqrt(v) + rng.normal(0, np.sqrt(v), (4000, v.size))
    se = np.sqrt(v)
    w, x = 1 / v, np.column_stack([np.ones(v.size), se])
    covariance = np.linalg.inv(x.T @ (w[:, None] * x))
    slopes = (covariance @ x.T @ (w * y).T)[1]
    t = slopes / np.sqrt(covariance[1, 1])
    spread = ((y.T - x @ (covariance @ x.T @ (w * y).T)) ** 2 * w[:, None]).sum(axis=0) / (v.size - 2)
    found = np.mean(np.abs(t) / np.sqrt(spread) > 2.776445)  # t(4)
    assert sensitivity.egger_power(v, 3.0).power == pytest.approx(found, abs=0.025)


def test_the_standard_error_is_that_of_the_test():
    """With the effects exactly on a line, the mixed Egger test has no heterogeneity and the power's standard error."""
    se = np.sqrt(SEVERITY["vi"].to_numpy())
    test = egger_test(1 + 2 * se, se**2, model="rma", ci_method="t")
    spread = np.sum((se - np.average(se, weights=se**-2)) ** 2 / se**2)
    np.testing.assert_allclose(test.se, spread**-0.5, rtol=1e-9)


def test_power_needs_three_studies_that_differ():
    with pytest.raises(ValueError, match="at least 3"):
        sensitivity.egger_power([0.1, 0.2], 1.0)
    with pytest.raises(ValueError, match="all alike"):
        sensitivity.egger_power([0.1, 0.1, 0.1], 1.0)


def test_the_next_trial_is_the_smallest_that_overturns():
    y, v = SEVERITY["yi"].to_numpy(), SEVERITY["vi"].to_numpy()
    size = sensitivity.next_trial_to_overturn(y, v, 0.0, lambda n: sensitivity.smd_variance(0.0, n), model="common")
    for n, overturned in ((size, True), (size - 1, False)):
        result = pool([*y, 0.0], [*v, sensitivity.smd_variance(0.0, n)], model="common")
        assert (result.ci_high >= 0) == overturned


def test_a_trial_that_agrees_never_overturns_and_an_open_question_needs_none():
    y, v = SEVERITY["yi"], SEVERITY["vi"]
    same = sensitivity.next_trial_to_overturn(y, v, -0.7, lambda n: sensitivity.smd_variance(-0.7, n), largest=500)
    assert same is None
    unsure = sensitivity.next_trial_to_overturn([0.1, -0.1], [0.5, 0.5], 0.0, lambda n: 2 / n)
    assert unsure == 2
    with pytest.raises(ValueError, match='"ci" or "pi"'):
        sensitivity.next_trial_to_overturn(y, v, 0.0, lambda n: 2 / n, interval="both")


def test_variances_of_a_planned_trial():
    np.testing.assert_allclose(sensitivity.smd_variance(-0.5, [10, 20]), [0.2 + 0.00625, 0.1 + 0.003125])
    np.testing.assert_allclose(sensitivity.log_risk_ratio_variance(np.log(2), 50, 0.25), 0.5 / 25 + 0.75 / 12.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        sensitivity.log_risk_ratio_variance(np.log(2), 50, 0.6)


def test_one_at_a_time_ends_with_the_whole_pool():
    rows = results_table(sensitivity_tables.one_at_a_time(SEVERITY, "severity"))
    whole = one(read_derived("03_results.csv"), "severity.primary")
    assert len(rows) == 2 * len(SEVERITY)
    np.testing.assert_allclose(one(rows, "severity.up_to.MAPP2")["estimate"], whole["estimate"], rtol=1e-9)
    by_hand = pool(SEVERITY["yi"][1:], SEVERITY["vi"][1:])
    np.testing.assert_allclose(one(rows, "severity.without.MP-1")["estimate"], by_hand.estimate, rtol=1e-12)
    assert one(rows, "severity.up_to.MP-1")["k"] == 1


def test_rows_for_the_reader_hold_the_result_as_a_text():
    rows = sensitivity_tables.one_at_a_time(SEVERITY, "severity")[:2]
    shown = sensitivity_tables.show_rows(rows, ["analysis_id", "k"])
    assert shown.columns.tolist() == ["analysis_id", "k", "result", "τ²"]
    assert shown["result"].tolist() == [estimate_with_interval(row) for row in rows]
    assert shown["k"].tolist() == ["5", "5"]


def test_influence_has_a_row_for_each_trial():
    table = sensitivity_tables.influence_table(SEVERITY, "severity")
    assert list(table["trial_id"]) == list(SEVERITY["trial_id"])
    np.testing.assert_allclose(table["weight"].sum(), 100)


def test_small_study_rows_are_on_the_natural_scale():
    smd = sensitivity_tables.small_study_row(SEVERITY, "s", 0.5)
    ratio = sensitivity_tables.small_study_row(RESPONSE, "r", 1.5)
    assert smd["egger_p"] == pytest.approx(float(egger_test(SEVERITY["yi"], SEVERITY["vi"]).p))
    assert 0 < smd["power"] < 0.5 and smd["detectable"] > 0.5
    assert ratio["detectable"] > 1.5 and ratio["egger_mixed_p"] >= ratio["egger_p"]


def test_people_lost_stand_beside_their_trial():
    counts = sensitivity_tables.counts_with_lost(RESPONSE, read_derived("01_trial_flow.csv"))
    by_trial = dict(zip(RESPONSE["trial_id"], zip(counts["missing_active"], counts["missing_control"])))
    assert by_trial["MAPP1"] == (4, 7) and by_trial["MAPP2"] == (1, 9) and by_trial["MP-12"] == (1, 0)
    assert by_trial["MP-1"] == (0, 0)  # not known by arm


def test_scenarios_and_next_trials_become_rows():
    counts = sensitivity_tables.counts_with_lost(RESPONSE, read_derived("01_trial_flow.csv"))
    rows = results_table(sensitivity_tables.scenario_rows(RESPONSE, counts, "response"))
    estimate = rows.set_index("analysis_id")["estimate"]
    assert len(rows) == len(SCENARIOS)
    worst, observed, failures = (estimate[f"response.missing.{name}"] for name in (
        "worst_case", "as_observed", "failures"))
    assert worst < observed < failures
    np.testing.assert_allclose(observed, pool_ratio(RESPONSE), rtol=1e-9)
    row = sensitivity_tables.next_trial_row(RESPONSE, "response", 1.0, lambda n: 0.4 / n)
    assert list(row) == ["outcome", "next_trial_finds", *sensitivity_tables.NEXT_TRIAL]


def pool_ratio(effects: pd.DataFrame) -> float:
    return float(np.exp(pool(effects["yi"], effects["vi"]).estimate))
