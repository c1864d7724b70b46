"""Effect sizes against metafor, statsmodels and plain algebra; the sums around them; bad input."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import effectsize_2proportions, effectsize_smd

from meta_analysis.absolute_effects import absolute_effect, number_needed_to_treat
from meta_analysis.event_effects import odds_ratio, risk_difference, risk_ratio
from meta_analysis.groups import combine_groups, implied_correlation, sd_of_change
from meta_analysis.mean_differences import (
    cohen_d,
    glass_delta,
    hedges_correction,
    mean_difference,
    standardised_mean_difference,
)
from tests.reference import CLOSED_FORM, NEAR_ZERO, metafor

REFERENCE = metafor()["effect_sizes"]
COUNTS = tuple(np.array(REFERENCE["counts"][name], dtype=float) for name in ("ai", "n1i", "ci", "n2i"))
MEANS = tuple(np.array(REFERENCE["means"][name], dtype=float) for name in ("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i"))
TWO_ARMS = (1.0, 2.0, 10, 3.0, 3.0, 8)
MEASURES = {"RR": risk_ratio, "OR": odds_ratio, "RD": risk_difference}
STATSMODELS = {"RR": "risk-ratio", "OR": "odds-ratio", "RD": "diff"}
# Tables without any zero cell, for programs that cannot do zeros.
WHOLE = tuple(np.array(x, dtype=float) for x in ([4, 10, 21, 37], [12, 12, 46, 42], [1, 2, 14, 23], [7, 8, 43, 37]))


def same(effect, estimate, variance):
    np.testing.assert_allclose(effect.estimate, estimate, rtol=CLOSED_FORM, atol=NEAR_ZERO)
    np.testing.assert_allclose(effect.variance, variance, rtol=CLOSED_FORM)


def test_the_reference_rows_are_whole():
    assert [(row["measure"], row["to"]) for row in REFERENCE["of_counts"]] == [
        (measure, to) for to in ("only0", "all") for measure in ("RR", "OR", "RD")
    ]
    assert [row["measure"] for row in REFERENCE["of_means"]] == ["SMD", "MD"]
    a, n1, c, n2 = COUNTS
    assert ((a == 0) & (c == 0)).any() and ((a == n1) & (c == n2)).any() and ((a > 0) & (c == 0)).any()
    assert all(len(row["yi"]) == len(row["vi"]) == len(a) == 10 for row in REFERENCE["of_counts"])


@pytest.mark.parametrize("row", REFERENCE["of_counts"], ids=lambda row: f"{row['measure']}-{row['to']}")
def test_counts_as_in_metafor(row):
    zero_cells = {"only0": "only_zero", "all": "always"}[row["to"]]
    same(MEASURES[row["measure"]](*COUNTS, zero_cells=zero_cells), row["yi"], row["vi"])


@pytest.mark.parametrize("row", REFERENCE["of_means"], ids=lambda row: row["measure"])
def test_means_as_in_metafor(row):
    same({"SMD": standardised_mean_difference, "MD": mean_difference}[row["measure"]](*MEANS), row["yi"], row["vi"])


def test_exact_correction_as_in_metafor():
    row = REFERENCE["hedges_exact"]
    np.testing.assert_allclose(hedges_correction(row["df"]), row["value"], rtol=CLOSED_FORM)


def test_the_approximate_correction_is_close_and_in_terms_of_n():
    n = np.array([10, 20, 40, 100])
    np.testing.assert_allclose(hedges_correction(n - 2, "approximate"), 1 - 3 / (4 * n - 9), rtol=CLOSED_FORM)
    # The two differ by a term of the order 1/df^2.
    difference = hedges_correction(n - 2, "approximate") - hedges_correction(n - 2)
    assert (np.abs(difference) < 0.1 / (n - 2) ** 2).all() and (difference != 0).all()


def test_smd_as_in_statsmodels():
    expected = effectsize_smd(*MEANS)
    same(standardised_mean_difference(*MEANS, correction="approximate", variance="statsmodels"), *expected)


def test_smd_as_in_the_open_datasets():
    m1, s1, n1, m2, s2, n2 = MEANS
    d = (m1 - m2) / np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2))
    expected = d * (1 - 3 / (4 * (n1 + n2) - 9)), 1 / n1 + 1 / n2 + d**2 / (2 * (n1 + n2))
    same(standardised_mean_difference(*MEANS, correction="approximate", variance="uncorrected_d"), *expected)


def test_a_lower_mean_or_fewer_events_in_the_active_arm_is_negative():
    assert standardised_mean_difference(40, 10, 20, 60, 10, 20).estimate < 0
    assert mean_difference(40, 10, 20, 60, 10, 20).estimate == -20
    assert all(f(2, 20, 9, 20).estimate < 0 for f in MEASURES.values())


def test_glass_delta_is_metafors_smd1():
    """escalc("SMD1", m1i=1, sd1i=2, n1i=10, m2i=3, sd2i=3, n2i=8) gives -0.5921 and 0.2469."""
    delta = glass_delta(*TWO_ARMS)
    np.testing.assert_allclose([delta.estimate, delta.variance], [-0.5921, 0.2469], atol=5e-5)
    wider = glass_delta(1.0, 20.0, 10, 3.0, 3.0, 8)
    assert wider.estimate == delta.estimate  # the active arm's spread plays no part


def test_cohen_d_is_g_without_its_correction():
    d = cohen_d(*TWO_ARMS)
    g = standardised_mean_difference(*TWO_ARMS, correction="approximate", variance="uncorrected_d")
    pooled = np.sqrt((9 * 4 + 7 * 9) / 16)
    np.testing.assert_allclose(d.estimate, -2 / pooled, rtol=1e-12)
    np.testing.assert_allclose(d.estimate * hedges_correction(16, "approximate"), g.estimate, rtol=1e-12)
    np.testing.assert_allclose(d.variance, 18 / 80 + d.estimate**2 / 36, rtol=1e-12)


def test_glass_delta_takes_arrays():
    both = glass_delta([1.0, 1.0], 2.0, [10, 20], 3.0, 3.0, 8)
    assert both.estimate.shape == both.variance.shape == (2,) and both.variance[0] > both.variance[1]


@pytest.mark.parametrize("measure", MEASURES)
def test_proportions_as_in_statsmodels(measure):
    a, n1, c, n2 = WHOLE
    expected = effectsize_2proportions(a, n1, c, n2, statistic=STATSMODELS[measure])
    for zero_cells in ("only_zero", "treatment_arm", "none", "events_and_totals"):  # no zeros, so all are the same
        same(MEASURES[measure](a, n1, c, n2, zero_cells=zero_cells), *expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_treatment_arm_correction_as_in_statsmodels_where_the_arms_are_equal(measure):
    table = np.array([0.0, 7.0, 12.0]), 12, np.array([3.0, 0.0, 12.0]), 12
    expected = effectsize_2proportions(*table, statistic=STATSMODELS[measure], zero_correction="tac")
    same(MEASURES[measure](*table, zero_cells="treatment_arm"), *expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_treatment_arm_correction_finds_no_effect_where_nobody_or_everybody_had_the_event(measure):
    """The point of Sweeting's correction: n1/N and n2/N leave equal risks equal, 1/2 in unequal arms does not."""
    table = np.array([0.0, 25.0]), 25, np.array([0.0, 15.0]), 15
    assert (np.abs(MEASURES[measure](*table, zero_cells="treatment_arm").estimate) < NEAR_ZERO).all()
    assert (np.abs(MEASURES[measure](*table, zero_cells="only_zero").estimate) > 1e-4).all()
    # On purpose unlike statsmodels, whose "tac" gives each arm the share of the other and so fails at this.
    theirs = effectsize_2proportions(*table, statistic=STATSMODELS[measure], zero_correction="tac")[0]
    assert (np.abs(theirs) > 1e-4).all()


