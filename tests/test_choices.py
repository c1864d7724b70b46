"""What each choice does to the numbers of a trial: hand-worked values."""

import numpy as np
import pandas as pd
import pytest
from specification_families import family

from meta_analysis import choices_events, choices_severity
from meta_analysis.choices_severity import Arm, combine_groups
from meta_analysis.event_effects import risk_ratio
from meta_analysis.mean_differences import hedges_correction
from meta_analysis.pooling import pool
from meta_analysis.specification import parse, run_specification, trial_of, vary


def rows_of(name, **levels):
    own = family(name)
    return run_specification(own, vary(own, **levels))["comparisons"].set_index("slot")


def test_arms_of_a_three_armed_trial():
    columns = ["n_active", "mean_active", "sd_active"]
    high, low = rows_of("severity", arms="high_dose").loc["MP-8"], rows_of("severity", arms="lower_dose").loc["MP-8"]
    assert (high["n_active"], low["n_active"]) == (12, 7) and high["mean_active"] > low["mean_active"]
    both = rows_of("severity").loc["MP-8", columns].astype(float)
    merged = combine_groups([12, 7], [high["mean_active"], low["mean_active"]], [high["sd_active"], low["sd_active"]])
    np.testing.assert_allclose(both, [merged.n, merged.mean, merged.sd], rtol=1e-12)


def test_each_time_choice_takes_the_arms_of_its_own_time_point():
    """T was seen twice after session 2, and the primary time point is later; U has its primary time point only."""
    rows = pd.DataFrame({
        "trial_id": ["T"] * 4 + ["U"], "arm_id": ["T:a", "T:c", "T:a", "T:a", "U:a"],
        "role": ["active", "control", "active", "active", "active"], "dose_mg": [125, 0, 125, 125, 80],
        "sessions_so_far": [2, 2, 2, 3, 3], "days_since_baseline": [60.0, 60.0, 90.0, 120.0, np.nan],
        "primary": [False, False, False, True, True], "n": [9.0, 8.0, np.nan, 7.0, 5.0]})
    found = choices_severity.arms_by_time(rows, ["n"])
    assert found["primary"] == {"T": [Arm("T:a", "active", 125.0, {"n": 7.0})],
                                "U": [Arm("U:a", "active", 80.0, {"n": 5.0})]}
    assert found["two_first"] == {"T": [Arm("T:a", "active", 125.0, {"n": 9.0}),
                                        Arm("T:c", "control", 0.0, {"n": 8.0})]}
    assert list(found["two_last"]) == ["T"] and np.isnan(found["two_last"]["T"][0].numbers["n"])


def test_a_split_control_group_is_halved_and_keeps_its_mean():
    whole, split = rows_of("severity"), rows_of("severity", arms="split")
    parts = split.loc[["MP-8", "MP-8 arm 2"]]
    assert list(parts["n_control"]) == [3.5, 3.5] and set(parts["mean_control"]) == {whole.loc["MP-8", "mean_control"]}
    assert split.loc["MAPP1", "n_control"] == whole.loc["MAPP1", "n_control"]
    events = rows_of("response", arms="split").loc[["MP-8", "MP-8 arm 2"]]
    assert list(events["events_control"]) == [1.0, 1.0] and list(events["n_control"]) == [3.5, 3.5]


def test_a_shared_control_gives_one_effect_with_less_variance_than_its_arms_and_more_than_if_independent():
    arms = [rows_of("severity", arms=name).loc["MP-12", "vi"] for name in ("high_dose", "lower_dose")]
    shared = rows_of("severity", arms="shared").loc["MP-12", "vi"]
    assert 1 / sum(1 / v for v in arms) < shared < min(arms)


def test_changes_that_are_printed_are_taken_and_others_imputed():
    printed = rows_of("severity", score="change_printed")
    assert set(printed.index) == {"MP-8", "MP-12", "MAPP1", "MAPP2"}
    imputed = rows_of("severity", score="change_r50")
    assert set(imputed.index) == set(printed.index) | {"MP-1", "MP-2"}
    assert imputed.loc["MAPP1", "yi"] == printed.loc["MAPP1", "yi"]
    sb, se = 22.9103, 26.5872  # MP-1, placebo, baseline and end
    np.testing.assert_allclose(imputed.loc["MP-1", "sd_control"], np.sqrt(sb**2 + se**2 - sb * se), rtol=1e-6)
    np.testing.assert_allclose(imputed.loc["MP-1", "mean_control"], 59.1 - 79.6)
    assert rows_of("severity", score="change_r70").loc["MP-1", "sd_control"] < imputed.loc["MP-1", "sd_control"]


