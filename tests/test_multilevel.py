"""Three-level model: metafor's rma.mv, pooling of one level, first principles, bad input."""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from meta_analysis import multilevel, pooling
from meta_analysis import sampling_covariance as sampling
from meta_analysis.multilevel_likelihood import generalised_least_squares, level_matrices, restricted_likelihood
from tests.reference import stored

# metafor's numerical search for sigma2 stops a little short of the maximum: the best of its optimisers is 1e-8 away.
SEARCH = 1e-7
# Formulas evaluated at the same sigma2; matrices up to 100 x 100.
ROUNDING = 1e-10


def reference() -> dict:
    """The block on multilevel models of metafor.json."""
    return stored("metafor.json")["multilevel"]


def problem(name):
    """Effects, V, clusters, design and metafor's results of one reference model."""
    model = reference()["models"][name]
    data = reference()["data"][model["data"]]
    if model["V"] is not None:
        v = np.array(model["V"])
    else:
        average = model["average_variances"]
        v = sampling.correlated_effects(data["vi"], data["cluster"], model["rho"], average_variances=average)
    return np.array(data["yi"]), v, np.array(data["cluster"]), np.array(model["design"]), model


@cache
def fitted(name, df="residual"):
    effects, v, clusters, design, _ = problem(name)
    return multilevel.fit_multilevel(effects, v, clusters, design=design, df=df)


MODELS = pytest.mark.parametrize("name", list(reference()["models"]))
INTERCEPT_ONLY = [name for name, model in reference()["models"].items() if model["t_contain"] is not None]


# -------------------------------------------------------------------------------------------------------------- metafor


@MODELS
def test_estimates_agree_with_metafor(name):
    fit, expected = fitted(name), reference()["models"][name]
    assert (fit.sigma2_between, fit.sigma2_within) == pytest.approx(expected["sigma2"], abs=SEARCH)
    assert fit.coefficients == pytest.approx(expected["beta"], abs=SEARCH)
    assert fit.se == pytest.approx(expected["se"], abs=SEARCH)
    # At the maximum the likelihood is flat: it must not be below metafor's, and hardly above.
    assert expected["log_likelihood"] - ROUNDING < fit.log_likelihood < expected["log_likelihood"] + SEARCH
    assert (fit.q, fit.q_df, fit.q_p) == pytest.approx((expected["q"], expected["q_df"], expected["q_p"]), rel=ROUNDING)


# metafor's containment rule gives each moderator degrees of freedom of its own: compared for intercepts only.
TESTS = [
    (name, df, key)
    for df, key in [("normal", "wald"), ("residual", "t_residual"), ("clusters", "t_contain")]
    for name in (INTERCEPT_ONLY if df == "clusters" else reference()["models"])
]


@pytest.mark.parametrize(("name", "df", "key"), TESTS)
def test_intervals_agree_with_metafor(name, df, key):
    expected, fit = reference()["models"][name][key], fitted(name, df)
    assert fit.df == (np.inf if expected["df"] is None else expected["df"])
    for field in ("p", "ci_low", "ci_high"):
        assert getattr(fit, field) == pytest.approx(np.atleast_1d(expected[field]), abs=SEARCH)
    if name in INTERCEPT_ONLY:
        low, high = multilevel.prediction_interval(fit)
        assert (low[0], high[0]) == pytest.approx((expected["pi_low"], expected["pi_high"]), abs=SEARCH)


@MODELS
def test_likelihood_and_estimates_at_given_sigma2_are_those_of_metafor(name):
    """No search involved: the formulas alone."""
    effects, v, clusters, design, model = problem(name)
    held = model["held"]
    levels = level_matrices(np.unique(clusters, return_inverse=True)[1])
    sigma2 = np.array(held["sigma2"])
    assert restricted_likelihood(sigma2, effects, design, v, levels)[0] == pytest.approx(
        held["log_likelihood"], abs=ROUNDING
    )
    beta, covariance, _ = generalised_least_squares(effects, design, v + np.tensordot(sigma2, levels, 1))
    assert beta == pytest.approx(held["beta"], abs=ROUNDING)
    assert covariance == pytest.approx(np.reshape(held["vb"], covariance.shape), abs=ROUNDING)


def test_reference_holds_components_at_zero_and_away_from_it():
    at_zero = [model["sigma2"][0] == 0 for model in reference()["models"].values()]
    assert any(at_zero) and not all(at_zero)
    fit = fitted("knapp2017 rho 0.6")
    assert fit.sigma2_between == 0 and fit.sigma2_within > 0


def test_profile_agrees_with_metafor():
    fit, expected = fitted("konstantopoulos2011 rho 0.6"), reference()["profile"]
    for component in ("between", "within"):
        profile = multilevel.profile_log_likelihood(fit, component, expected["held"])
        assert profile == pytest.approx(expected[f"{component}_log_likelihood"], abs=SEARCH)
        assert multilevel.profile_interval(fit, component) == pytest.approx(expected[component], abs=SEARCH)


