"""The peer review's printed results fall out under the peer's own choices, to the printed digit.

The peer is the living review Sypres (2026): highest dose of each trial only, its dataset's effect sizes, REML for
severity and Paule-Mandel for ratios, Hartung-Knapp intervals. The numbers below are as it prints them; with two
decimals they also stand in data/published/reviews.csv (rows of "SYPRES").
"""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from meta_analysis.comparisons import continuous_comparisons, event_comparisons, with_effects
from meta_analysis.data import read_derived, read_published
from meta_analysis.pooling import pool

HALF_A_UNIT = {2: 0.005, 3: 0.0005, 4: 0.00005}  # of the last printed digit


@pytest.fixture(scope="module")
def table():
    return read_derived("01_analysis_table.csv")


@pytest.fixture(scope="module")
def severity(table):
    rows = continuous_comparisons(table, "ptsd_severity", arms="high_dose")
    return with_effects(rows, "SMD", correction="approximate", variance="uncorrected_d")


def peer_ratio(rows):
    rows = with_effects(rows, "RR", zero_cells="events_and_totals")
    result = pool(rows["yi"], rows["vi"], tau2_method="PM", ci_method="HK")
    return np.exp([result.estimate, result.ci_low, result.ci_high])


def printed(outcome):
    reviews = read_published("reviews")
    row = reviews[reviews["review"].str.startswith("SYPRES") & (reviews["outcome"] == outcome)].iloc[0]
    return row[["estimate", "ci_low", "ci_high"]].astype(float).to_numpy()


def test_severity(severity):
    result = pool(severity["yi"], severity["vi"], tau2_method="REML", ci_method="HK", pi_method="HTS-k1")
    found = [result.estimate, result.ci_low, result.ci_high, result.pi_low, result.pi_high]
    np.testing.assert_allclose(found, [-0.7119, -0.9534, -0.4704, -1.0588, -0.3651], atol=HALF_A_UNIT[4], rtol=0)
    np.testing.assert_allclose(result.q, 2.42, atol=HALF_A_UNIT[2], rtol=0)
    np.testing.assert_allclose(found[:3], printed("PTSD symptoms"), atol=HALF_A_UNIT[2], rtol=0)
    assert severity[["n_active", "n_control"]].sum().sum() == 242


def test_egger_intercept(severity):
    """Weighted regression of g on its standard error, here as Egger wrote it: g/se on 1/se, with an intercept."""
    se = np.sqrt(severity["vi"])
    fit = sm.OLS(severity["yi"] / se, sm.add_constant(1 / se)).fit()
    np.testing.assert_allclose(fit.params.iloc[0], -0.517, atol=HALF_A_UNIT[3], rtol=0)


def test_response_without_mp1(table):
    rows = event_comparisons(table, "response", arms="high_dose").query("trial_id != 'MP-1'")
    found = peer_ratio(rows)
    np.testing.assert_allclose(found, [1.35, 1.10, 1.66], atol=HALF_A_UNIT[2], rtol=0)
    np.testing.assert_allclose(found, printed("response"), atol=HALF_A_UNIT[2], rtol=0)
    assert rows[["n_active", "n_control"]].sum().sum() == 222


def test_remission_as_the_peer_codes_it(table):
    phase_2 = event_comparisons(table, "loss_of_diagnosis", arms="high_dose").query("trial_id in ['MP-8', 'MP-12']")
    phase_3 = event_comparisons(table, "remission", arms="high_dose")
    rows = pd.concat([phase_2, phase_3])
    found = peer_ratio(rows)
    np.testing.assert_allclose(found, [2.2499, 1.0401, 4.8667], atol=HALF_A_UNIT[4], rtol=0)
    np.testing.assert_allclose(found, printed("remission"), atol=HALF_A_UNIT[2], rtol=0)
    assert rows[["n_active", "n_control"]].sum().sum() == 210