def test_events_and_totals_corrects_both_arms_where_an_arm_has_no_event():
    """4/8 v 0/4 is in the open dataset on this question; everybody having the event (7/7) is no reason there."""
    expected = np.log((4.5 / 8.5) / (0.5 / 4.5)), 1 / 4.5 - 1 / 8.5 + 1 / 0.5 - 1 / 4.5
    same(risk_ratio(4, 8, 0, 4, zero_cells="events_and_totals"), *expected)
    same(risk_ratio(7, 7, 2, 7, zero_cells="events_and_totals"), np.log(3.5), 1 / 2 - 1 / 7)


def test_without_correction_what_is_undefined_is_nan():
    a, n1, c, n2 = np.array([0, 5, 0, 7, 7]), 7, np.array([3, 0, 0, 7, 2]), 7
    for measure, defined in (("RR", [0, 0, 0, 0, 1]), ("OR", [0, 0, 0, 0, 0])):
        effect = MEASURES[measure](a, n1, c, n2, zero_cells="none")
        np.testing.assert_array_equal(np.isfinite(effect.estimate), np.array(defined, dtype=bool))
        np.testing.assert_array_equal(np.isfinite(effect.variance), np.array(defined, dtype=bool))
    effect = risk_difference(a, n1, c, n2, zero_cells="none")
    np.testing.assert_allclose(effect.estimate, [-3 / 7, 5 / 7, 0, 0, 5 / 7])
    assert (effect.variance == 0).tolist() == [False, False, True, True, False]


