"""Estimators of tau2: their own equations, independent solvers, several maxima, and failures that are not silent."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import optimize
from statsmodels.stats.meta_analysis import combine_effects

from meta_analysis import tau2_search
from meta_analysis.tau2 import METHODS, estimate_tau2
from tests.reference import inputs, metafor

# The equation that defines the estimate, divided by the size of its terms, at the estimate: a few roundings of sums of
# up to 160 numbers.
STATIONARY = 1e-12
# Ours against another program's iteration, which stops at its own default tolerance.
OTHER_ITERATION = 1e-6
# A minimum is known to the root of the rounding of the function at it, no better.
MINIMUM = 1e-6
NAMES = tuple(metafor()["datasets"])


def projection(v: np.ndarray, tau2: float) -> np.ndarray:
    """P = W - W 1 (1'W1)^-1 1' W as a full matrix, for an independent look at the equations."""
    w = np.diag(1 / (v + tau2))
    ones = np.ones((len(v), 1))
    return w - w @ ones @ np.linalg.inv(ones.T @ w @ ones) @ ones.T @ w


def negative_log_likelihood(y: np.ndarray, v: np.ndarray, tau2: float, method: str) -> float:
    """Minus the (restricted) log-likelihood up to a constant, from determinants."""
    result = np.linalg.slogdet(np.diag(v + tau2))[1] + y @ projection(v, tau2) @ y
    return (result + (np.log(np.sum(1 / (v + tau2))) if method == "REML" else 0.0)) / 2


@pytest.mark.parametrize("method", ("REML", "ML"))
@pytest.mark.parametrize("name", NAMES)
def test_the_likelihood_is_stationary_or_falls_from_the_boundary(name, method):
    y, v = inputs(name)
    y = y - y.mean()
    tau2, converged = estimate_tau2(y, v, method)
    p = projection(v, tau2)
    size = np.trace(p) if method == "REML" else np.sum(1 / (v + tau2))
    score = y @ p @ p @ y / size - 1
    assert converged
    assert score <= STATIONARY if tau2 == 0 else abs(score) <= STATIONARY


@pytest.mark.parametrize("method", ("PM", "EB"))
@pytest.mark.parametrize("name", NAMES)
def test_generalised_q_is_its_expectation_or_below_it_on_the_boundary(name, method):
    y, v = inputs(name)
    y = y - y.mean()
    tau2, converged = estimate_tau2(y, v, method)
    excess = y @ projection(v, tau2) @ y / (len(y) - 1) - 1
    assert converged
    assert excess <= STATIONARY if tau2 == 0 else abs(excess) <= STATIONARY


@pytest.mark.parametrize("method", ("REML", "ML"))
@pytest.mark.parametrize("name", [name for name in NAMES if name != "mcdaniel1994"])
def test_no_tau2_has_a_higher_likelihood(name, method):
    y, v = inputs(name)
    y = y - y.mean()
    tau2 = estimate_tau2(y, v, method).tau2
    ours = negative_log_likelihood(y, v, tau2, method)
    upper = 4 * np.var(y, ddof=1) + v.max()
    grid = [negative_log_likelihood(y, v, t, method) for t in np.linspace(0, upper, 201)]
    assert ours <= min(grid) + STATIONARY * abs(ours)
    found = optimize.minimize_scalar(
        negative_log_likelihood_of(y, v, method), bounds=(0, upper), method="bounded", options={"xatol": 1e-12 * upper}
    )
    np.testing.assert_allclose(found.x, tau2, rtol=MINIMUM, atol=MINIMUM * upper)


def negative_log_likelihood_of(y, v, method):
    return lambda tau2: negative_log_likelihood(y, v, tau2, method)


@pytest.mark.parametrize("case", metafor()["several_maxima"], ids=lambda case: f"{case['method']}-{len(case['yi'])}")
def test_the_highest_of_several_maxima(case):
    """On purpose unlike metafor, which stops on a lower maximum here; by metafor's own likelihood ours is higher."""
    tau2, converged = estimate_tau2(case["yi"], case["vi"], case["method"])
    assert converged
    np.testing.assert_allclose(tau2, case["tau2_highest"], rtol=MINIMUM)
    assert case["log_likelihood_highest"] > case["log_likelihood_metafor"] + 0.1
    assert abs(tau2 - case["tau2_metafor"]) > 0.1


def test_no_crawl_where_the_score_bends_the_wrong_way():
    """On the way to the maximum the score falls to almost 0 and rises again: no place for steps by its size."""
    y = np.array([13.651, -0.688, 3.45, -0.179, 2.773, -21.983])
    v = np.array([326.554, 0.1939, 0.252, 0.2569, 3.0867, 35.5228])
    tau2, converged = estimate_tau2(y, v, "ML")
    found = optimize.minimize_scalar(negative_log_likelihood_of(y, v, "ML"), bounds=(10, 40), method="bounded")
    assert converged and abs(negative_log_likelihood(y, v, tau2, "ML") - found.fun) < 1e-9
    np.testing.assert_allclose(tau2, found.x, rtol=1e-3)  # the search by values alone is coarse


def test_of_two_peaks_that_are_almost_as_high_both_are_climbed():
    """The boundary is higher than any point of the grid near the other peak, and lower than that peak."""
    y = np.array([130.229, -7.115, -0.509, -0.951, -1.269, 0.036])
    v = np.array([565.5645, 9.3769, 0.0037, 0.2357, 16.1134, 1.1491])
    tau2, converged = estimate_tau2(y, v, "REML")
    found = optimize.minimize_scalar(negative_log_likelihood_of(y, v, "REML"), bounds=(500, 8000), method="bounded")
    assert converged and found.fun < negative_log_likelihood(y, v, 0, "REML") - 0.05
    np.testing.assert_allclose(tau2, found.x, rtol=1e-3)  # the search by values alone is coarse


def test_a_flat_likelihood_needs_the_safeguard():
    """Two maxima about to merge: the step from the best grid point leaves the interval that holds the higher one."""
    y = [-4.295, 3.972, 1.963, -0.5756, 3.085, -1.364, 0.274, 0.0636, 0.497, 0.4387]
    y += [3.81, -3.578, -0.09875, 0.9026, -0.7031, 0.9811, 3.833, -0.987, -0.4903, -421.8]
    v = [6.191, 15.01, 6.071, 10.61, 151.6, 1.473, 0.05659, 1.069, 0.7979, 0.2367]
    v += [52.12, 17.25, 1.476, 0.165, 1.554, 122.8, 5.897, 0.5901, 0.1954, 191500.0]
    y, v = np.array(y), np.array(v)
    tau2, converged = estimate_tau2(y, v, "ML")
    found = optimize.minimize_scalar(negative_log_likelihood_of(y, v, "ML"), bounds=(0.01, 0.1), method="bounded")
    assert converged and found.fun < negative_log_likelihood(y, v, 0, "ML") - 0.005
    np.testing.assert_allclose(tau2, found.x, rtol=1e-3)  # flat, so the search by values alone is coarse
    assert abs(negative_log_likelihood(y, v, tau2, "ML") - found.fun) < 1e-6


@pytest.mark.parametrize("spread", (0.5, 2.0))
@pytest.mark.parametrize("k", (2, 3, 6, 12))
def test_random_pools_reach_the_highest_restricted_likelihood(k, spread):
    """Against a dense grid, with variances that differ by a factor of up to thousands within a pool."""
    rng = np.random.default_rng(20240605)
    v = np.exp(rng.normal(0, spread, (300, k)))
    y = rng.normal(0, np.sqrt(v + rng.choice([0, 0.3, 3], (300, 1))))
    tau2, converged = estimate_tau2(y, v, "REML")
    assert converged.all()

    def log_likelihood(t):
        w = 1 / (v + t[:, None])
        residual = y - (w * y).sum(1, keepdims=True) / w.sum(1, keepdims=True)
        return (np.log(w).sum(1) - np.log(w.sum(1)) - (w * residual**2).sum(1)) / 2

    ours = log_likelihood(tau2)
    for t in np.concatenate([[0], np.geomspace(1e-4, 1e4, 300)]):
        assert (log_likelihood(np.full(300, t)) <= ours + 1e-9).all(), t


@pytest.mark.parametrize(("method", "theirs"), (("DL", "dl"), ("PM", "pm")))
@pytest.mark.parametrize("name", [name for name in NAMES if metafor()["datasets"][name]["random"]])
def test_statsmodels_agrees(name, method, theirs):
    y, v = inputs(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels warns of the t distribution it does not use here
        expected = combine_effects(y, v, method_re=theirs).tau2
    tau2 = estimate_tau2(y, v, method).tau2
    # statsmodels does not cut DerSimonian and Laird's estimate at 0.
    np.testing.assert_allclose(tau2, max(0.0, expected), rtol=OTHER_ITERATION, atol=OTHER_ITERATION * np.median(v))


def test_equal_variances_have_closed_solutions():
    y, v = np.array([-1.2, 0.3, 0.8, -0.1, 2.0]), np.full(5, 0.25)
    unbiased, biased = np.var(y, ddof=1) - 0.25, np.var(y) - 0.25
    for method, expected in {"REML": unbiased, "DL": unbiased, "PM": unbiased, "EB": unbiased, "HE": unbiased}.items():
        np.testing.assert_allclose(estimate_tau2(y, v, method).tau2, expected, rtol=1e-14)
    for method in ("ML", "HS"):
        np.testing.assert_allclose(estimate_tau2(y, v, method).tau2, biased, rtol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_equal_effects_have_no_heterogeneity_at_all(method):
    tau2, converged = estimate_tau2([0.4, 0.4, 0.4, 0.4], [0.1, 0.2, 0.3, 5.0], method)
    assert tau2 == 0 and converged


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", (1e-9, 1e9))
def test_any_unit_of_measurement(method, unit):
    y, v = inputs("bcg")
    expected = estimate_tau2(y, v, method).tau2
    scaled = estimate_tau2(y * unit, v * unit**2, method)
    assert scaled.converged
    np.testing.assert_allclose(scaled.tau2 / unit**2, expected, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_one_study_a_million_times_more_precise(method):
    y, v = np.array([0.0, 1.0, -2.0, 0.5, 3.0]), np.array([1e-6, 1.0, 1.0, 1.0, 1.0])
    tau2, converged = estimate_tau2(y, v, method)
    assert converged and 0 <= tau2 < 10


@pytest.mark.parametrize("method", ("REML", "ML", "PM", "EB"))
def test_no_convergence_is_not_silent(method, monkeypatch):
    monkeypatch.setattr(tau2_search, "MAX_ITERATIONS", 1)
    y, v = inputs("bcg")
    batch = np.array([y, np.zeros(13)])  # the second pool is on the boundary at once
    with pytest.warns(RuntimeWarning, match=r"did not converge in 1 of 2 pools"):
        result = estimate_tau2(batch, v, method)
    assert result.converged.tolist() == [False, True]


@pytest.mark.parametrize("method", ("REML", "ML", "PM", "EB"))
def test_few_iterations_are_enough(method, monkeypatch):
    """Speed rests on it: four to seven steps on all data sets, where Fisher scoring takes dozens or hundreds."""
    monkeypatch.setattr(tau2_search, "MAX_ITERATIONS", 7)
    assert all(estimate_tau2(*inputs(name), method).converged for name in NAMES)


def test_no_method_warns_where_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS:
            estimate_tau2(*inputs("alike"), method)


def test_bad_input_is_one_clear_line():
    with pytest.raises(ValueError, match=r"^unknown tau2_method 'reml'; use one of REML, DL,[^\n]*$"):
        estimate_tau2([1, 2], [1, 1], "reml")
    with pytest.raises(ValueError, match=r"^at least 2 studies needed, got 1$"):
        estimate_tau2([1.0], [1.0])
