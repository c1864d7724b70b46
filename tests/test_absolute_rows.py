"""Absolute effects in rows and words: by hand, against metafor's ratios, and never outside the possible risks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from meta_analysis import absolute_rows as rows
from meta_analysis import harms
from meta_analysis.absolute_effects import pooled_sd
from meta_analysis.analyses import choose, pooled_row
from meta_analysis.comparisons import HIGHER_IS_BETTER
from meta_analysis.data import read_derived, read_extracted
from meta_analysis.results import one, results_table

ROOT = Path(__file__).parents[1]
POOLS = json.loads((ROOT / "data" / "reference" / "harms.json").read_text(encoding="utf-8"))["pools"]
CLOSED_FORM = 1e-10
NAUSEA = pd.DataFrame([("MAPP1", 14, 46, 5, 44), ("MAPP2", 24, 53, 11, 51), ("MP-4", 1, 4, 0, 2)],
                      columns=["trial_id", *harms.COUNTS])
PHASE_3 = ("MAPP1", "MAPP2")


def test_three_control_risks_of_the_preferred_arms():
    risks = rows.control_risks(NAUSEA, PHASE_3)
    assert risks.levels == pytest.approx({"low": 5 / 44, "middle": 16 / 95, "high": 11 / 51})
    assert "MAPP1 5 of 44, MAPP2 11 of 51" in risks.source and "MP-4" not in risks.source
    everywhere = rows.control_risks(NAUSEA, ["another"])
    assert everywhere.levels == pytest.approx({"low": 0, "middle": 16 / 97, "high": 11 / 51})


def test_one_control_arm_gives_its_exact_interval():
    levels = rows.control_risks(NAUSEA.iloc[1:], PHASE_3).levels
    assert levels["middle"] == pytest.approx(11 / 51)
    assert (levels["low"], levels["high"]) == pytest.approx(proportion_confint(11, 51, method="beta"))
    nobody = rows.control_risks(NAUSEA.iloc[2:])
    assert nobody.levels["low"] == nobody.levels["middle"] == 0
    assert nobody.levels["high"] == pytest.approx(1 - 0.025 ** (1 / 2)), "the chance of 0 in 2 is 2.5%"


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: f"{pool['kind']} {pool['term']}")
def test_a_pooled_harm_is_metafors_ratio_times_the_control_risk(pool):
    trials = pd.DataFrame({"trial_id": pool["trials"], "events_active": pool["ai"], "n_active": pool["n1i"],
                           "events_control": pool["ci"], "n_control": pool["n2i"]})
    ratio = one(results_table(harms.pooled_rows(trials, "x")), "x.rr_mh")
    levels = rows.control_risks(trials, PHASE_3).levels
    for level, found in rows.absolute_rows(ratio, levels).set_index("control_risk_level").iterrows():
        for end, name in (("estimate", "risk"), ("ci_low", "risk_low"), ("ci_high", "risk_high")):
            expected = min(1.0, np.exp(pool["rr_mh"][end]) * levels[level])
            assert found[name] == pytest.approx(expected, rel=CLOSED_FORM), (level, end)


def test_nausea_by_hand():
    """Mantel-Haenszel ratio 2.3216 (1.3965 to 3.8595) at 5 of 44, 16 of 95 and 11 of 51, per 1000."""
    results = results_table(harms.pooled_rows(NAUSEA, "x"))
    ratio, gap = one(results, "x.rr_mh"), one(results, "x.rd_mh")
    words, basis = rows.event_effect(rows.usable(ratio, gap), rows.control_risks(NAUSEA, PHASE_3), gap)
    assert words == {"low": "150 more (45 more to 325 more) than 114",
                     "middle": "223 more (67 more to 482 more) than 168",
                     "high": "285 more (86 more to 617 more) than 216"}
    assert basis.startswith("RR at the risks of the control arms of MAPP1 5 of 44")
    assert basis.endswith("RD as found 217 per 1000 (99 to 334)")


def test_an_arm_without_events_gives_the_risk_difference_and_no_impossible_risk():
    """None of 46 against 1 of 44: minus 22.7 per 1000, score limits -118.7 to 55.7; the risk 22.7, exact 0.6 to 120."""
    trial = pd.Series({"trial_id": "MAPP1", "events_active": 0, "n_active": 46, "events_control": 1, "n_control": 44})
    results = results_table(harms.single_trial_rows(trial, "x"))
    ratio, gap = one(results, "x.rr"), one(results, "x.rd")
    used = rows.usable(ratio, gap)
    words, basis = rows.event_effect(used, rows.control_risks(trial.to_frame().T), gap)
    assert used["measure"] == "RD"
    assert words == {"low": "RD: 1 fewer (1 fewer to 56 more) than 1",
                     "middle": "RD: 23 fewer (23 fewer to 56 more) than 23",
                     "high": "RD: 23 fewer (119 fewer to 56 more) than 120"}
    assert "an arm had no event" in basis and basis.endswith("RD as found -23 per 1000 (-119 to 56)")


@pytest.mark.parametrize("low, high, measure", [
    (0.5, 2.0, "RR"), (0.0, 3.65, "RD"), (0.3, np.inf, "RD"), (0.0, np.inf, "RD"), (np.nan, np.nan, "RD")])
def test_a_ratio_is_used_where_it_has_two_limits(low, high, measure):
    ratio, difference = {"measure": "RR", "ci_low": low, "ci_high": high}, {"measure": "RD"}
    assert rows.usable(ratio, difference)["measure"] == measure


@pytest.mark.parametrize("measure, ends", [
    ("RR", (1.5, 0.2, 30.0)), ("OR", (1.5, 0.2, 30.0)), ("RD", (-0.1, -0.6, 0.9))])
def test_no_risk_is_below_0_or_above_1000(measure, ends):
    row = {"analysis_id": "x", "measure": measure} | dict(zip(("estimate", "ci_low", "ci_high"), ends))
    found = rows.absolute_rows(row, {str(risk): risk for risk in (0, 0.01, 0.3, 0.9, 1)})
    risks = found[["risk", "risk_low", "risk_high"]]
    assert ((risks >= 0) & (risks <= 1)).all(axis=None)
    for end in ("", "_low", "_high"):
        np.testing.assert_allclose(found["control_risk"] + found[f"difference{end}"], found[f"risk{end}"])


def test_words_say_more_fewer_or_nothing():
    row = {"analysis_id": "x", "measure": "RR", "estimate": 1.0, "ci_low": 0.8, "ci_high": 3.0}
    assert rows.per_thousand(rows.absolute_rows(row, {"low": 0.1, "high": 0.4})) == {
        "low": "0 (20 fewer to 200 more) than 100", "high": "0 (80 fewer to 600 more) than 400"}


# Points of a scale


def test_pooled_sd_by_hand():
    assert pooled_sd([3, 5], [2.0, 4.0]) == pytest.approx(np.sqrt((2 * 4 + 4 * 16) / 6))


def real_scale(effect_set, **options):
    trials = choose(read_derived("02_effects.csv"), effect_set, "SMD")
    row = pooled_row(trials, effect_set)
    scale = rows.scale_row(trials, row, read_extracted("arms"), read_extracted("continuous_outcomes"), **options)
    return row, scale


def test_functioning_in_points_by_hand():
    """Control arms of the SDS: 37 people with 2.4331, 43 with 3.2787; GAF is in the pool, turned round."""
    row, scale = real_scale("functioning_both_scales")
    sd = np.sqrt((36 * 2.4331**2 + 42 * 3.2787**2) / 78)
    assert scale["sd"] == pytest.approx(sd) and scale["points"] == pytest.approx(row["estimate"] * sd)
    assert (scale["instrument"], scale["trials"], scale["turned"]) == ("SDS", "MAPP1, MAPP2", "GAF")
    assert scale["control_mean"] == pytest.approx((37 * 5.3 + 43 * 4.0) / 80) and scale["facts"] == "c357 c405"
    text, basis = rows.scale_effect(scale)
    assert text == "2.0 SDS points lower (5.7 lower to 1.6 higher); lower is better"
    assert basis.endswith("(80 people); GAF, on which higher is better, was turned round")


def test_every_score_names_the_facts_of_its_standard_deviation():
    facts = read_extracted("continuous_outcomes").set_index("fact_id")
    for effect_set in ("ptsd_severity", "depression", "sleep_quality", "dissociation", "ptsd_self_report"):
        _, scale = real_scale(effect_set)
        named = facts.loc[scale["facts"].split()]
        assert pooled_sd(named["n"], named["value"]) == pytest.approx(scale["sd"], rel=1e-9), effect_set
        assert set(named["instrument"]) == {scale["instrument"]} and set(named["statistic"]) == {"sd"}


def test_points_of_a_scale_on_which_higher_is_better_go_up():
    assert "GAF" in HIGHER_IS_BETTER
    row, scale = real_scale("functioning_both_scales", instrument="GAF")
    assert scale["points"] == pytest.approx(-row["estimate"] * 12.8) and scale["turned"] == ""
    assert scale["points_low"] == pytest.approx(-row["ci_high"] * 12.8)
    assert "GAF points higher" in rows.scale_effect(scale)[0] and "; higher is better" in rows.scale_effect(scale)[0]


@pytest.mark.parametrize("call, message", [
    (lambda: rows.control_risks(NAUSEA.iloc[:0]), "at least one trial"),
    (lambda: real_scale("depression", instrument="HAM-D"), "no trial used HAM-D; only BDI-II"),
    (lambda: pooled_sd([1, 5], [2.0, 4.0]), "at least 2 people"),
    (lambda: pooled_sd([], []), "at least 2 people"),
])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
