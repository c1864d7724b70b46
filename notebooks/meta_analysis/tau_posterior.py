"""Posterior of the heterogeneity SD tau in the normal-normal model: likelihood, adaptive quadrature, distribution.

The quadrature runs over x = log(tau), where the integrand is smooth whatever the prior, in panels with Gauss-Legendre
nodes (`bayes` turns the nodes into mixtures of normals).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from meta_analysis.distributions import Distribution, invert, probabilities
from meta_analysis.priors import NormalPrior, TauPrior

# Two Gauss-Legendre rules on each panel: the finer gives the result, their difference bounds its error.
COARSE, FINE = (np.polynomial.legendre.leggauss(order) for order in (12, 24))
MOST_PANELS = 2000
# Quantiles of the prior where panels end, lest a narrow prior fall between two nodes.
LANDMARKS = np.array([1e-15, 1e-10, 1e-6, 1e-3, 0.05, 0.25, 0.5, 0.75, 0.95, 1 - 1e-3, 1 - 1e-6, 1 - 1e-10, 1 - 1e-15])
PANEL_TOLERANCE = 1e-11  # a panel is halved until the two rules differ by less than this share of the whole
ERROR_LIMIT = 1e-8  # largest bound on the relative error that is accepted
NEGLIGIBLE = 45.0  # exp(-45) = 3e-20: where the integrand is that much below its maximum nothing counts
FURTHEST = 300.0  # |log(tau)| beyond which nothing is looked at; tau^2 still fits into a float


@dataclass(frozen=True)
class NormalNormalModel:
    """The model as functions of tau."""

    y: np.ndarray
    v: np.ndarray
    tau_prior: TauPrior | None
    mu_prior: NormalPrior | None

    def given_tau(self, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and variance of mu, log-likelihood of tau (mu integrated out); each of the shape of `tau`.

        With w = 1/(v + tau^2), W = sum w and c = sum wy/W, a flat mu has the mean c and the variance 1/W, and the
        log-likelihood is (sum log w - sum w (y - c)^2 - k log 2 pi + log(2 pi/W))/2. Under the prior N(m, s^2) of mu,
        with r = 1 + s^2 W, the mean is c + (m - c)/r, the variance s^2/r, and log(2 pi/W) in the log-likelihood gives
        way to -log r - W (c - m)^2/r (Roever 2020, Journal of Statistical Software).
        """
        w = 1 / (self.v + np.asarray(tau)[..., None] ** 2)
        total = w.sum(axis=-1)
        centre = (w @ self.y) / total
        scatter = (w * (self.y - centre[..., None]) ** 2).sum(axis=-1)
        log_likelihood = 0.5 * (np.log(w).sum(axis=-1) - scatter - self.y.size * np.log(2 * np.pi))
        if self.mu_prior is None:
            return centre, 1 / total, log_likelihood + 0.5 * np.log(2 * np.pi / total)
        prior_mean, prior_sd = self.mu_prior
        ratio = 1 + prior_sd**2 * total  # prior variance over posterior variance
        log_likelihood = log_likelihood - 0.5 * (np.log(ratio) + total * (centre - prior_mean) ** 2 / ratio)
        return centre + (prior_mean - centre) / ratio, prior_sd**2 / ratio, log_likelihood

    def log_integrand(self, x: np.ndarray) -> np.ndarray:
        """Log of prior times likelihood per unit of x = log(tau)."""
        tau = np.exp(x)
        return self.tau_prior.log_density(tau) + self.given_tau(tau)[2] + x

    def moment_exists(self, order: int) -> bool:
        """Whether E(tau^order | data) is finite: a flat mu uses up one trial."""
        return self.tau_prior.moment_exists(order, self.y.size - (self.mu_prior is None))


@dataclass(frozen=True)
class Nodes:
    """Quadrature over x = log(tau): n nodes in panels.

    `edges` (panels + 1,) of the panels; `cumulative` (panels + 1,) posterior mass below each edge; `tau` and `weights`
    (n,), the weights summing to 1, the first node at tau = 0 for all the mass below `tau_low`, the second for all the
    mass above the upper limit; `log_total` the log marginal likelihood; `error` a bound on the relative error of mass
    and moments.
    """

    edges: np.ndarray
    cumulative: np.ndarray
    tau: np.ndarray
    weights: np.ndarray
    tau_low: float
    log_total: float
    error: float


