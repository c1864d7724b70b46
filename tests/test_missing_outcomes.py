"""Missing outcomes: the corners are known results, the middle is the observed one, the variance is a derivative."""

import numpy as np
import pytest

from meta_analysis import missing_outcomes
from meta_analysis.event_effects import risk_ratio

COUNTS = {"events_active": [37.0, 45.0], "n_active": [42.0, 52.0], "missing_active": [4.0, 1.0],
          "events_control": [23.0, 29.0], "n_control": [37.0, 42.0], "missing_control": [7.0, 9.0]}


def effect(active, control, **changes):
    return missing_outcomes.log_risk_ratio_with_missing(**(COUNTS | changes), imor_active=active, imor_control=control)


def test_an_odds_ratio_of_one_is_the_available_case():
    observed = risk_ratio(*(COUNTS[name] for name in ("events_active", "n_active", "events_control", "n_control")))
    same = effect(1.0, 1.0)
    np.testing.assert_allclose(same.estimate, observed.estimate, rtol=1e-12)
    np.testing.assert_allclose(same.variance, observed.variance, rtol=1e-12)


def test_the_corners_are_missing_as_failures_best_and_worst_case():
    a, n1, m1, c, n2, m2 = (np.array(COUNTS[name]) for name in (
        "events_active", "n_active", "missing_active", "events_control", "n_control", "missing_control"))
    corners = {"failures": (a / (n1 + m1)) / (c / (n2 + m2)), "best_case": ((a + m1) / (n1 + m1)) / (c / (n2 + m2)),
               "worst_case": (a / (n1 + m1)) / ((c + m2) / (n2 + m2))}
    for name, ratio in corners.items():
        np.testing.assert_allclose(np.exp(effect(*missing_outcomes.SCENARIOS[name]).estimate), ratio, rtol=1e-12)
    assert np.isfinite(effect(0.0, np.inf).variance).all()


def test_extreme_odds_approach_the_corners():
    np.testing.assert_allclose(effect(1e-9, 1e9).estimate, effect(0.0, np.inf).estimate, rtol=1e-6)
    np.testing.assert_allclose(effect(1e-9, 1e9).variance, effect(0.0, np.inf).variance, rtol=1e-6)


def test_odds_of_the_missing_are_the_named_multiple():
    risk = missing_outcomes.risk_with_missing(23, 37, 7, 1 / 5).risk
    of_missing = (risk * 44 - 23) / 7
    np.testing.assert_allclose(of_missing / (1 - of_missing), (23 / 14) / 5, rtol=1e-12)


@pytest.mark.parametrize("imor", [0.2, 1.0, 3.0])
def test_the_variance_is_a_delta_method(imor):
    """By numerical derivatives in the observed risk and the share missing."""
    r, n, m, step = 23.0, 37.0, 7.0, 1e-6

    def risk(p, share):
        return (1 - share) * p + share * imor * p / (imor * p + 1 - p)

    p, share = r / n, m / (n + m)
    by_p = (risk(p + step, share) - risk(p - step, share)) / (2 * step)
    by_share = (risk(p, share + step) - risk(p, share - step)) / (2 * step)
    expected = by_p**2 * p * (1 - p) / n + by_share**2 * share * (1 - share) / (n + m)
    np.testing.assert_allclose(missing_outcomes.risk_with_missing(r, n, m, imor).variance, expected, rtol=1e-8)


def test_missing_people_never_make_the_result_surer_than_the_same_people_observed():
    """At an IMOR of 1 nothing is gained from people who were not seen."""
    few, many = (missing_outcomes.risk_with_missing(23, 37, m, 1.0).variance for m in (1, 500))
    np.testing.assert_allclose(few, many, rtol=1e-12)


def test_nobody_missing_and_nobody_with_the_event():
    full = effect(0.2, 5.0, missing_active=0.0, missing_control=0.0)
    np.testing.assert_allclose(full.estimate, effect(1.0, 1.0).estimate, rtol=1e-12)
    none = missing_outcomes.risk_with_missing(0, 10, 3, np.array([0.0, 0.5, 2.0, np.inf]))
    np.testing.assert_allclose(none.risk, [0, 0, 0, 3 / 13])
    everybody = missing_outcomes.risk_with_missing(10, 10, 3, np.array([0.0, 1.0, np.inf]))
    np.testing.assert_allclose(everybody.risk, [10 / 13, 1, 1])


def test_a_zero_cell_is_corrected_first():
    zero = missing_outcomes.log_risk_ratio_with_missing(4, 8, 0, 0, 4, 0)
    np.testing.assert_allclose(zero, risk_ratio(4, 8, 0, 4), rtol=1e-12)


def test_the_grid_and_the_surface():
    grid = missing_outcomes.imor_grid(5.0, 5)
    np.testing.assert_allclose(grid, [0.2, 0.2**0.5, 1, 5**0.5, 5], rtol=1e-12)
    at = missing_outcomes.surface(COUNTS, grid)
    assert at.estimate.shape == (5, 5, 2)
    np.testing.assert_allclose(at.estimate[0, 4], effect(0.2, 5.0).estimate, rtol=1e-12)
    assert (np.diff(at.estimate, axis=0) > 0).all() and (np.diff(at.estimate, axis=1) < 0).all()


def test_bad_input():
    with pytest.raises(ValueError, match="must be 0 or more"):
        missing_outcomes.risk_with_missing(3, 10, -1, 1.0)
    with pytest.raises(ValueError, match="odds ratio must be 0 or more"):
        missing_outcomes.risk_with_missing(3, 10, 1, -0.5)
    with pytest.raises(ValueError, match="events must lie between"):
        missing_outcomes.risk_with_missing(11, 10, 1, 1.0)
    with pytest.raises(ValueError, match="odd number of steps"):
        missing_outcomes.imor_grid(5.0, 4)
