"""From facts to arms, from arms to comparisons: hand-worked values, and what must be refused or left out."""

import numpy as np
import pandas as pd
import pytest

from meta_analysis import event_effects, groups
from meta_analysis.comparisons import (
    HIGHER_IS_BETTER,
    continuous_arms,
    continuous_comparisons,
    event_comparisons,
    first_trial,
    mark_primary,
    with_effects,
)


def fact(arm, timepoint, statistic, value, n):
    return {"trial_id": "T", "arm_id": f"T:{arm}", "timepoint_id": f"T:{timepoint}", "outcome": "ptsd_severity",
            "instrument": "CAPS-5", "statistic": statistic, "value": value, "n": n}


def arm(trial, name, role, *, dose=100, **values):
    row = {"trial_id": trial, "report": f"{trial} 2000", "arm_id": f"{trial}:{name}", "timepoint_id": f"{trial}:end",
           "outcome": "ptsd_severity", "instrument": "CAPS-5", "role": role, "high_dose": dose >= 120,
           "primary": True, "n": np.nan, "mean": np.nan, "sd": np.nan, "n_change": np.nan, "mean_change": np.nan,
           "sd_change": np.nan, "events": np.nan}
    return row | values


@pytest.fixture
def table():
    return pd.DataFrame([
        arm("B", "125mg", "active", dose=125, n=10, mean=40, sd=8, n_change=9, mean_change=-20, sd_change=6, events=7),
        arm("B", "75mg", "active", dose=75, n=5, mean=30, sd=6, n_change=5, mean_change=-25, sd_change=5, events=5),
        arm("B", "placebo", "control", n=8, mean=50, sd=9, n_change=8, mean_change=-8, sd_change=7, events=0),
        arm("A", "mdma", "active", dose=120, n=20, mean=15, sd=5, events=10),
        arm("A", "placebo", "control", n=21, mean=20, sd=6, events=7),
        arm("A", "open", "open_label", n=20, mean=1, sd=1, events=20),
        arm("C", "mdma", "active", dose=120, n=20, mean=15, sd=5, events=2),  # its control arm has nothing
        arm("C", "placebo", "control"),
    ])


def test_statistics_of_an_arm_stand_side_by_side_with_its_baseline():
    facts = pd.DataFrame([
        fact("mdma", "baseline", "mean", 44.0, 46), fact("mdma", "baseline", "sd", 6.0, 46),
        fact("mdma", "week_18", "mean", 19.6, 42), fact("mdma", "week_18", "sd", 13.6, 42),
        fact("mdma", "week_18", "mean_change", -24.4, 41),
    ])
    rows = continuous_arms(facts)
    assert len(rows) == 1  # baseline is not a row of its own
    row = rows.iloc[0]
    assert (row["n"], row["mean"], row["sd"]) == (42, 19.6, 13.6)
    assert (row["n_change"], row["mean_change"]) == (41, -24.4) and np.isnan(row["sd_change"])
    assert (row["baseline_n"], row["baseline_mean"], row["baseline_sd"]) == (46, 44.0, 6.0)


def test_a_statistic_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="duplicate"):
        continuous_arms(pd.DataFrame([fact("mdma", "week_18", "mean", 19.6, 42)] * 2))


def test_primary_rows_are_the_primary_time_point_or_else_the_last_one():
    rows = pd.DataFrame({
        "trial_id": "T", "instrument": "", "outcome": ["severity"] * 2 + ["response"] * 2,
        "is_primary": [False, True, False, False], "days_since_baseline": [28, 56, 28, 42],
    })
    assert mark_primary(rows).tolist() == [False, True, False, True]


def test_active_arms_are_combined_and_the_control_is_counted_once(table):
    rows = continuous_comparisons(table, "ptsd_severity")
    assert rows["trial_id"].tolist() == ["B", "A"]  # the table's order; C has no control
    b = rows.iloc[0]
    merged = groups.combine_groups([10, 5], [40, 30], [8, 6])
    assert (b["n_active"], b["n_control"]) == (15, 8)
    np.testing.assert_allclose([b["mean_active"], b["sd_active"]], [merged.mean, merged.sd])
    assert b["active_arms"] == "B:125mg + B:75mg"


