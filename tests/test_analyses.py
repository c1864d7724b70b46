"""Rows of the results tables: the right numbers under the right names."""

import numpy as np
import pandas as pd
import pytest

from meta_analysis.analyses import choose, mantel_haenszel_row, pooled_row
from meta_analysis.mantel_haenszel import mantel_haenszel
from meta_analysis.pooling import pool


@pytest.fixture
def effects():
    common = {"outcome": "response", "arms": "combined", "scale_kind": "events", "n_active": [20, 30, 40],
              "n_control": [21, 31, 41], "events_active": [10, 18, 25], "events_control": [5, 12, 16]}
    log_rr = np.log((np.array([10, 18, 25]) / [20, 30, 40]) / (np.array([5, 12, 16]) / [21, 31, 41]))
    rr = pd.DataFrame({**common, "effect_set": "response", "measure": "RR", "yi": log_rr, "vi": [0.2, 0.1, 0.05]})
    rd = rr.assign(measure="RD", yi=[0.1, 0.3, 0.2], vi=[0.02, 0.01, 0.01])
    return pd.concat([rr, rd], ignore_index=True)


def test_choose_takes_one_set_and_measure(effects):
    assert choose(effects, "response", "RD")["yi"].tolist() == [0.1, 0.3, 0.2]
    with pytest.raises(ValueError, match="no effects remission RR; there are: response RR, response RD"):
        choose(effects, "remission", "RR")


def test_a_pooled_ratio_stands_on_its_natural_scale(effects):
    trials = choose(effects, "response", "RR")
    row, expected = pooled_row(trials, "response.primary"), pool(trials["yi"], trials["vi"], tau2_interval=True)
    assert row["estimate"] == pytest.approx(np.exp(expected.estimate), rel=1e-12)
    assert row["se"] == pytest.approx(expected.se, rel=1e-12)
    assert (row["k"], row["n_active"], row["n_control"]) == (3, 90, 93)
    assert (row["model"], row["tau2_method"], row["ci_method"]) == ("random", "REML", "mHK")
    assert np.isfinite(row["tau2_high"])


def test_the_common_effect_model_names_no_estimator(effects):
    row = pooled_row(choose(effects, "response", "RD"), "x", model="common", ci_method="Wald")
    assert (row["model"], row["tau2_method"], row["tau2"]) == ("common", "", 0)
    assert np.isnan(row["pi_low"])


def test_a_single_trial_is_its_own_estimate_and_says_so(effects):
    trials = choose(effects, "response", "RD").iloc[:1]
    row = pooled_row(trials, "x")
    assert row["estimate"] == pytest.approx(0.1) and row["se"] == pytest.approx(np.sqrt(0.02))
    assert (row["k"], row["ci_method"]) == (1, "Wald") and "single trial" in row["note"]


@pytest.mark.parametrize("model", ["common", "random"])
def test_mantel_haenszel_rows_use_the_counts(effects, model):
    row = mantel_haenszel_row(choose(effects, "response", "RR"), "response.mh", model=model)
    expected = mantel_haenszel([10, 18, 25], [20, 30, 40], [5, 12, 16], [21, 31, 41], measure="RR", model=model)
    assert row["estimate"] == pytest.approx(np.exp(expected.estimate), rel=1e-12)
    assert row["ci_method"] == "Wald"


def test_people_of_a_trial_without_events_count_for_a_difference_and_not_for_a_ratio(effects):
    for measure, k, people in (("RR", 2, (70, 72)), ("RD", 3, (90, 93))):
        trials = choose(effects, "response", measure)
        trials.loc[0, ["events_active", "events_control"]] = 0
        row = mantel_haenszel_row(trials, "x")
        assert (row["k"], row["n_active"], row["n_control"]) == (k, *people)


def test_mantel_haenszel_of_one_trial_is_its_common_effect(effects):
    trials = choose(effects, "response", "RR").iloc[:1]
    row = mantel_haenszel_row(trials, "x", model="random")
    assert (row["k"], row["model"], row["tau2_method"]) == (1, "common", "")
    assert row["estimate"] == pytest.approx((10 / 20) / (5 / 21))
