"""Bayesian random-effects model: raw joint density by general quadrature, closed forms, identities, bad input."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from meta_analysis import bayes, priors, tau_posterior
from meta_analysis.distributions import NormalMixture

# Agreement with scipy's general quadrature, which is asked for 1e-10 and itself reaches about that.
QUADRATURE = 1e-8
# Identities between two results of the same quadrature, and closed forms: rounding of some thousand operations.
ROUNDING = 1e-10

EFFECTS = np.array([-1.1, -1.3, -0.2, -0.8, -0.6, 0.3])
VARIANCES = np.array([0.25, 0.30, 0.12, 0.05, 0.04, 0.50])
SCEPTICAL = priors.NormalPrior(0.2, 0.8)

PRIORS = [
    priors.half_normal(0.5),
    priors.half_cauchy(0.3),
    priors.half_t(0.4, 4),
    priors.uniform(2.0),
    priors.log_normal_tau2(-2.0, 1.5),
    priors.log_t_tau2(-3.0, 2.0, 5),
]
# The same priors through scipy.stats: density of tau as a plain function.
DENSITIES = [
    stats.halfnorm(scale=0.5).pdf,
    stats.halfcauchy(scale=0.3).pdf,
    lambda tau: 2 * stats.t(4, scale=0.4).pdf(tau),
    stats.uniform(0, 2.0).pdf,
    lambda tau: stats.norm(-2.0, 1.5).pdf(np.log(tau**2)) * 2 / tau,
    lambda tau: stats.t(5, -3.0, 2.0).pdf(np.log(tau**2)) * 2 / tau,
]
BY_NAME = pytest.mark.parametrize(("prior", "density"), list(zip(PRIORS, DENSITIES)), ids=[p.name for p in PRIORS])


def over_tau(function, density):
    """Integral of function(tau) density(tau) d tau: scipy's adaptive quadrature over log(tau), in pieces.

    The lower tail of the log-t falls off like a power of log(tau): the first cut is where 1e-12 of it is left.
    """
    cuts = [-350, -120, -40, -12, -6, -4, -3, -2, -1, 0, np.log(2.0), 2, 5, 12, 60]
    return sum(
        integrate.quad(lambda x: function(np.exp(x)) * density(np.exp(x)) * np.exp(x), a, b, epsabs=0, epsrel=1e-11)[0]
        for a, b in zip(cuts[:-1], cuts[1:])
        if not (density is DENSITIES[3] and a >= np.log(2.0))
    )


def evidence(tau, effects=EFFECTS, variances=VARIANCES, prior=SCEPTICAL):
    """Likelihood of tau, mu integrated out by way of the multivariate normal distribution of the effects."""
    covariance = 2 * np.pi * (np.diag(variances + tau**2) + prior.sd**2)
    residual = effects - prior.mean
    quadratic, log_determinant = residual @ np.linalg.solve(covariance, residual), np.linalg.slogdet(covariance)[1]
    return np.exp(-np.pi * quadratic - 0.5 * log_determinant)


def joint_given_tau(tau):
    """Posterior mean and covariance of (mu, theta_1 ... theta_k) given tau, from the joint precision matrix."""
    k = EFFECTS.size
    precision = np.zeros((k + 1, k + 1))
    precision[0, 0] = 1 / SCEPTICAL.sd**2 + k / tau**2
    precision[0, 1:] = precision[1:, 0] = -1 / tau**2
    precision[1:, 1:] = np.diag(1 / VARIANCES + 1 / tau**2)
    covariance = np.linalg.inv(precision)
    return covariance @ np.append(SCEPTICAL.mean / SCEPTICAL.sd**2, EFFECTS / VARIANCES), covariance


# ---------------------------------------------------------------------------------- raw joint density and other paths


@pytest.mark.parametrize("flat", [True, False], ids=["flat mu", "normal mu"])
def test_raw_joint_density_by_double_quadrature(flat):
    """Likelihood times priors, integrated over (mu, tau) without any algebra."""
    posterior = bayes.random_effects_posterior(EFFECTS, VARIANCES, priors.half_normal(0.5), None if flat else SCEPTICAL)
    data = list(zip(EFFECTS.tolist(), VARIANCES.tolist()))

    def joint(mu, tau):
        log = -0.5 * (tau / 0.5) ** 2 + 0.5 * math.log(2 / math.pi) - math.log(0.5)
        log += sum(
            -0.5 * (y - mu) ** 2 / (v + tau * tau) - 0.5 * math.log(2 * math.pi * (v + tau * tau)) for y, v in data
        )
        if not flat:
            log += -0.5 * ((mu - 0.2) / 0.8) ** 2 - 0.5 * math.log(2 * math.pi * 0.64)
        return math.exp(log)

    def integral(function, mu_low=-9.0):
        """Outside the box the density is below 1e-17 of its maximum."""
        inner_outer = [[mu_low, 7.0], [0.0, 4.4]]
        options = {"epsabs": 1e-14, "epsrel": 1e-11, "limit": 200}
        return integrate.nquad(lambda mu, tau: function(mu, tau) * joint(mu, tau), inner_outer, opts=options)[0]

    total = integral(lambda mu, tau: 1.0)
    mean = integral(lambda mu, tau: mu) / total
    assert posterior.log_marginal_likelihood == pytest.approx(math.log(total), abs=QUADRATURE)
    assert posterior.mu.mean == pytest.approx(mean, abs=QUADRATURE)
    variance = integral(lambda mu, tau: (mu - mean) ** 2) / total
    assert posterior.mu.sd == pytest.approx(math.sqrt(variance), abs=QUADRATURE)
    assert 1 - posterior.mu.cdf(-0.5) == pytest.approx(integral(lambda mu, tau: 1.0, -0.5) / total, abs=QUADRATURE)
    assert posterior.tau.mean == pytest.approx(integral(lambda mu, tau: tau) / total, abs=QUADRATURE)
    new_trial = integral(lambda mu, tau: 0.5 * math.erfc((mu + 0.5) / max(tau, 1e-300) / math.sqrt(2))) / total
    assert posterior.new_trial.cdf(-0.5) == pytest.approx(new_trial, abs=QUADRATURE)


@BY_NAME
def test_every_prior_against_the_multivariate_normal_likelihood(prior, density):
    posterior = bayes.random_effects_posterior(EFFECTS, VARIANCES, prior, SCEPTICAL)
    total = over_tau(evidence, density)
    assert posterior.log_marginal_likelihood == pytest.approx(np.log(total), abs=QUADRATURE)
    for order, moment in [(1, posterior.tau.mean), (2, posterior.tau.sd**2 + posterior.tau.mean**2)]:
        expected = over_tau(lambda tau: tau**order * evidence(tau), density) / total  # noqa: B023
        assert moment == pytest.approx(expected, rel=QUADRATURE)
    below = over_tau(lambda tau: evidence(tau) * (tau < 1.0), density) / total  # tau = 1 is one of the cuts
    assert posterior.tau.cdf(1.0) == pytest.approx(below, abs=QUADRATURE)


def test_trial_effects_and_prediction_against_the_joint_precision_matrix():
    prior, density = PRIORS[4], DENSITIES[4]
    posterior = bayes.random_effects_posterior(EFFECTS, VARIANCES, prior, SCEPTICAL)
    # Simpson's rule on a fixed grid; the prior of log(tau) is normal(-1, 0.75), the grid spans eight SDs on both sides.
    x = np.linspace(-7, 5, 1201)
    mass = np.array([evidence(tau) * density(tau) * tau for tau in np.exp(x)])
    given_tau = [joint_given_tau(tau) for tau in np.exp(x)]

    def average(values):
        return integrate.simpson(mass * values, x=x) / integrate.simpson(mass, x=x)

    for node, distribution in enumerate((posterior.mu, *posterior.trials)):
        means = np.array([mean[node] for mean, _ in given_tau])
        variances = np.array([covariance[node, node] for _, covariance in given_tau])
        assert distribution.mean == pytest.approx(average(means), abs=QUADRATURE)
        variance = average(variances + (means - average(means)) ** 2)
        assert distribution.sd == pytest.approx(np.sqrt(variance), abs=QUADRATURE)
        below = average(stats.norm.cdf(-0.4, means, np.sqrt(variances)))
        assert distribution.cdf(-0.4) == pytest.approx(below, abs=QUADRATURE)
        if node == 0:
            predictive = average(stats.norm.cdf(-0.4, means, np.sqrt(variances + np.exp(2 * x))))
            assert posterior.new_trial.cdf(-0.4) == pytest.approx(predictive, abs=QUADRATURE)
    assert posterior.new_trial.mean == pytest.approx(posterior.mu.mean, abs=ROUNDING)


# --------------------------------------------------------------------------------------------------------- closed forms


def given_tau(tau, mu_prior=None):
    """Posterior mean and SD of mu, and log-likelihood, with tau held."""
    mean, variance, log_likelihood = tau_posterior.NormalNormalModel(EFFECTS, VARIANCES, None, mu_prior).given_tau(
        np.asarray(tau))
    return mean, np.sqrt(variance), log_likelihood


@pytest.mark.parametrize("tau", [0.0, 0.3, 2.0])
def test_tau_given_is_the_conjugate_normal_model(tau):
    mean, sd, log_likelihood = given_tau(tau, SCEPTICAL)
    precision = np.sum(1 / (VARIANCES + tau**2)) + 1 / SCEPTICAL.sd**2
    weighted = np.sum(EFFECTS / (VARIANCES + tau**2)) + SCEPTICAL.mean / SCEPTICAL.sd**2
    assert mean == pytest.approx(weighted / precision, abs=ROUNDING)
    assert sd == pytest.approx(precision**-0.5, abs=ROUNDING)
    assert log_likelihood == pytest.approx(np.log(evidence(tau)), abs=ROUNDING)


def test_flat_mu_is_the_limit_of_wide_normal_priors():
    wide = priors.NormalPrior(0.0, 1e5)
    flat_mean, flat_sd, flat_log = given_tau(0.3)
    mean, sd, log = given_tau(0.3, wide)
    # The prior's density near the data is 1 / (sd sqrt(2 pi)), up to the square of (effect / sd): 1e-10.
    assert (mean, sd) == pytest.approx((flat_mean, flat_sd), abs=1e-9)
    assert log + np.log(1e5 * np.sqrt(2 * np.pi)) == pytest.approx(flat_log, abs=1e-9)


@pytest.mark.parametrize("mu_prior", [None, SCEPTICAL], ids=["flat mu", "normal mu"])
def test_a_prior_that_all_but_fixes_tau_gives_the_closed_form(mu_prior):
    # log(tau^2) within 1e-6: the posterior differs from tau fixed by some 1e-12.
    posterior = bayes.random_effects_posterior(
        EFFECTS, VARIANCES, priors.log_normal_tau2(np.log(0.3**2), 1e-6), mu_prior
    )
    mean, sd, log_likelihood = given_tau(0.3, mu_prior)
    assert (posterior.mu.mean, posterior.mu.sd) == pytest.approx((mean, sd), abs=1e-9)
    assert posterior.tau.median == pytest.approx(0.3, abs=1e-6)
    assert posterior.log_marginal_likelihood == pytest.approx(log_likelihood, abs=1e-9)
    assert posterior.mu.interval() == pytest.approx(stats.norm(mean, sd).interval(0.95), abs=1e-9)


@BY_NAME
def test_one_trial_teaches_nothing_about_tau_under_a_flat_mu(prior, density):
    posterior = bayes.random_effects_posterior([-0.7], [0.2], prior)
    p = np.array([0.001, 0.1, 0.5, 0.9, 0.999])
    assert posterior.tau.quantile(p) == pytest.approx(prior.quantile(p), rel=QUADRATURE)
    assert posterior.log_marginal_likelihood == pytest.approx(0, abs=QUADRATURE)
    assert posterior.mu.median == pytest.approx(-0.7, abs=ROUNDING)
    # The trial's own effect stays what was observed.
    assert (posterior.trials[0].mean, posterior.trials[0].sd) == pytest.approx((-0.7, np.sqrt(0.2)), abs=QUADRATURE)


def test_one_trial_and_no_heterogeneity_is_the_conjugate_update():
    posterior = bayes.random_effects_posterior([-0.7], [0.2], priors.half_normal(1e-7), SCEPTICAL)
    precision = 1 / 0.2 + 1 / 0.64
    assert posterior.mu.mean == pytest.approx((-0.7 / 0.2 + 0.2 / 0.64) / precision, abs=ROUNDING)
    assert posterior.mu.sd == pytest.approx(precision**-0.5, abs=ROUNDING)
    assert posterior.tau.median == pytest.approx(1e-7 * stats.halfnorm.median(), rel=QUADRATURE)


# --------------------------------------------------------------------------------------------------------------- priors


@pytest.mark.parametrize(
    ("prior", "reference"),
    [
        (priors.half_normal(0.5), stats.halfnorm(scale=0.5)),
        (priors.half_cauchy(0.3), stats.halfcauchy(scale=0.3)),
        (priors.half_t(0.3, 1), stats.halfcauchy(scale=0.3)),
        (priors.uniform(2.0), stats.uniform(0, 2.0)),
        # log(tau^2) ~ N(m, s^2) says log(tau) ~ N(m/2, (s/2)^2)
        (priors.log_normal_tau2(-2.0, 1.5), stats.lognorm(s=0.75, scale=np.exp(-1.0))),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_priors_agree_with_scipy(prior, reference):
    tau, p = np.array([1e-6, 0.01, 0.3, 1.0, 1.9]), np.array([1e-6, 0.2, 0.5, 0.8, 0.999])
    assert np.exp(prior.log_density(tau)) == pytest.approx(reference.pdf(tau), rel=ROUNDING, abs=1e-300)
    assert prior.cdf(tau) == pytest.approx(reference.cdf(tau), rel=ROUNDING, abs=1e-15)
    assert prior.quantile(p) == pytest.approx(reference.ppf(p), rel=ROUNDING)


@BY_NAME
def test_priors_are_proper_and_consistent(prior, density):
    assert over_tau(lambda tau: 1.0, lambda tau: float(np.exp(prior.log_density(tau)))) == pytest.approx(1, abs=1e-6)
    p = np.array([1e-4, 0.3, 0.7, 0.999])
    assert prior.cdf(prior.quantile(p)) == pytest.approx(p, rel=ROUNDING)
    tau = np.array([0.01, 0.3, 1.7])
    assert np.exp(prior.log_density(tau)) == pytest.approx([density(t) for t in tau], rel=ROUNDING)


def test_log_t_with_many_degrees_of_freedom_is_log_normal():
    tau = np.array([0.05, 0.3, 1.9])  # within three SDs: the t differs from the normal by z^4 / (4 df) at most
    many, normal = priors.log_t_tau2(-2.0, 1.5, 1e9), priors.log_normal_tau2(-2.0, 1.5)
    assert many.log_density(tau) == pytest.approx(normal.log_density(tau), abs=1e-7)
    assert many.cdf(tau) == pytest.approx(normal.cdf(tau), abs=1e-7)


# -------------------------------------------------------------------------------------------------------- Bayes factors


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: p.name)
def test_bayes_factor_of_the_effect_is_the_density_ratio_at_the_null(prior):
    """Savage and Dickey: prior over posterior density of mu at the null, when tau has one prior in both models."""
    posterior = bayes.random_effects_posterior(EFFECTS, VARIANCES, prior, SCEPTICAL)
    for null in (0.0, -0.5):
        ratio = stats.norm(SCEPTICAL.mean, SCEPTICAL.sd).pdf(null) / posterior.mu.pdf(null)
        assert bayes.bayes_factor_effect(posterior, null) == pytest.approx(ratio, rel=QUADRATURE)


@pytest.mark.parametrize("mu_prior", [None, SCEPTICAL], ids=["flat mu", "normal mu"])
def test_bayes_factor_of_heterogeneity(mu_prior):
    prior = priors.half_normal(0.5)
    posterior = bayes.random_effects_posterior(EFFECTS, VARIANCES, prior, mu_prior)
    factor = bayes.bayes_factor_heterogeneity(posterior)
    ratio = np.exp(prior.log_density(0.0)) / posterior.tau.pdf(0.0)  # Savage and Dickey at tau = 0
    assert factor == pytest.approx(ratio, rel=QUADRATURE)
    if mu_prior is not None:
        assert factor == pytest.approx(over_tau(evidence, DENSITIES[0]) / evidence(0.0), rel=QUADRATURE)


def test_bayes_factors_point_the_right_way():
    strong = bayes.random_effects_posterior(
        [-2.0, -2.1, -1.9], [0.01] * 3, priors.half_normal(0.3), priors.NormalPrior(0, 1)
    )
    none = bayes.random_effects_posterior(
        [0.01, -0.01, 0.0], [0.01] * 3, priors.half_normal(0.3), priors.NormalPrior(0, 1)
    )
    assert bayes.bayes_factor_effect(strong) > 10 and bayes.bayes_factor_effect(none) < 0.2
    mixed = bayes.random_effects_posterior([-3.0, 0.0, 3.0], [0.01] * 3, priors.half_normal(0.3))
    assert bayes.bayes_factor_heterogeneity(mixed) > 1e3 > 1 > bayes.bayes_factor_heterogeneity(none)


# -------------------------------------------------------------------------------------------- intervals and quantiles


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: p.name)
@pytest.mark.parametrize("k", [6, 2, 1])
def test_quantiles_invert_the_cdf_far_into_the_tails(prior, k):
    posterior = bayes.random_effects_posterior(EFFECTS[:k], VARIANCES[:k], prior)
    p = np.array([1e-9, 1e-4, 0.025, 0.5, 0.975, 1 - 1e-4])
    for distribution in (posterior.mu, posterior.tau, posterior.new_trial, posterior.trials[0]):
        assert distribution.cdf(distribution.quantile(p)) == pytest.approx(p, rel=ROUNDING)
        assert (np.diff(distribution.quantile(p)) > 0).all()


def test_quantiles_at_the_ends_of_the_support():
    posterior = bayes.random_effects_posterior(EFFECTS, VARIANCES, priors.uniform(2.0))
    assert posterior.mu.quantile([0, 1]).tolist() == [-np.inf, np.inf]
    assert np.isfinite(posterior.mu.quantile([1e-300, 1 - 1e-16])).all()
    assert posterior.tau.quantile([0, 1]).tolist() == [0, 2.0]
    assert posterior.tau.cdf([-1, 0, 2.0, 5, np.inf]) == pytest.approx([0, 0, 1, 1, 1], abs=ROUNDING)
    assert posterior.tau.pdf([-0.1, 2.1]).tolist() == [0, 0]


def test_cdf_of_tau_is_the_integral_of_its_density_also_at_panel_edges():
    posterior = bayes.random_effects_posterior(EFFECTS, VARIANCES, priors.half_cauchy(0.3))
    for tau in (0.05, 0.3, 0.3 * np.e**2, 3.0):  # the prior's median 0.3 is an edge, and two units of log(tau) above
        below = integrate.quad(posterior.tau.pdf, 0, tau, epsabs=1e-13, epsrel=1e-11)[0]
        assert posterior.tau.cdf(tau) == pytest.approx(below, abs=QUADRATURE)


@pytest.mark.parametrize("mu_prior", [None, SCEPTICAL], ids=["flat mu", "normal mu"])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_shortest_interval_has_equal_densities_at_its_ends(mu_prior, level):
    posterior = bayes.random_effects_posterior(EFFECTS, VARIANCES, priors.half_normal(0.5), mu_prior)
    peaked = bayes.random_effects_posterior([-3, 0, 3.0], [0.05] * 3, priors.half_normal(2.0), mu_prior).tau
    for distribution in (posterior.mu, posterior.new_trial, posterior.trials[5], peaked):
        low, high = distribution.interval(level, "shortest")
        assert distribution.pdf(low) == pytest.approx(distribution.pdf(high), rel=1e-6)
        assert np.diff(distribution.cdf([low, high]))[0] == pytest.approx(level, abs=ROUNDING)
        central = distribution.interval(level)
        assert high - low <= central[1] - central[0] + ROUNDING
        assert low < distribution.median < high


def test_shortest_interval_of_a_falling_density_begins_at_zero():
    tau = bayes.random_effects_posterior(EFFECTS[:3], VARIANCES[:3], priors.half_normal(0.1)).tau
    low, high = tau.interval(0.9, "shortest")
    assert low == 0 and high == pytest.approx(float(tau.quantile(0.9)))


def test_normal_mixture_of_one_component_is_that_normal():
    one, normal = NormalMixture(np.ones(1), np.array([2.0]), np.array([3.0])), stats.norm(2.0, 3.0)
    assert one.summary() == pytest.approx(
        dict(mean=2, sd=3, median=2)
        | dict(zip(["central_low", "central_high"], normal.interval(0.95)))
        | dict(zip(["shortest_low", "shortest_high"], normal.interval(0.95))),
        abs=1e-7,
    )
    assert one.pdf([0.0, 5.0]) == pytest.approx(normal.pdf([0, 5]), rel=ROUNDING)


# ----------------------------------------------------------------------------------------------------------- behaviour


def test_scale_and_shift_carry_through():
    one = bayes.random_effects_posterior(EFFECTS, VARIANCES, priors.half_cauchy(0.3), SCEPTICAL)
    two = bayes.random_effects_posterior(
        7 - 10 * EFFECTS, 100 * VARIANCES, priors.half_cauchy(3.0), priors.NormalPrior(7 - 2, 8.0)
    )
    assert two.mu.quantile([0.1, 0.5, 0.9]) == pytest.approx(7 - 10 * one.mu.quantile([0.9, 0.5, 0.1]), rel=ROUNDING)
    assert two.tau.quantile([0.1, 0.9]) == pytest.approx(10 * one.tau.quantile([0.1, 0.9]), rel=ROUNDING)
    assert two.trials[2].sd == pytest.approx(10 * one.trials[2].sd, rel=ROUNDING)


def test_trials_are_shrunk_towards_the_mean_and_more_so_when_imprecise():
    effects, variances = [-2.0, -2.0, 0, 0.2, 0.1], [0.05, 1, 0.1, 0.1, 0.1]
    posterior = bayes.random_effects_posterior(effects, variances, priors.half_normal(1))
    precise, imprecise = posterior.trials[:2]
    assert -2 < precise.mean < imprecise.mean < posterior.mu.mean


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: p.name)
@pytest.mark.parametrize(
    ("effects", "variances"),
    [
        ([-5.0, 5.0], [1e-6, 1e-6]),
        ([0.0, 0.0, 0.0], [1e-8, 1.0, 1e6]),
        (np.linspace(-1, 1, 300), np.full(300, 0.01)),
        ([1e4, -1e4, 3.0], [1.0, 1.0, 1.0]),
    ],
    ids=["far apart", "unequal", "many", "very far apart"],
)
def test_hard_data_stay_within_the_error_bound(prior, effects, variances):
    posterior = bayes.random_effects_posterior(effects, variances, prior)
    assert 0 <= posterior.quadrature_error < 1e-8
    assert posterior.tau.cdf(1e300) == pytest.approx(1, abs=QUADRATURE)
    low, high = posterior.mu.interval(0.99)
    assert low < np.mean(posterior.mu.median) < high and np.isfinite([low, high]).all()


def test_moments_that_do_not_exist_are_not_invented():
    """Flat mu: the likelihood falls off as tau^-(k-1), a half-Cauchy as tau^-2, so that E(tau^r) needs k > r."""
    exists = {}
    for k in (1, 2, 3):
        posterior = bayes.random_effects_posterior(EFFECTS[:k], VARIANCES[:k], priors.half_cauchy(0.3))
        exists[k] = np.isfinite([posterior.tau.mean, posterior.tau.sd, posterior.mu.mean, posterior.mu.sd]).tolist()
        assert np.isfinite(posterior.mu.interval()).all()
    assert exists == {1: [False] * 4, 2: [True, False, True, False], 3: [True] * 4}
    one = bayes.random_effects_posterior(EFFECTS[:1], VARIANCES[:1], priors.half_cauchy(0.3), SCEPTICAL)
    assert np.isfinite([one.mu.mean, one.mu.sd]).all() and one.tau.sd == one.new_trial.sd == np.inf


def test_heavy_tails_at_the_border_of_existence_still_have_right_moments():
    """k = 3, flat mu, half-Cauchy: tau^2 times the integrand falls off as tau^-2 only."""
    effects, variances, density = EFFECTS[:3], VARIANCES[:3], DENSITIES[1]
    posterior = bayes.random_effects_posterior(effects, variances, priors.half_cauchy(0.3))

    def likelihood(tau):
        w = 1 / (variances + tau**2)
        mean = w @ effects / w.sum()
        return np.sqrt(w.prod() / w.sum()) * np.exp(-0.5 * w @ (effects - mean) ** 2)

    total, second = over_tau(likelihood, density), over_tau(lambda tau: tau**2 * likelihood(tau), density)
    assert posterior.tau.sd**2 + posterior.tau.mean**2 == pytest.approx(second / total, rel=QUADRATURE)


def test_same_input_gives_the_same_digits():
    one, two = (bayes.random_effects_posterior(EFFECTS, VARIANCES, PRIORS[5]).mu.summary() for _ in range(2))
    assert one == two


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bayes.random_effects_posterior([-1, np.nan], [1, 1], PRIORS[0]), "study 1: effect nan"),
        (lambda: bayes.random_effects_posterior([-1, 1], [1, 0], PRIORS[0]), "study 1: variance 0.0"),
        (lambda: bayes.random_effects_posterior([-1, 1], [1], PRIORS[0]), "equally long"),
        (lambda: bayes.random_effects_posterior([], [], PRIORS[0]), "at least one study"),
        (lambda: bayes.random_effects_posterior([1], [1], PRIORS[0], priors.NormalPrior(0, 0)), "positive SD"),
        (lambda: bayes.bayes_factor_effect(bayes.random_effects_posterior([1], [1], PRIORS[0])), "normal prior of mu"),
        (lambda: priors.half_normal(0), "scale of the tau prior must be positive"),
        (lambda: priors.half_t(1, -1), "df of the tau prior must be positive"),
        (lambda: priors.uniform(np.inf), "upper of the tau prior must be positive and finite"),
        (lambda: priors.log_normal_tau2(np.nan, 1), r"location of log\(tau\^2\) must be finite"),
        (lambda: bayes.random_effects_posterior([1], [1], PRIORS[0]).mu.quantile(1.1), r"probabilities must lie in"),
        (lambda: bayes.random_effects_posterior([1], [1], PRIORS[0]).mu.interval(1.0), "level must lie in"),
        (lambda: bayes.random_effects_posterior([1], [1], PRIORS[0]).mu.interval(0.9, "hdi"), "kind must be"),
    ],
)
def test_bad_input_is_named_on_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_quadrature_that_does_not_settle_is_an_error(monkeypatch):
    monkeypatch.setattr(tau_posterior, "PANEL_TOLERANCE", 0.0)
    with pytest.raises(ArithmeticError, match="needs more than 2000 panels"):
        bayes.random_effects_posterior(EFFECTS, VARIANCES, PRIORS[0])
    monkeypatch.setattr(tau_posterior, "PANEL_TOLERANCE", 1.0)
    monkeypatch.setattr(tau_posterior, "ERROR_LIMIT", 0.0)
    with pytest.raises(ArithmeticError, match="relative error"):
        bayes.random_effects_posterior(EFFECTS, VARIANCES, PRIORS[0])
