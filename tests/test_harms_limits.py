"""What harms leave open: upper limits, what could have been seen, and the sentences that follow from both."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from meta_analysis import harms, harms_limits, two_by_two
from meta_analysis.data import read_extracted, read_published
from meta_analysis.results import one, results_table


def trials(*counts):
    rows = [(f"T{number}", *row) for number, row in enumerate(counts)]
    return pd.DataFrame(rows, columns=["trial_id", *harms.COUNTS])


def single(*counts, label="Fall"):
    chosen = trials(counts)
    row = harms.single_trial_rows(chosen.loc[0], "fall")[0]
    return harms_limits.allowance(chosen, row, label)


def test_the_detectable_difference_of_a_pool_by_hand():
    assert harms_limits.detectable_from_se(0.04) == pytest.approx(0.04 * (1.959964 + 0.841621), rel=1e-6)
    assert stats.norm.sf(1.959964 - harms_limits.detectable_from_se(1.0)) == pytest.approx(0.8, rel=1e-6)


def test_a_single_trial_uses_exact_power_at_its_own_control_risk():
    found = single(5, 53, 2, 51)
    score = two_by_two.risk_difference(5, 53, 2, 51)
    assert [found[name] for name in ("difference", "low", "high")] == pytest.approx([100 * x for x in score])
    assert found["detectable"] == pytest.approx(100 * two_by_two.smallest_detectable_increase(2 / 51, 53, 51))


def test_a_pool_uses_its_standard_error():
    chosen = trials((14, 46, 5, 44), (24, 53, 11, 51))
    row = one(results_table(harms.pooled_rows(chosen, "x")), "x.rd_mh")
    found = harms_limits.allowance(chosen, row, "Nausea")
    assert found["events_active"] == 38 and found["n_control"] == 95 and found["k"] == 2
    assert found["detectable"] == pytest.approx(100 * harms_limits.detectable_from_se(row["se"]))


def test_no_significant_increase_is_answered_with_what_is_still_allowed():
    said = harms_limits.statement(single(5, 53, 2, 51, label="Any severe event"))
    assert said == (
        "Any severe event: 5 of 53 with MDMA-AT, 2 of 51 with control. No significant increase (p = 0.264), which is "
        "not the absence of one: the data allow up to 17.0 more per 100 people. A true increase of less than 17.3 per "
        "100 would go unseen more often than one time in five.")


def test_a_zero_in_both_arms_is_answered_too():
    said = harms_limits.statement(single(0, 53, 0, 51))
    assert "0 of 53" in said and "the data allow up to 6.8 more per 100" in said and "p > 0.999" in said


def test_an_increase_and_a_decrease_are_said_as_such():
    more, fewer = single(18, 53, 3, 51), single(3, 51, 18, 53)
    assert harms_limits.verdict(more) == "increase" and harms_limits.verdict(fewer) == "decrease"
    assert "More with MDMA-AT" in harms_limits.statement(more) and "allow" not in harms_limits.statement(more)
    said = harms_limits.statement(fewer)
    score = two_by_two.risk_difference(3, 51, 18, 53)
    ends = f"({-100 * score.high:.1f} to {-100 * score.low:.1f})"
    assert "Fewer with MDMA-AT" in said and f"{-100 * score.estimate:.1f} fewer per 100 people {ends}" in said


def test_arms_too_small_to_show_anything():
    found = single(1, 2, 1, 2)
    assert np.isnan(found["detectable"])
    assert "No increase, however large" in harms_limits.statement(found)


def test_holes_are_counted_from_the_tables():
    counted = read_extracted("harms")
    _, incomplete = harms.compare_arms(harms.comparable(counted), read_extracted("arms"))
    guesses = read_published("pooled_reports").query("outcome == 'guessed the assignment'")
    found = harms_limits.holes(counted, incomplete, guesses).set_index("what")
    assert found.loc["people with any adverse event", "rows"] == 0
    assert found.loc["reactions by session", "rows"] == ((counted.unit == "sessions") & (counted.use == "used")).sum()
    assert found.loc["composites of a third party", "rows"] == (counted["kind"] == "composite").sum() > 0
    assert found.loc["harms listed for some arms only", "rows"] == len(incomplete)
    assert found.loc["guesses of the arm (blinding)", "rows"] == 2 and (found["why"] != "").all()
    by_arm = counted.assign(term=counted["term"].where(counted["fact_id"] != "h434", "any adverse event"))
    assert harms_limits.holes(by_arm, incomplete, guesses)["rows"].iloc[0] == 1, "a hole that is filled is seen"


def test_reasons_stand_in_a_source():
    tables = [read_extracted("harms"), read_published("reviews"), read_published("retractions"),
              read_extracted("characteristics")]
    found = harms_limits.reasons_for_more(*tables)
    assert (found != "").all(axis=None)
    assert "AE capture" in found["words"].iloc[0]
    with pytest.raises(ValueError, match="no review of FDA PDAC"):
        harms_limits.reasons_for_more(tables[0], tables[1].iloc[:5], *tables[2:])
    with pytest.raises(ValueError, match="no status of MP-4"):
        harms_limits.reasons_for_more(*tables[:3], tables[3].iloc[:5])
