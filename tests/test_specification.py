"""The engine of the specification curve: batch against one at a time, what is excluded and why, and a toy by hand."""

import numpy as np
import pytest
from specification_families import curve, family

from meta_analysis.analyses import choose
from meta_analysis.choices_severity import as_it_is, fit_smd
from meta_analysis.curve_summary import position
from meta_analysis.data import read_derived, read_extracted, read_published
from meta_analysis.pooling import pool
from meta_analysis.results import one
from meta_analysis.specification import TOO_FEW, Family, Rule, parse, run_specification, stack, vary
from meta_analysis.specification_curve import SAME, specification_curve

# Batch and single runs add the same numbers in another order, and REML's last step is taken elsewhere.
ROUNDING = 1e-9
FAMILIES = ("severity", "response", "remission")
LIMITS = ("estimate", "ci_low", "ci_high", "tau2", "k")


def toy(**changes):
    """Trials A, B and C; the choice `shift` moves C, `nothing` moves nothing."""

    def comparisons(choice):
        return [("A", "A", 0.0), ("B", "B", 1.0), ("C", "C", 2.0 + (choice["shift"] == "yes"))]

    def effects(choice, found):
        columns = stack(found, ["slot", "trial_id", "yi"])
        return columns | {"vi": np.ones(columns["yi"].size)}

    choices = {"trials": {"all": "", "ab": "", "a": ""}, "mp9": {"out": ""}, "shift": {"no": "", "yes": ""},
               "nothing": {"x": "", "y": ""}, "model": {"common": "", "DL": ""}, "interval": {"Wald": "", "t": ""}}
    rules = (Rule("t is for random effects", {"model": ("common",), "interval": ("t",)}),)
    sets = {"all": {"A", "B", "C"}, "ab": {"A", "B"}, "a": {"A"}}
    parts = {"name": "toy", "measure": "SMD", "choices": choices, "rules": rules, "slots": ("A", "B", "C"),
             "members": lambda choice: sets[choice["trials"]], "comparisons": comparisons, "effects": effects,
             "measured_by": (), "fit": fit_smd, "finish": as_it_is}
    return Family(**(parts | changes))


def test_a_toy_by_hand():
    found = specification_curve(toy())
    # all: shift no, yes; ab: one; a: too few. Each with common Wald, DL Wald and DL t.
    assert found.combinations == 3 * 2 * 2 * 2 * 2
    assert found.estimate.size == 3 * 3
    excluded = dict(zip(found.excluded["reason"], found.excluded["specifications"]))
    assert excluded["t is for random effects"] == 3 * 2 * 2
    assert excluded[TOO_FEW] == 2 * 2 * 3
    assert excluded[SAME] == (2 + 3) * 3  # `nothing` y with all; and with ab: shift, nothing, both
    assert found.ids([0]) == ["toy/all/out/no/x/common/Wald"]
    common = {name: found.estimate[position(found, f"toy/{name}/common/Wald")]
              for name in ("all/out/no/x", "all/out/yes/x", "ab/out/no/x")}
    np.testing.assert_allclose(list(common.values()), [1.0, 4 / 3, 0.5])


def test_a_combination_ruled_out_does_not_hide_its_twin():
    """Of two combinations with the same effects the second is run where a rule takes the first."""
    rule = Rule("x not with DL", {"nothing": ("x",), "model": ("DL",)})
    found = specification_curve(toy(rules=(rule,)))
    assert position(found, "toy/all/out/no/y/DL/Wald") >= 0
    with pytest.raises(ValueError, match="excluded, or the same"):
        position(found, "toy/all/out/no/y/common/Wald")


def test_the_choices_of_the_pooling_come_last():
    choices = toy().choices
    with pytest.raises(ValueError, match=r"^the last choices of toy must be model, interval; got interval, shift$"):
        specification_curve(toy(choices={name: choices[name] for name in choices if name != "shift"}
                                | {"shift": choices["shift"]}))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_combination_is_run_or_counted_as_excluded(name):
    found = curve(name)
    assert found.estimate.size + found.excluded["specifications"].sum() == found.combinations
    assert (found.excluded["specifications"] > 0).all()
    assert len(np.unique(found.codes, axis=0)) == found.estimate.size


def test_there_are_enough_specifications():
    assert curve("severity").estimate.size > 100_000
    assert curve("response").estimate.size > 100_000
    assert curve("remission").estimate.size > 50_000  # five trials, hardly any zero cells: the product allows no more


@pytest.mark.parametrize("name", FAMILIES)
def test_random_rows_of_every_level_run_again_one_at_a_time(name):
    found, rng = curve(name), np.random.default_rng(20)
    places = [rng.choice(np.flatnonzero(codes == code), 4, replace=False)
              for codes in found.codes.T for code in np.unique(codes)]
    for place in np.concatenate(places):
        specification = found.ids([place])[0]
        run = run_specification(family(name), specification)
        for column in LIMITS:
            np.testing.assert_allclose(run[column], getattr(found, column)[place], rtol=ROUNDING, atol=1e-12,
                                       err_msg=f"{specification} {column}")


