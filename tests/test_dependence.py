"""What results owe to retracted reports, to one site and to one sponsor: on made-up tables that do depend on them."""

import numpy as np
import pandas as pd
import pytest

from meta_analysis.dependence import dependence, facts_behind, retracted_sources, sponsor_evidence
from meta_analysis.pooling import pool

SOURCES = pd.DataFrame({
    "source_id": ["a", "b", "c", "d"],
    "kind": ["abstract", "abstract", "sponsor_page", "registry"],
    "citation": ["Miller 2019 (retracted), abstract", "Miller 2018, abstract", "Page", "Jones 2020, copy"]})
RETRACTIONS = pd.DataFrame({"report": ["Miller 2019", "Jones 2020"]})
EFFECTS = pd.DataFrame({
    "trial_id": ["T1", "T2", "T3", "SITE"], "outcome": "pain", "measure": "SMD", "arms": "combined",
    "scale_kind": "endpoint", "n_active": 10, "n_control": 10, "yi": [-0.9, -0.5, -0.6, 0.8],
    "vi": [0.2, 0.1, 0.15, 0.3]})
FACTS = pd.DataFrame([
    ("f1", "T1", "pain", "used", "a"), ("f2", "T1", "pain", "used", "b"), ("f3", "T2", "pain", "used", "b"),
    ("f4", "T2", "pain", "check", "a"), ("f5", "T3", "sleep", "used", "a"), ("f6", "T3", "pain", "used", "c"),
    ("f7", "SITE", "pain", "used", "b")], columns=["fact_id", "trial_id", "outcome", "use", "source_id"])


def test_sources_that_name_a_retracted_report():
    assert retracted_sources(SOURCES, RETRACTIONS).to_dict() == {"a": "Miller 2019", "d": "Jones 2020"}


def test_only_used_facts_of_the_outcome_count():
    assert list(facts_behind(["T1", "T2", "T3"], "pain", FACTS)["fact_id"]) == ["f1", "f2", "f3", "f6"]


def test_what_depends_is_left_out_and_the_rest_pooled_again():
    row = dependence(EFFECTS, FACTS, ["a", "d"], "SITE", name="pain.primary")
    assert (row["k"], row["facts"], row["facts_retracted"], row["site"], row["k_without"]) == (4, 5, 1, True, 2)
    expected = pool([-0.5, -0.6], [0.1, 0.15])
    assert row["estimate"] == pytest.approx(float(expected.estimate))
    assert row["ci_high"] == pytest.approx(float(expected.ci_high))


def test_without_dependence_nothing_changes():
    row = dependence(EFFECTS.iloc[:3], FACTS, ["d"], "SITE", name="pain.primary")
    assert (row["facts_retracted"], row["site"], row["k_without"]) == (0, False, 3)
    assert row["estimate"] == pytest.approx(float(pool(EFFECTS["yi"][:3], EFFECTS["vi"][:3]).estimate))


def test_nothing_may_be_left():
    row = dependence(EFFECTS.iloc[3:], FACTS, ["a"], "SITE", name="pain.primary")
    assert row["k_without"] == 0 and np.isnan(row["estimate"])


def test_sponsors_named_and_pages_counted():
    trials = pd.DataFrame({"trial_id": ["T1", "T3"], "in_primary": [True, False], "sponsor": ["", "X"]})
    words = pd.DataFrame({"trial_id": ["T1", "T1"], "characteristic": ["sponsor", "age"], "text": ["Y", "40"]})
    found = sponsor_evidence(trials, words, FACTS, SOURCES).set_index("trial_id")
    assert found.loc["T1"].to_list() == [True, "", "Y", 0]
    assert found.loc["T3"].to_list() == [False, "X", "", 1]