def integrate_over_tau(model: NormalNormalModel) -> Nodes:
    """Adaptive composite Gauss-Legendre quadrature of prior times likelihood over x = log(tau).

    Panels are halved until both rules agree on the mass and on the moments of mu and tau, as far as these exist. At
    both ends the prior's own cdf takes over: close to 0 the likelihood is that of tau = 0, and far out it is a power of
    tau, so that one node each, at 0 and at the upper limit, stands for what lies beyond.

    Parameters
    ----------
    model : the data and the priors.

    Returns
    -------
    Nodes

    Raises
    ------
    ArithmeticError
        If the error bound stays above `ERROR_LIMIT`, or more than `MOST_PANELS` would be needed.
    """
    prior = model.tau_prior
    landmarks = np.log(np.maximum(prior.quantile(LANDMARKS), np.exp(-FURTHEST)))
    median = landmarks[LANDMARKS.size // 2]
    x_low = max(min(np.log(1e-8 * np.sqrt(model.v.min())), np.log(1e-10) + median), -FURTHEST)
    x_high = min(np.log(prior.upper), FURTHEST)
    # Panels of two units of log(tau) around the prior's median, ever wider ones far out, and the prior's own landmarks.
    steps = np.concatenate([np.arange(0, 40, 2), 40 * 1.5 ** np.arange(8)])
    edges = np.concatenate([landmarks, median + steps, median - steps, [x_low, x_high]])
    edges, offset = _relevant(model, np.unique(np.clip(edges, x_low, x_high)))
    ends = np.array([0.0, np.exp(x_high)])
    with np.errstate(divide="ignore"):  # the log of no mass
        log_outside = np.log([prior.cdf(np.exp(x_low)), 1 - prior.cdf(np.exp(x_high))])
    outside = np.exp(log_outside + model.given_tau(ends)[2] - offset)

    pending = np.stack([edges[:-1], edges[1:]], axis=1)
    accepted, integrals, errors = [np.empty((0, 2))], [], []
    while len(pending):
        coarse, fine = (_panel_integrals(model, pending, rule, offset) for rule in (COARSE, FINE))
        difference, whole = np.abs(fine - coarse), sum(done.sum(axis=0) for done in [*integrals, fine])
        good = (difference <= PANEL_TOLERANCE * whole).all(axis=1)
        accepted.append(pending[good])
        integrals.append(fine[good])
        errors.append(difference[good].sum(axis=0))
        rest, middle = pending[~good], pending[~good].mean(axis=1)
        pending = np.concatenate([np.stack([rest[:, 0], middle], axis=1), np.stack([middle, rest[:, 1]], axis=1)])
        if sum(map(len, accepted)) + len(pending) > MOST_PANELS:
            raise ArithmeticError(f"quadrature over tau under prior {prior.name} needs more than {MOST_PANELS} panels")

    panels, integrals = np.concatenate(accepted), np.concatenate(integrals)
    error = float((sum(errors) / integrals.sum(axis=0)).max())
    if error > ERROR_LIMIT:
        raise ArithmeticError(f"quadrature over tau under prior {prior.name}: relative error {error:.1e}")
    order = np.argsort(panels[:, 0])
    panels, mass = panels[order], integrals[order, 0]
    total = outside.sum() + mass.sum()
    half = np.diff(panels, axis=1) / 2
    x = panels.mean(axis=1, keepdims=True) + half * FINE[0]
    weights = half * FINE[1] * np.exp(model.log_integrand(x) - offset)
    return Nodes(
        edges=np.append(panels[:, 0], panels[-1, 1]),
        cumulative=(outside[0] + np.append(0.0, np.cumsum(mass))) / total,
        tau=np.concatenate([ends, np.exp(x).ravel()]),
        weights=np.concatenate([outside, weights.ravel()]) / total,
        tau_low=float(np.exp(x_low)),
        log_total=float(np.log(total) + offset),
        error=error,
    )


def _relevant(model: NormalNormalModel, edges: np.ndarray) -> tuple[np.ndarray, float]:
    """The edges between which anything counts, for the mass or for a moment that exists; the log height of the mode."""
    x = np.unique(np.concatenate([edges, (edges[:-1] + edges[1:]) / 2]))
    log_mass = model.log_integrand(x)
    best = int(np.argmax(log_mass))
    mode, around = x[best], x[[max(best - 1, 0), min(best + 1, x.size - 1)]]
    for _ in range(5):  # a closer look at the highest peak, which many studies make narrow
        near = np.linspace(*around, 31)
        best = int(np.argmax(model.log_integrand(near)))
        mode, around = near[best], near[[max(best - 1, 0), min(best + 1, 30)]]
    offset = float(model.log_integrand(mode))
    order = 2 if model.moment_exists(2) else int(model.moment_exists(1))
    log_size = log_mass - offset + order * np.maximum(x - mode, 0)  # times tau^order in the upper tail
    counts = np.flatnonzero(log_size > max(float(log_size.max()), 0.0) - NEGLIGIBLE)
    lowest = min(x[max(counts[0] - 1, 0)], around[0]) if counts.size else around[0]
    highest = max(x[min(counts[-1] + 1, x.size - 1)], around[1]) if counts.size else around[1]
    inside = edges[(edges > lowest) & (edges < highest)]
    return np.unique(np.concatenate([[lowest, mode, highest], inside])), offset


def _integrands(model: NormalNormalModel, x: np.ndarray, offset: float) -> np.ndarray:
    """Mass per unit of x times 1, mean and second moment of mu, tau and tau^2 as far as they exist: (..., functions).

    All are positive, so that relative errors mean something.
    """
    tau = np.exp(x)
    mean, variance, _ = model.given_tau(tau)
    shift = (mean - model.y.mean()) / np.sqrt(model.v.max() + model.y.var())
    functions = [np.ones_like(tau), 1 + shift / 2 + shift**2]
    functions += [tau**order for order in (1, 2) if model.moment_exists(order)]
    if model.moment_exists(2) if model.mu_prior is None else model.mu_prior.sd > 0:
        functions.append(variance)
    return np.exp(model.log_integrand(x) - offset)[..., None] * np.stack(functions, axis=-1)


def _panel_integrals(
    model: NormalNormalModel, panels: np.ndarray, rule: tuple[np.ndarray, np.ndarray], offset: float
) -> np.ndarray:
    """Integrals (panels, functions) of the integrands over each panel."""
    half = np.diff(panels, axis=1) / 2
    values = _integrands(model, panels.mean(axis=1, keepdims=True) + half * rule[0], offset)
    return half * np.einsum("pnf,n->pf", values, rule[1])


class TauPosterior(Distribution):
    """Posterior of tau: density in closed form, cdf by the quadrature's panels over x = log(tau)."""

    def __init__(self, model: NormalNormalModel, nodes: Nodes) -> None:
        self._model, self._nodes = model, nodes
        mean = float(nodes.weights @ nodes.tau)
        self.mean = mean if model.moment_exists(1) else np.inf
        self.sd = float(np.sqrt(nodes.weights @ (nodes.tau - mean) ** 2)) if model.moment_exists(2) else np.inf

    def pdf(self, x: ArrayLike) -> np.ndarray:
        tau = np.asarray(x, dtype=float)
        inside = (tau >= 0) & np.isfinite(tau)
        safe = np.where(inside, tau, 1.0)
        log_density = self._model.tau_prior.log_density(safe) + self._model.given_tau(safe)[2]
        return np.where(inside, np.exp(log_density - self._nodes.log_total), 0.0)

    def cdf(self, x: ArrayLike) -> np.ndarray:
        tau, nodes = np.asarray(x, dtype=float), self._nodes
        near_zero = nodes.cumulative[0] * self._near_zero_share(np.clip(tau, 0, nodes.tau_low))
        with np.errstate(divide="ignore"):
            log_tau = np.clip(np.log(np.maximum(tau, 0)), nodes.edges[0], nodes.edges[-1])
        panel = np.clip(np.searchsorted(nodes.edges, log_tau, side="right") - 1, 0, len(nodes.edges) - 2)
        half = (log_tau - nodes.edges[panel]) / 2
        points = (nodes.edges[panel] + half)[..., None] + half[..., None] * FINE[0]
        part = half * (np.exp(self._model.log_integrand(points) - nodes.log_total) @ FINE[1])
        return np.where(log_tau > nodes.edges[0], np.minimum(nodes.cumulative[panel] + part, 1.0), near_zero)

    def quantile(self, p: ArrayLike) -> np.ndarray:
        p, nodes = probabilities(p), self._nodes
        first, last = nodes.cumulative[0], nodes.cumulative[-1]
        result = np.where(p >= last, self._model.tau_prior.upper, 0.0)
        low = (p <= first) & (p > 0)
        if low.any():  # there the likelihood is that of tau = 0 and the prior alone decides
            result[low] = self._model.tau_prior.quantile(p[low] / first * self._model.tau_prior.cdf(nodes.tau_low))
        inner = (p > first) & (p < last)
        if inner.any():
            panel = np.searchsorted(nodes.cumulative, p[inner], side="right") - 1
            log_tau = invert(
                lambda x: self.cdf(np.exp(x)),
                lambda x: self.pdf(np.exp(x)) * np.exp(x),
                p[inner],
                nodes.edges[panel],
                nodes.edges[panel + 1],
                scale=1.0,
            )
            result[inner] = np.exp(log_tau)
        return result

    def _near_zero_share(self, tau: np.ndarray) -> np.ndarray:
        whole = float(self._model.tau_prior.cdf(np.asarray(self._nodes.tau_low)))
        return self._model.tau_prior.cdf(tau) / whole if whole > 0 else np.zeros_like(tau)
