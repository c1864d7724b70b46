"""Tests of small-study effects and trim-and-fill against metafor, statsmodels and scipy, and at their edges."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from meta_analysis.meta_regression import meta_regression
from meta_analysis.pooling import pool
from meta_analysis.small_study import PREDICTORS, egger_test, rank_test, trim_and_fill
from tests.diagnostics_reference import CI_METHODS, assert_agrees, cases, datasets, model, studies

# The same least squares by another library.
ROUNDING = 1e-11
SEVERAL = [name for name, dataset in datasets().items() if len(dataset["yi"]) > 2]
SIZED = [name for name in SEVERAL if datasets()[name]["ni"]]


def sizes(name: str) -> np.ndarray:
    return np.array(datasets()[name]["ni"], dtype=float)


def test_the_reference_is_whole():
    for name in SEVERAL:
        dataset = datasets()[name]
        predictors = PREDICTORS if name in SIZED else ("sei", "vi")
        assert [case["predictor"] for case in dataset["egger"]] == [*predictors, *predictors, *["sei"] * 4], name
        assert len(dataset.get("trim_and_fill", [])) == (12 if len(dataset["yi"]) > 3 else 0), name
    filled = [case for name in SEVERAL for case in datasets()[name].get("trim_and_fill", [])]
    assert {(case["estimator"], case["side"]) for case in filled if case["k0"] > 0} == {
        (estimator, side) for estimator in ("L0", "R0") for side in ("left", "right")
    }
    assert len(SIZED) == 10


# --------------------------------------------------------------------------------------------------------------- Egger


@pytest.mark.parametrize(("name", "i"), cases("egger"))
def test_egger(name, i):
    case = datasets()[name]["egger"][i]
    options = {"tau2_method": case["method"], "ci_method": CI_METHODS[case["test"]]}
    n = sizes(name) if name in SIZED else None
    result = egger_test(*studies(name), model=case["model"], predictor=case["predictor"], sample_sizes=n, **options)
    case = case | ({"method": "closed"} if case["model"] == "lm" else {})
    for quantity in ("statistic", "p", "slope", "limit", "limit_low", "limit_high", "tau2"):
        assert_agrees(getattr(result, quantity), case[quantity], case, quantity)
    assert result.df == (np.inf if case["df"] is None else case["df"])


@pytest.mark.parametrize("predictor", PREDICTORS)
@pytest.mark.parametrize("name", SIZED)
def test_egger_is_weighted_least_squares_of_statsmodels(name, predictor):
    (y, v), n = studies(name), sizes(name)
    x = {"sei": v**0.5, "vi": v, "ni": n, "ninv": 1 / n, "sqrtni": n**0.5, "sqrtninv": n**-0.5}[predictor]
    expected = sm.WLS(y, sm.add_constant(x), weights=1 / v).fit()
    result = egger_test(y, v, predictor=predictor, sample_sizes=n, level=0.9)
    got = result.slope, result.se, result.statistic, result.p, result.df
    theirs = expected.params[1], expected.bse[1], expected.tvalues[1], expected.pvalues[1], expected.df_resid
    np.testing.assert_allclose(got, theirs, rtol=1e-9)  # sample sizes up to 5000 beside a column of ones
    if predictor in ("ni", "sqrtni"):
        assert np.isnan([result.limit, result.limit_low, result.limit_high]).all()
    else:
        limits = expected.params[0], *expected.conf_int(0.1)[0]
        np.testing.assert_allclose((result.limit, result.limit_low, result.limit_high), limits, rtol=1e-9)


@pytest.mark.parametrize("name", SEVERAL)
def test_the_slope_is_the_intercept_as_egger_wrote_it(name):
    y, v = studies(name)
    fit = sm.OLS(y / np.sqrt(v), sm.add_constant(1 / np.sqrt(v))).fit()
    result = egger_test(y, v)
    np.testing.assert_allclose((result.slope, result.p), (fit.params[0], fit.pvalues[0]), rtol=1e-9)
    np.testing.assert_allclose(result.limit, fit.params[1], rtol=1e-9)


def test_the_sign_says_what_small_studies_show():
    v = np.array([0.01, 0.04, 0.09, 0.16, 0.25])
    y = -0.3 - 2 * np.sqrt(v) + np.array([0.01, -0.01, 0.0, -0.01, 0.01])
    result = egger_test(y, v)
    np.testing.assert_allclose((result.slope, result.limit), (-2, -0.3), atol=0.05)
    np.testing.assert_allclose(egger_test(-y, v).slope, -result.slope, rtol=ROUNDING)
    assert trim_and_fill(y, v).side == "right"  # the studies that would balance them lie to the right


@pytest.mark.parametrize("model_name", ("lm", "rma"))
def test_many_sets_at_once_and_absent_studies(model_name):
    rng = np.random.default_rng(5)
    y, v, n = rng.normal(size=(3, 8)), rng.gamma(2, 0.2, size=8), rng.integers(10, 90, 8).astype(float)
    mask = np.ones((3, 8), dtype=bool)
    mask[1, 2:4] = False
    y[1, 2], n[3] = np.nan, np.nan
    mask[:, 3] = False
    together = egger_test(y, v, model=model_name, predictor="sqrtninv", sample_sizes=n, mask=mask)
    for i, here in enumerate(mask):
        alone = egger_test(y[i][here], v[here], model=model_name, predictor="sqrtninv", sample_sizes=n[here])
        for quantity in ("slope", "se", "statistic", "df", "p", "limit", "limit_low", "limit_high", "tau2"):
            got, expected = getattr(together, quantity)[i], getattr(alone, quantity)
            np.testing.assert_allclose(got, expected, rtol=1e-9, err_msg=quantity)


# ---------------------------------------------------------------------------------------------------------------- Begg


@pytest.mark.parametrize("name", SEVERAL)
def test_rank_test(name):
    result, expected = rank_test(*studies(name)), datasets()[name]["rank"]
    for quantity in ("tau", "p"):
        assert_agrees(getattr(result, quantity), expected[quantity], {"method": "closed"}, quantity)


@pytest.mark.parametrize("name", SEVERAL)
def test_rank_test_is_kendalls_tau_of_scipy(name):
    y, v = studies(name)
    w = 1 / v
    standardised = (y - w @ y / w.sum()) / np.sqrt(v - 1 / w.sum())
    # Left alone, scipy goes over to the normal approximation above 33 pairs; R, and so we, count on.
    method = "exact" if name == "hackshaw1998" else "auto"
    expected = stats.kendalltau(standardised, v, method=method)
    np.testing.assert_allclose(tuple(rank_test(y, v)), tuple(expected), rtol=ROUNDING)


def test_rank_test_counts_every_order_where_there_are_no_ties():
    """Effects that rise with the variance: of the 4! orders one has tau 1 and one tau -1."""
    result = rank_test([0.0, 1.0, 3.0, 9.0], [0.1, 0.2, 0.3, 0.4])
    assert result.tau == 1 and result.p == pytest.approx(2 / 24, rel=1e-14)


def test_rank_test_with_ties():
    """Two equal variances: the normal approximation, with the variance that Kendall gives for ties."""
    y, v = np.array([0.3, -0.2, 0.5, 0.1, 0.9]), np.array([0.1, 0.2, 0.2, 0.4, 0.5])
    mean = pool(y, v, model="common")
    standardised = (y - mean.estimate) / np.sqrt(v - mean.se**2)
    pairs = list(combinations(range(5), 2))
    s = sum(np.sign(standardised[i] - standardised[j]) * np.sign(v[i] - v[j]) for i, j in pairs)
    result = rank_test(y, v)
    np.testing.assert_allclose(result.tau, s / np.sqrt(len(pairs) * (len(pairs) - 1)), rtol=ROUNDING)
    variance = (5 * 4 * (2 * 5 + 5) - 2 * 1 * (2 * 2 + 5)) / 18
    np.testing.assert_allclose(result.p, 2 * stats.norm.sf(s / np.sqrt(variance)), rtol=ROUNDING)
    assert np.isnan(rank_test(y, [0.2] * 5).tau)


# ------------------------------------------------------------------------------------------------------- Trim-and-fill


@pytest.mark.parametrize(("name", "i"), cases("trim_and_fill"))
def test_trim_and_fill(name, i):
    case = datasets()[name]["trim_and_fill"][i]
    options = model(case)
    result = trim_and_fill(*studies(name), estimator=case["estimator"], side=case["asked"] or None, **options)
    assert (result.k0, result.side) == (case["k0"], case["side"])
    for quantity, theirs in {"se": "se", "p": "p", "effects": "yi", "variances": "vi"}.items():
        assert_agrees(getattr(result, quantity), case[theirs], case, quantity)
    for quantity, theirs in {"estimate": "estimate", "se": "pool_se", "tau2": "tau2"}.items():
        assert_agrees(getattr(result.pool, quantity), case[theirs], case, quantity)


@pytest.mark.parametrize("estimator", ("L0", "R0"))
def test_what_is_filled_is_the_mirror_image(estimator):
    y, v = studies("hackshaw1998")
    result = trim_and_fill(y, v, estimator=estimator)
    k, k0 = len(y), result.k0
    outermost = np.argsort(y)[k - k0 :]
    rest = np.setdiff1d(np.arange(k), outermost)
    centre = pool(y[rest], v[rest]).estimate
    assert k0 == 7 and np.array_equal(result.effects[:k], y)
    np.testing.assert_allclose(result.effects[k:] + y[outermost], 2 * centre, rtol=ROUNDING)
    assert np.array_equal(result.variances[k:], v[outermost])
    assert result.pool.k == k + k0 and result.pool.estimate < pool(y, v).estimate
    turned = trim_and_fill(-y, v, estimator=estimator)
    assert (turned.k0, turned.side) == (k0, "right")
    np.testing.assert_allclose(turned.effects, -result.effects, rtol=ROUNDING)


@pytest.mark.parametrize("side", ("left", "right", None))
def test_a_symmetrical_funnel_is_left_alone(side):
    y, v = np.array([-0.6, -0.2, 0.0, 0.2, 0.6]), np.array([0.5, 0.1, 0.05, 0.1, 0.5])
    result = trim_and_fill(y, v, side=side, ci_method="HK")
    assert result.k0 == 0 and np.array_equal(result.effects, y)
    assert result.pool.estimate == pool(y, v, ci_method="HK").estimate


def test_without_a_side_the_slope_decides():
    for name in ("bcg", "hackshaw1998", "normand1999"):
        y, v = studies(name)
        design = np.column_stack([np.ones(len(y)), np.sqrt(v)])
        for tau2_method in ("REML", "HE"):
            slope = meta_regression(y, v, design, tau2_method=tau2_method).coefficients[1]
            assert trim_and_fill(y, v, tau2_method=tau2_method).side == ("right" if slope < 0 else "left")
    # Here the slope is -1.9 with weights 1/v and +1.1 with weights 1/(v + tau2): the pool's own model counts.
    y, v = [-1.1, -1.3, 0.6, 0.6, 1.3], [0.16, 0.13, 0.02, 0.9, 0.34]
    assert (trim_and_fill(y, v, model="common").side, trim_and_fill(y, v).side) == ("right", "left")


def test_equal_effects_lack_nothing():
    for estimator in ("L0", "R0"):
        assert trim_and_fill([0.1] * 5, [0.3, 0.2, 0.7, 0.1, 0.05], estimator=estimator).k0 == 0


def test_one_study_may_be_left():
    """The outer two of three are trimmed, and the last one is its own pool and the mirror."""
    result = trim_and_fill([-1.0, 0.0, -0.8], [1.24, 0.16, 1.05], tau2_method="DL", side="right")
    assert result.k0 == 2
    np.testing.assert_allclose(result.effects[3:], [0.8, 1.0], rtol=ROUNDING)


def test_trimming_that_goes_round_is_an_error():
    """metafor's trimfill() stops on these data too: "Trim and fill algorithm did not converge"."""
    y = [0.2, 0.1, -0.3, 0.1, 2.2, -0.2, -0.1, 0.1, -0.1, -0.2, -0.9, -0.4, 0.1]
    v = [0.89, 0.01, 0.28, 0.01, 1.93, 0.02, 0.01, 0.01, 0.02, 0.03, 0.79, 1.82, 0.06]
    assert trim_and_fill(y, v, side="left", tau2_method="DL").k0 == 0
    with pytest.raises(ValueError, match=r"^trim-and-fill \(L0\) does not settle: .* \[0, 1, 2, 1\]$"):
        trim_and_fill(y, v, tau2_method="DL")


