"""Pooling against metafor: every data set x estimator of tau2 x interval, and the guard that the grid is whole."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from meta_analysis.pooling import pool, q_profile
from tests.reference import CLOSED_FORM, ITERATIVE, NEAR_ZERO, inputs, metafor, random_fits

METHODS = ("REML", "DL", "PM", "ML", "EB", "HE", "SJ", "HS")
ITERATED = ("REML", "PM", "ML", "EB")
# metafor's name of a test -> our interval, and the prediction interval that metafor's predict() then gives.
TESTS = {"z": ("Wald", "Wald"), "t": ("t", "HTS-k1"), "knha": ("HK", "HK"), "adhoc": ("mHK", "HK")}
SIZES = {
    "alike": 3,
    "bangertdrowns2004": 48,
    "baskerville2012": 23,
    "bcg": 13,
    "bcg_first_two": 2,
    "bcg_three": 3,
    "cohen1981": 20,
    "collins1985b": 9,
    "hackshaw1998": 37,
    "hart1999": 6,
    "hine1989": 6,
    "li2007": 22,
    "linde2005": 24,
    "mcdaniel1994": 160,
    "molloy2014": 16,
    "nielweise2007": 18,
    "nielweise2008": 9,
    "normand1999": 9,
    "normand1999_days": 9,
    "raudenbush1985": 19,
    "yusuf1985": 21,
}
QUANTITIES = ("estimate", "se", "ci_low", "ci_high", "p", "tau2", "i2", "h2", "q", "q_p", "pi_low", "pi_high")


def test_the_grid_is_whole():
    assert {name: len(dataset["yi"]) for name, dataset in metafor()["datasets"].items()} == SIZES
    assert all(len(dataset["vi"]) == SIZES[name] for name, dataset in metafor()["datasets"].items())
    assert set(random_fits()) == {(name, m, test) for name in SIZES for m in METHODS for test in TESTS}
    for name, dataset in metafor()["datasets"].items():
        assert len(dataset["random"]) == len(METHODS) * len(TESTS), name
        assert [row["test"] for row in dataset["common"]] == ["z", "t"], name
        assert [(row["tau2"], row["test"]) for row in dataset["given"]] == list(product((0, 0.3), TESTS)), name
        assert [row["level"] for row in dataset["q_profile"]] == [95, 90], name
    for key, fit in random_fits().items():
        assert fit["k"] == SIZES[key[0]]
        missing = {name for name, value in fit.items() if value is None}
        riley = {"pi_low_riley", "pi_high_riley"} if key[2] != "z" or fit["k"] < 3 else set()
        assert missing == riley, key


def test_the_grid_has_the_shapes_that_matter():
    tau2 = {name: random_fits()[name, "REML", "z"]["tau2"] for name in SIZES}
    assert min(SIZES.values()) == 2 and 3 in SIZES.values() and max(SIZES.values()) > 50
    assert sum(value == 0 for value in tau2.values()) >= 3, "pools on the boundary"
    assert max(tau2.values()) > 100 and 0 < min(value for value in tau2.values() if value) < 0.01, "scales"
    assert {name for name, d in metafor()["datasets"].items() if d["q_profile"][0]["tau2_high"] == 0} == {
        "alike",
        "yusuf1985",
    }, "Q-profile intervals that are the null set"


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SIZES)
def test_random_effects(name, method, test):
    fit = random_fits()[name, method, test]
    ci_method, pi_method = TESTS[test]
    result = pool(*inputs(name), tau2_method=method, ci_method=ci_method, pi_method=pi_method)
    tolerance = ITERATIVE if method in ITERATED else CLOSED_FORM
    for quantity in QUANTITIES:
        got, expected = getattr(result, quantity), fit[quantity]
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=NEAR_ZERO * (expected == 0), err_msg=quantity)
    assert (result.k, result.q_df) == (fit["k"], fit["k"] - 1)
    assert result.converged
    if fit["tau2"] == 0:
        assert result.tau2 == 0, "the boundary is exact"


@pytest.mark.parametrize("name", SIZES)
def test_a_tau2_that_is_given(name):
    for fit in metafor()["datasets"][name]["given"]:
        ci_method, pi_method = TESTS[fit["test"]]
        result = pool(*inputs(name), tau2=fit["tau2"], ci_method=ci_method, pi_method=pi_method)
        for quantity in (quantity for quantity in QUANTITIES if quantity in fit):
            np.testing.assert_allclose(getattr(result, quantity), fit[quantity], rtol=CLOSED_FORM,
                                       atol=NEAR_ZERO * (fit[quantity] == 0), err_msg=f"{fit['test']} {quantity}")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SIZES)
def test_prediction_interval_of_higgins_thompson_and_spiegelhalter(name, method):
    fit = random_fits()[name, method, "z"]
    result = pool(*inputs(name), tau2_method=method, ci_method="Wald", pi_method="HTS")
    if fit["k"] == 2:
        # On purpose: t has no degrees of freedom left. metafor's predict(pi.type = "riley") goes on with one.
        assert np.isnan(result.pi_low) and np.isnan(result.pi_high)
        return
    expected = fit["pi_low_riley"], fit["pi_high_riley"]
    np.testing.assert_allclose((result.pi_low, result.pi_high), expected, rtol=ITERATIVE)


@pytest.mark.parametrize("test", ("z", "t"))
@pytest.mark.parametrize("name", SIZES)
def test_common_effect(name, test):
    (fit,) = (row for row in metafor()["datasets"][name]["common"] if row["test"] == test)
    result = pool(*inputs(name), model="common", ci_method=TESTS[test][0])
    for quantity in ("estimate", "se", "ci_low", "ci_high", "p", "i2", "h2", "q", "q_p"):
        got, expected = getattr(result, quantity), fit[quantity]
        np.testing.assert_allclose(got, expected, rtol=CLOSED_FORM, atol=NEAR_ZERO * (expected == 0), err_msg=quantity)


@pytest.mark.parametrize("level", (95, 90))
@pytest.mark.parametrize("name", SIZES)
def test_q_profile(name, level):
    (expected,) = (row for row in metafor()["datasets"][name]["q_profile"] if row["level"] == level)
    low, high = q_profile(*inputs(name), level=level / 100)
    np.testing.assert_allclose((low, high), (expected["tau2_low"], expected["tau2_high"]), rtol=ITERATIVE)
    if expected["tau2_low"] == 0:
        assert low == 0, "the boundary is exact"
    result = pool(*inputs(name), level=level / 100, tau2_interval=True)
    assert (result.tau2_low, result.tau2_high) == (low, high)


def test_all_data_sets_in_one_batch():
    """Pools of 2 to 160 studies in one masked array give what they give alone."""
    width = max(SIZES.values())
    effects, variances = np.full((2, len(SIZES), width), np.nan)
    for row, name in enumerate(SIZES):
        effects[row, : SIZES[name]], variances[row, : SIZES[name]] = inputs(name)
    for method in METHODS:
        batch = pool(effects, variances, mask=np.isfinite(effects), tau2_method=method, ci_method="HK")
        for quantity in QUANTITIES:
            expected = [random_fits()[name, method, "knha"][quantity] for name in SIZES]
            np.testing.assert_allclose(getattr(batch, quantity), expected, rtol=ITERATIVE, atol=NEAR_ZERO)
