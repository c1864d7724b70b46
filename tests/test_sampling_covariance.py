"""Covariances of effects that share patients: delta method, simulation, metafor, the multivariate model."""

import numpy as np
import pytest
from scipy import linalg

from meta_analysis import sampling_covariance as sampling
from meta_analysis.event_effects import risk_ratio
from meta_analysis.mean_differences import glass_delta, standardised_mean_difference
from meta_analysis.multilevel import fit_multilevel
from tests.reference import stored

REFERENCE = stored("metafor.json")["multilevel"]
# Formulas evaluated in another order.
ROUNDING = 1e-10


def test_correlated_effects_by_hand():
    v = sampling.correlated_effects([1.0, 4.0, 9.0], ["a", "b", "a"], 0.5)
    assert v.tolist() == [[1, 0, 1.5], [0, 4, 0], [1.5, 0, 9]]
    averaged = sampling.correlated_effects([1.0, 4.0, 9.0], ["a", "b", "a"], 0.5, average_variances=True)
    assert averaged.tolist() == [[5, 0, 2.5], [0, 4, 0], [2.5, 0, 5]]


def delta_method(function, means, covariance):
    """Covariance of function(x) for x with these means and covariance; derivatives by complex steps (exact)."""
    steps = 1e-30j * np.eye(means.size)
    jacobian = np.array([function(means + step).imag / 1e-30 for step in steps]).T
    return jacobian @ covariance @ jacobian.T


@pytest.mark.parametrize("standardiser", ["pair", "control", "all"])
def test_smd_with_a_shared_control_by_the_delta_method(standardiser):
    """True SD 1 in three active arms and the control arm; variance of an estimated variance is 2/n."""
    n, n_control, d = np.array([12.0, 7.0, 9.0]), 8.0, np.array([-1.2, 0.4, -0.3])
    sizes = np.append(n, n_control)

    def effects(x):
        means, variances = x[:4], x[4:]
        if standardiser == "pair":
            pooled = (n * variances[:3] + n_control * variances[3]) / (n + n_control)
        elif standardiser == "control":
            pooled = variances[3]
        else:
            pooled = sizes @ variances / sizes.sum()
        return (means[:3] - means[3]) / np.sqrt(pooled)

    expected = delta_method(effects, np.concatenate([d, [0.0], np.ones(4)]), np.diag([*1 / sizes, *2 / sizes]))
    v = sampling.shared_control_smd(d, n, n_control, standardiser=standardiser)
    assert v == pytest.approx(expected, abs=ROUNDING)


def test_variances_are_those_of_the_single_effects():
    for measure, standardiser in ((standardised_mean_difference, "pair"), (glass_delta, "control")):
        effect = measure([20.0, 24.0], [8.0, 9.0], [12, 7], [30.0, 30.0], [10.0, 10.0], [8, 8])
        v = sampling.shared_control_smd(effect.estimate, [12, 7], 8, standardiser=standardiser)
        assert np.diag(v) == pytest.approx(effect.variance, rel=ROUNDING)
        assert np.linalg.eigvalsh(v)[0] > 0


def test_log_risk_ratio_with_a_shared_control_by_the_delta_method():
    x, n, x_control, n_control = np.array([6.0, 3.0]), np.array([12.0, 9.0]), 2.0, 8.0
    risks, sizes = np.append(x / n, x_control / n_control), np.append(n, n_control)
    expected = delta_method(lambda p: np.log(p[:2]) - np.log(p[2]), risks, np.diag(risks * (1 - risks) / sizes))
    v = sampling.shared_control_log_risk_ratio(x, n, x_control, n_control)
    assert v == pytest.approx(expected, abs=ROUNDING)
    assert np.diag(v) == pytest.approx(risk_ratio(x, n, [2, 2], [8, 8]).variance, rel=ROUNDING)


def test_blocks_of_trials_make_the_whole_matrix():
    """The matrix that R built for the multi-arm trials of dat.baker2009, trial by trial."""
    data = {key: np.array(value) for key, value in REFERENCE["data"]["baker2009"].items()}
    blocks = []
    for trial in dict.fromkeys(data["cluster"].tolist()):
        row = data["cluster"] == trial
        active, control = ((data[f"events_{arm}"][row], data[f"n_{arm}"][row]) for arm in ("active", "control"))
        blocks.append(sampling.shared_control_log_risk_ratio(*active, *(column[0] for column in control)))
    expected = np.array(REFERENCE["models"]["baker2009 whole V"]["V"])
    assert linalg.block_diag(*blocks) == pytest.approx(expected, abs=ROUNDING)


