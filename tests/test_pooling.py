"""pool and q_profile: what each interval is, batches and masks, statsmodels, and bad input."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from meta_analysis import studies, tau2_search
from meta_analysis.mantel_haenszel import mantel_haenszel
from meta_analysis.pooling import Pool, pool, q_profile, with_interval
from meta_analysis.tau2 import METHODS
from tests.reference import CLOSED_FORM, ITERATIVE, inputs

# The same arithmetic done on other pieces of the batch, or in another order: a few roundings.
SAME = 1e-12
# statsmodels iterates Paule and Mandel's equation to its own default tolerance.
OTHER_ITERATION = 1e-5
EFFECTS, VARIANCES = np.array([-1.1, -0.4, -0.9, 0.1]), np.array([0.20, 0.10, 0.30, 0.15])


def test_a_single_pool_gives_numbers_and_a_batch_arrays():
    one = pool(EFFECTS, VARIANCES)
    for field in fields(Pool):
        expected = (4,) if field.name == "weights" else ()
        assert np.shape(getattr(one, field.name)) == expected, field.name
    many = pool(np.broadcast_to(EFFECTS, (3, 2, 4)), VARIANCES)
    for field in fields(Pool):
        expected = (3, 2, 4) if field.name == "weights" else (3, 2)
        assert np.shape(getattr(many, field.name)) == expected, field.name
    with pytest.raises(FrozenInstanceError):
        one.estimate = 0.0


def test_inputs_are_left_alone():
    effects, variances, mask = EFFECTS.copy(), VARIANCES.copy(), np.array([True, True, False, True])
    pool(effects, variances, mask=mask)
    np.testing.assert_array_equal(effects, EFFECTS)
    np.testing.assert_array_equal(variances, VARIANCES)
    assert mask.tolist() == [True, True, False, True]


def test_the_default_is_reml_with_the_modified_hartung_knapp_interval():
    default = pool(EFFECTS, VARIANCES)
    named = pool(EFFECTS, VARIANCES, model="random", tau2_method="REML", ci_method="mHK", pi_method="HK", level=0.95)
    assert all(np.array_equal(getattr(default, f.name), getattr(named, f.name), equal_nan=True) for f in fields(Pool))


@pytest.mark.parametrize("ci_method", ("Wald", "t", "HK", "mHK"))
@pytest.mark.parametrize("level", (0.8, 0.95))
@pytest.mark.parametrize("tau2_method", ("HS", "SJ"))  # Hartung and Knapp's factor is above 1 with HS, below with SJ
def test_each_interval_by_hand(ci_method, level, tau2_method):
    result = pool(EFFECTS, VARIANCES, ci_method=ci_method, level=level, tau2_method=tau2_method)
    weights = 1 / (VARIANCES + result.tau2)
    estimate = np.average(EFFECTS, weights=weights)
    classic = weights.sum() ** -0.5
    factor = np.sqrt(np.sum(weights * (EFFECTS - estimate) ** 2) / 3)
    assert factor > 1.05 if tau2_method == "HS" else factor < 0.95
    se = {"HK": classic * factor, "mHK": classic * max(1, factor)}.get(ci_method, classic)
    distribution = stats.norm() if ci_method == "Wald" else stats.t(3)
    np.testing.assert_allclose(result.weights, weights / weights.sum(), rtol=SAME)
    np.testing.assert_allclose((result.estimate, result.se), (estimate, se), rtol=SAME)
    np.testing.assert_allclose(result.ci_high, estimate + distribution.ppf((1 + level) / 2) * se, rtol=CLOSED_FORM)
    np.testing.assert_allclose(result.ci_low + result.ci_high, 2 * estimate, rtol=CLOSED_FORM)
    np.testing.assert_allclose(result.p, 2 * distribution.sf(abs(estimate / se)), rtol=CLOSED_FORM)
    assert result.df == (np.inf if ci_method == "Wald" else 3)


@pytest.mark.parametrize(("pi_method", "df"), (("HK", 3), ("HTS", 2), ("HTS-k1", 3), ("Wald", np.inf)))
def test_each_prediction_interval_by_hand(pi_method, df):
    result = pool(EFFECTS, VARIANCES, tau2_method="SJ", ci_method="HK", pi_method=pi_method)
    classic = np.sum(1 / (VARIANCES + result.tau2)) ** -0.5
    se = result.se if pi_method == "HK" else classic
    assert result.se < 0.95 * classic, "the example must tell the two standard errors apart"
    margin = stats.t(df).ppf(0.975) * np.sqrt(result.tau2 + se**2)
    np.testing.assert_allclose(result.pi_low, result.estimate - margin, rtol=CLOSED_FORM)
    np.testing.assert_allclose(result.pi_high, result.estimate + margin, rtol=CLOSED_FORM)


def test_two_studies_leave_no_degrees_of_freedom_for_hts():
    result = pool(EFFECTS[:2], VARIANCES[:2], pi_method="HTS")
    assert np.isnan(result.pi_low) and np.isnan(result.pi_high)
    assert np.isfinite(pool(EFFECTS[:2], VARIANCES[:2], pi_method="HTS-k1").pi_low)


@pytest.mark.parametrize("ci_method", ("Wald", "t", "HK", "mHK"))
def test_a_given_tau2_takes_the_place_of_the_estimate(ci_method):
    many = np.stack([EFFECTS, 2 * EFFECTS, np.full(4, -0.5)])
    estimated = pool(many, VARIANCES, ci_method=ci_method)
    given = pool(many, VARIANCES, tau2=estimated.tau2, ci_method=ci_method)
    for field in fields(Pool):
        np.testing.assert_array_equal(getattr(given, field.name), getattr(estimated, field.name), err_msg=field.name)


@pytest.mark.parametrize("pi_method", ("HK", "HTS", "HTS-k1", "Wald"))
@pytest.mark.parametrize("ci_method", ("Wald", "t", "HK", "mHK"))
@pytest.mark.parametrize("first", ("Wald", "mHK"))
def test_another_interval_of_the_same_pools(first, ci_method, pi_method):
    effects, mask = np.stack([EFFECTS, 2 * EFFECTS]), [[True] * 4, [True, False, True, True]]
    for y, present in ((EFFECTS, None), (effects, mask)):
        expected = pool(y, VARIANCES, ci_method=ci_method, pi_method=pi_method, level=0.9, mask=present)
        found = with_interval(pool(y, VARIANCES, ci_method=first, mask=present), ci_method, pi_method=pi_method,
                              level=0.9)
        for field in fields(Pool):
            got, wanted = getattr(found, field.name), getattr(expected, field.name)
            np.testing.assert_array_equal(got, wanted, err_msg=field.name)
            assert np.shape(got) == np.shape(wanted), field.name


def test_another_interval_of_a_common_effect():
    common = pool(EFFECTS, VARIANCES, model="common")
    found, expected = with_interval(common, "t"), pool(EFFECTS, VARIANCES, model="common", ci_method="t")
    for field in fields(Pool):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), err_msg=field.name)
    with pytest.raises(ValueError, match=r"^ci_method 'HK' is for the random-effects model"):
        with_interval(common, "HK")
    with pytest.raises(ValueError, match=r"^unknown ci_method 'hk'"):
        with_interval(common, "hk")
    with pytest.raises(ValueError, match=r"^other intervals are for pools by inverse variance$"):
        with_interval(mantel_haenszel([4, 7], [8, 9], [1, 2], [8, 9]), "Wald")


def test_a_given_tau2_of_0_has_the_weights_of_the_common_effect():
    given, common = pool(EFFECTS, VARIANCES, tau2=0, ci_method="Wald"), pool(EFFECTS, VARIANCES, model="common")
    np.testing.assert_allclose((given.estimate, given.se), (common.estimate, common.se), rtol=SAME)


@pytest.mark.parametrize(("tau2", "model", "message"), (
    (-0.1, "random", r"^tau2 must be finite and not below zero; got -0\.1$"),
    ([0.1, np.nan], "random", r"^pool 1: tau2 must be finite and not below zero; got nan$"),
    ([0.1, 0.2, 0.3], "random", r"^want one tau2, or one for each pool \(2,\); got \(3,\)$"),
    (0.1, "common", r"^tau2 is for the random-effects model$"),
))
def test_a_given_tau2_that_cannot_be_used(tau2, model, message):
    with pytest.raises(ValueError, match=message):
        pool(np.stack([EFFECTS, EFFECTS]), VARIANCES, tau2=tau2, model=model)


def test_common_effect():
    result = pool(EFFECTS, VARIANCES, model="common")
    assert result.df == np.inf and result.tau2 == 0 and result.converged
    assert np.isnan([result.pi_low, result.pi_high, result.tau2_low, result.tau2_high]).all()
    np.testing.assert_allclose(result.estimate, np.average(EFFECTS, weights=1 / VARIANCES), rtol=SAME)
    np.testing.assert_allclose(result.i2, max(0, 100 * (result.q - 3) / result.q), rtol=SAME)


def test_a_single_study_can_be_pooled_as_common_effect_only():
    result = pool([-0.7], [0.04], model="common")
    np.testing.assert_allclose((result.estimate, result.se), (-0.7, 0.2), rtol=SAME)
    assert (result.k, result.q, result.q_df, result.q_p, result.i2, result.h2) == (1, 0, 0, 1, 0, 1)
    assert np.isnan(pool([-0.7], [0.04], model="common", ci_method="t").ci_low), "t has no degrees of freedom"
    with pytest.raises(ValueError, match=r"^at least 2 studies needed, got 1$"):
        pool([-0.7], [0.04])


def test_identical_effects():
    """Hartung and Knapp's standard error is 0 then, which is why the modified form exists."""
    effects = np.full(4, -0.5)
    assert pool(effects, VARIANCES, ci_method="HK").se == 0
    assert pool(effects, VARIANCES, ci_method="HK").p == 0
    assert pool(effects, VARIANCES, ci_method="mHK").se == pool(effects, VARIANCES, ci_method="t").se
    assert np.isnan(pool(np.zeros(4), VARIANCES, ci_method="HK").p), "0/0: no answer, and no false one"


