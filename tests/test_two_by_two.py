"""Single 2 x 2 tables against R: score intervals found by brute force, fisher.test, exact power, binom.test."""

import json
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, power_proportions_2indep

from meta_analysis import two_by_two

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "reference" / "harms.json").read_text(encoding="utf-8"))
SINGLES = REFERENCE["singles"]
# R's side maximises the likelihood by golden section, good to about the root of machine precision near a maximum.
NUMERICAL_MAXIMUM = 2e-7
# fisher.test finds the estimate to about 1e-4 (uniroot's default tolerance); its limits were searched for afresh.
FISHER_ESTIMATE = 1e-3
# Two root searches on smooth functions, both run to 1e-12 or tighter on the log scale.
ROOT = 1e-8


def table(row):
    return row["ai"], row["n1i"], row["ci"], row["n2i"]


def names(rows):
    return [f"{row['ai']}/{row['n1i']} v {row['ci']}/{row['n2i']}" for row in rows]


@pytest.mark.parametrize("row", SINGLES, ids=names(SINGLES))
def test_score_interval_of_a_difference(row):
    result = two_by_two.risk_difference(*table(row))
    expected = [row["difference"][name] for name in ("estimate", "low", "high")]
    np.testing.assert_allclose(result, expected, atol=NUMERICAL_MAXIMUM)


@pytest.mark.parametrize("row", SINGLES, ids=names(SINGLES))
def test_score_interval_of_a_ratio(row):
    result = two_by_two.risk_ratio(*table(row))
    expected = [np.nan if row["ratio"][name] is None else row["ratio"][name] for name in ("estimate", "low", "high")]
    np.testing.assert_allclose(result, expected, rtol=10 * NUMERICAL_MAXIMUM)


@pytest.mark.parametrize("row", SINGLES, ids=names(SINGLES))
def test_conditional_odds_ratio_exact_and_mid_p(row):
    expected = {name: np.nan if value is None else value for name, value in row["odds"].items()}
    exact = two_by_two.odds_ratio(*table(row), method="exact")
    np.testing.assert_allclose(exact.estimate, expected["estimate"], rtol=FISHER_ESTIMATE)
    np.testing.assert_allclose(exact[1:], [expected["low"], expected["high"]], rtol=ROOT)
    mid = two_by_two.odds_ratio(*table(row))
    np.testing.assert_allclose(mid[1:], [expected["midp_low"], expected["midp_high"]], rtol=ROOT)
    assert exact.low <= mid.low and mid.high <= exact.high, "the exact interval is the wider one"


@pytest.mark.parametrize("row", [row for row in SINGLES if row["ai"] + row["ci"] and row["ai"] < row["n1i"]],
                         ids=lambda row: f"{row['ai']}/{row['n1i']}")
def test_statsmodels_has_the_same_ratio_interval_where_no_arm_is_full(row):
    with np.errstate(all="ignore"):
        outside = confint_proportions_2indep(*table(row), compare="ratio", method="score")
    np.testing.assert_allclose(two_by_two.risk_ratio(*table(row))[1:], outside, rtol=1e-6)


def test_published_score_interval():
    # Newcombe 1998, Statistics in Medicine 17:873-890, table II, example (a), Miettinen and Nurminen: 0.0528 to 0.3382.
    result = two_by_two.risk_difference(56, 70, 48, 80)
    assert (round(result.low, 4), round(result.high, 4)) == (0.0528, 0.3382)


def test_nobody_had_it_by_hand():
    # With no events the likeliest risks under a difference d are d and 0: z^2 = d n1 (N - 1) / ((1 - d) N), so that the
    # limit is z^2 / (z^2 + n1 (N - 1) / N).
    z2, n1, total = 1.959963984540054**2, 53, 104
    result = two_by_two.risk_difference(0, 53, 0, 51)
    assert result.high == pytest.approx(z2 / (z2 + n1 * (total - 1) / total), rel=1e-9)
    assert result.estimate == 0 and result.low < 0
    assert two_by_two.p_value(0, 53, 0, 51) == 1
    for ratio in (two_by_two.risk_ratio(0, 53, 0, 51), two_by_two.odds_ratio(0, 53, 0, 51)):
        assert np.isnan(ratio.estimate) and ratio[1:] == (0, np.inf)


@pytest.mark.parametrize("counts", [(5, 53, 2, 51), (3, 46, 5, 44), (8, 53, 0, 51), (4, 4, 1, 3)])
def test_arms_exchanged_give_the_mirror_image(counts):
    a, n1, c, n2 = counts
    one, other = two_by_two.risk_difference(a, n1, c, n2), two_by_two.risk_difference(c, n2, a, n1)
    np.testing.assert_allclose(one, [-other.estimate, -other.high, -other.low], atol=1e-9)
    assert two_by_two.p_value(a, n1, c, n2) == pytest.approx(two_by_two.p_value(c, n2, a, n1), rel=1e-9)


def test_the_interval_excludes_zero_exactly_when_the_test_is_significant():
    for a in range(0, 21):
        p, interval = two_by_two.p_value(a, 20, 5, 22), two_by_two.risk_difference(a, 20, 5, 22)
        assert (p < 0.05) == (interval.low > 0 or interval.high < 0), a


def test_everybody_in_one_arm_reaches_the_end_of_the_scale():
    assert two_by_two.risk_difference(10, 10, 0, 20).high == 1
    assert two_by_two.risk_difference(0, 20, 10, 10).low == -1


@pytest.mark.parametrize("row", REFERENCE["shares"], ids=lambda row: f"{row['events']}/{row['n']}")
def test_clopper_pearson(row):
    result = two_by_two.share(row["events"], row["n"])
    np.testing.assert_allclose(result, [row["events"] / row["n"], row["low"], row["high"]], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("row", REFERENCE["powers"], ids=lambda row: f"{row['p1']:.2f} v {row['p2']:.2f}")
def test_exact_power(row):
    assert two_by_two.power(row["p1"], row["n1"], row["p2"], row["n2"]) == pytest.approx(row["power"], rel=1e-12)


def test_power_comes_near_the_normal_formula_in_large_arms():
    ours = two_by_two.power(0.35, 400, 0.25, 400)
    outside = power_proportions_2indep(0.10, 0.25, 400, return_results=False)
    assert ours == pytest.approx(outside, abs=0.01)


def test_smallest_detectable_increase_has_the_wanted_power():
    increase = two_by_two.smallest_detectable_increase(2 / 51, 53, 51)
    assert two_by_two.power(2 / 51 + increase, 53, 2 / 51, 51) == pytest.approx(0.8, abs=1e-8)
    assert two_by_two.smallest_detectable_increase(2 / 51, 530, 510) < increase
    assert np.isnan(two_by_two.smallest_detectable_increase(0.5, 2, 2)), "two against two can show nothing"


@pytest.mark.parametrize("call, message", [
    (lambda: two_by_two.risk_difference(6, 5, 0, 5), "events must lie between 0 and n"),
    (lambda: two_by_two.risk_ratio(-1, 5, 0, 5), "events must lie between 0 and n"),
    (lambda: two_by_two.odds_ratio(1, 5, 2, 5, method="Fisher"), "unknown method 'Fisher'; use one of mid-p, exact"),
    (lambda: two_by_two.share(3, 2), "events must lie between 0 and n"),
    (lambda: two_by_two.smallest_detectable_increase(1.2, 5, 5), "a risk lies in 0 to 1"),
    (lambda: two_by_two.smallest_detectable_increase(0.2, 0, 5), "n above zero"),
])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
