"""The list of natural codings follows from choices, and cannot follow results."""

import pandas as pd
import pytest

from meta_analysis.data import read_derived
from meta_analysis.natural_codings import ARMS, DOUBTFUL, MEASURES, MEMBERS, OUTCOMES, effect_set, natural_codings
from meta_analysis.other_methods import review_manager_rows

#: Two trials of which one has two active arms: every combination of choices is then another coding.
SETS = {effect_set(claim, outcome, arms): arms
        for claim in OUTCOMES for outcome in OUTCOMES[claim] for arms in ARMS}
MEMBERS_OF_ALL = pd.DataFrame(
    [(name, trial, active) for name, arms in SETS.items()
     for trial, active in (("MP-1", "high"), ("T-2", "high" if arms == "high_dose" else "high+low"))],
    columns=MEMBERS)


@pytest.fixture(scope="module")
def effects():
    return read_derived("02_effects.csv")


@pytest.mark.parametrize("claim_id", OUTCOMES)
def test_every_combination_of_choices_is_listed_once_and_the_primary_coding_first(claim_id):
    codings = natural_codings(claim_id, MEMBERS_OF_ALL)
    assert len(set(codings)) == len(codings) == len(OUTCOMES[claim_id]) * len(ARMS) * (1 + len(DOUBTFUL[claim_id]))
    assert codings[0][1:] == (effect_set(claim_id, OUTCOMES[claim_id][0], "combined"), "")


def test_the_names_are_those_of_the_stored_results():
    ids = [coding.analysis_id for claim in OUTCOMES for coding in natural_codings(claim, MEMBERS_OF_ALL)]
    assert len(set(ids)) == len(ids)
    assert {"C03.severity_review_manager", "C03.severity_review_manager_high_dose_change",
            "C05.loss_of_diagnosis_high_dose.without.MP-1"} <= set(ids)


def test_the_same_people_under_the_same_definition_are_one_coding():
    same = MEMBERS_OF_ALL.assign(active_arms="high")
    assert [coding.effect_set for coding in natural_codings("C04", same)] == ["response", "response"]
    without = same[same["trial_id"] != "MP-1"]
    assert [coding.analysis_id for coding in natural_codings("C04", without)] == ["C04.response"]


def test_a_set_without_trials_gives_no_coding():
    assert natural_codings("C03", MEMBERS_OF_ALL[MEMBERS_OF_ALL["effect_set"] == "response"]) == []


@pytest.mark.parametrize("column", ["yi", "vi", "events_active", "mean_control"])
def test_a_table_with_results_is_refused(effects, column):
    with pytest.raises(ValueError, match=f"without sight of results, but the table holds {column}"):
        natural_codings("C03", effects[[*MEMBERS, column]])


@pytest.mark.parametrize("claim_id", OUTCOMES)
def test_changed_effects_leave_the_list_unchanged(effects, claim_id):
    """All effects turned round and halved, all events swapped: other results under the same names."""
    changed = effects.assign(yi=-effects["yi"] / 2, vi=effects["vi"] * 3)
    counts = ["events_active", "n_active", "events_control", "n_control"]
    changed[counts] = effects[[*counts[2:], *counts[:2]]].to_numpy()
    before, after = review_manager_rows(effects, claim_id), review_manager_rows(changed, claim_id)
    assert [row["analysis_id"] for row in after] == [row["analysis_id"] for row in before]
    assert all(new["estimate"] != pytest.approx(old["estimate"]) for new, old in zip(after, before))
    assert [row["measure"] for row in before] == [MEASURES[claim_id]] * len(before)
