"""Permutation tests against metafor's exact ones, scipy's, and by counting."""

from __future__ import annotations

from itertools import permutations, product
from math import factorial

import numpy as np
import pytest
from scipy import stats

from meta_analysis import permutation, tau2_search
from meta_analysis.meta_regression import meta_regression
from meta_analysis.permutation import permutation_test
from meta_analysis.pooling import pool
from tests.diagnostics_reference import CI_METHODS, assert_agrees, diagnostics, studies

CASES = diagnostics()["permutation"]
# p values are counts over the number of rearrangements, which leaves nothing to the programs but rounding.
COUNTS = 1e-14


def moderator(name: str, column: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects, variances and a design with an intercept and one moderator."""
    case = diagnostics()["meta_regression"][name]
    return np.array(case["yi"]), np.array(case["vi"]), np.array(case["design"], dtype=float)[:, [0, column]]


def test_the_reference_is_whole():
    assert [(case["n"], case["alternative"]) for case in CASES] == [
        *[(2**6, "two.sided")] * 2,
        (2**6, "less"),
        (2**3, "two.sided"),
        (2**9, "two.sided"),
        (2**9, "greater"),
        (2**13, "two.sided"),
        (factorial(6) // 2, "two.sided"),
        (factorial(6) // 2, "greater"),
        (factorial(6), "two.sided"),
        *[(factorial(13) // factorial(7) // factorial(6), "two.sided")] * 2,
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['n']}-{case['method']}-{case['test']}")
def test_exact(case):
    design = np.array(case["design"], dtype=float)
    result = permutation_test(
        case["yi"],
        case["vi"],
        None if design.shape[1] == 1 else design,
        tau2_method=case["method"],
        ci_method=CI_METHODS[case["test"]],
        alternative=case["alternative"].replace(".", "-"),
    )
    assert result.exact and len(result.statistic) == len(result.qm) == case["n"]
    np.testing.assert_allclose(result.p, case["p"], rtol=COUNTS)
    np.testing.assert_allclose(result.qm_p, case["qm_p"], rtol=COUNTS)
    # R's quantiles of type 1 are observed values.
    quantiles = np.quantile(result.statistic, np.arange(21) / 20, axis=0, method="inverted_cdf").T
    for got, expected in zip(quantiles, case["quantiles"], strict=True):
        assert_agrees(got, expected, case)


@pytest.mark.parametrize("alternative", ("less", "greater", "two-sided"))
def test_signs_as_scipy_flips_them(alternative):
    y, v = studies("hart1999")

    def statistic(x, axis):
        pools = pool(np.moveaxis(x, axis, -1), v, ci_method="Wald")
        z = pools.estimate / pools.se
        return np.abs(z) if alternative == "two-sided" else z

    side = "greater" if alternative == "two-sided" else alternative
    expected = stats.permutation_test((y,), statistic, permutation_type="samples", n_resamples=np.inf, alternative=side)
    result = permutation_test(y, v, alternative=alternative, ci_method="Wald")
    np.testing.assert_allclose(result.p[0], expected.pvalue, rtol=COUNTS)
    np.testing.assert_allclose(result.observed[0], pool(y, v).estimate / pool(y, v, ci_method="Wald").se, rtol=1e-12)


@pytest.mark.parametrize("alternative", ("less", "greater"))
def test_moderators_as_scipy_permutes_them(alternative):
    y, v, x = moderator("hart_year")

    def statistic(index, axis):
        fitted = meta_regression(y, v, x[np.moveaxis(index.astype(int), axis, -1)])
        return fitted.coefficients[..., 1] / fitted.se[..., 1]

    expected = stats.permutation_test(
        (np.arange(6),), statistic, permutation_type="pairings", n_resamples=np.inf, alternative=alternative
    )
    result = permutation_test(y, v, x, alternative=alternative)
    # scipy goes through all 6! orders, ours through the 360 that differ: the same share.
    np.testing.assert_allclose(result.p[1], expected.pvalue, rtol=COUNTS)


def test_by_counting_signs():
    y, v = np.array([-0.9, -0.4, -0.7, 0.1]), np.array([0.1, 0.2, 0.1, 0.3])
    observed = pool(y, v, ci_method="HK")
    t = [pool(y * signs, v, ci_method="HK") for signs in product([1, -1], repeat=4)]
    t = np.array([one.estimate / one.se for one in t])
    result = permutation_test(y, v, ci_method="HK")
    extreme = np.abs(t) >= abs(observed.estimate / observed.se) - 1e-9
    assert result.p[0] == result.qm_p == extreme.mean() == 4 / 16
    np.testing.assert_allclose(np.sort(result.statistic[:, 0]), np.sort(t), rtol=1e-9)


def test_smallest_possible_p():
    """All effects on one side: only the data and their mirror image are that extreme."""
    k = 10
    result = permutation_test(np.full(k, -1.0) + 0.01 * np.arange(k), np.full(k, 0.1), ci_method="Wald")
    assert result.p[0] == 2 / 2**k
    one_sided = permutation_test(np.full(k, -1.0), np.full(k, 0.1), ci_method="Wald", alternative="less")
    assert one_sided.p[0] == 1 / 2**k
    assert permutation_test(np.full(k, -1.0), np.full(k, 0.1), ci_method="Wald", alternative="greater").p[0] == 1


def test_random_rearrangements_estimate_the_exact_p():
    y, v, x = moderator("bcg_allocation")
    for design in (None, x):
        exact, drawn = permutation_test(y, v, design), permutation_test(y, v, design, permutations=1700)
        again, other = (permutation_test(y, v, design, permutations=1700, seed=seed) for seed in (0, 1))
        assert exact.exact and not drawn.exact and len(drawn.qm) == 1700
        assert np.array_equal(drawn.statistic, again.statistic) and not np.array_equal(drawn.statistic, other.statistic)
        standard_error = np.sqrt(exact.p * (1 - exact.p) / 1700)
        assert (np.abs(drawn.p - exact.p) < 4 * standard_error + 1 / 1700).all()
        assert np.array_equal(drawn.statistic[0], drawn.observed) and (drawn.p > 0).all()


def test_as_many_as_asked_for_is_still_exact():
    y, v = studies("hart1999")
    assert permutation_test(y, v, permutations=64).exact and not permutation_test(y, v, permutations=63).exact
    y, v, x = moderator("hart_year")
    assert permutation_test(y, v, x, permutations=360).exact and not permutation_test(y, v, x, permutations=359).exact


@pytest.mark.parametrize("counts", ([1, 1, 1, 1], [3, 1], [2, 2, 1], [4], [1, 3, 2]))
def test_arrangements_are_all_distinct_orders(counts):
    expected = sorted(set(permutations(np.repeat(np.arange(len(counts)), counts).tolist())))
    assert permutation._arrangements(np.array(counts)).tolist() == [list(row) for row in expected]


def test_rows_that_are_alike_are_not_told_apart():
    """A yes-or-no moderator: 10 choose 3 orders, not 10!."""
    rng = np.random.default_rng(4)
    y, v = rng.normal(size=10), rng.gamma(2, 0.2, size=10)
    x = np.column_stack([np.ones(10), np.arange(10) < 3])
    result = permutation_test(y, v, x)
    assert result.exact and len(result.qm) == 120
    observed = meta_regression(y, v, x)
    np.testing.assert_allclose(result.observed, observed.coefficients / observed.se, rtol=1e-9)


def test_statistics_are_those_of_the_regressions():
    y, v, x = moderator("bcg_latitude")
    y, v, x = y[:6], v[:6], x[:6]
    result = permutation_test(y, v, x, ci_method="t", tau2_method="PM")
    assert len(result.qm) == factorial(6) // 2  # two studies share a latitude
    fits = [meta_regression(y, v, x[list(order)], ci_method="t", tau2_method="PM") for order in permutations(range(6))]
    t = sorted((one.coefficients[1] / one.se[1]).item() for one in fits)
    np.testing.assert_allclose(np.repeat(np.sort(result.statistic[:, 1]), 2), t, rtol=1e-8)
    np.testing.assert_allclose(np.repeat(np.sort(result.qm), 2), sorted(one.qm for one in fits), rtol=1e-7)


def test_no_loop_over_rearrangements(monkeypatch):
    """Sixteen pieces for 13 studies x 20,000 orders."""
    calls, estimate = [], permutation.estimate

    def counted(*arguments):
        calls.append(1)
        return estimate(*arguments)

    monkeypatch.setattr(permutation, "estimate", counted)
    permutation_test(*moderator("bcg_latitude"), tau2_method="DL")
    assert len(calls) == 16


def test_no_convergence_is_not_silent(monkeypatch):
    monkeypatch.setattr(tau2_search, "MAX_ITERATIONS", 1)
    with pytest.warns(RuntimeWarning, match=r"did not converge in \d+ of 51 pools"):
        permutation_test(*moderator("bcg_latitude"), permutations=50)


Y, V = [0.1, -0.3, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    ("call", "message"),
    (
        (lambda: permutation_test([0.1], [0.1]), "at least 2 studies needed, got 1"),
        (lambda: permutation_test(0.1, 0.1), "studies lie along the last axis, so a scalar cannot be pooled"),
        (lambda: permutation_test(Y, [0.1, 0.2, 0, 1]), "study 2: a variance must be finite and above zero; got 0"),
        (lambda: permutation_test([Y, Y], V), "one set of studies at a time, effects of shape (k,); got (2, 4)"),
        (lambda: permutation_test(Y, V, [[1, 1]] * 4), "column 1 of the design depends linearly on those before it"),
        (lambda: permutation_test(Y, V, np.ones((3, 1))), "the design must have a row for each of the 4 studies"),
        (lambda: permutation_test(Y, V, permutations=1), "permutations must be at least 2, got 1"),
        (lambda: permutation_test(Y, V, alternative="two.sided"), "unknown alternative 'two.sided'; use one of"),
        (lambda: permutation_test(Y, V, ci_method="z"), "unknown ci_method 'z'; use one of mHK"),
        (lambda: permutation_test(Y, V, tau2_method="MM"), "unknown tau2_method 'MM'; use one of REML"),
    ),
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