def test_the_sign_of_the_change_in_mp2():
    means = rows_of("severity", score="change_r50").loc["MP-2"]
    printed = rows_of("severity", score="change_r50", mp2="printed").loc["MP-2"]
    np.testing.assert_allclose([means["mean_control"], printed["mean_control"]], [66.5 - 63.4, -3.2])
    assert printed["sd_control"] == 15.3 and means["yi"] < printed["yi"] < 0
    np.testing.assert_allclose(printed["yi"], -0.66, atol=0.005)  # as the table of conflicts has it


def test_ways_of_counting_people():
    people = {level: rows_of("severity", people=level)["n_control"] for level in ("analysed", "modified", "randomised")}
    assert [people[level]["MAPP2"] for level in people] == [42, 50, 51]
    assert [people[level]["MAPP1"] for level in people] == [37, 37, 44]
    change = rows_of("severity", score="change_printed", people="modified").loc["MAPP2"]
    assert (change["n_active"], change["n_control"]) == (53, 50)
    assert (change["sd_active"], change["sd_control"]) == (12.07, 12.63)
    np.testing.assert_allclose(change["yi"], -0.72, atol=0.005)  # as the table of conflicts has it


def test_people_lost_from_a_count():
    analysed, failures = rows_of("response").loc["MAPP2"], rows_of("response", people="randomised").loc["MAPP2"]
    assert (failures["events_control"], failures["n_control"]) == (analysed["events_control"], 51)
    risk = rows_of("response", people="control_risk").loc["MAPP2"]
    p = analysed["events_control"] / analysed["n_control"]
    np.testing.assert_allclose(risk["events_active"], analysed["events_active"] + p * (53 - analysed["n_active"]))
    np.testing.assert_allclose(risk["events_control"] / risk["n_control"], p)


def test_time_points():
    two = rows_of("response", time="two_first")
    assert "MP-2" not in two.index  # counted after three sessions only
    assert (two.loc["MAPP1", "events_active"], two.loc["MAPP1", "n_active"]) == (31, 42)
    first, last = (rows_of("severity", time=time).loc["MP-1", "mean_active"] for time in ("two_first", "two_last"))
    assert (first, last) == (29.3, 25.5)


def test_counts_that_were_set_aside():
    assert rows_of("response").loc["MAPP1", "events_control"] == 23
    assert rows_of("response", mapp1="from_average").loc["MAPP1", "events_control"] == 22
    assert rows_of("remission").loc["MP-12", "events_active"] == 9
    assert rows_of("remission", mp12="repository").loc["MP-12", "events_active"] == 8


def test_definitions_of_remission():
    assert set(rows_of("remission", definition="strict").index) == {"MAPP1", "MAPP2"}
    mixed = rows_of("remission", definition="mixed")
    assert mixed.loc["MAPP1", "events_active"] == 14 and mixed.loc["MP-8", "events_active"] == 13


def test_the_splits_of_mp9():
    splits = [level for level in family("severity").choices["mp9"] if level != "out"]
    assert splits == ["2+6", "3+5", "4+4", "5+3", "6+2"]
    rows = rows_of("severity", mp9="5+3", score="change_r50")
    assert (rows.loc["MP-9 5+3", "n_active"], rows.loc["MP-9 5+3", "n_control"]) == (5, 3)
    even = rows_of("severity", mp9="4+4", score="change_r50").loc["MP-9 4+4"]
    d = (-34.6 - -9.0) / np.sqrt((16.29**2 + 15.62**2) / 2)
    np.testing.assert_allclose(even["yi"], hedges_correction(6) * d, rtol=1e-12)


@pytest.mark.parametrize("measure, expected", [
    ("RR", 2.0), ("OR", 2.0), ("RD", 2.0), ("failure", 2.0),
])
def test_every_measure_of_one_trial_pair_means_the_same_ratio(measure, expected):
    """Two trials alike: risks 0.5 and 0.25, so that whatever is pooled is the same risk ratio at the control risk."""
    own = family("response")
    choice = parse(own, vary(own, measure=measure))
    found = [("A", "A", 50.0, 100.0, 25.0, 100.0), ("B", "B", 50.0, 100.0, 25.0, 100.0)]
    columns = choices_events.with_effects([found], measure, "only_zero")
    result = choices_events.fit_counts(choice, columns, None)
    estimate, low, high = choices_events.as_risk_ratio(choice, result, columns, None)
    np.testing.assert_allclose(estimate, expected, rtol=1e-12)
    assert low < estimate < high


