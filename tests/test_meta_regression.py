"""Meta-regression against metafor, statsmodels, exact arithmetic and plain matrix algebra, and at its edges."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
import statsmodels.api as sm

from meta_analysis import regression_tau2, tau2_search
from meta_analysis.meta_regression import fit, meta_regression
from meta_analysis.pooling import CI_METHODS, pool
from meta_analysis.regression_design import check_design
from meta_analysis.tau2 import METHODS
from tests.diagnostics_reference import CI_METHODS as TESTS
from tests.diagnostics_reference import assert_agrees, diagnostics

REGRESSIONS = diagnostics()["meta_regression"]
CASES = [(name, i) for name, regression in REGRESSIONS.items() for i in range(len(regression["fits"]))]
# Designs with a calendar year beside the column of ones: metafor's normal equations keep ten digits there, ours all but
# the last two (test_exact_arithmetic).
ILL_CONDITIONED = ("bcg_two", "hart_year")
QUANTITIES = ("se", "ci_low", "ci_high", "p", "tau2", "r2", "i2", "h2", "qe", "qe_p", "qm", "qm_df", "qm_p")
# Scores and sums that are zero by definition, in units of their terms.
STATIONARY = 1e-11
# The same numbers in another order.
ROUNDING = 1e-10


def problem(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects, variances and design."""
    return tuple(np.array(REGRESSIONS[name][key], dtype=float) for key in ("yi", "vi", "design"))


def projection(v: np.ndarray, x: np.ndarray, tau2: float) -> np.ndarray:
    """P as a whole matrix."""
    w = np.diag(1 / (v + tau2))
    return w - w @ x @ np.linalg.solve(x.T @ w @ x, x.T @ w)


def log_likelihood(y: np.ndarray, v: np.ndarray, x: np.ndarray, tau2: float, method: str = "REML") -> float:
    """(Restricted) log-likelihood up to a constant, from determinants."""
    w = np.diag(1 / (v + tau2))
    penalty = np.linalg.slogdet(x.T @ w @ x)[1] if method == "REML" else 0.0
    return -(np.log(v + tau2).sum() + penalty + y @ projection(v, x, tau2) @ y) / 2


