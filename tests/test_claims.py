"""Natural codings, implied heterogeneity, and the verdict table that follows its inputs."""

import numpy as np
import pandas as pd
import pytest

from meta_analysis.claims import (
    NATURAL,
    NEEDS,
    estimates,
    implied_tau2,
    own_method_rows,
    share_of_claim,
    verdict_table,
)
from meta_analysis.data import read_derived, read_published
from meta_analysis.pooling import pool
from meta_analysis.verdicts import NOT_CHECKABLE, REPRODUCED, Estimate


@pytest.fixture(scope="module")
def effects():
    return read_derived("02_effects.csv")


def test_every_claim_says_what_it_needs():
    assert set(NEEDS) == set(read_published("claims")["claim_id"])


@pytest.mark.parametrize("claim_id", NATURAL)
def test_the_first_coding_is_the_stored_result_of_the_review_s_method(effects, claim_id):
    stored = {"C03": "severity", "C04": "response", "C05": "remission_mixed"}[claim_id]
    results = read_derived("03_results.csv").set_index("analysis_id")
    first = own_method_rows(effects, claim_id)[0]
    for name in ("estimate", "ci_low", "ci_high", "k"):
        assert first[name] == pytest.approx(results.loc[f"{stored}.dl_wald", name], rel=1e-9)


def test_codings_have_their_own_names_and_the_doubtful_trial_is_left_out_once_each(effects):
    rows = own_method_rows(effects, "C05")
    names = [row["analysis_id"] for row in rows]
    assert len(set(names)) == len(names)
    with_mp1 = [name for name in NATURAL["C05"] if "MP-1" in set(effects.query("effect_set == @name")["trial_id"])]
    assert sum(name.endswith("without.MP-1") for name in names) == len(with_mp1) > 0
    assert len(estimates(rows)) == len(rows)


def test_the_interval_of_a_pool_implies_its_own_tau2():
    y, v = np.array([-2.0, -1.1, -0.4, 0.3]), np.array([0.05, 0.1, 0.2, 0.1])
    result = pool(y, v, tau2_method="DL", ci_method="Wald")
    assert result.tau2 > 0
    assert implied_tau2(v, result.ci_low, result.ci_high) == pytest.approx(float(result.tau2), rel=1e-9)


def test_an_interval_too_narrow_for_the_trials_implies_none():
    assert np.isnan(implied_tau2([1.0, 1.0], -0.1, 0.1))


def test_the_share_of_a_claim():
    assert share_of_claim(Estimate(-1.0, -2, -0.5), Estimate(-0.5, -1.0, 0.25), 0.0) == Estimate(0.5, -0.25, 1.0)
    share = share_of_claim(Estimate(4.0, 2, 8), Estimate(2.0, 1.0, 4.0), 1.0)
    np.testing.assert_allclose(share, (0.5, 0.0, 1.0))


def test_the_verdict_table_follows_its_findings():
    claims = pd.DataFrame({"claim_id": ["C01", "C02"], "claim": ["a", "b"]})
    findings = {"C01": {"verdict": NOT_CHECKABLE, "why": "no list"},
                "C02": {"verdict": REPRODUCED, "why": "it adds up", "estimate": 297.0}}
    table = verdict_table(claims, findings).set_index("claim_id")
    assert table.loc["C01", "verdict"] == NOT_CHECKABLE and table.loc["C01", "analysis_id"] == ""
    assert table.loc["C02", "estimate"] == 297 and table.loc["C02", "needs"] == NEEDS["C02"]
    with pytest.raises(ValueError, match="do not match: C02"):
        verdict_table(claims, {"C01": findings["C01"]})
    with pytest.raises(ValueError, match="unknown verdict 'fine'"):
        verdict_table(claims, findings | {"C02": {"verdict": "fine", "why": ""}})
