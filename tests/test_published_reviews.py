"""Other reviews' estimates: which are drawn, which way round, and what a re-run choice explains."""

import numpy as np
import pandas as pd
import pytest

from meta_analysis.data import read_derived, read_extracted, read_published
from meta_analysis.published_reviews import (
    PANELS,
    bands,
    explained,
    left_out,
    panel_of,
    published_rows,
    rerun_choices,
    short_method,
    short_name,
    trials_of_its_time,
    with_ours,
)
from meta_analysis.results import one
from meta_analysis.verdicts import Estimate

TESTED = ["10.1002/npr2.12485"]


def review(**values):
    row = {"review_id": "W1", "review": "A et al.", "year": 2024, "identifier": "x", "k": 4, "n_participants": pd.NA,
           "outcome": "PTSD symptoms", "model": "random effects", "measure": "SMD", "estimate": -0.8, "ci_low": -1.2,
           "ci_high": -0.4, "usable": True}
    return pd.Series(row | values)


@pytest.fixture(scope="module")
def reviews():
    return read_published("reviews")


@pytest.fixture(scope="module")
def shown(reviews):
    return with_ours(published_rows(reviews, TESTED), read_derived("03_results.csv"))


@pytest.mark.parametrize(("values", "panel", "reason"), [
    ({}, "severity", ""),
    ({"outcome": "response (clinical)", "measure": "RR", "estimate": 1.5}, "response", ""),
    ({"outcome": "loss of diagnosis", "measure": "RR", "estimate": 1.5}, "loss of diagnosis", ""),
    ({"outcome": "PTSD self-report"}, "", "self-report"),
    ({"outcome": "depression"}, "", "another outcome"),
    ({"outcome": "discontinuation", "measure": "RR"}, "", "another outcome"),
    ({"measure": "MD"}, "", "another measure"),
    ({"usable": False}, "", "not usable"),
    ({"estimate": np.nan}, "", "no estimate"),
])
def test_each_estimate_has_a_panel_or_a_reason(values, panel, reason):
    found = panel_of(review(**values))
    assert found[0] == panel and reason in found[1] and bool(found[0]) != bool(found[1])


def test_nothing_is_both_shown_and_left_out_and_nothing_is_lost(reviews, shown):
    drawn = [name for name in shown["review_id"] if name]
    assert sorted([*drawn, *left_out(reviews)["review_id"]]) == sorted(reviews["review_id"])


def test_rows_stand_by_year_and_ours_at_the_foot(shown):
    for _, block in shown.groupby("panel", sort=False):
        assert block["year"].iloc[:-1].is_monotonic_increasing and block["kind"].tolist()[-1] == "ours"
        assert block["label"].is_unique
    assert list(shown["panel"].unique()) == list(PANELS)
    assert set(shown.loc[shown["kind"] == "under test", "review_id"]) == {"V21", "V22", "V23"}


def test_benefit_printed_as_positive_is_turned_round_with_its_interval():
    rows = published_rows(pd.DataFrame([review(estimate=0.8, ci_low=0.5, ci_high=1.1)]), [])
    assert rows[["estimate", "low", "high"]].iloc[0].tolist() == [-0.8, -1.1, -0.5] and rows["turned"].all()
    ratio = review(measure="RR", outcome="response", estimate=1.5, ci_low=1.1, ci_high=2.0)
    assert not published_rows(pd.DataFrame([ratio]), [])["turned"].any()


def test_an_estimate_without_interval_stays_without(shown):
    row = shown.set_index("review_id").loc["V01"]
    assert np.isnan([row["low"], row["high"]]).all() and row["estimate"] == -1.17


@pytest.mark.parametrize(("name", "year", "expected"), [
    ("ICER (pool of two phase 3 trials)", 2024, "ICER 2024"), ("Amoroso & Workman", 2016, "Amoroso & Workman 2016"),
    ("Smith, Sicignano, Hernandez, White", 2022, "Smith et al. 2022"),
    ("Umbrella review, J Clin Med", 2025, "Umbrella review 2025"), ("A protocol", pd.NA, "A protocol"),
])
def test_short_names(name, year, expected):
    assert short_name(review(review=name, year=year)) == expected