def test_arrays_of_any_shape():
    table = tuple(x.reshape(2, 2) for x in WHOLE)
    assert risk_ratio(*table).estimate.shape == (2, 2)
    assert standardised_mean_difference(40, 10, np.array([10, 20, 30]), 60, 10, 20).variance.shape == (3,)


def test_combined_groups_are_all_participants_taken_together():
    rng = np.random.default_rng(3)
    people = [rng.normal(loc, 3, n) for loc, n in ((10, 12), (14, 7), (9, 7))]
    merged = combine_groups(*([f(x) for x in people] for f in (len, np.mean, lambda x: np.std(x, ddof=1))))
    everybody = np.concatenate(people)
    np.testing.assert_allclose(merged, (26, everybody.mean(), everybody.std(ddof=1)), rtol=CLOSED_FORM)


def test_combined_groups_as_in_the_handbook():
    """Cochrane Handbook, table 6.5.a, for two groups."""
    n1, m1, s1, n2, m2, s2 = 12.0, 10.0, 3.0, 7.0, 14.0, 4.0
    between = n1 * n2 / (n1 + n2) * (m1**2 + m2**2 - 2 * m1 * m2)
    sd = np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2 + between) / (n1 + n2 - 1))
    np.testing.assert_allclose(
        combine_groups([n1, n2], [m1, m2], [s1, s2]), (19, (n1 * m1 + n2 * m2) / 19, sd), rtol=CLOSED_FORM
    )


def test_combining_along_the_last_axis_one_after_the_other_or_at_once():
    n, mean, sd = np.array([[12, 7, 7], [13, 9, 6]]), np.array([[37.8, 82.4, 76.0], [46.1, 38.3, 60.1]]), 20.0
    at_once = combine_groups(n, mean, sd)
    two = combine_groups(n[:, :2], mean[:, :2], sd)
    after = combine_groups(*(np.stack([a, b], -1) for a, b in zip(two, (n[:, 2], mean[:, 2], [sd, sd]), strict=True)))
    assert at_once.mean.shape == (2,)
    for got, expected in zip(at_once, after, strict=True):
        np.testing.assert_allclose(got, expected, rtol=CLOSED_FORM)


@pytest.mark.parametrize("r", (-0.3, 0.0, 0.5, 0.9))
def test_sd_of_change_and_its_inverse(r):
    rng = np.random.default_rng(4)
    baseline = rng.normal(80, 15, 1000)
    endpoint = r * baseline + rng.normal(0, 12, 1000)
    sds = baseline.std(ddof=1), endpoint.std(ddof=1)
    actual = np.corrcoef(baseline, endpoint)[0, 1]
    change = (endpoint - baseline).std(ddof=1)
    np.testing.assert_allclose(sd_of_change(*sds, actual), change, rtol=CLOSED_FORM)
    np.testing.assert_allclose(implied_correlation(*sds, change), actual, rtol=CLOSED_FORM)


def test_an_impossible_correlation_is_shown_not_hidden():
    assert implied_correlation(10, 10, 25) < -1


def test_number_needed_to_treat():
    benefit = number_needed_to_treat(0.25, 0.10, 0.40)
    np.testing.assert_allclose(benefit[:3], (4, 2.5, 10))
    assert not benefit.through_infinity
    fewer = number_needed_to_treat(-0.25, -0.40, -0.10)
    np.testing.assert_allclose(fewer[:3], (-4, -10, -2.5))
    assert not fewer.through_infinity


def test_number_needed_to_treat_runs_through_infinity_when_no_difference_is_possible():
    """Altman's point: from 1/high up through infinity (no difference) and back from minus infinity to 1/low."""
    result = number_needed_to_treat(0.1, -0.05, 0.25)
    np.testing.assert_allclose(result[:3], (10, 4, -20))
    assert result.through_infinity
    assert number_needed_to_treat(0.0, -0.1, 0.1).estimate == np.inf
    touches = number_needed_to_treat(0.1, 0.0, 0.2)
    assert (touches.low, touches.high) == (5, np.inf) and not touches.through_infinity
    touches = number_needed_to_treat(-0.1, -0.2, 0.0)
    assert (touches.low, touches.high) == (-np.inf, -5) and not touches.through_infinity


