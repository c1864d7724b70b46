"""The same trials as Review Manager and Sypres pool them, and the tau2 that a printed interval implies."""

import numpy as np
import pytest

from meta_analysis.data import read_derived, read_published
from meta_analysis.natural_codings import OUTCOMES
from meta_analysis.other_methods import PEER, implied_tau2, peer_rows, review_manager_rows
from meta_analysis.pooling import pool
from meta_analysis.results import one, results_table


@pytest.fixture(scope="module")
def effects():
    return read_derived("02_effects.csv")


@pytest.mark.parametrize(("claim_id", "stored"), [("C03", "severity"), ("C04", "response"), ("C05", "remission_mixed")])
def test_the_first_coding_is_the_stored_result_of_the_review_s_method(effects, claim_id, stored):
    results = read_derived("03_results.csv").set_index("analysis_id")
    first = review_manager_rows(effects, claim_id)[0]
    for name in ("estimate", "ci_low", "ci_high", "k"):
        assert first[name] == pytest.approx(results.loc[f"{stored}.dl_wald", name], rel=1e-9)


def test_the_stored_table_holds_what_the_functions_give(effects):
    rows = [row for claim in OUTCOMES for row in review_manager_rows(effects, claim)] + peer_rows(effects)
    table, stored = results_table(rows), read_derived("03_other_methods.csv")
    assert stored["analysis_id"].tolist() == table["analysis_id"].tolist()
    for name in ("estimate", "ci_low", "ci_high", "tau2", "k", "n_active"):
        np.testing.assert_allclose(stored[name].astype(float), table[name].astype(float), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("claim_id", ["C04", "C05"])
def test_the_doubtful_trial_is_left_out_of_each_set_that_holds_it(effects, claim_id):
    rows = {row["analysis_id"]: row for row in review_manager_rows(effects, claim_id)}
    pairs = [(rows[name.removesuffix(".without.MP-1")], row) for name, row in rows.items() if "without" in name]
    assert pairs and all(whole["k"] == row["k"] + 1 and row["study_set"] == "without MP-1" for whole, row in pairs)


def test_the_peer_s_printed_results_fall_out(effects):
    table, printed = results_table(peer_rows(effects)), read_published("reviews").set_index("review_id")
    for review, name in zip(("V35", "V36", "V37", "V38"), PEER):
        found = one(table, f"peer.{name}")[["estimate", "ci_low", "ci_high"]].astype(float)
        expected = printed.loc[review, ["estimate", "ci_low", "ci_high"]].astype(float)
        np.testing.assert_allclose(found, expected, atol=0.005, rtol=0)


def test_unaligned_scales_are_the_printed_slip(effects):
    table, reports = results_table(peer_rows(effects)), read_published("pooled_reports")
    slip = reports.query("outcome == 'functioning' and statistic == 'hedges_g'").iloc[0]
    found = one(table, "peer.functioning.unaligned")[["estimate", "ci_low", "ci_high"]].astype(float)
    np.testing.assert_allclose(found, slip[["value", "value_low", "value_high"]].astype(float), atol=0.005, rtol=0)
    trials = effects.query("effect_set == 'functioning_peer'")
    aligned = pool(trials["yi"], trials["vi"], ci_method="HK")
    assert one(table, "peer.functioning.aligned")["estimate"] == pytest.approx(float(aligned.estimate))


def test_the_interval_of_a_pool_implies_its_own_tau2():
    y, v = np.array([-2.0, -1.1, -0.4, 0.3]), np.array([0.05, 0.1, 0.2, 0.1])
    result = pool(y, v, tau2_method="DL", ci_method="Wald")
    assert result.tau2 > 0
    assert implied_tau2(v, result.ci_low, result.ci_high) == pytest.approx(float(result.tau2), rel=1e-9)


def test_equal_variances_give_the_implied_tau2_by_hand():
    """k trials of variance v: se^2 = (v + tau2) / k."""
    assert implied_tau2([0.1] * 5, -1.959963984540054, 1.959963984540054) == pytest.approx(5 - 0.1)


def test_an_interval_too_narrow_for_the_trials_implies_none():
    assert np.isnan(implied_tau2([1.0, 1.0], -0.1, 0.1))


def test_an_interval_the_wrong_way_round_is_refused():
    with pytest.raises(ValueError, match="runs from low to high"):
        implied_tau2([1.0, 1.0], 0.1, -0.1)
