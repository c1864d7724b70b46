"""Priors for the Bayesian random-effects model: the mean effect mu and the heterogeneity tau (a standard deviation).

tau is on the scale of the effects: standardised mean difference units, or log ratio units. No published parameter value
is stored here: every family takes its own as arguments, to be read from a table with a source.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

Density = Callable[[np.ndarray], np.ndarray]


class NormalPrior(NamedTuple):
    """Normal prior of the mean effect mu."""

    mean: float
    sd: float


@dataclass(frozen=True)
class TauPrior:
    """A proper prior of tau >= 0; make one with the functions below.

    Attributes
    ----------
    name : family and parameters, for tables and captions.
    log_density, cdf, quantile : of tau, vectorised; density per unit of tau, even where the family is one of tau^2.
    upper : end of the support.
    tail_power : a, where the density falls off as tau^-a (infinite: faster than any power). Tells which moments exist.
    """

    name: str
    log_density: Density
    cdf: Density
    quantile: Density
    upper: float
    tail_power: float

    def moment_exists(self, order: int, likelihood_power: int) -> bool:
        """Whether E(tau^order) is finite after a likelihood that falls off as tau^-likelihood_power.

        A tail_power of exactly 1 stands for the log-t, whose tail has powers of log(tau) on top that make the border
        case converge.
        """
        excess = self.tail_power + likelihood_power - order - 1
        return excess > 0 or (excess == 0 and self.tail_power == 1)


def half_normal(scale: float) -> TauPrior:
    """tau = |z|, z normal with mean 0 and SD `scale` (Roever et al. 2021, Research Synthesis Methods).

    Density sqrt(2/pi)/scale exp(-tau^2/(2 scale^2)).

    Parameters
    ----------
    scale : unit of the effects.

    Returns
    -------
    TauPrior

    Raises
    ------
    ValueError
        For a parameter that is not positive and finite.
    """
    _require_positive(scale=scale)
    return TauPrior(
        name=f"half-normal({scale:g})",
        log_density=lambda tau: 0.5 * np.log(2 / np.pi) - np.log(scale) - 0.5 * (tau / scale) ** 2,
        cdf=lambda tau: special.erf(tau / (scale * np.sqrt(2))),
        quantile=lambda p: scale * np.sqrt(2) * special.erfinv(p),
        upper=np.inf,
        tail_power=np.inf,
    )


def half_t(scale: float, df: float) -> TauPrior:
    """tau = scale |t|, t with `df` degrees of freedom (Gelman 2006, Bayesian Analysis).

    Parameters and errors as `half_normal`, and the degrees of freedom.
    """
    _require_positive(scale=scale, df=df)

    def cdf(tau: np.ndarray) -> np.ndarray:  # through the beta distribution: no cancellation near 0
        ratio = np.square(np.asarray(tau) / scale) / df
        return special.betainc(0.5, df / 2, ratio / (1 + ratio))

    def quantile(p: np.ndarray) -> np.ndarray:
        p = np.asarray(p)
        lower, upper = special.betaincinv(0.5, df / 2, np.minimum(p, 0.5)), special.betaincinv(df / 2, 0.5, 1 - p)
        with np.errstate(divide="ignore"):  # p = 1 is at infinity
            return scale * np.sqrt(df * np.where(p <= 0.5, lower / (1 - lower), (1 - upper) / upper))

    return TauPrior(
        name=f"half-t({scale:g}, df {df:g})",
        log_density=lambda tau: np.log(2 / scale) + _log_t_density(tau / scale, df),
        cdf=cdf,
        quantile=quantile,
        upper=np.inf,
        tail_power=df + 1,
    )


def half_cauchy(scale: float) -> TauPrior:
    """tau = scale |t|, t Cauchy: the half-t with one degree of freedom. Density 2/(pi scale (1 + (tau/scale)^2)).

    Parameters and errors as `half_normal`; the scale is the median of tau.
    """
    _require_positive(scale=scale)
    return TauPrior(
        name=f"half-Cauchy({scale:g})",
        log_density=lambda tau: np.log(2 / (np.pi * scale)) - np.log1p((tau / scale) ** 2),
        cdf=lambda tau: 2 / np.pi * np.arctan(np.asarray(tau) / scale),
        quantile=lambda p: scale * np.tan(np.pi / 2 * np.asarray(p)),
        upper=np.inf,
        tail_power=2.0,
    )


def uniform(upper: float) -> TauPrior:
    """tau uniform on (0, upper).

    Parameters and errors as `half_normal`, with the upper end in place of the scale.
    """
    _require_positive(upper=upper)
    return TauPrior(
        name=f"uniform(0, {upper:g})",
        log_density=lambda tau: np.where(np.asarray(tau) <= upper, -np.log(upper), -np.inf),
        cdf=lambda tau: np.clip(np.asarray(tau) / upper, 0, 1),
        quantile=lambda p: upper * np.asarray(p),
        upper=upper,
        tail_power=np.inf,
    )


def log_normal_tau2(location: float, scale: float) -> TauPrior:
    """log(tau^2) normal with mean `location` and SD `scale`.

    The family in which Turner et al. (2015, Statistics in Medicine) published priors for binary outcomes (log odds
    ratios).

    Parameters
    ----------
    location, scale : of log(tau^2).

    Returns
    -------
    TauPrior

    Raises
    ------
    ValueError
        For a location that is not finite, or a scale that is not positive and finite.
    """
    _require_positive(scale=scale)
    return _log_symmetric(
        f"log-normal tau2({location:g}, {scale:g})",
        location,
        scale,
        log_density=lambda z: -0.5 * np.log(2 * np.pi) - 0.5 * z**2,
        cdf=special.ndtr,
        quantile=special.ndtri,
        tail_power=np.inf,
    )


def log_t_tau2(location: float, scale: float, df: float) -> TauPrior:
    """log(tau^2) = location + scale t, t with `df` degrees of freedom.

    The family in which Rhodes, Turner and Higgins (2015, Journal of Clinical Epidemiology) published priors for
    standardised mean differences, with 5 degrees of freedom. Its density is infinite at tau = 0, though little mass
    lies there, and its tails are so long that posterior means of few trials may not exist.

    Parameters and errors as `log_normal_tau2`, and the degrees of freedom.
    """
    _require_positive(scale=scale, df=df)
    return _log_symmetric(
        f"log-t tau2({location:g}, {scale:g}, df {df:g})",
        location,
        scale,
        log_density=lambda z: _log_t_density(z, df),
        cdf=lambda z: special.stdtr(df, z),
        quantile=lambda p: special.stdtrit(df, p),
        tail_power=1.0,
    )


def _log_symmetric(
    name: str,
    location: float,
    scale: float,
    *,
    log_density: Density,
    cdf: Density,
    quantile: Density,
    tail_power: float,
) -> TauPrior:
    """Prior of tau from the standard distribution of (log(tau^2) - location) / scale."""
    if not np.isfinite(location):
        raise ValueError(f"location of log(tau^2) must be finite, not {location}")

    def standardised(tau: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):  # log(0) = -inf is meant
            return (2 * np.log(tau) - location) / scale

    def density(tau: np.ndarray) -> np.ndarray:
        at_zero = np.inf if tail_power == 1 else -np.inf
        positive = np.where(np.asarray(tau) > 0, tau, 1.0)
        value = log_density(standardised(positive)) + np.log(2 / scale) - np.log(positive)
        return np.where(np.asarray(tau) > 0, value, at_zero)

    return TauPrior(
        name=name,
        log_density=density,
        cdf=lambda tau: cdf(standardised(tau)),
        quantile=lambda p: np.exp(np.minimum((location + scale * quantile(p)) / 2, 700.0)),
        upper=np.inf,
        tail_power=tail_power,
    )


def _log_t_density(t: np.ndarray, df: float) -> np.ndarray:
    return -special.betaln(df / 2, 0.5) - 0.5 * np.log(df) - (df + 1) / 2 * np.log1p(np.square(t) / df)


def _require_positive(**parameters: float) -> None:
    for name, value in parameters.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} of the tau prior must be positive and finite, not {value}")
