"""Cohen's d, Glass's delta and effects that share a control group: metafor's values, and algebra done another way."""

import numpy as np
import pytest

from meta_analysis.effect_sizes import hedges_correction, standardised_mean_difference
from meta_analysis.multilevel import fit_multilevel
from meta_analysis.sampling_covariance import shared_control_smd
from meta_analysis.standardised_differences import cohen_d, combine_correlated, glass_delta, shared_covariance

ARMS = (1.0, 2.0, 10, 3.0, 3.0, 8)


def test_glass_delta_is_metafors_smd1():
    """escalc("SMD1", m1i=1, sd1i=2, n1i=10, m2i=3, sd2i=3, n2i=8) gives -0.5921 and 0.2469."""
    delta = glass_delta(*ARMS)
    np.testing.assert_allclose([delta.estimate, delta.variance], [-0.5921, 0.2469], atol=5e-5)
    wider = glass_delta(1.0, 20.0, 10, 3.0, 3.0, 8)
    assert wider.estimate == delta.estimate  # the active arm's spread plays no part


def test_cohen_d_is_g_without_its_correction():
    d, g = cohen_d(*ARMS), standardised_mean_difference(*ARMS, correction="approximate", variance="uncorrected_d")
    pooled = np.sqrt((9 * 4 + 7 * 9) / 16)
    np.testing.assert_allclose(d.estimate, -2 / pooled, rtol=1e-12)
    np.testing.assert_allclose(d.estimate * hedges_correction(16, "approximate"), g.estimate, rtol=1e-12)
    np.testing.assert_allclose(d.variance, 18 / 80 + d.estimate**2 / 36, rtol=1e-12)


def test_the_functions_take_arrays():
    both = glass_delta([1.0, 1.0], 2.0, [10, 20], 3.0, 3.0, 8)
    assert both.estimate.shape == both.variance.shape == (2,) and both.variance[0] > both.variance[1]


def test_shared_covariance_agrees_with_the_exact_one():
    d, n = np.array([-1.0, -0.4]), np.array([12, 7])
    exact = shared_control_smd(d, n, 6)
    np.testing.assert_allclose(shared_covariance(d, n, 6)[0, 1], exact[0, 1], rtol=1e-12)
    assert shared_covariance(d, n, 6).diagonal().tolist() == [0, 0]


def test_covariance_of_glass_deltas_is_their_common_part():
    """As the active arms grow, all error is the control group's and shared: the covariance becomes the variance."""
    d, n_control = np.array([-1.2, -1.2]), 8.0
    covariance = shared_covariance(d, [1e12, 1e12], n_control, standardiser="control")
    np.testing.assert_allclose(covariance[0, 1], 1 / n_control + d[0] ** 2 / (2 * n_control), rtol=1e-9)


def test_covariance_by_simulation():
    """Two arms of 40 against one control of 30, true effects -1 and -0.5: 20,000 trials."""
    rng = np.random.default_rng(1)
    control = rng.normal(0, 1, (20_000, 30))
    arms = [rng.normal(mean, 1, (20_000, 40)) for mean in (-1.0, -0.5)]
    own = control.mean(1), control.std(1, ddof=1), 30
    g = [standardised_mean_difference(arm.mean(1), arm.std(1, ddof=1), 40, *own).estimate for arm in arms]
    # The formula is of large samples, and the simulation has an error of about 1 in 100: 5 % are allowed.
    np.testing.assert_allclose(np.cov(*g)[0, 1], shared_covariance([-1.0, -0.5], [40, 40], 30)[0, 1], rtol=0.05)


def test_combining_is_the_multivariate_model():
    """Pooling the averages gives what the model with both arms and one random part a trial gives."""
    y, n = np.array([-1.0, -0.4]), np.array([12, 7])
    block = shared_control_smd(y, n, 6)
    one = combine_correlated(y, block)
    whole, v = np.array([*y, -0.8, -0.1, 0.4]), np.zeros((5, 5))
    v[:2, :2], v[2:, 2:] = block, np.diag([0.1, 0.05, 0.2])
    fit = fit_multilevel(whole, v, ["a", "a", "b", "c", "d"], components=("between",))
    averaged = np.array([one.estimate, -0.8, -0.1, 0.4])
    variances = np.diag([one.variance, 0.1, 0.05, 0.2])
    again = fit_multilevel(averaged, variances, ["a", "b", "c", "d"], components=("between",))
    np.testing.assert_allclose([again.coefficients[0], again.sigma2_between], [fit.coefficients[0], fit.sigma2_between],
                               rtol=1e-7)
    np.testing.assert_allclose(one.variance, 1 / np.linalg.inv(block).sum(), rtol=1e-12)


def test_bad_input():
    with pytest.raises(ValueError, match='"pair" or "control"'):
        shared_covariance([1.0], [10], 10, standardiser="all")
    with pytest.raises(ValueError, match="positive definite"):
        combine_correlated([1.0, 2.0], [[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="want effects"):
        combine_correlated([1.0, 2.0], [[1.0]])
    with pytest.raises(ValueError, match="control arm"):
        glass_delta(1.0, 2.0, 10, 3.0, 0.0, 8)
