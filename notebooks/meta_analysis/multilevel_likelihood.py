"""Restricted likelihood of the three-level model, and the search for its maximum.

With M = V + sigma2_between Z Z' + sigma2_within I, W = M^-1 and P = W - W X (X'WX)^-1 X'W, the restricted
log-likelihood is

    -1/2 [ (m - p) log(2 pi) + log|M| + log|X'WX| - log|X'X| + y'P y ]

(Searle, Casella and McCulloch 1992; the constants are metafor's). Here y (m,) are the effects, X (m, p) the design,
V (m, m) the sampling covariance and Z the indicators of the trials.
"""

import numpy as np
from scipy import linalg, optimize

COMPONENTS = ("between", "within")


def generalised_least_squares(
    y: np.ndarray, x: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generalised least squares of effects on a design, weights W being the inverse of their covariance.

    Parameters
    ----------
    y : (m,) effects.
    x : (m, p) design of full rank.
    covariance : (m, m) of the effects; symmetric and positive definite.

    Returns
    -------
    coefficients : (p,) (X'WX)^-1 X'W y, with the sign of the effects.
    covariance : (p, p) (X'WX)^-1.
    projection : (m, m) P = W - W X (X'WX)^-1 X'W.

    Raises
    ------
    LinAlgError
        If the covariance is not positive definite.
    """
    weights = linalg.cho_solve(linalg.cho_factor(covariance, lower=True), np.eye(y.size))
    weighted = weights @ x
    beta_covariance = linalg.inv(x.T @ weighted)
    beta_covariance = (beta_covariance + beta_covariance.T) / 2
    return beta_covariance @ (weighted.T @ y), beta_covariance, weights - weighted @ beta_covariance @ weighted.T


def level_matrices(index: np.ndarray) -> np.ndarray:
    """Derivatives of the marginal covariance by sigma2_between and sigma2_within.

    Parameters
    ----------
    index : (m,) number of the trial of each effect.

    Returns
    -------
    (2, m, m) 1 where two effects are of one trial, and the identity.
    """
    return np.stack([(index[:, None] == index[None, :]).astype(float), np.eye(index.size)])


def restricted_likelihood(
    sigma2: np.ndarray, y: np.ndarray, x: np.ndarray, v: np.ndarray, levels: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Restricted log-likelihood, its gradient (2,) and Hessian (2, 2) (Searle, Casella and McCulloch 1992).

    Parameters
    ----------
    sigma2 : (2,) components, at least 0, of the squared unit of the effects.
    y, x, v : effects (m,), design (m, p), sampling covariance (m, m).
    levels : (2, m, m) from `level_matrices`, D_a below.

    Returns
    -------
    value : the log-likelihood above.
    gradient : (2,) 1/2 [y'P D_a P y - tr(P D_a)].
    hessian : (2, 2) 1/2 tr(P D_a P D_b) - y'P D_a P D_b P y.

    Raises
    ------
    LinAlgError
        If V plus the components is not positive definite.
    """
    m, p = x.shape
    marginal = v + np.tensordot(sigma2, levels, axes=1)
    _, covariance, projection = generalised_least_squares(y, x, marginal)
    py = projection @ y
    log_determinants = np.linalg.slogdet(marginal)[1] - np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(x.T @ x)[1]
    value = -0.5 * ((m - p) * np.log(2 * np.pi) + log_determinants + y @ py)
    products = projection @ levels  # P dM/dsigma2, one for each component
    gradient = 0.5 * (np.einsum("i,aij,j->a", py, levels, py) - np.trace(products, axis1=1, axis2=2))
    scores = levels @ py
    hessian = 0.5 * np.einsum("aij,bji->ab", products, products) - scores @ projection @ scores.T
    return float(value), gradient, hessian


def maximise(
    y: np.ndarray, x: np.ndarray, v: np.ndarray, levels: np.ndarray, held: dict[str, float]
) -> tuple[np.ndarray, float]:
    """sigma2 (2,) at the maximum of the restricted likelihood over sigma2 >= 0, and the maximum.

    A coarse grid finds the right hill, L-BFGS-B climbs it within the bounds, and Newton steps sharpen the result to
    rounding error (a search that only compares likelihoods stops at half the digits).

    Parameters
    ----------
    y, x, v, levels
        As for `restricted_likelihood`.
    held : component of `COMPONENTS` -> value at which it is held; the others are searched.

    Returns
    -------
    sigma2 : (2,) at the maximum, on the squared unit of the effects.
    log_likelihood : the maximum.

    Raises
    ------
    RuntimeError
        If 50 Newton steps do not get there.
    """
    unit = max(float(np.var(y)), float(np.mean(np.diag(v))))
    totals, shares = np.array([0.0, 0.05, 0.2, 0.5, 1.0, 3.0]) * unit, np.linspace(0, 1, 5)
    bounds = [(held.get(name, 0.0) / unit, held[name] / unit if name in held else None) for name in COMPONENTS]

    def clip(sigma2: np.ndarray) -> np.ndarray:
        return np.array([held.get(name, max(value, 0.0)) for name, value in zip(COMPONENTS, sigma2, strict=True)])

    def cost(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient, _ = restricted_likelihood(scaled * unit, y, x, v, levels)
        return -value, -gradient * unit

    starts = np.unique([clip([total * share, total * (1 - share)]) for total in totals for share in shares], axis=0)
    start = min(starts, key=lambda sigma2: cost(sigma2 / unit)[0])
    climbed = optimize.minimize(cost, start / unit, jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": 1e-7})
    sigma2 = clip(climbed.x * unit)

    for _ in range(50):
        value, gradient, hessian = restricted_likelihood(sigma2, y, x, v, levels)
        free = np.array([name not in held for name in COMPONENTS]) & ~((sigma2 <= 0) & (gradient < 0))
        step = _uphill(gradient, hessian, free)
        if (sigma2 + step < 0).any():  # the bound is in the way: go onto it, and along it with the other component
            blocked = sigma2 + step < 0
            edge = np.where(blocked, -sigma2, 0.0)
            step = edge + _uphill(gradient + hessian @ edge, hessian, free & ~blocked)
        if abs(gradient @ step) <= 1e-14:  # nothing more to gain; after this step the error is of second order
            return clip(sigma2 + step), value
        while cost(clip(sigma2 + step) / unit)[0] > -value + 1e-9 * (1 + abs(value)):
            step = step / 2
        sigma2 = clip(sigma2 + step)
    raise RuntimeError("the restricted likelihood did not converge in 50 Newton steps")


def _uphill(gradient: np.ndarray, hessian: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Newton step (2,) of the free components; absolute eigenvalues make it go uphill where the hill is not concave."""
    step = np.zeros(2)
    if free.any():
        values, vectors = linalg.eigh(hessian[np.ix_(free, free)])
        step[free] = vectors @ (vectors.T @ gradient[free] / np.abs(values))
    return step
