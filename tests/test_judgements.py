"""Risk-of-bias judgements as data: worst domain, beliefs, shares, other reviewers' words, and slips in a table."""

import numpy as np
import pandas as pd
import pytest

from meta_analysis import judgements as rob
from meta_analysis.data import read_extracted, read_published
from meta_analysis.lights import DOMAINS


@pytest.fixture
def table():
    low = dict.fromkeys(["D1", "D2", "D3", "D4", "D5"], "Low")
    rows = {"A 2001": low, "B 2002": low | {"D2": "Some concerns"},
            "C 2003": low | {"D2": "Some concerns", "D4": "High"},
            "D 2004": low | {"D3": "No information", "D2": "Some concerns"}}
    judged = pd.DataFrame.from_dict(rows, orient="index")
    return judged.assign(overall=rob.worst(judged))


def test_overall_is_the_worst_domain(table):
    assert list(table["overall"]) == ["Low", "Some concerns", "High", "No information"]


def test_the_published_overall_judgements_follow_the_rule():
    read = read_extracted("risk_of_bias")
    judged = read.pivot(index="trial_id", columns="domain", values="judgement")
    assert len(judged) == 6
    assert (rob.worst(judged) == judged["overall"]).all()


def test_a_belief_changes_one_domain_and_what_follows(table):
    believed = rob.believe(table, "D4", "High")
    assert (believed["D4"] == "High").all() and (believed["overall"] == "High").all()
    pd.testing.assert_frame_equal(believed.drop(columns=["D4", "overall"]), table.drop(columns=["D4", "overall"]))
    better = rob.believe(table, "D4", "Low")
    assert list(better["overall"]) == ["Low", "Some concerns", "Some concerns", "No information"]


def test_shares_by_number_and_by_weight(table):
    shares = rob.weight_shares(table)
    assert shares.loc["D2"].to_dict() == {"Low": 0.25, "Some concerns": 0.75, "No information": 0.0, "High": 0.0}
    weighted = rob.weight_shares(table, [5, 3, 1, 1])
    np.testing.assert_allclose(weighted.loc["overall"], [0.5, 0.3, 0.1, 0.1])
    np.testing.assert_allclose(weighted.sum(axis=1), 1)


def test_most_common_needs_more_than_half(table):
    common = rob.most_common(table)
    assert common["D1"] == "Low" and common["D2"] == "Some concerns"
    assert common["overall"] == "No information", "one quarter each is no majority"


def test_the_words_of_other_reviewers_become_lights():
    words = read_published("reviews").set_index("review")["risk_of_bias"]
    names = {"Fares": "Fares-Otero", "Hojlund": "Hojlund", "Colcott": "Colcott"}
    chosen = pd.Series({short: words[words.index.str.contains(name)].iloc[0] for short, name in names.items()})
    matrix = rob.reviewers_matrix(chosen)
    assert list(matrix.columns) == list(DOMAINS)
    assert matrix.loc["Fares", ["D2", "D4", "overall"]].tolist() == ["No information", "High", "No information"], (
        "some concerns in D2, but not said of most")
    assert matrix.loc["Hojlund", "overall"] == matrix.loc["Colcott", "overall"] == "High"
    assert (matrix.loc[["Hojlund", "Colcott"], ["D1", "D2", "D3", "D4", "D5"]] == "No information").all(axis=None)
    told = rob.known_of_most(chosen).set_index("reviewer")
    assert told.loc["Fares"].tolist() == ["D4 high", "D2 some concerns, in how many trials is not said",
                                          "D1, D2, D3, D5, overall"]
    assert told.loc["Colcott"].tolist() == ["overall high", "", "D1, D2, D3, D4, D5"]
    assert set(rob.HINTS) <= set(rob.READINGS)


@pytest.mark.parametrize("slip, message", [
    (lambda t: rob.worst(t.replace({"D4": {"Low": "Lowish"}})), "D4: 'Lowish' is not one of Low, Some concerns"),
    (lambda t: rob.worst(t.rename(columns={"D4": "D6"})), "unknown domain D6; domains are D1"),
    (lambda t: rob.worst(t.mask(t == "High")), "C 2003, D4: nan is not one of"),
    (lambda t: rob.worst(pd.concat([t, t.iloc[:1]])), "two rows for trial A 2001"),
    (lambda t: rob.believe(t, "D9", "High"), "no domain 'D9'"),
    (lambda t: rob.believe(t, "overall", "High"), "no domain 'overall'"),
    (lambda t: rob.believe(t, "D4", "Higher"), "'Higher' is not one of"),
    (lambda t: rob.weight_shares(t, [1, 2]), "4 weights of 0 or more"),
    (lambda t: rob.weight_shares(t, [1, 2, -1, 1]), "4 weights of 0 or more"),
    (lambda t: rob.weight_shares(t, [0, 0, 0, 0]), "not all of them 0"),
    (lambda t: rob.reviewers_matrix(pd.Series({"X 2030": "so so"})), r"no reading of the words of X 2030 \('so so'\)"),
])
def test_slips_are_refused_in_one_line(table, slip, message):
    with pytest.raises(ValueError, match=message) as caught:
        slip(table)
    assert "\n" not in str(caught.value)