def test_no_number_needed_to_treat_is_below_one_person():
    assert number_needed_to_treat(0.9, 0.5, 1.3).low == 1


def test_absolute_effect_of_a_risk_ratio():
    result = absolute_effect(0.30, 1.5, 1.2, 2.0)
    np.testing.assert_allclose(result, (0.45, 0.36, 0.60, 0.15, 0.06, 0.30))
    assert absolute_effect(0.30, 1.5, 1.2, 4.0).risk_high == 1, "a risk cannot exceed 1"


def test_absolute_effect_of_an_odds_ratio():
    result = absolute_effect(np.array([0.2, 0.5]), 3.0, 1.0, 9.0, "OR")
    np.testing.assert_allclose(result.risk / (1 - result.risk), 3 * np.array([0.25, 1.0]))
    np.testing.assert_allclose(result.difference_low, 0, atol=NEAR_ZERO)
    np.testing.assert_allclose(result.risk_high[1], 0.9)


def test_absolute_effect_of_a_risk_difference_stays_among_the_risks():
    result = absolute_effect(0.10, -0.02, -0.15, 0.95, "RD")
    np.testing.assert_allclose(result, (0.08, 0, 1, -0.02, -0.10, 0.90))
    np.testing.assert_allclose(absolute_effect(0.0, 1.5, 1.2, 2.0).risk, 0, err_msg="a ratio of no risk is no risk")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: risk_ratio([1, 9], [8, 8], [1, 1], [8, 8]), "study 1: active arm: events must .*; got 9, 8"),
        (lambda: odds_ratio(1, 8, -1, 8), "control arm: events must lie between 0 and n, and n above zero; got -1, 8"),
        (lambda: risk_difference([1, np.nan], 8, 1, 8), "study 1: active arm: events must .*; got nan, 8"),
        (lambda: risk_ratio(0, 0, 1, 8), "active arm: events must .*; got 0, 0"),
        (lambda: risk_ratio([1, 2], 8, [1, 2, 3], 8), r"the shapes do not match: \(2,\), \(\), \(3,\), \(\)"),
        (lambda: risk_ratio(1, 8, 1, 8, zero_cells="half"), "unknown zero_cells 'half'; use one of only_zero, .*"),
        (lambda: standardised_mean_difference(1, 0, 9, 1, 1, 9), "active arm: the standard deviation must .*; got 0"),
        (lambda: standardised_mean_difference(1, 1, 9, np.inf, 1, 9), "control arm: the mean must be finite; got inf"),
        (lambda: mean_difference(1, 1, [9, 1], 1, 1, 9), "study 1: active arm: at least 2 participants needed; got 1"),
        (lambda: standardised_mean_difference(1, 1, 9, 1, 1, 9, variance="x"), "unknown variance 'x'; use one of .*"),
        (lambda: standardised_mean_difference(1, 1, 9, 1, 1, 9, correction="x"), "unknown correction 'x'; use .*"),
        (lambda: glass_delta(1.0, 2.0, 10, 3.0, 0.0, 8), "control arm: the standard deviation must .*; got 0"),
        (lambda: hedges_correction(1), "the degrees of freedom must be at least 2; got 1"),
        (lambda: combine_groups([5, 5], [1, np.nan], [1, 1]), "study 1: the mean must be finite; got nan"),
        (lambda: sd_of_change(1, 1, 1.2), "a correlation must lie between -1 and 1; got 1.2"),
        (lambda: sd_of_change(1, -1, 0.2), "standard deviations must be finite and above zero; got 1, -1"),
        (lambda: implied_correlation(1, 1, 0), "standard deviations must be finite and above zero; got 1, 1, 0"),
        (lambda: number_needed_to_treat(0.3, 0.4, 0.5), "the risk difference must lie between its limits; got .*"),
        (lambda: number_needed_to_treat(15, 10, 20), "a risk difference is per person, between -1 and 1; got 15"),
        (lambda: absolute_effect(30, 1.5, 1.2, 2), "a control risk must lie between 0 and 1; got 30"),
        (lambda: absolute_effect(0.3, -0.4, -0.8, 0.1), "ratios must be above zero, the limits around them; got .*"),
        (lambda: absolute_effect(0.3, 1.5, 1.2, 2, "HR"), "unknown measure 'HR'; use one of RR, OR, RD"),
        (lambda: absolute_effect(0.3, 15, 12, 20, "RD"), "a risk difference lies between -1 and 1, the limits .*"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=rf"\A{message}\Z") as caught:
        call()
    assert "\n" not in str(caught.value)
