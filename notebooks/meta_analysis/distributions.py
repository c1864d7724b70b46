"""One-dimensional distributions given by their cdf and density: quantiles, intervals, and mixtures of normals."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

Function = Callable[[np.ndarray], np.ndarray]

CDF_ROUNDING = 4e-15  # relative rounding error of a cdf that sums hundreds of terms


class Distribution:
    """What can be asked of any posterior distribution. Subclasses give `mean`, `sd`, `cdf`, `pdf` and `quantile`.

    `mean` is nan and `sd` infinite (or nan) where the integral that defines them does not converge.
    """

    mean: float
    sd: float

    def cdf(self, x: ArrayLike) -> np.ndarray:
        """Probability of a value below x."""
        raise NotImplementedError

    def pdf(self, x: ArrayLike) -> np.ndarray:
        """Density at x."""
        raise NotImplementedError

    def quantile(self, p: ArrayLike) -> np.ndarray:
        """Value below which the probability is p, 0 <= p <= 1."""
        raise NotImplementedError

    @property
    def median(self) -> float:
        return float(self.quantile(0.5))

    def interval(self, level: float = 0.95, kind: Literal["central", "shortest"] = "central") -> tuple[float, float]:
        """Credible interval (low, high) with probability `level`.

        "central" leaves the same probability on both sides; "shortest" is the highest-density interval (where there are
        several peaks, the shortest single interval).
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie in (0, 1), not {level}")
        if kind == "central":
            low, high = self.quantile([(1 - level) / 2, (1 + level) / 2])
        elif kind == "shortest":
            low, high = self.quantile(self._shortest(level) + np.array([0, level]))
        else:
            raise ValueError(f'kind must be "central" or "shortest", not {kind!r}')
        return float(low), float(high)

    def _shortest(self, level: float) -> float:
        """Probability below the shortest interval: best of a grid, then where the densities at both ends are equal."""
        grid = (1 - level) * np.linspace(0, 1, 22)[:-1]
        ends = self.quantile(np.stack([grid, grid + level]))
        best = int(np.argmin(ends[1] - ends[0]))

        def slope(p: float) -> float:  # has the sign of d(width)/dp
            low, high = self.pdf(self.quantile([p, p + level]))
            return float(min(low, 1e300) - high)

        below, above = grid[max(best - 1, 0)], grid[best + 1] if best + 1 < grid.size else (1 - level) * (1 - 1e-9)
        if slope(below) < 0 < slope(above):
            return float(optimize.brentq(slope, below, above, xtol=1e-13))
        return float(grid[best])

    def summary(self, level: float = 0.95) -> dict[str, float]:
        """Mean, SD, median, central and shortest interval, by name."""
        central, shortest = self.interval(level), self.interval(level, "shortest")
        return {
            "mean": self.mean,
            "sd": self.sd,
            "median": self.median,
            "central_low": central[0],
            "central_high": central[1],
            "shortest_low": shortest[0],
            "shortest_high": shortest[1],
        }


class NormalMixture(Distribution):
    """Mixture of n normal distributions: cdf sum w Phi((x - m)/s), mean M = sum w m, variance sum w (s^2 + (m - M)^2).

    Parameters
    ----------
    weights : (n,) not negative, sum to 1.
    means, sds : (n,)
    mean_exists, variance_exists : whether the continuous mixture, for which the n components stand, has these moments.
    """

    def __init__(
        self,
        weights: np.ndarray,
        means: np.ndarray,
        sds: np.ndarray,
        *,
        mean_exists: bool = True,
        variance_exists: bool = True,
    ) -> None:
        self.weights, self.means, self.sds = weights, means, sds
        mean = float(weights @ means)
        self.mean = mean if mean_exists else np.nan
        self.sd = float(np.sqrt(weights @ (sds**2 + (means - mean) ** 2))) if variance_exists else np.inf

    def cdf(self, x: ArrayLike) -> np.ndarray:
        return special.ndtr(self._standardised(x)) @ self.weights

    def pdf(self, x: ArrayLike) -> np.ndarray:
        return np.exp(-0.5 * self._standardised(x) ** 2) @ (self.weights / self.sds) / np.sqrt(2 * np.pi)

    def quantile(self, p: ArrayLike) -> np.ndarray:
        p = probabilities(p)
        # The components may differ in SD by many orders of magnitude: start from a typical one and double.
        centre = float(self.weights @ self.means)
        width = float(np.exp(self.weights @ np.log(self.sds)))
        inside = np.minimum(p[(p > 0) & (p < 1)], 1 - 1e-14)  # the weights sum to 1 but for rounding
        result = np.where(p > 0, np.inf, -np.inf)
        if inside.size:
            low, high = centre - width, centre + width
            while self.cdf(low) > inside.min():
                low = centre - 2 * (centre - low)
            while self.cdf(high) < inside.max():
                high = centre + 2 * (high - centre)
            result[(p > 0) & (p < 1)] = invert(self.cdf, self.pdf, inside, low, high, scale=width)
        return result

    def _standardised(self, x: ArrayLike) -> np.ndarray:
        return (np.asarray(x, dtype=float)[..., None] - self.means) / self.sds


def invert(cdf: Function, pdf: Function, p: np.ndarray, low: ArrayLike, high: ArrayLike, *, scale: float) -> np.ndarray:
    """Solve cdf(x) = p for each p (n,) within brackets: Newton steps, halving where a step would leave its bracket.

    Parameters
    ----------
    cdf, pdf : the distribution function and its derivative, vectorised.
    p : (n,) probabilities.
    low, high : ends of the brackets, (n,) or one for all.
    scale : size of x at which an error of 1e-15 no longer matters; it decides about roots close to zero.

    Returns
    -------
    (n,) the roots, in the unit of the brackets.
    """
    low, high = (np.broadcast_to(np.asarray(end, dtype=float), p.shape).copy() for end in (low, high))
    x = (low + high) / 2
    done = np.zeros(p.shape, dtype=bool)
    for _ in range(200):
        excess, density = cdf(x) - p, pdf(x)
        low, high = np.where(excess < 0, x, low), np.where(excess < 0, high, x)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = x - excess / density
        moved = np.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
        # A root that is found stays: further steps would only follow rounding errors.
        done |= np.abs(excess) <= CDF_ROUNDING * p
        close = np.abs(moved - x) <= 1e-15 * (np.abs(x) + scale)
        x = np.where(done, x, moved)
        done |= close
        if done.all():
            break
    return x


def probabilities(p: ArrayLike) -> np.ndarray:
    """`p` as an array.

    Parameters
    ----------
    p : probabilities, of any shape.

    Returns
    -------
    The same, as floats.

    Raises
    ------
    ValueError
        Where one leaves [0, 1].
    """
    p = np.asarray(p, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probabilities must lie in [0, 1], got {p.tolist()}")
    return p
