"""Harms by arm: what may be compared, what may not, and results against metafor's from R's own reading of the table."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meta_analysis import harms
from meta_analysis.data import read_extracted
from meta_analysis.results import RESULT_COLUMNS, one, results_table

ROOT = Path(__file__).parents[1]
POOLS = json.loads((ROOT / "data" / "reference" / "harms.json").read_text(encoding="utf-8"))["pools"]
CLOSED_FORM = 1e-10
ITERATIVE = 1e-8  # two REML iterations that stop at their own thresholds


def fact(fact_id, trial, arm, term, events, n, **changes):
    row = {"fact_id": fact_id, "trial_id": trial, "arm_id": f"{trial}:{arm}", "kind": "adverse_event", "term": term,
           "window": "treatment period", "unit": "participants", "events": events, "n": n,
           "randomised_comparison": True, "use": "used", "source_id": "s"}
    return row | changes


ARMS = pd.DataFrame([
    ("A:high", "A", "active"), ("A:low", "A", "active"), ("A:control", "A", "control"), ("A:all", "A", "whole_trial"),
    ("B:drug", "B", "active"), ("B:placebo", "B", "control"), ("B:open", "B", "open_label")],
    columns=["arm_id", "trial_id", "role"])


@pytest.fixture
def facts():
    return pd.DataFrame([
        fact("1", "A", "high", "ache", 4, 10), fact("2", "A", "low", "ache", 2, 8),
        fact("3", "A", "control", "ache", 1, 9),
        fact("4", "B", "drug", "ache", 3, 20, window="not stated, probably the whole trial", source_id="t"),
        fact("5", "B", "placebo", "ache", 0, 19, window="not stated, probably the whole trial"),
        fact("6", "A", "high", "cough", 5, 10), fact("7", "A", "control", "cough", 0, 9),  # not listed for A:low
        fact("8", "B", "drug", "ache", 9, 40, unit="sessions"),
        fact("9", "B", "placebo", "ache", 8, 38, unit="sessions"),
        fact("10", "B", "drug", "ache", 9, 20, kind="composite", use="used"),
        fact("11", "B", "drug", "itch", 9, 20, use="set_aside"), fact("12", "B", "placebo", "itch", 1, 19),
        fact("13", "A", "all", "ache", 7, 27, randomised_comparison=False),
        fact("14", "B", "drug", "fall", 0, 20), fact("15", "B", "placebo", "fall", 0, 19),
        fact("16", "B", "open", "fall", 3, 20), fact("17", "A", "high", "ache", 8, 10, kind="reaction",
                                                     window="dosing session"),
    ])


def test_only_people_in_randomised_arms_are_compared(facts):
    comparisons, incomplete = harms.compare_arms(harms.comparable(facts), ARMS)
    keys = comparisons[["kind", "term", "period", "trial_id"]].agg(" ".join, axis=1).tolist()
    assert keys == ["adverse_event ache whole trial A", "adverse_event ache whole trial B",
                    "adverse_event fall whole trial B"]
    of_a = comparisons.iloc[0]
    assert of_a[harms.COUNTS].tolist() == [6, 18, 1, 9], "both active arms as one group"
    assert of_a["facts"] == "1 2 3" and comparisons.iloc[1]["sources"] == "s t"
    assert comparisons.iloc[2][harms.COUNTS].tolist() == [0, 20, 0, 19], "a double zero stays in sight"


def test_not_listed_is_not_zero(facts):
    _, incomplete = harms.compare_arms(harms.comparable(facts), ARMS)
    found = incomplete.set_index(["kind", "term"])
    assert found.loc[("adverse_event", "cough"), "not_listed"] == "A:low"
    assert found.loc[("adverse_event", "itch"), "not_listed"] == "B:drug", "set aside, so not listed"
    assert found.loc[("reaction", "ache"), "not_listed"] == "A:low + A:control"


def test_one_arm_counted_twice_is_refused(facts):
    twice = pd.concat([facts, facts.iloc[:1]])
    with pytest.raises(ValueError, match="A:high has two counts of ache"):
        harms.compare_arms(harms.comparable(twice), ARMS)


def test_select_names_what_there_is(facts):
    comparisons, _ = harms.compare_arms(harms.comparable(facts), ARMS)
    assert list(harms.select(comparisons, "adverse_event", "ache")["trial_id"]) == ["A", "B"]
    with pytest.raises(ValueError, match=r"no trial compares cough .*; there are: ache \(adverse_event, whole trial\)"):
        harms.select(comparisons, "adverse_event", "cough")
    with pytest.raises(ValueError, match="there are: none"):
        harms.select(comparisons, "death", "death")


def test_a_single_trial_has_three_rows_and_says_when_there_is_no_ratio(facts):
    comparisons, _ = harms.compare_arms(harms.comparable(facts), ARMS)
    rows = results_table(harms.single_trial_rows(comparisons.iloc[2], "fall"))
    assert list(rows.columns) == RESULT_COLUMNS
    assert list(rows["analysis_id"]) == ["fall.rd", "fall.rr", "fall.or"]
    assert list(rows["ci_method"]) == ["score", "score", "mid-p"]
    difference = one(rows, "fall.rd")
    assert difference["estimate"] == 0 and difference["ci_low"] < 0 < difference["ci_high"]
    assert np.isnan(one(rows, "fall.rr")["estimate"]) and "nobody had it" in one(rows, "fall.rr")["note"]


def test_intervals_are_added_to_every_comparison(facts):
    comparisons, _ = harms.compare_arms(harms.comparable(facts), ARMS)
    found = harms.with_intervals(comparisons)
    assert found["rd"].tolist() == pytest.approx([6 / 18 - 1 / 9, 3 / 20, 0])
    assert (found["rd_low"] <= found["rd"]).all() and (found["rd"] <= found["rd_high"]).all()
    assert found["rr_high"].iloc[1] == np.inf and np.isnan(found["rr"].iloc[2])


def test_a_double_zero_counts_in_differences_and_not_in_ratios():
    trials = pd.DataFrame([("A", 0, 19, 0, 7), ("B", 1, 22, 2, 20), ("C", 4, 46, 7, 44)],
                          columns=["trial_id", *harms.COUNTS])
    rows = results_table(harms.pooled_rows(trials, "left"))
    assert one(rows, "left.rd_mh")["k"] == 3 and "A" in one(rows, "left.rd_mh")["study_set"]
    for name in ("rr_mh", "or_peto", "rr_random"):
        assert one(rows, f"left.{name}")["k"] == 2 and "A" not in one(rows, f"left.{name}")["study_set"]


def test_an_arm_without_any_event_has_no_mantel_haenszel_ratio():
    trials = pd.DataFrame([("A", 2, 19, 0, 7), ("B", 1, 22, 0, 20)], columns=["trial_id", *harms.COUNTS])
    rows = results_table(harms.pooled_rows(trials, "x"))
    ratio = one(rows, "x.rr_mh")
    assert np.isnan(ratio["estimate"]) and (ratio["ci_low"], ratio["ci_high"]) == (0, np.inf)
    assert ratio["measure"] == "RR" and ratio["k"] == 2 and "no event" in ratio["note"] and np.isnan(ratio["p"])
    assert {"x.rd_mh", "x.or_peto", "x.rr_random"} <= set(rows["analysis_id"])


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: f"{pool['kind']} {pool['term']}")
def test_the_pools_of_the_real_table_are_metafors(pool):
    comparisons, _ = harms.compare_arms(harms.comparable(read_extracted("harms")), read_extracted("arms"))
    trials = harms.select(comparisons, pool["kind"], pool["term"], pool["period"]).set_index("trial_id")
    trials = trials.loc[pool["trials"]].reset_index()  # R's order of the trials
    for ours, theirs in zip(harms.COUNTS, ("ai", "n1i", "ci", "n2i")):
        assert trials[ours].tolist() == pool[theirs], "R read the same counts"
    rows = results_table(harms.pooled_rows(trials, "x"))
    for name in ("rd_mh", "rr_mh", "or_peto", "rd_random", "rr_random"):
        row, expected = one(rows, f"x.{name}"), pool[name]
        tolerance = ITERATIVE if name.endswith("random") else CLOSED_FORM
        scale = np.asarray if name.startswith("rd") else np.exp
        for end in ("estimate", "ci_low", "ci_high"):
            assert row[end] == pytest.approx(float(scale(expected[end])), rel=tolerance, abs=1e-12), (name, end)
        assert row["p"] == pytest.approx(expected["p"], rel=tolerance) and row["k"] == len(pool["trials"])


def test_the_constructs_of_the_real_table():
    """Counts read off the sources' tables by hand."""
    comparisons, incomplete = harms.compare_arms(harms.comparable(read_extracted("harms")), read_extracted("arms"))
    expected = {("severe", "any severe event"): [5, 53, 2, 51], ("serious", "any serious event"): [0, 53, 0, 51],
                ("special_interest", "suicidality, total"): [3, 46, 5, 44],
                ("serious", "suicide attempt"): [0, 46, 1, 44],
                ("adverse_event", "suicidal ideation"): [18, 53, 21, 51]}
    for which, counts in expected.items():
        found = harms.select(comparisons, *which)
        assert len(found) == 1 and found.loc[0, harms.COUNTS].tolist() == counts, which
    assert not comparisons["trial_id"].isin(["MP-1", "MP-2"]).any(), "they count sessions"
    assert set(incomplete.query("trial_id == 'MP-4'")["term"]) == {
        "dissociation", "emotional distress", "intentional self-injury"}