# ------------------------------------------------------------------------------------------------------------ Bad input

Y, V = [0.1, -0.3, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    ("call", "message"),
    (
        (lambda: egger_test(Y[:2], V[:2]), "at least 3 studies needed, got 2"),
        (lambda: egger_test(Y, [0.1, 0.2, 0.0, 0.4]), "study 2: a variance must be finite and above zero; got 0"),
        (lambda: egger_test(Y, V, model="wls"), "unknown model 'wls'; use one of lm, rma"),
        (lambda: egger_test(Y, V, predictor="n"), "unknown predictor 'n'; use one of sei, vi, ni"),
        (lambda: egger_test(Y, V, predictor="ni"), "predictor 'ni' needs sample_sizes"),
        (lambda: egger_test(Y, V, predictor="ni", sample_sizes=[5, 6, 0, 7]), "study 2: a sample size must be"),
        (lambda: egger_test(Y, V, predictor="ni", sample_sizes=[5, 6, 7]), "the last axes (studies) do not match"),
        (lambda: egger_test(Y, [0.2] * 4), "the predictor 'sei' is the same in all studies"),
        (lambda: egger_test([Y, Y], [V, [1] * 4]), "pool 1: the predictor 'sei' is the same in all studies"),
        (lambda: rank_test(Y[:1], V[:1]), "at least 2 studies needed, got 1"),
        (lambda: rank_test([Y, Y], V), "one set of studies at a time, effects of shape (k,); got (2, 4)"),
        (lambda: trim_and_fill(Y[:2], V[:2]), "at least 3 studies needed, got 2"),
        (lambda: trim_and_fill(Y, V, estimator="Q0"), "unknown estimator 'Q0'; use one of L0, R0"),
        (lambda: trim_and_fill(Y, V, side="top"), "unknown side 'top'; use one of left, right"),
        (lambda: trim_and_fill(Y, V, model="fixed"), "unknown model 'fixed'; use one of random, common"),
        (lambda: trim_and_fill([Y, Y], V), "one set of studies at a time"),
    ),
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