def test_the_highest_dose_alone(table):
    rows = continuous_comparisons(table, "ptsd_severity", arms="high_dose").set_index("trial_id")
    assert (rows.loc["B", "n_active"], rows.loc["B", "mean_active"]) == (10, 40)


def test_change_scores_leave_out_trials_without_them(table):
    rows = continuous_comparisons(table, "ptsd_severity", scale_kind="change")
    assert rows["trial_id"].tolist() == ["B"]
    assert rows["n_active"].item() == 14 and rows["sd_control"].item() == 7


def test_events_are_added_over_active_arms(table):
    rows = event_comparisons(table, "ptsd_severity").set_index("trial_id")
    assert rows.loc["B", ["events_active", "n_active", "events_control", "n_control"]].tolist() == [12, 15, 0, 8]
    assert "C" not in rows.index


def test_rows_that_are_not_primary_are_left_out(table):
    assert continuous_comparisons(table.assign(primary=False), "ptsd_severity").empty


@pytest.mark.parametrize("options", [{"arms": "all"}, {"scale_kind": "slope"}])
def test_an_unknown_choice_is_refused(table, options):
    with pytest.raises(ValueError, match="must be"):
        continuous_comparisons(table, "ptsd_severity", **options)


@pytest.mark.parametrize("measure", ["SMD", "MD"])
def test_scores_on_which_higher_is_better_change_sign(table, measure):
    rows = continuous_comparisons(table, "ptsd_severity")
    plain = with_effects(rows, measure)
    assert (plain["yi"] < 0).all()
    for instrument in HIGHER_IS_BETTER:
        reversed_ = with_effects(rows.assign(instrument=instrument), measure)
        np.testing.assert_array_equal(reversed_["yi"], -plain["yi"])
        np.testing.assert_array_equal(reversed_["vi"], plain["vi"])


@pytest.mark.parametrize(("measure", "function"), [
    ("RR", event_effects.risk_ratio), ("OR", event_effects.odds_ratio), ("RD", event_effects.risk_difference)
])
def test_event_effects_are_those_of_effect_sizes(table, measure, function):
    rows = with_effects(event_comparisons(table, "ptsd_severity"), measure, zero_cells="only_zero")
    expected = function([12, 10], [15, 20], [0, 7], [8, 21])
    np.testing.assert_allclose(rows["yi"], expected.estimate)
    np.testing.assert_allclose(rows["vi"], expected.variance)


def test_an_unknown_measure_is_refused(table):
    with pytest.raises(ValueError, match="unknown measure 'HR'"):
        with_effects(event_comparisons(table, "ptsd_severity"), "HR")


def test_an_example_is_worked_on_the_first_trial_that_has_it(table, capsys):
    active = table[table["role"] == "active"]
    has_two = active.groupby("trial_id")["arm_id"].transform("nunique") == 2
    ((name, arms),) = first_trial(active, has_two, "two active arms")
    assert name == "B" and list(arms["arm_id"]) == ["B:125mg", "B:75mg"]
    ((name, rows),) = first_trial(active, active["events"] >= 5, "events")
    assert name == "B" and len(rows) == 2 and capsys.readouterr().out == ""


def test_an_example_that_no_trial_has_is_a_printed_line(table, capsys):
    active = table[(table["role"] == "active") & (table["trial_id"] != "B")]
    has_two = active.groupby("trial_id")["arm_id"].transform("nunique") == 2
    assert first_trial(active, has_two, "two active arms") == []
    assert capsys.readouterr().out == "no trial here has two active arms: nothing to show by hand\n"
    response = event_comparisons(table, "response").query("events_control > 0")
    assert first_trial(response, response["events_control"] == 0, "a zero cell") == []