def test_a_risk_difference_that_would_leave_nobody_gives_a_ratio_of_zero():
    own = family("response")
    choice = parse(own, vary(own, measure="RD"))
    found = [("A", "A", 1.0, 4.0, 1.0, 4.0), ("B", "B", 0.0, 4.0, 1.0, 4.0)]
    columns = choices_events.with_effects([found], "RD", "only_zero")
    result = choices_events.fit_counts(choice, columns, None)
    assert choices_events.as_risk_ratio(choice, result, columns, None)[1] == 0


def test_zero_cells_none_leaves_the_trial_out_of_a_ratio():
    assert "MP-2" not in rows_of("response", zero="none").index
    assert "MP-2" in rows_of("response", zero="always").index
    always = rows_of("response", zero="always").loc["MAPP1"]
    by_hand = risk_ratio(always["events_active"], always["n_active"], always["events_control"], always["n_control"],
                         zero_cells="always")
    np.testing.assert_allclose([always["yi"], always["vi"]], by_hand)


def test_an_arm_without_numbers_is_left_out_and_a_trial_without_control_too():
    full, empty = (10.0, 5.0, 2.0), None
    arms = [(Arm("T:a", "active", 125, {}), full), (Arm("T:b", "active", 75, {}), empty)]
    control = (Arm("T:c", "control", 0, {}), (9.0, 8.0, 2.0))
    assert choices_severity.compare("T", [*arms, control], "lower_dose")[0][2:5] == full
    assert len(choices_severity.compare("T", [*arms, control], "split")) == 1
    assert choices_severity.compare("T", arms, "combined") == []
    assert choices_events.compare("T", [(arms[0][0], (3.0, 9.0))], "combined") == []


def test_a_trial_of_four_arms_keeps_them_all():
    """No such trial is here yet; none of its arms may be lost when one comes."""
    doses = {40: (4.0, 10.0), 75: (5.0, 10.0), 100: (6.0, 10.0), 125: (7.0, 10.0)}
    roles = {40: "control"}
    arms = [(Arm(f"T:{dose}", roles.get(dose, "active"), dose, {}), counts) for dose, counts in doses.items()]
    split = choices_events.compare("T", arms, "split")
    assert [row[0] for row in split] == ["T", "T arm 2", "T arm 3"] and [row[2] for row in split] == [7, 6, 5]
    assert {trial_of(row[0]) for row in split} == {"T"} and sum(row[5] for row in split) == pytest.approx(10)
    assert choices_events.compare("T", arms, "combined")[0][2:4] == (18, 30)
    assert choices_events.compare("T", arms, "lower_dose")[0][2] == 5


def test_common_effect_is_pooled_as_such():
    run = run_specification(family("severity"), vary(family("severity"), model="common", interval="Wald"))
    rows = run["comparisons"]
    np.testing.assert_allclose(run["estimate"], pool(rows["yi"], rows["vi"], model="common").estimate, rtol=1e-12)
    assert run["tau2"] == 0


@pytest.mark.parametrize(("model", "measure", "enough"), [
    ("MH", "RR", [True, False, True]),  # all tables; nobody in a control arm; everybody in the other arm
    ("MH", "OR", [True, False, False]),
    ("REML", "RD", [True, False, True]),
    ("REML", "RR", [True, True, True]),
])
def test_a_method_needs_its_events(model, measure, enough):
    counts = {"events_active": [[5.0, 6], [5, 6], [10, 12]], "n_active": [[10.0, 12]] * 3,
              "events_control": [[2.0, 3], [0, 0], [2, 3]], "n_control": [[10.0, 12]] * 3}
    arrays = {name: np.array(values) for name, values in counts.items()}
    found = choices_events.estimable({"model": model, "measure": measure}, arrays, np.ones((3, 2), dtype=bool))
    assert found.tolist() == enough


def test_a_count_in_conflict_whose_trial_is_left_out_is_said_in_words():
    other = {"MAPP1:placebo": (22.0, 37.0)}
    here = {"primary": {"MAPP1": [Arm("MAPP1:placebo", "control", 0.0, {"events": 23.0, "n": 37.0})]}}
    assert choices_events._in_words(here, other) == ["23 of 37", "22 of 37"]
    assert choices_events._in_words({"primary": {}}, other) == ["not among these trials"] * 2
