"""Rows of specifications, regressions and posteriors: complete, on the right scale, and honest about what they are."""

from dataclasses import replace

import numpy as np
import pytest
from specification_families import family

from meta_analysis import priors
from meta_analysis.analyses import choose, pooled_row
from meta_analysis.analysis_rows import choice_rows, posterior_row, regression_row, specification_row
from meta_analysis.bayes import random_effects_posterior
from meta_analysis.data import read_derived
from meta_analysis.meta_regression import meta_regression
from meta_analysis.results import results_table
from meta_analysis.specification import vary

RESPONSE = choose(read_derived("02_effects.csv"), "response", "RR")


def test_a_specification_is_the_same_row_as_a_plain_pool():
    row = specification_row(family("response"), family("response").primary, "r")
    plain = pooled_row(RESPONSE, "r")
    for name in ("estimate", "se", "ci_low", "ci_high", "p", "k", "n_active", "n_control", "tau2", "i2", "q"):
        assert row[name] == pytest.approx(plain[name], rel=1e-9), name
    for name in ("outcome", "measure", "arms", "scale_kind", "model", "tau2_method", "ci_method"):
        assert row[name] == plain[name], name


def test_methods_are_named_as_in_other_rows():
    response = family("response")
    mh = specification_row(response, vary(response, model="MH", interval="Wald"), "m")
    assert (mh["model"], mh["tau2_method"], mh["ci_method"]) == ("common", "", "Wald")
    revman = specification_row(response, vary(response, model="MH_DL", interval="Wald"), "m")
    assert (revman["model"], revman["tau2_method"]) == ("random", "DL around MH")
    change = specification_row(family("severity"), vary(family("severity"), score="change_r50"), "c")
    assert change["scale_kind"] == "change"
    remission = family("remission")
    assert specification_row(remission, vary(remission, definition="mixed"), "x")["outcome"] == "remission_mixed"


def test_a_measure_that_was_re_expressed_is_no_row():
    with pytest.raises(ValueError, match="only risk ratios"):
        specification_row(family("response"), vary(family("response"), measure="OR"), "x")


def test_one_row_for_each_level():
    rows = results_table(choice_rows(family("severity"), "model", skip=("SJ",), interval="Wald"))
    names = set(rows["analysis_id"])
    assert "severity.model.Wald.DL" in names and "severity.model.Wald.SJ" not in names
    assert len(rows) == len(family("severity").choices["model"]) - 1
    assert rows.set_index("analysis_id").loc["severity.model.Wald.common", "note"] == "common effect"


def test_a_set_with_one_trial_left_is_a_printed_line(capsys):
    severity = family("severity")
    without = replace(severity, members=lambda choice: severity.members(choice) - {"MAPP1"})
    names = [row["analysis_id"] for row in choice_rows(without, "trials")]
    assert "severity.trials.phase_2" in names and "severity.trials.phase_3" not in names
    assert capsys.readouterr().out.startswith("severity.trials.phase_3 is left out: fewer than two trials")


def test_another_reason_to_exclude_a_level_is_not_passed_over():
    with pytest.raises(ValueError, match="is excluded"):
        choice_rows(family("response"), "model", interval="HK")


def test_a_regression_of_ratios_is_a_ratio_of_ratios():
    group = RESPONSE["trial_id"].str.startswith("MAPP").to_numpy()
    fit = meta_regression(RESPONSE["yi"], RESPONSE["vi"], np.column_stack([np.ones(6), group]), ci_method="t")
    row = regression_row("g", fit, 1, effects=RESPONSE, ci_method="t", note="words")
    assert row["estimate"] == pytest.approx(np.exp(fit.coefficients[1])) and row["se"] == pytest.approx(fit.se[1])
    assert results_table([row])["k"].item() == 6


def test_a_posterior_has_no_p_value_and_its_own_prediction():
    posterior = random_effects_posterior(RESPONSE["yi"], RESPONSE["vi"], priors.half_normal(0.5))
    row = posterior_row("b", posterior, effects=RESPONSE)
    assert row["estimate"] == pytest.approx(np.exp(posterior.mu.median)) and np.isnan(row["p"])
    assert row["pi_low"] < row["ci_low"] < row["estimate"] < row["ci_high"] < row["pi_high"]
    assert row["tau2_method"] == "half-normal(0.5)"
    assert row["tau2_low"] < row["tau2"] < row["tau2_high"]
