"""Influence diagnostics and Baujat's coordinates against metafor, statsmodels and their own definitions."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from meta_analysis.influence import Influence, baujat, influence
from meta_analysis.pooling import pool
from tests.diagnostics_reference import assert_agrees, cases, datasets, model, studies

NAMES = [field.name for field in fields(Influence)]
# The same sums in another order; differences of nearly equal pooled effects lose up to three digits.
ROUNDING = 1e-10


@pytest.mark.parametrize(("name", "i"), cases("influence"))
def test_influence(name, i):
    case = datasets()[name]["influence"][i]
    result = influence(*studies(name), **model(case))
    assert set(NAMES) == set(case) - {"method", "test"}
    for quantity in NAMES:
        assert_agrees(getattr(result, quantity), case[quantity], case, quantity)


@pytest.mark.parametrize(("name", "i"), cases("baujat"))
def test_baujat(name, i):
    case = datasets()[name]["baujat"][i]
    result = baujat(*studies(name), **model(case))
    assert_agrees(result.heterogeneity, case["heterogeneity"], case)
    assert_agrees(result.influence, case["influence"], case)


@pytest.mark.parametrize("ci_method", ("Wald", "HK", "mHK"))
def test_the_definitions_by_leaving_out_by_hand(ci_method):
    y, v = studies("normand1999_days")
    k, whole, result = len(y), pool(y, v, ci_method=ci_method), influence(y, v, ci_method=ci_method)
    for i in range(k):
        rest = pool(np.delete(y, i), np.delete(v, i), ci_method=ci_method)
        w = 1 / (v + rest.tau2)
        factor = {"Wald": 1.0}.get(ci_method, np.delete(w * (y - rest.estimate) ** 2, i).sum() / (k - 2))
        factor = max(1.0, factor) if ci_method == "mHK" else factor
        change = whole.estimate - rest.estimate
        expected = {
            "rstudent": (y[i] - rest.estimate) / np.sqrt(factor * (v[i] + rest.tau2) + rest.se**2),
            "dffits": change / np.sqrt(factor * whole.weights[i] * (v[i] + rest.tau2)),
            "cooks_distance": (change / whole.se) ** 2,
            "covariance_ratio": (rest.se / whole.se) ** 2,
            "tau2_deleted": rest.tau2,
            "q_deleted": rest.q,
            "dfbetas": change / np.sqrt(factor / w.sum()),
        }
        for quantity, value in expected.items():
            np.testing.assert_allclose(getattr(result, quantity)[i], value, rtol=ROUNDING, err_msg=quantity)


@pytest.mark.parametrize("options", ({}, {"tau2_method": "DL"}, {"model": "common"}))
@pytest.mark.parametrize("name", datasets())
def test_hat_values_are_those_of_statsmodels(name, options):
    y, v = studies(name)
    result = influence(y, v, **options)
    weights = 1 / (v + pool(y, v, **options).tau2)
    # The hat matrix of the regression of y on a constant, in the metric of the weights.
    hat = sm.OLS(y * np.sqrt(weights), np.sqrt(weights)).fit().get_influence().hat_matrix_diag
    np.testing.assert_allclose(result.hat, hat, rtol=ROUNDING)
    np.testing.assert_allclose(result.weight, 100 * hat, rtol=ROUNDING)
    np.testing.assert_allclose(result.hat.sum(), 1, rtol=ROUNDING)


@pytest.mark.parametrize("name", datasets())
def test_baujat_of_the_common_effect_adds_up_to_q(name):
    y, v = studies(name)
    result = baujat(y, v, model="common")
    np.testing.assert_allclose(result.heterogeneity.sum(), pool(y, v).q, rtol=ROUNDING)
    assert (result.influence >= 0).all()


def test_a_study_far_out_is_found():
    y, v = np.array([0.1, 0.2, 0.15, 0.12, 0.18, -3.0]), np.full(6, 0.01)
    result = influence(y, v)
    assert result.influential.tolist() == [False] * 5 + [True]
    assert result.rstudent[5] < -10 and result.dffits[5] < 0 and result.covariance_ratio[5] < 0.01
    assert result.tau2_deleted[5] == 0 and (result.tau2_deleted[:5] > 1).all()
    assert np.argmax(baujat(y, v).influence) == 5


def test_the_rule_of_thumb():
    """On sets in which each of its four parts alone decides for some study."""
    rng = np.random.default_rng(6)
    v = rng.gamma(0.3, 1, (5000, 12)) + 0.01
    result = influence(rng.standard_t(2, (5000, 12)) * np.sqrt(v), v, tau2_method="DL", ci_method="Wald")
    parts = np.array(
        [
            np.abs(result.dffits) > 3 / np.sqrt(12 - 1),
            result.cooks_distance > stats.chi2.median(1),
            result.hat > 3 / 12,
            np.abs(result.dfbetas) > 1,
        ]
    )
    assert ((parts.sum(axis=0) == 1) & parts).any(axis=(1, 2)).all()
    assert np.array_equal(result.influential, parts.any(axis=0))


def test_only_differences_count_and_the_unit_does_not():
    y, v = studies("bcg")
    expected, moved, scaled = influence(y, v), influence(y + 7, v), influence(-10 * y, 100 * v)
    for quantity in NAMES:
        values = getattr(expected, quantity).astype(float)
        np.testing.assert_allclose(getattr(moved, quantity), values, rtol=1e-9, err_msg=quantity)
        turned = {"rstudent": -values, "dffits": -values, "dfbetas": -values, "tau2_deleted": 100 * values}
        expected_scaled = turned.get(quantity, values)
        np.testing.assert_allclose(getattr(scaled, quantity), expected_scaled, rtol=1e-9, err_msg=quantity)


def test_many_sets_at_once_and_absent_studies():
    rng = np.random.default_rng(8)
    y, v, mask = rng.normal(size=(2, 4, 9)), rng.gamma(2, 0.2, size=9), rng.random((2, 4, 9)) < 0.7
    mask[..., :3] = True
    y[~mask] = np.nan
    together, plot = influence(y, v, mask=mask), baujat(y, v, mask=mask)
    for a in range(2):
        for b in range(4):
            here = mask[a, b]
            alone = influence(y[a, b][here], v[here])
            for quantity in NAMES:
                got = getattr(together, quantity)[a, b]
                np.testing.assert_allclose(got[here], getattr(alone, quantity), rtol=1e-9, err_msg=quantity)
                assert not got[~here].any() if quantity == "influential" else np.isnan(got[~here]).all()
            for got, expected in zip(plot, baujat(y[a, b][here], v[here]), strict=True):
                np.testing.assert_allclose(got[a, b][here], expected, rtol=1e-9)
                assert np.isnan(got[a, b][~here]).all()


@pytest.mark.parametrize("ci_method", ("Wald", "mHK"))
def test_studies_that_agree_exactly_raise_no_alarm(ci_method):
    result = influence([0.4] * 4, [0.1, 0.2, 0.3, 0.4], ci_method=ci_method)
    assert np.abs(result.rstudent).max() < 1e-12 and np.abs(result.dffits).max() < 1e-12
    assert not result.influential.any() and (result.tau2_deleted == 0).all()


@pytest.mark.parametrize("function", (influence, baujat))
@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    (
        (([0.1], [0.1]), {}, "at least 2 studies needed, got 1"),
        (([0.1, 0.2], [0.1, -1]), {}, "study 1: a variance must be finite and above zero; got -1"),
        (([0.1, np.nan], [0.1, 1]), {}, "study 1: an effect must be finite; got nan"),
        (([0.1, 0.2], [0.1, 1, 2]), {}, "the last axes (studies) do not match: effects (2,), variances (3,)"),
        (([0.1, 0.2], [0.1, 1]), {"tau2_method": "reml"}, "unknown tau2_method 'reml'; use one of REML"),
    ),
)
def test_bad_input_is_one_clear_line(function, arguments, options, message):
    with pytest.raises(ValueError) as error:
        function(*arguments, **options)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
