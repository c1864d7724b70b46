"""Cluster-robust errors: clubSandwich, metafor, a second computation by plain matrix algebra, known special cases."""

import numpy as np
import pytest
from scipy import linalg, stats

from meta_analysis.cluster_robust import TooFewClusters, cluster_robust, robust_multilevel
from meta_analysis.multilevel_likelihood import level_matrices
from tests.test_multilevel import MODELS, fitted, problem

# Same working covariance handed to both programs: matrices up to 100 x 100, inverted and rooted.
ROUNDING = 1e-9
# Through our own sigma2, which is 1e-8 closer to the maximum than metafor's.
SEARCH = 1e-6


def at_reference_sigma2(name):
    """Data of a reference model with the working covariance at metafor's own sigma2."""
    effects, v, clusters, design, model = problem(name)
    levels = level_matrices(np.unique(clusters, return_inverse=True)[1])
    return (effects, design, clusters, v + np.tensordot(model["sigma2"], levels, axes=1)), model


@MODELS
def test_cr2_agrees_with_clubsandwich(name):
    data, model = at_reference_sigma2(name)
    result, expected = cluster_robust(*data), model["cr2"]
    assert result.covariance == pytest.approx(np.reshape(expected["vcov"], result.covariance.shape), abs=ROUNDING)
    assert result.se == pytest.approx(np.atleast_1d(expected["se"]), abs=ROUNDING)
    assert result.df == pytest.approx(np.atleast_1d(expected["df"]), rel=ROUNDING)
    assert result.p == pytest.approx(np.atleast_1d(expected["p"]), abs=ROUNDING)


@MODELS
def test_plain_sandwiches_agree_with_clubsandwich_and_metafor(name):
    data, model = at_reference_sigma2(name)
    cr1 = cluster_robust(*data, kind="CR1")
    assert cr1.covariance == pytest.approx(np.reshape(model["cr1"]["cr1_vcov"], cr1.covariance.shape), abs=ROUNDING)
    cr1p, expected = cluster_robust(*data, kind="CR1p"), model["cr1"]["metafor_robust"]
    for field in ("se", "p", "ci_low", "ci_high"):
        assert getattr(cr1p, field) == pytest.approx(np.atleast_1d(expected[field]), abs=ROUNDING)
    assert (cr1p.df == expected["df"]).all()


@MODELS
def test_robust_errors_of_a_fit(name):
    result, expected = robust_multilevel(fitted(name)), problem(name)[-1]["cr2"]
    assert result.coefficients.tolist() == pytest.approx(fitted(name).coefficients.tolist(), abs=ROUNDING)
    assert result.se == pytest.approx(np.atleast_1d(expected["se"]), abs=SEARCH)
    assert result.df == pytest.approx(np.atleast_1d(expected["df"]), abs=SEARCH)
    half_width = stats.t.ppf(0.975, result.df) * result.se
    assert result.ci_high - result.coefficients == pytest.approx(half_width, abs=ROUNDING)