@pytest.mark.parametrize("name", FAMILIES)
def test_intervals_hold_their_estimates_and_are_finite(name):
    found = curve(name)
    assert np.isfinite([found.estimate, found.ci_low, found.ci_high, found.tau2]).all()
    slack = 1e-9 * np.abs(found.estimate)
    assert ((found.ci_low <= found.estimate + slack) & (found.estimate <= found.ci_high + slack)).all()
    assert (found.k >= 2).all() and (found.tau2 >= 0).all()


@pytest.mark.parametrize("name, analysis", [("severity", "severity.primary"), ("response", "response.primary"),
                                            ("remission", "loss_of_diagnosis.primary")])
def test_the_first_levels_are_the_primary_analysis(name, analysis):
    stored = one(read_derived("03_results.csv"), analysis)
    run = run_specification(family(name), family(name).primary)
    np.testing.assert_allclose([run["estimate"], run["ci_low"], run["ci_high"]],
                               stored[["estimate", "ci_low", "ci_high"]].astype(float), rtol=1e-9)


@pytest.mark.parametrize("levels, effect_set", [
    ({}, "ptsd_severity"), ({"arms": "high_dose"}, "severity_high_dose"),
    ({"score": "change_printed"}, "severity_change"), ({"arms": "high_dose", "measure": "metapsy"}, "severity_peer"),
    ({"measure": "review_manager"}, "severity_review_manager"),
])
def test_trial_effects_are_those_of_notebook_02(levels, effect_set):
    stored = choose(read_derived("02_effects.csv"), effect_set, "SMD")
    rows = run_specification(family("severity"), vary(family("severity"), **levels))["comparisons"]
    assert list(rows["trial_id"]) == list(stored["trial_id"])
    np.testing.assert_allclose(rows[["yi", "vi"]], stored[["yi", "vi"]], rtol=1e-9)


def test_the_peers_results_are_specifications_of_the_curves():
    reviews = read_published("reviews")
    reviews = reviews[reviews["review"].str.startswith("SYPRES")].set_index("outcome")
    peer = {"arms": "high_dose", "interval": "HK"}
    ids = {"PTSD symptoms": vary(family("severity"), measure="metapsy", **peer),
           "response": vary(family("response"), trials="low_risk", zero="events_and_totals", model="PM", **peer),
           "remission": vary(family("remission"), trials="low_risk", definition="mixed", model="PM", **peer)}
    for outcome, specification in ids.items():
        found = curve(specification.split("/")[0])
        place = position(found, specification)
        printed = reviews.loc[outcome, ["estimate", "ci_low", "ci_high"]].astype(float)
        ours = [found.estimate[place], found.ci_low[place], found.ci_high[place]]
        np.testing.assert_allclose(ours, printed, atol=0.005)


def test_sets_of_trials_follow_their_rules():
    trials = read_extracted("trials").set_index("trial_id")

    def members(name):
        rows = run_specification(family("severity"), vary(family("severity"), trials=name))["comparisons"]
        return set(rows["trial_id"])

    assert members("phase_3") == {"MAPP1", "MAPP2"} and members("resistant") == {"MP-1", "MP-2"}
    assert members("placebo") == set(trials.index[trials["in_primary"] & (trials["control_kind"] == "placebo")])
    assert members("all") - members("low_risk") == {"MP-1"} and members("all") - members("n20") == {"MP-2"}
    assert members("all") - members("not_service") == {"MP-8"} and members("all") - members("to_2021") == {"MAPP2"}


def test_mp9_joins_only_sets_whose_rule_it_meets():
    allowed = {"all", "phase_2", "low_dose", "two_doses", "not_service"}
    for name in family("severity").choices["trials"]:
        wanted = vary(family("severity"), trials=name, mp9="5+3", score="change_r50")
        if name in allowed:
            assert "MP-9" in set(run_specification(family("severity"), wanted)["comparisons"]["trial_id"])
        else:
            with pytest.raises(ValueError, match="MP-9 does not meet"):
                run_specification(family("severity"), wanted)


@pytest.mark.parametrize("levels, reason", [
    ({"mp9": "4+4"}, "MP-9 printed changes only"),
    ({"score": "change_r50", "time": "two_last"}, "primary time only"),
    ({"score": "change_r50", "measure": "glass"}, "Glass"),
    ({"model": "common", "interval": "HK"}, "are for random effects"),
    ({"trials": "resistant", "score": "change_printed"}, "fewer than two trials"),
])
def test_what_is_excluded_says_why(levels, reason):
    with pytest.raises(ValueError, match=reason):
        run_specification(family("severity"), vary(family("severity"), **levels))


def test_ids_that_do_not_fit_are_refused():
    severity = family("severity")
    with pytest.raises(ValueError, match="no id of 'severity'"):
        parse(severity, family("response").primary)
    with pytest.raises(ValueError, match="no arms 'both'; there are combined"):
        parse(severity, severity.primary.replace("combined", "both"))
    with pytest.raises(ValueError, match="no choice zero"):
        vary(severity, zero="none")


def test_a_specification_is_a_plain_pool_of_its_comparisons():
    run = run_specification(family("severity"), vary(family("severity"), arms="split", model="DL", interval="Wald"))
    rows = run["comparisons"]
    result = pool(rows["yi"], rows["vi"], tau2_method="DL", ci_method="Wald")
    assert len(rows) == 8 and rows["slot"].is_unique
    np.testing.assert_allclose([run["estimate"], run["ci_low"]], [result.estimate, result.ci_low], rtol=1e-12)