# ------------------------------------------------------------------------------------------------------ own behaviour


def test_sigma2_is_at_the_top_of_the_profile():
    fit = fitted("assink2016 rho 0.6")
    for component, best in (("between", fit.sigma2_between), ("within", fit.sigma2_within)):
        values = best * np.array([0.5, 0.99, 1.0, 1.01, 2.0])
        profile = multilevel.profile_log_likelihood(fit, component, values)
        assert np.argmax(profile) == 2
        assert profile[2] == pytest.approx(fit.log_likelihood, abs=ROUNDING)


def test_profile_interval_of_a_component_at_zero_begins_there():
    low, high = multilevel.profile_interval(fitted("knapp2017 rho 0.6"), "between")
    assert low == 0 < high


def test_gradient_and_hessian_are_the_derivatives_of_the_likelihood():
    effects, v, clusters, design, _ = problem("assink2016 moderators rho 0.6")
    levels = level_matrices(np.unique(clusters, return_inverse=True)[1])
    at, step = np.array([0.1, 0.05]), 1e-5
    value, gradient, hessian = restricted_likelihood(at, effects, design, v, levels)
    for j, move in enumerate(step * np.eye(2)):
        up, down = (restricted_likelihood(at + sign * move, effects, design, v, levels) for sign in (1, -1))
        # Central differences: the error is of the order of step^2 times a third derivative of some 1e5.
        assert gradient[j] == pytest.approx((up[0] - down[0]) / (2 * step), rel=1e-5)
        assert hessian[j] == pytest.approx((up[1] - down[1]) / (2 * step), rel=1e-5)


def random_problem(seed):
    """A small data set, often with a component at zero, on a scale between 1e-3 and 1e3, sometimes with an outlier."""
    rng = np.random.default_rng(seed)
    n_clusters = rng.integers(2, 8)
    clusters = np.concatenate([np.arange(n_clusters), rng.integers(0, n_clusters, rng.integers(1, 10))])
    v, scale = rng.gamma(0.5, 1, clusters.size) + 1e-3, 10.0 ** rng.integers(-3, 4)
    effects = rng.normal(0, rng.choice([0, 0.5, 5]), n_clusters)[clusters] + rng.normal(0, np.sqrt(v))
    effects[0] += rng.choice([0, 0, 50])
    v = sampling.correlated_effects(v * scale**2, clusters, rng.choice([0, 0.5, 0.95]))
    return effects * scale, v, clusters


@pytest.mark.parametrize("seed", range(40))
def test_no_point_of_a_wide_grid_has_a_higher_likelihood(seed):
    effects, v, clusters = random_problem(seed)
    fit = multilevel.fit_multilevel(effects, v, clusters, df="residual")
    levels = level_matrices(clusters)
    grid = np.concatenate([[0], np.geomspace(1e-4, 30, 12)]) * max(np.var(effects), np.mean(np.diag(v)))
    points = [np.array([a, b]) for a in grid for b in grid]
    best = max(restricted_likelihood(point, effects, fit.design, v, levels)[0] for point in points)
    assert fit.log_likelihood >= best - ROUNDING
    sigma2 = np.array([fit.sigma2_between, fit.sigma2_within])
    _, gradient, _ = restricted_likelihood(sigma2, effects, fit.design, v, levels)
    # First-order conditions, in units of log-likelihood per doubling of sigma2; at zero the likelihood must fall.
    assert np.abs(gradient * sigma2).max() < 1e-6
    assert (gradient[sigma2 == 0] <= 0).all()


def test_one_level_is_the_ordinary_random_effects_model():
    effects, variances = np.array([-1.1, -0.4, -0.9, 0.1, -0.6]), np.array([0.2, 0.1, 0.3, 0.15, 0.05])
    expected = pooling.pool(effects, variances, model="random", tau2_method="REML", ci_method="t", pi_method="HTS-k1")
    for component in ("between", "within"):
        fit = multilevel.fit_multilevel(effects, np.diag(variances), np.arange(5), components=(component,))
        assert fit.coefficients[0] == pytest.approx(float(expected.estimate), abs=1e-8)
        assert fit.sigma2_between + fit.sigma2_within == pytest.approx(float(expected.tau2), abs=1e-8)
        assert fit.i2_between + fit.i2_within == pytest.approx(float(expected.i2), abs=1e-6)  # percent
        assert (fit.ci_low[0], fit.ci_high[0]) == pytest.approx((expected.ci_low, expected.ci_high), abs=1e-8)
        low, high = multilevel.prediction_interval(fit)
        assert (low[0], high[0]) == pytest.approx((expected.pi_low, expected.pi_high), abs=1e-8)


