"""Bayesian random-effects meta-analysis by quadrature: no sampling, the same digits every time, milliseconds.

    y_i | theta_i ~ N(theta_i, v_i),   theta_i | mu, tau ~ N(mu, tau^2),   mu flat or normal,   tau ~ `priors.TauPrior`

Given tau everything is normal (Roever 2020, Journal of Statistical Software, on the R package bayesmeta), so that only
tau is integrated numerically (`tau_posterior`). The posteriors of mu, of the effect in a new trial and of every trial's
own effect are mixtures of normals over the quadrature nodes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from meta_analysis.distributions import NormalMixture
from meta_analysis.priors import NormalPrior, TauPrior
from meta_analysis.tau_posterior import NormalNormalModel, TauPosterior, integrate_over_tau


@dataclass(frozen=True)
class Posterior:
    """Posterior of the random-effects model of k trials; all on the scale of the effects (log for ratios).

    Attributes
    ----------
    mu, tau, new_trial : mean effect, heterogeneity SD, and true effect in a new trial (prediction); each with `mean`,
        `sd`, `median`, `quantile`, `cdf`, `pdf`, `interval`, `summary`. P(mu < x) is `mu.cdf(x)`.
    trials : k distributions, the trials' own effects, shrunk towards mu.
    log_marginal_likelihood : of the data; with a flat prior (density 1 per unit of mu) only comparable among models
        that share it.
    quadrature_error : bound on the relative error of posterior mass and moments.
    effects, variances, tau_prior, mu_prior : what went in.
    """

    mu: NormalMixture
    tau: TauPosterior
    new_trial: NormalMixture
    trials: tuple[NormalMixture, ...]
    log_marginal_likelihood: float
    quadrature_error: float
    effects: np.ndarray
    variances: np.ndarray
    tau_prior: TauPrior
    mu_prior: NormalPrior | None


def random_effects_posterior(
    effects: ArrayLike, variances: ArrayLike, tau_prior: TauPrior, mu_prior: NormalPrior | None = None
) -> Posterior:
    """Posterior of the normal-normal random-effects model.

    Parameters
    ----------
    effects, variances : (k,) effects (ratios as logs) and their sampling variances; one trial is enough.
    tau_prior : prior of the heterogeneity SD, from `priors`.
    mu_prior : normal prior of the mean effect; None is flat.

    Returns
    -------
    Posterior

    Raises
    ------
    ValueError
        For lengths that differ, an effect that is not finite, a variance that is not positive, or a mu prior without a
        positive SD.
    ArithmeticError
        If the error bound of the quadrature stays above `tau_posterior.ERROR_LIMIT`.
    """
    y, v = _checked(effects, variances)
    if mu_prior is not None and not (np.isfinite(mu_prior).all() and mu_prior[1] > 0):
        raise ValueError(f"mu prior needs a finite mean and a positive SD, not {tuple(mu_prior)}")
    model = NormalNormalModel(y, v, tau_prior, None if mu_prior is None else NormalPrior(*mu_prior))
    nodes = integrate_over_tau(model)
    mean, variance, _ = model.given_tau(nodes.tau)
    first, second = model.moment_exists(1), model.moment_exists(2)
    mu = NormalMixture(
        nodes.weights,
        mean,
        np.sqrt(variance),
        mean_exists=first or mu_prior is not None,
        variance_exists=second or mu_prior is not None,
    )
    new_trial = NormalMixture(
        nodes.weights, mean, np.sqrt(variance + nodes.tau**2), mean_exists=first, variance_exists=second
    )
    shrinkage = v[:, None] / (v[:, None] + nodes.tau**2)  # weight of mu in a trial's own effect
    trial_means = (1 - shrinkage) * y[:, None] + shrinkage * mean
    trial_sds = np.sqrt((1 - shrinkage) * v[:, None] + shrinkage**2 * variance)
    trials = tuple(NormalMixture(nodes.weights, m, s) for m, s in zip(trial_means, trial_sds, strict=True))
    tau = TauPosterior(model, nodes)
    return Posterior(mu, tau, new_trial, trials, nodes.log_total, nodes.error, y, v, tau_prior, model.mu_prior)


def bayes_factor_effect(posterior: Posterior, null: float = 0.0) -> float:
    """Bayes factor of "mu follows its prior" over "mu is exactly `null`", heterogeneity uncertain in both.

    Parameters
    ----------
    posterior : with a normal prior of mu.
    null : value of mu under the null model.

    Returns
    -------
    Above 1 speaks for an effect. It leans heavily on the SD of mu's prior.

    Raises
    ------
    ValueError
        With a flat prior of mu, for which there is none.
    """
    if posterior.mu_prior is None:
        raise ValueError("the Bayes factor of the effect needs a normal prior of mu, not a flat one")
    held = NormalNormalModel(posterior.effects, posterior.variances, posterior.tau_prior, NormalPrior(null, 0.0))
    return _exp(posterior.log_marginal_likelihood - integrate_over_tau(held).log_total)


def bayes_factor_heterogeneity(posterior: Posterior) -> float:
    """Bayes factor of "tau follows its prior" over "tau = 0" (common effect).

    Parameters
    ----------
    posterior : its prior of mu, which may be flat, is that of both models.

    Returns
    -------
    Above 1 speaks for heterogeneity.
    """
    model = NormalNormalModel(posterior.effects, posterior.variances, posterior.tau_prior, posterior.mu_prior)
    return _exp(posterior.log_marginal_likelihood - float(model.given_tau(np.zeros(()))[2]))


def _checked(effects: ArrayLike, variances: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Effects and variances (k,), or a ValueError that names the study."""
    y, v = np.asarray(effects, dtype=float), np.asarray(variances, dtype=float)
    if y.ndim != 1 or y.size == 0 or y.shape != v.shape:
        raise ValueError(f"effects {y.shape} and variances {v.shape} must be equally long, at least one study")
    for study in np.flatnonzero(~np.isfinite(y)):
        raise ValueError(f"study {study}: effect {y[study]} is not finite")
    for study in np.flatnonzero(~(np.isfinite(v) & (v > 0))):
        raise ValueError(f"study {study}: variance {v[study]} must be positive and finite")
    return y, v


def _exp(log_ratio: float) -> float:
    with np.errstate(over="ignore"):  # a Bayes factor too large for a float is infinite
        return float(np.exp(log_ratio))