@pytest.mark.parametrize(("model", "measure", "expected"), [
    ("random effects, RevMan", "SMD", "RE, RevMan"), ("random effects", "SMD", "RE"),
    ("random effects HK (PM for RR)", "SMD", "RE, HK"), ("random effects HK (PM for RR)", "RR", "RE, HK, PM"),
    ("not stated in abstract", "SMD", "not stated"), ("not in abstract", "SMD", "not stated"),
    ("random/fixed not seen", "SMD", "not seen"), ("re-expressed", "SMD", "re-expressed"),
])
def test_short_methods(model, measure, expected):
    assert short_method(model, measure) == expected


def test_bands_are_quantiles_of_the_specifications_with_the_panel_s_definition():
    estimates = np.linspace(1, 3, 101)
    curve = pd.DataFrame({"family": "remission", "estimate": estimates,
                          "id": ["remission/all/loss/x" if value < 2 else "remission/all/strict/x"
                                 for value in estimates]})
    found = bands(curve)
    assert set(found) == {"remission", "loss of diagnosis"}
    assert found["remission"] == pytest.approx((2.05, 2.95)) and found["loss of diagnosis"] == pytest.approx(
        tuple(np.quantile(estimates[estimates < 2], [0.05, 0.95])))


def test_the_stored_curve_gives_every_panel_a_band():
    assert set(bands(read_derived("05_specifications.csv"))) == set(PANELS)


@pytest.mark.parametrize(("again", "words"), [
    ((-1.10, -1.62, -0.59), "gives it, with its interval"),
    ((-1.10, -1.60, -0.59), "gives the estimate, not the interval"),
    ((-0.95, -1.2, -0.7), "goes 50% of the way"),
    ((-1.20, -1.5, -0.9), "goes 67% of the way (and beyond)"),
    ((-0.80, -1.0, -0.6), "leads no nearer"),
    ((-0.70, -1.0, -0.4), "leads away from it"),
])
def test_what_a_choice_explains(again, words):
    assert explained(Estimate(-1.10, -1.62, -0.59), Estimate(-0.80, -1.1, -0.5), Estimate(*again), "SMD") == words


def test_ratios_are_compared_as_logarithms():
    assert explained(Estimate(4.0, 2, 8), Estimate(1.0, 0.5, 2), Estimate(2.0, 1, 4), "RR") == "goes 50% of the way"


def test_the_trials_of_a_review_s_time():
    trials, results = read_extracted("trials"), read_derived("05_results.csv")
    years = trials.set_index("trial_id")["year"]
    for year in (2016, 2021, 2022):
        name = trials_of_its_time(year, "severity", trials, results)
        last = name.removeprefix("severity.up_to.")
        assert years[last] < year and one(results, name)["k"] == (years[trials["in_primary"].tolist()] < year).sum()
    assert trials_of_its_time(1999, "severity", trials, results) == ""


def test_another_stored_result_gives_another_line(shown):
    trials, results = read_extracted("trials"), read_derived("05_results.csv")
    choices = {"V41": ("phase 3 alone", "severity.trials.phase_3")}
    line = rerun_choices(shown, choices, results, trials).query("review == 'ICER 2024'").iloc[0]
    assert line["the choice alone"] == "leads away from it"
    chosen = results["analysis_id"] == "severity.trials.phase_3"
    changed = results.copy()
    changed.loc[chosen, ["estimate", "ci_low", "ci_high"]] = [-0.80, -1.10, -0.49]
    line = rerun_choices(shown, choices, changed, trials).query("review == 'ICER 2024'").iloc[0]
    assert line["the choice alone"] == "gives it, with its interval"
    assert line["ours with the choice"] == "-0.80 (95% CI -1.10 to -0.49)"


def test_a_choice_whose_result_does_not_exist_is_a_printed_line(shown, capsys):
    trials, results = read_extracted("trials"), read_derived("05_results.csv")
    choices = {"V41": ("phase 3 alone", "severity.trials.phase_3")}
    left = results[results["analysis_id"] != "severity.trials.phase_3"]
    found = rerun_choices(shown, choices, left, trials)
    assert "ICER 2024" not in set(found["review"]) and len(found) == len(rerun_choices(shown, {}, left, trials))
    assert capsys.readouterr().out.startswith("ICER 2024, phase 3 alone: left out")