def test_order_and_labels_of_the_effects_do_not_matter():
    effects, v, clusters, design, _ = problem("assink2016 moderators rho 0.6")
    order = np.random.default_rng(1).permutation(effects.size)
    names = np.array([f"trial {c}" for c in clusters])
    shuffled = multilevel.fit_multilevel(
        effects[order], v[np.ix_(order, order)], names[order], design=design[order], df="residual"
    )
    fit = fitted("assink2016 moderators rho 0.6")
    assert shuffled.coefficients == pytest.approx(fit.coefficients, abs=ROUNDING)
    assert shuffled.sigma2_within == pytest.approx(fit.sigma2_within, abs=ROUNDING)


def test_prediction_of_a_trial_is_narrower_than_of_an_effect_and_wider_than_the_confidence_interval():
    fit = fitted("assink2016 rho 0.6")
    (effect_low,), _ = multilevel.prediction_interval(fit)
    (trial_low,), _ = multilevel.prediction_interval(fit, target="trial")
    assert effect_low < trial_low < fit.ci_low[0]
    expected = stats.t.ppf(0.975, fit.df) * np.sqrt(fit.se[0] ** 2 + fit.sigma2_between)
    assert fit.coefficients[0] - trial_low == pytest.approx(expected, abs=ROUNDING)


def test_prediction_at_rows_of_the_design():
    fit = fitted("konstantopoulos2011 year rho 0.6")
    low, high = multilevel.prediction_interval(fit, [[1, 0], [1, 5]])
    assert (low + high) / 2 == pytest.approx(fit.coefficients[0] + fit.coefficients[1] * np.array([0, 5]))


def test_a_component_left_out_is_zero_and_costs_likelihood():
    effects, v, clusters, _, _ = problem("assink2016 rho 0.6")
    both = fitted("assink2016 rho 0.6")
    between = multilevel.fit_multilevel(effects, v, clusters, components=("between",))
    assert between.sigma2_within == 0 and between.log_likelihood < both.log_likelihood
    held = multilevel.profile_log_likelihood(both, "within", 0.0)[0]
    assert between.log_likelihood == pytest.approx(held, abs=ROUNDING)


# ------------------------------------------------------------------------------------------------------------ bad input

EFFECTS, VARIANCES, CLUSTERS = [-1.0, -0.5, -0.8, 0.1], [0.1, 0.2, 0.3, 0.1], ["a", "a", "b", "c"]
V = sampling.correlated_effects(VARIANCES, CLUSTERS, 0.5)
SINGULAR = np.array([[0.1, 0.2, 0, 0], [0.2, 0.2, 0, 0], [0, 0, 0.3, 0], [0, 0, 0, 0.1]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: multilevel.fit_multilevel(EFFECTS, VARIANCES, CLUSTERS), r"V \(m, m\)"),
        (lambda: multilevel.fit_multilevel([-1.0, np.nan, 0, 0], V, CLUSTERS), r"effect 1 \(cluster a\)"),
        (lambda: multilevel.fit_multilevel(EFFECTS, V + np.eye(4, k=1), CLUSTERS), "V must be symmetric"),
        (lambda: multilevel.fit_multilevel(EFFECTS, SINGULAR, CLUSTERS), "positive definite: look at cluster a"),
        (lambda: multilevel.fit_multilevel(EFFECTS, V, CLUSTERS, design=np.ones((4, 2))), "linearly dependent"),
        (lambda: multilevel.fit_multilevel(EFFECTS, V, [1, 2, 3, 4]), "cannot tell both components apart"),
        (lambda: multilevel.fit_multilevel(EFFECTS, V, [1, 1, 1, 1]), "cannot tell both components apart"),
        (lambda: multilevel.fit_multilevel(EFFECTS, V, CLUSTERS, components=("trial",)), "components must be among"),
        (lambda: multilevel.fit_multilevel(EFFECTS, V, CLUSTERS, df="kr"), "df 'kr' be"),
        (lambda: multilevel.fit_multilevel(EFFECTS, V, CLUSTERS, level=95), "level 95 must lie in"),
        (lambda: multilevel.fit_multilevel(EFFECTS, V, CLUSTERS, design=np.eye(4)[:, :3]), "no degrees of freedom"),
        (lambda: multilevel.prediction_interval(fitted("konstantopoulos2011 year rho 0.6")), "has moderators"),
        (lambda: multilevel.prediction_interval(fitted("begg1989 rho 0.6"), [[1, 2]]), "at has 2 columns"),
        (lambda: multilevel.prediction_interval(fitted("begg1989 rho 0.6"), target="study"), "target must be"),
        (lambda: multilevel.profile_log_likelihood(fitted("begg1989 rho 0.6"), "total", [0]), "component must be one"),
        (lambda: multilevel.profile_log_likelihood(fitted("begg1989 rho 0.6"), "within", [-1]), "at least 0"),
    ],
)
def test_bad_input_is_named_on_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