def centred(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same regression with moderators about their mean, where matrix algebra keeps its digits."""
    y, v, x = problem(name)
    moves = np.where(np.ptp(x, axis=0) > 0, x.mean(axis=0), 0.0) * (np.ptp(x, axis=0) == 0).any()
    return y, v, x - moves


def test_the_reference_is_whole():
    sizes = {name: np.shape(regression["design"]) for name, regression in REGRESSIONS.items()}
    assert len(sizes) == 12 and min(sizes.values()) == (3, 2) and {p for _, p in sizes.values()} == {1, 2, 3, 4, 5}
    for regression in REGRESSIONS.values():
        fitted = [(case["method"], case["test"]) for case in regression["fits"]]
        assert fitted[:4] == [("REML", test) for test in TESTS] and {m for m, _ in fitted} == set(METHODS)
    tau2 = [regression["fits"][0]["tau2"] for regression in REGRESSIONS.values()]
    assert sum(value < 1e-9 for value in tau2) >= 3 and max(tau2) > 100, "the boundary, and a large tau2"
    r2 = [regression["fits"][0]["r2"] for regression in REGRESSIONS.values()]
    assert None in r2 and 0 in r2 and any(value and 0 < value < 100 for value in r2)


@pytest.mark.parametrize(("name", "i"), CASES)
def test_metafor(name, i):
    case = REGRESSIONS[name]["fits"][i]
    tolerant = case | ({"method": "PM"} if name in ILL_CONDITIONED else {})
    result = meta_regression(*problem(name), tau2_method=case["method"], ci_method=TESTS[case["test"]])
    assert_agrees(result.coefficients, case["beta"], tolerant, "coefficients")
    for quantity in QUANTITIES:
        assert_agrees(getattr(result, quantity), case[quantity], tolerant, quantity)
    # Covariances of dummy variables are 0 up to rounding, so they are compared as correlations.
    scale = np.outer(result.se, result.se)
    np.testing.assert_allclose(result.covariance / scale, np.array(case["vb"]) / scale, rtol=0, atol=1e-8)
    assert result.converged and result.k == len(problem(name)[0])
    assert result.df == (np.inf if case["test"] == "z" else result.qe_df)


def test_a_line_through_zero():
    """On purpose unlike metafor, which centres the effects first although no combination of the columns is constant.

    By metafor's own log-likelihood our tau2 is better, and R's lm() has our QE.
    """
    case = diagnostics()["no_constant"]
    y, v, x = (np.array(case[key], dtype=float) for key in ("yi", "vi", "design"))
    result = meta_regression(y, v, x)
    np.testing.assert_allclose(result.tau2, case["tau2_highest"], rtol=1e-6)  # optimize() compares values only
    np.testing.assert_allclose(result.qe, case["qe_lm"], rtol=ROUNDING)
    assert case["log_likelihood_highest"] > case["log_likelihood_metafor"] + 1
    assert abs(result.tau2 - case["tau2_metafor"]) > 0.1 and abs(result.qe - case["qe_metafor"]) > 100
    assert np.isnan(result.r2) and result.qm_df == 1


# --------------------------------------------------------------------------------------------- Independent computations


def eliminate(a: list[list[Fraction]], b: list[list[Fraction]]) -> list[list[Fraction]]:
    """The solution of a z = b without rounding."""
    rows = [left + right for left, right in zip(a, b, strict=True)]
    for i in range(len(rows)):
        pivot = next(j for j in range(i, len(rows)) if rows[j][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(len(rows)):
            if j != i:
                rows[j] = [value - rows[j][i] * mine for value, mine in zip(rows[j], rows[i], strict=True)]
    return [row[len(a) :] for row in rows]


@pytest.mark.parametrize("name", ("bcg_two", "hart_year", "bangert_four", "bcg_latitude"))
def test_exact_arithmetic(name):
    """QE, DerSimonian and Laird's tau2 and the coefficients with weights 1/v in fractions."""
    y, v, x = problem(name)
    k, p = x.shape
    fractions = np.vectorize(Fraction)(x), np.vectorize(Fraction)(y), 1 / np.vectorize(Fraction)(v)
    exact_x, exact_y, w = fractions
    a = (exact_x.T * w) @ exact_x
    beta = eliminate(a.tolist(), (exact_x.T * w @ exact_y)[:, None].tolist())
    residual = exact_y - exact_x @ np.array(beta)[:, 0]
    qe = (w * residual * residual).sum()
    squares = eliminate(a.tolist(), ((exact_x.T * w * w) @ exact_x).tolist())
    tau2 = (qe - (k - p)) / (w.sum() - sum(squares[i][i] for i in range(p)))
    result = meta_regression(y, v, x, tau2_method="DL")
    np.testing.assert_allclose(result.qe, float(qe), rtol=1e-12)
    np.testing.assert_allclose(result.tau2, max(0.0, float(tau2)), rtol=1e-12)
    held = fit(*check_design(y, v, x), tau2_method=None, ci_method="Wald", level=0.95)
    np.testing.assert_allclose(held.coefficients, [float(value[0]) for value in beta], rtol=1e-9)  # years since 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", REGRESSIONS)
def test_the_equation_of_each_estimator_by_matrix_algebra(name, method):
    y, v, x = centred(name)
    k, p = x.shape
    tau2 = meta_regression(y, v, x, tau2_method=method).tau2
    p0, now = projection(v, x, 0.0), projection(v, x, tau2)
    if method in ("REML", "ML"):
        size = np.trace(now) if method == "REML" else (1 / (v + tau2)).sum()
        score = y @ now @ now @ y / size - 1
        assert score <= STATIONARY if tau2 == 0 else abs(score) <= STATIONARY
        return
    if method in ("PM", "EB"):
        excess = y @ now @ y / (k - p) - 1
        assert excess <= STATIONARY if tau2 == 0 else abs(excess) <= STATIONARY
        return
    h = np.eye(k) - x @ np.linalg.pinv(x)
    start = np.var(y)
    expected = {
        "DL": (y @ p0 @ y - (k - p)) / np.trace(p0),
        "HE": (y @ h @ y - np.trace(h @ np.diag(v))) / (k - p),
        "HS": (y @ p0 @ y - k) / (1 / v).sum(),
        "SJ": start * (y @ projection(v, x, start) @ y) / (k - p),
    }[method]
    np.testing.assert_allclose(tau2, max(0.0, expected), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("method", ("REML", "ML"))
@pytest.mark.parametrize("spread", (0.5, 2.0))
def test_random_regressions_reach_the_highest_likelihood(method, spread):
    """No tau2 of a dense grid is better, with variances that differ by a factor of up to thousands."""
    rng = np.random.default_rng(20240606)
    v = np.exp(rng.normal(0, spread, (60, 7)))
    x = np.concatenate([np.ones((60, 7, 1)), rng.normal(0, 1, (60, 7, 2))], axis=-1)
    y = x @ [0.3, -1.0, 0.5] + rng.normal(0, np.sqrt(v + rng.choice([0, 0.3, 3], (60, 1))))
    result = meta_regression(y, v, x, tau2_method=method)
    assert result.converged.all()
    grid = np.concatenate([[0], np.geomspace(1e-4, 1e4, 150)])
    for i in range(60):
        best = max(log_likelihood(y[i], v[i], x[i], t, method) for t in grid)
        assert log_likelihood(y[i], v[i], x[i], result.tau2[i], method) >= best - 1e-9


@pytest.mark.parametrize("name", REGRESSIONS)
def test_least_squares_of_statsmodels(name):
    """Coefficients with weights 1/(v + tau2); Hartung and Knapp's covariance is that of weighted least squares."""
    y, v, x = centred(name)
    result = meta_regression(y, v, x, ci_method="HK", level=0.9)
    expected = sm.WLS(y, x, weights=1 / (v + result.tau2)).fit()
    np.testing.assert_allclose(result.coefficients, expected.params, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(result.se, expected.bse, rtol=1e-8)
    np.testing.assert_allclose(np.stack([result.ci_low, result.ci_high], 1), expected.conf_int(0.1), rtol=1e-7)
    np.testing.assert_allclose(result.p, expected.pvalues, rtol=1e-7)
    constant = (np.ptp(x, axis=0) == 0).any() and x.shape[1] > 1
    tested = np.eye(x.shape[1])[np.ptp(x, axis=0) > 0] if constant else np.eye(x.shape[1])
    joint = expected.f_test(tested)
    np.testing.assert_allclose((result.qm, result.qm_p), (joint.fvalue, joint.pvalue), rtol=1e-7)
    assert result.qm_df == len(tested)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ci_method", CI_METHODS)
@pytest.mark.parametrize("name", ("bcg_latitude", "hart_year", "days_source"))
def test_without_moderators_it_is_the_pool(name, ci_method, method):
    y, v, _ = problem(name)
    result = meta_regression(y, v, np.ones((len(y), 1)), tau2_method=method, ci_method=ci_method, level=0.9)
    expected = pool(y, v, tau2_method=method, ci_method=ci_method, level=0.9)
    for name in ("se", "ci_low", "ci_high", "p"):
        np.testing.assert_allclose(getattr(result, name)[0], getattr(expected, name), rtol=1e-9, err_msg=name)
    for name in ("tau2", "i2", "h2", "k", "df"):
        np.testing.assert_allclose(getattr(result, name), getattr(expected, name), rtol=1e-9, err_msg=name)
    got = result.coefficients[0], result.qe, result.qe_df, result.qe_p
    np.testing.assert_allclose(got, (expected.estimate, expected.q, expected.q_df, expected.q_p), rtol=1e-9)
    np.testing.assert_allclose(result.qm, (result.coefficients[0] / result.se[0]) ** 2, rtol=1e-9)
    np.testing.assert_allclose(result.qm_p, result.p[0], rtol=1e-9)
    assert np.isnan(result.r2)


# ----------------------------------------------------------------------------------------------------------- Properties


def test_the_unit_of_effects_and_moderators_does_not_matter():
    y, v, x = problem("bcg_latitude")
    plain = meta_regression(y, v, x)
    scaled = meta_regression(100 * y, 1e4 * v, x * [1, 0.001] + [0, 5])
    np.testing.assert_allclose(scaled.tau2, 1e4 * plain.tau2, rtol=ROUNDING)
    np.testing.assert_allclose(scaled.coefficients[1], 1e5 * plain.coefficients[1], rtol=1e-9)
    for quantity in ("r2", "i2", "h2", "qe", "qm", "qm_p"):
        np.testing.assert_allclose(getattr(scaled, quantity), getattr(plain, quantity), rtol=1e-9, err_msg=quantity)


def test_modified_knapp_and_hartung_is_never_narrower_than_t():
    for name in REGRESSIONS:
        modified, t, plain = (meta_regression(*problem(name), ci_method=m) for m in ("mHK", "t", "HK"))
        np.testing.assert_allclose(modified.se, np.maximum(t.se, plain.se), rtol=ROUNDING)


def test_a_moderator_that_explains_all_and_one_that_explains_nothing():
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    v = np.full(6, 0.01)
    all_of_it = meta_regression(2 * x, v, np.column_stack([np.ones(6), x]), ci_method="Wald")
    assert (all_of_it.r2, all_of_it.tau2) == (100, 0) and all_of_it.qe_p > 0.999
    nothing = meta_regression([0, 9, 0, 0, 9, 0], v, np.column_stack([np.ones(6), x]))
    assert nothing.r2 == 0 and nothing.tau2 > pool([0, 9, 0, 0, 9, 0], v).tau2
    alike = meta_regression([0.1, 0.11, 0.1, 0.12, 0.1, 0.11], v, np.column_stack([np.ones(6), x]))
    assert alike.r2 == 0 and alike.tau2 == 0  # no heterogeneity that could be explained


@pytest.mark.parametrize("tau2_method", ("REML", "PM", "SJ"))
def test_a_batch_is_a_loop_and_absent_studies_do_not_count(tau2_method):
    rng = np.random.default_rng(2)
    y, v = rng.normal(size=(2, 3, 9)), rng.gamma(2, 0.2, size=(3, 9))
    x = np.concatenate([np.ones((2, 1, 9, 1)), rng.normal(size=(2, 1, 9, 1))], axis=-1)
    mask = rng.random((2, 3, 9)) < 0.8
    mask[..., :4] = True
    y[~mask] = np.nan
    together = meta_regression(y, v, x, tau2_method=tau2_method, mask=mask)
    assert together.coefficients.shape == (2, 3, 2) and together.covariance.shape == (2, 3, 2, 2)
    assert together.tau2.shape == together.r2.shape == (2, 3) and together.qm_df == 1
    for a in range(2):
        for b in range(3):
            here = mask[a, b]
            alone = meta_regression(y[a, b][here], v[b][here], x[a, 0][here], tau2_method=tau2_method)
            for quantity in ("coefficients", "covariance", "df", *QUANTITIES):
                got = getattr(together, quantity)
                got = got if quantity == "qm_df" else got[a, b]
                np.testing.assert_allclose(got, getattr(alone, quantity), rtol=1e-8, atol=1e-12, err_msg=quantity)


def test_pieces_do_not_matter(monkeypatch):
    y, v, x = problem("bangert_four")
    many = y + np.linspace(0, 1, 40)[:, None] * x[:, 1]
    expected = meta_regression(many, v, x)
    monkeypatch.setattr("meta_analysis.studies.CHUNK_NUMBERS", 3 * len(y))
    np.testing.assert_allclose(meta_regression(many, v, x).coefficients, expected.coefficients, rtol=1e-12)


@pytest.mark.parametrize("method", ("REML", "ML", "PM", "EB"))
def test_no_convergence_is_not_silent(method, monkeypatch):
    y, v, x = problem("bcg_latitude")
    batch = np.array([y, np.zeros(13)])  # the second one is on the boundary at once
    monkeypatch.setattr(tau2_search, "MAX_ITERATIONS", 1)
    with pytest.warns(RuntimeWarning, match=r"did not converge in 1 of 2 pools"):
        result = meta_regression(batch, v, x, tau2_method=method)
    assert result.converged.tolist() == [False, True]


def test_no_convergence_without_moderators_is_not_silent_either(monkeypatch):
    """R2 rests on that fit too."""
    monkeypatch.setattr(tau2_search, "MAX_ITERATIONS", 1)
    with pytest.warns(RuntimeWarning, match=r"did not converge in 1 of 1 pools"):
        assert not meta_regression(*problem("bcg_latitude")).converged


@pytest.mark.parametrize("restricted", (True, False))
def test_the_step_is_newtons(restricted):
    """On score over information; both by differences of the likelihood and by matrix algebra."""
    y, v, x = centred("bcg_allocation")
    columns = np.ascontiguousarray(x.T[..., None])

    def quotient(t: float) -> float:
        p = projection(v, x, t)
        information = np.trace(p @ p) if restricted else ((v + t) ** -2).sum()
        size = np.trace(p) if restricted else (1 / (v + t)).sum()
        return (y @ p @ p @ y - size) / information

    for t in (0.01, 0.3, 2.0):
        slope = (quotient(t * 1.0001) - quotient(t * 0.9999)) / (0.0002 * t)
        score, _, step = regression_tau2._score(t, y[:, None], v[:, None], columns, restricted=restricted)
        h, method = 1e-5 * t, "REML" if restricted else "ML"
        rise = (log_likelihood(y, v, x, t + h, method) - log_likelihood(y, v, x, t - h, method)) / (2 * h)
        np.testing.assert_allclose(score[0], 2 * rise, rtol=1e-5)
        # Where the quotient rises there is no step: Newton's would lead away from the maximum.
        np.testing.assert_allclose(step[0], -quotient(t) / slope if slope < 0 else np.nan, rtol=1e-6)
    assert slope < 0


@pytest.mark.parametrize("method", ("REML", "ML", "PM", "EB"))
def test_few_iterations_are_enough(method, monkeypatch):
    """Speed rests on it: Fisher scoring takes dozens or hundreds."""
    monkeypatch.setattr(tau2_search, "MAX_ITERATIONS", 7)
    assert all(meta_regression(*problem(name), tau2_method=method).converged for name in REGRESSIONS)


def test_no_warning_where_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS:
            meta_regression([0.1] * 4, [0.1, 0.2, 0.3, 0.4], [[1, 1], [1, 2], [1, 4], [1, 3]], tau2_method=method)


Y, V, X = [0.1, -0.3, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4], [[1.0, 2], [1, 3], [1, 5], [1, 7]]
TWICE = [[1.0, 2, 4], [1, 3, 6], [1, 5, 10], [1, 7, 14]]


@pytest.mark.parametrize(
    ("call", "message"),
    (
        (lambda: meta_regression(Y, V, [1, 2, 3, 4]), "the design must have a row for each of the 4 studies"),
        (lambda: meta_regression(Y, V, X[:3]), "the design must have a row for each of the 4 studies, shape"),
        (lambda: meta_regression(Y, V, np.ones((4, 0))), "the design must have a row for each of the 4 studies"),
        (lambda: meta_regression([Y, Y], V, [X, X, X]), "the leading axes do not broadcast: studies (2,), design (3,)"),
        (lambda: meta_regression(Y, V, [[1, 2], [1, np.nan], [1, 5], [1, 7]]), "study 1: a moderator must be finite"),
        (lambda: meta_regression([Y, Y], V, [X, [[1, np.inf]] * 4]), "pool 1: study 0: a moderator must be"),
        (lambda: meta_regression(Y, [0.1, 0.2, 0, 1], X), "study 2: a variance must be finite and above zero; got 0"),
        (lambda: meta_regression(Y[:2], V[:2], X[:2]), "at least 3 studies needed, got 2"),
        (lambda: meta_regression(Y, V, X, mask=[True, False, False, True]), "at least 3 studies needed, got 2"),
        (lambda: meta_regression([*Y, 1], [*V, 1], [*TWICE, [1, 0, 0]]), "column 2 of the design depends"),
        (lambda: meta_regression(Y, V, [[1, 0]] * 4), "column 1 of the design depends linearly on those"),
        (lambda: meta_regression([Y, Y], V, [X, [[1, 3]] * 4]), "pool 1: column 1 of the design depends linearly"),
        (lambda: meta_regression(Y, V, X, tau2_method="reml"), "unknown tau2_method 'reml'; use one of REML"),
        (lambda: meta_regression(Y, V, X, ci_method="z"), "unknown ci_method 'z'; use one of mHK"),
        (lambda: meta_regression(Y, V, X, level=95), "level must lie between 0 and 1, got 95"),
    ),
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
