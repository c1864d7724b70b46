"""Follow-up after the crossover: bounds that need no assumption, one group, and no comparison."""

import pandas as pd
import pytest

from meta_analysis import follow_up
from meta_analysis.data import read_extracted

TIMEPOINTS = pd.DataFrame({"timepoint_id": ["A:month_1", "A:month_12"], "post_crossover": [False, True]})


def test_bounds_by_hand():
    bounds = follow_up.lost_to_follow_up(19, 25, 28)
    assert bounds.seen.estimate == pytest.approx(0.76)
    assert (bounds.worst, bounds.best) == pytest.approx((19 / 28, 22 / 28))
    assert bounds.seen.low < 0.76 < bounds.seen.high


def test_nobody_lost_leaves_nothing_open():
    bounds = follow_up.lost_to_follow_up(3, 10, 10)
    assert bounds.worst == bounds.best == bounds.seen.estimate


@pytest.mark.parametrize("counts", [(5, 4, 10), (1, 11, 10), (-1, 4, 10), (0, 0, 10)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="must rise from 0"):
        follow_up.lost_to_follow_up(*counts)


def test_the_arms_of_mp8_give_the_printed_whole():
    scores = read_extracted("continuous_outcomes").query(
        "timepoint_id == 'MP-8:month_12' and outcome == 'ptsd_severity' and use == 'used'")
    arms = scores.pivot(index="arm_id", columns="statistic", values="value")
    arms = arms.loc[["MP-8:125mg", "MP-8:75mg", "MP-8:30mg"]]
    together = follow_up.whole_group(arms.assign(n=[11, 7, 6]))
    assert (round(together["mean"], 1), round(together["sd"], 1)) == (38.8, 28.1), "as the abstract prints them"
    as_randomised = follow_up.whole_group(arms.assign(n=[12, 7, 7]))
    assert round(as_randomised["mean"], 1) != 38.8


def test_rows_after_the_crossover_are_refused_as_comparisons():
    rows = pd.DataFrame({"timepoint_id": ["A:month_1", "A:month_12"], "randomised_comparison": [True, False]})
    follow_up.refuse_contrasts(rows, TIMEPOINTS)
    with pytest.raises(ValueError, match="A:month_12 is after the crossover"):
        follow_up.refuse_contrasts(rows.assign(randomised_comparison=True), TIMEPOINTS)
    with pytest.raises(ValueError, match="A:month_12 is after the crossover"):
        follow_up.refuse_contrasts(rows.drop(columns="randomised_comparison"), TIMEPOINTS)


def test_no_real_contrast_after_the_crossover_claims_to_be_randomised():
    contrasts, timepoints = read_extracted("contrasts"), read_extracted("timepoints")
    assert contrasts["timepoint_id"].isin(timepoints.loc[timepoints["post_crossover"], "timepoint_id"]).any()
    follow_up.refuse_contrasts(contrasts, timepoints)