def unbalanced(seed, p):
    """Effects in clusters of one to six, p - 1 covariates, and a working covariance that is dense inside clusters."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(9), rng.integers(1, 7, 9))
    m = clusters.size
    design = np.column_stack([np.ones(m), rng.normal(size=(m, p - 1))])
    roots = [rng.normal(size=(size, size + 2)) for size in np.bincount(clusters)]
    working = linalg.block_diag(*[root @ root.T + 0.1 * np.eye(len(root)) for root in roots])
    order = rng.permutation(m)
    return rng.normal(size=m)[order], design[order], clusters[order], working[np.ix_(order, order)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("p", [1, 2, 4])
def test_cr2_by_projection_matrices(seed, p):
    """The definition, with full m x m matrices and the symmetric root of the working covariance.

    Any root M_j = D_j' D_j gives the same CR2; the module takes Cholesky's, this test the symmetric one.
    """
    effects, design, clusters, working = unbalanced(seed, p)
    result = cluster_robust(effects, design, clusters, working)
    m, weights = effects.size, np.linalg.inv(working)
    bread = np.linalg.inv(design.T @ weights @ design)
    leave = np.eye(m) - design @ bread @ design.T @ weights  # residuals = (I - H) y
    residual = leave @ effects
    root = np.real(linalg.sqrtm(working))
    scores = []  # for each cluster the (p, m) matrix that maps y to its contribution
    for j in range(9):
        select = np.diag((clusters == j).astype(float))
        shrunk = select @ root @ leave @ working @ leave.T @ root @ select
        values, vectors = np.linalg.eigh(shrunk)
        inverse_root = sum(
            np.outer(vector, vector) / np.sqrt(value) for value, vector in zip(values, vectors.T) if value > 1e-9
        )
        adjustment = root @ select @ inverse_root @ select @ root
        scores.append(bread @ design.T @ weights @ select @ adjustment @ select @ leave)
    covariance = sum(np.outer(score @ effects, score @ effects) for score in scores)
    assert result.covariance == pytest.approx(covariance, abs=ROUNDING)
    assert scores[3] @ residual == pytest.approx(scores[3] @ effects, abs=ROUNDING)  # (I - H)(I - H) = I - H
    for c in range(p):
        stacked = np.array([score[c] for score in scores])
        eigenvalues = np.linalg.eigvalsh(stacked @ working @ stacked.T)  # the variance is a sum of these times chi2_1
        assert eigenvalues.sum() == pytest.approx(bread[c, c], rel=1e-8)  # exactly unbiased under the working model
        assert result.df[c] == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rel=1e-7)


def test_balanced_intercept_is_the_t_test_of_cluster_means():
    effects, clusters = np.array([1.0, 2.0, 4.0, 4.5, -1.0, 0.5, 3.0, 3.5]), np.repeat(np.arange(4), 2)
    working = np.kron(np.eye(4), [[2.0, 1.0], [1.0, 2.0]])
    result = cluster_robust(effects, np.ones((8, 1)), clusters, working)
    expected = stats.ttest_1samp(effects.reshape(4, 2).mean(axis=1), 0)
    assert result.df[0] == pytest.approx(3)
    assert result.p[0] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (result.ci_low[0], result.ci_high[0]) == pytest.approx((interval.low, interval.high))


def test_plain_sandwiches_differ_by_their_factors():
    data = unbalanced(0, 2)
    cr0, cr1, cr1p = (cluster_robust(*data, kind=kind) for kind in ("CR0", "CR1", "CR1p"))
    assert cr1.covariance == pytest.approx(9 / 8 * cr0.covariance)
    assert cr1p.covariance == pytest.approx(9 / 7 * cr0.covariance)
    assert cr0.df.tolist() == [7, 7]


def test_scale_of_the_working_covariance_does_not_matter():
    effects, design, clusters, working = unbalanced(1, 2)
    one, two = (cluster_robust(effects, design, clusters, factor * working) for factor in (1, 100))
    assert two.se == pytest.approx(one.se, rel=1e-8)
    assert two.df == pytest.approx(one.df, rel=1e-8)


def test_a_covariate_of_few_clusters_has_few_degrees_of_freedom():
    effects, design, clusters, working = unbalanced(2, 1)
    rare, even = (
        cluster_robust(effects, np.column_stack([design, np.isin(clusters, chosen)]), clusters, working).df[1]
        for chosen in ([0, 1], [0, 1, 2, 3])
    )
    assert rare < 3 < even < 8


EFFECTS, DESIGN, CLUSTERS, WORKING = unbalanced(3, 2)
FEW = CLUSTERS < 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: cluster_robust(EFFECTS[FEW], DESIGN[FEW], CLUSTERS[FEW], WORKING[np.ix_(FEW, FEW)]),
            "2 clusters, 2 coefficients: robust errors need more clusters",
        ),
        (lambda: cluster_robust(EFFECTS, DESIGN, CLUSTERS, WORKING + 0.1), "links clusters . and ."),
        (lambda: cluster_robust(EFFECTS, DESIGN, CLUSTERS[1:], WORKING), r"want \(m,\)"),
        (lambda: cluster_robust(EFFECTS, DESIGN, CLUSTERS, WORKING, kind="CR3"), "kind must be"),
        (
            lambda: cluster_robust(EFFECTS, np.column_stack([DESIGN[:, 0], CLUSTERS == 4]), CLUSTERS, WORKING),
            "coefficient 1 rests on too few clusters",
        ),
    ],
)
def test_bad_input_is_named_on_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
    assert isinstance(error.value, TooFewClusters) == ("robust errors" in message or "rests on" in message)