@pytest.mark.parametrize("name", ("bcg", "hackshaw1998", "li2007", "normand1999", "hart1999", "bangertdrowns2004"))
def test_statsmodels_agrees(name):
    y, v = inputs(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels warns of its own use of t
        for method, theirs, tolerance in (("DL", "dl", CLOSED_FORM), ("PM", "pm", OTHER_ITERATION)):
            expected = combine_effects(y, v, method_re=theirs, use_t=True)
            if expected.tau2 < 0:
                continue  # statsmodels' DL is not cut at 0
            wald = pool(y, v, tau2_method=method, ci_method="Wald")
            knapp = pool(y, v, tau2_method=method, ci_method="HK")
            np.testing.assert_allclose(wald.estimate, expected.mean_effect_re, rtol=tolerance)
            np.testing.assert_allclose(wald.se, expected.sd_eff_w_re, rtol=tolerance)
            np.testing.assert_allclose(knapp.se, expected.sd_eff_w_re_hksj, rtol=tolerance)
            np.testing.assert_allclose(wald.q, expected.q, rtol=CLOSED_FORM)
            common = pool(y, v, model="common")
            np.testing.assert_allclose(common.estimate, expected.mean_effect_fe, rtol=CLOSED_FORM)
            np.testing.assert_allclose(common.se, expected.sd_eff_w_fe, rtol=CLOSED_FORM)
            np.testing.assert_allclose(common.i2, 100 * max(0, expected.i2), rtol=CLOSED_FORM)
            np.testing.assert_allclose(common.h2, expected.h2, rtol=CLOSED_FORM)


@pytest.mark.parametrize("level", (0.9, 0.95))
@pytest.mark.parametrize("name", ("bcg", "linde2005", "normand1999_days"))
def test_q_profile_limits_are_where_q_meets_the_chi_square_quantiles(name, level):
    y, v = inputs(name)
    for limit, tail in zip(q_profile(y, v, level), (1 - level, 1 + level), strict=True):
        weights = 1 / (v + limit)
        q = np.sum(weights * (y - np.average(y, weights=weights)) ** 2)
        np.testing.assert_allclose(stats.chi2(len(y) - 1).sf(q), tail / 2, rtol=CLOSED_FORM)


def test_q_profile_is_the_null_set_when_studies_agree_too_well():
    """metafor prints the null set; here both limits are 0."""
    assert q_profile([0.5, 0.5001, 0.5002], [1.0, 1.0, 1.0]) == (0, 0)


def test_tau2_interval_only_when_asked_for():
    assert np.isnan(pool(EFFECTS, VARIANCES).tau2_low) and np.isnan(pool(EFFECTS, VARIANCES).tau2_high)
    result = pool(EFFECTS, VARIANCES, tau2_interval=True, level=0.9)
    assert (result.tau2_low, result.tau2_high) == q_profile(EFFECTS, VARIANCES, 0.9)


def test_a_q_profile_that_does_not_converge_is_not_silent(monkeypatch):
    monkeypatch.setattr(tau2_search, "MAX_ITERATIONS", 1)
    y, v = inputs("bcg")
    with pytest.warns(RuntimeWarning, match="did not converge in 1 of 1 pools"):
        assert not pool(y, v, tau2_method="DL", tau2_interval=True).converged
    with pytest.warns(RuntimeWarning, match="did not converge in 1 of 1 pools"):
        q_profile(y, v)
    assert pool(y, v, tau2_method="DL").converged


def test_one_set_of_effects_with_many_masks():
    """Every subset of two or more of four studies, against the subset pooled alone."""
    masks = np.array([[bool(i >> j & 1) for j in range(4)] for i in range(16)])
    masks = masks[masks.sum(axis=1) >= 2]
    result = pool(EFFECTS, VARIANCES, mask=masks)
    assert result.k.tolist() == masks.sum(axis=1).tolist()
    for row, mask in enumerate(masks):
        alone = pool(EFFECTS[mask], VARIANCES[mask])
        np.testing.assert_allclose(result.weights[row][mask], alone.weights, rtol=SAME)
        assert (result.weights[row][~mask] == 0).all()
        np.testing.assert_allclose(result.ci_low[row], alone.ci_low, rtol=SAME)


@pytest.mark.parametrize("method", METHODS)
def test_the_size_of_the_pieces_changes_nothing(method, monkeypatch):
    rng = np.random.default_rng(7)
    effects, variances = rng.normal(size=(5, 7, 6)), rng.uniform(0.05, 0.5, (5, 7, 6))
    expected = pool(effects, variances, tau2_method=method)
    monkeypatch.setattr(studies, "CHUNK_NUMBERS", 13)  # two pools a piece, one left over
    pieces = pool(effects, variances, tau2_method=method)
    for field in fields(Pool):
        got, want = getattr(pieces, field.name), getattr(expected, field.name)
        np.testing.assert_allclose(got, want, rtol=SAME, atol=SAME, err_msg=field.name)


def test_memory_beyond_inputs_and_results_does_not_grow_with_the_batch():
    rng = np.random.default_rng(8)
    peaks = []
    for count in (5_000, 100_000):
        effects, variances = rng.normal(size=(count, 6)), rng.uniform(0.05, 0.5, (count, 6))
        tracemalloc.start()
        result = pool(effects, variances)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        peaks.append(peak - sum(getattr(result, field.name).nbytes for field in fields(Pool)))
    # The checks of the inputs take a byte a number or two; the working arrays of an iteration would be hundreds.
    assert peaks[1] - peaks[0] < 100_000 * 6 * 4


def test_an_empty_batch():
    result = pool(np.empty((0, 3)), np.empty((0, 3)))
    assert result.estimate.shape == (0,) and result.weights.shape == (0, 3)


GOOD = np.zeros((2, 3)), np.ones((2, 3))


def changed(which: int, value: float) -> tuple[np.ndarray, np.ndarray]:
    """Good inputs of two pools, with one value of pool 1, study 2 of the effects (0) or the variances (1) replaced."""
    arrays = GOOD[0].copy(), GOOD[1].copy()
    arrays[which][1, 2] = value
    return arrays


@pytest.mark.parametrize(
    ("effects", "variances", "options", "message"),
    [
        (*changed(0, np.nan), {}, r"pool 1: study 2: an effect must be finite; got nan"),
        (*changed(0, -np.inf), {}, r"pool 1: study 2: an effect must be finite; got -inf"),
        (*changed(1, 0.0), {}, r"pool 1: study 2: a variance must be finite and above zero; got 0"),
        (*changed(1, -0.5), {}, r"pool 1: study 2: a variance must be finite and above zero; got -0.5"),
        (*changed(1, np.inf), {}, r"pool 1: study 2: a variance must be finite and above zero; got inf"),
        (*changed(1, np.nan), {}, r"pool 1: study 2: a variance must be finite and above zero; got nan"),
        ([0, np.nan], [1, 1], {}, r"study 1: an effect must be finite; got nan"),
        (np.full((2, 2, 3), np.inf), GOOD[1], {}, r"pool \(0, 0\): study 0: an effect must be finite; got inf"),
        ([1, 2, 3], [1, 1], {}, r"the last axes \(studies\) do not match: effects \(3,\), variances \(2,\)"),
        ([1, 2, 3], [1], {}, r"the last axes \(studies\) do not match: effects \(3,\), variances \(1,\)"),
        ([1, 2], [1, 1], {"mask": [True]}, r"the last axes \(studies\) do not match: .* mask \(1,\)"),
        (np.zeros((2, 3)), np.ones((4, 3)), {}, r"the leading axes \(pools\) do not broadcast: .*\(2, 3\).*\(4, 3\)"),
        (1.0, 1.0, {}, r"studies lie along the last axis, so a scalar cannot be pooled: .*"),
        ([1, 2], [1, 1], {"mask": [1, 1]}, r"the mask must be boolean, True where a study is present; got int64"),
        ([1, 2], [1, 1], {"mask": [True, False]}, r"at least 2 studies needed, got 1"),
        (*GOOD, {"mask": np.array([[1, 1, 1], [0, 0, 0]], bool)}, r"pool 1: at least 2 studies needed, got 0"),
        (*GOOD, {"mask": np.zeros(3, bool), "model": "common"}, r"pool 0: at least 1 study needed, got 0"),
        ([], [], {}, r"at least 2 studies needed, got 0"),
        (*GOOD, {"level": 95}, r"level must lie between 0 and 1, got 95"),
        (*GOOD, {"model": "fixed"}, r"unknown model 'fixed'; use one of random, common"),
        (*GOOD, {"tau2_method": "XX"}, r"unknown tau2_method 'XX'; use one of REML, DL, PM, ML, EB, HE, SJ, HS"),
        (*GOOD, {"ci_method": "z"}, r"unknown ci_method 'z'; use one of mHK, HK, t, Wald"),
        (*GOOD, {"pi_method": "t"}, r"unknown pi_method 't'; use one of HK, HTS, HTS-k1, Wald"),
        (*GOOD, {"model": "common", "ci_method": "mHK"}, r"ci_method 'mHK' is for the random-effects model; .*"),
    ],
)
def test_bad_input_is_one_clear_line(effects, variances, options, message):
    with pytest.raises(ValueError, match=rf"\A{message}\Z") as caught:
        pool(effects, variances, **options)
    assert "\n" not in str(caught.value)


def test_absent_studies_may_hold_anything():
    mask = np.array([True, True, True, True, False, False])
    effects = np.append(EFFECTS, [np.nan, -np.inf])
    variances = np.append(VARIANCES, [np.nan, -1.0])
    for method in METHODS:
        masked = pool(effects, variances, mask=mask, tau2_method=method, tau2_interval=True)
        absent = pool(EFFECTS, VARIANCES, tau2_method=method, tau2_interval=True)
        for field in fields(Pool):
            got, want = getattr(masked, field.name), getattr(absent, field.name)
            want = np.append(want, [0, 0]) if field.name == "weights" else want
            np.testing.assert_allclose(got, want, rtol=SAME, atol=SAME, err_msg=field.name)
    np.testing.assert_allclose(q_profile(effects, variances, mask=mask), q_profile(EFFECTS, VARIANCES), rtol=ITERATIVE)