def test_covariance_of_glass_deltas_is_their_common_part():
    """As the active arms grow, all error is the control group's and shared: the covariance becomes the variance."""
    d, n_control = np.array([-1.2, -1.2]), 8.0
    covariance = sampling.shared_control_smd(d, [1e12, 1e12], n_control, standardiser="control")
    np.testing.assert_allclose(covariance, 1 / n_control + d[0] ** 2 / (2 * n_control), rtol=1e-9)


def test_covariance_by_simulation():
    """Two arms of 40 against one control of 30, true effects -1 and -0.5: 20,000 trials."""
    rng = np.random.default_rng(1)
    control = rng.normal(0, 1, (20_000, 30))
    arms = [rng.normal(mean, 1, (20_000, 40)) for mean in (-1.0, -0.5)]
    own = control.mean(1), control.std(1, ddof=1), 30
    g = [standardised_mean_difference(arm.mean(1), arm.std(1, ddof=1), 40, *own).estimate for arm in arms]
    # The formula is of large samples, and the simulation has an error of about 1 in 100: 5 % are allowed.
    expected = sampling.shared_control_smd([-1.0, -0.5], [40, 40], 30)[0, 1]
    np.testing.assert_allclose(np.cov(*g)[0, 1], expected, rtol=0.05)


def test_combining_is_the_multivariate_model():
    """Pooling the averages gives what the model with both arms and one random part a trial gives."""
    y, n = np.array([-1.0, -0.4]), np.array([12, 7])
    block = sampling.shared_control_smd(y, n, 6)
    one = sampling.combine_correlated(y, block)
    whole, v = np.array([*y, -0.8, -0.1, 0.4]), np.zeros((5, 5))
    v[:2, :2], v[2:, 2:] = block, np.diag([0.1, 0.05, 0.2])
    fit = fit_multilevel(whole, v, ["a", "a", "b", "c", "d"], components=("between",))
    averaged = np.array([one.estimate, -0.8, -0.1, 0.4])
    variances = np.diag([one.variance, 0.1, 0.05, 0.2])
    again = fit_multilevel(averaged, variances, ["a", "b", "c", "d"], components=("between",))
    np.testing.assert_allclose([again.coefficients[0], again.sigma2_between], [fit.coefficients[0], fit.sigma2_between],
                               rtol=1e-7)
    np.testing.assert_allclose(one.variance, 1 / np.linalg.inv(block).sum(), rtol=1e-12)


VARIANCES, CLUSTERS = [0.1, 0.2, 0.3, 0.1], ["a", "a", "b", "c"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sampling.correlated_effects([0.1, -0.2], ["a", "b"], 0.5), r"effect 1 \(cluster b\): variance -0.2"),
        (lambda: sampling.correlated_effects([0.1, 0.2], ["a"], 0.5), "equally long"),
        (lambda: sampling.correlated_effects(VARIANCES, CLUSTERS, 1.0), r"cluster a \(2 effects\): rho 1.0"),
        (lambda: sampling.correlated_effects([0.1] * 3, [7] * 3, -0.6), r"cluster 7 \(3 effects\): rho -0.6"),
        (lambda: sampling.shared_control_smd([0.1, 0.2], [5], 6), "one value for each active arm"),
        (lambda: sampling.shared_control_smd([0.1, np.nan], [5, 6], 6), "active arm 1: .* must be finite"),
        (lambda: sampling.shared_control_smd([0.1, 0.2], [5, 6], 0), "control arm: 0 participants"),
        (lambda: sampling.shared_control_smd([0.1], [5], 5, standardiser="both"), "standardiser must be"),
        (lambda: sampling.shared_control_log_risk_ratio([3, 0], [5, 6], 2, 6), "active arm 1: 0 events of 6"),
        (lambda: sampling.shared_control_log_risk_ratio([3, 2], [5, 6], 7, 6), "control arm: 7 events of 6"),
        (lambda: sampling.shared_control_log_risk_ratio([3, 6], [5, 6], 2, 6), "active arm 1: 6 events of 6"),
        (lambda: sampling.combine_correlated([1.0, 2.0], [[1.0, 2.0], [2.0, 1.0]]), "positive definite"),
        (lambda: sampling.combine_correlated([1.0, 2.0], [[1.0]]), "want effects"),
    ],
)
def test_bad_input_is_named_on_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
