"""Shares of variance, ranges and places in a curve, on curves small enough to work out."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from specification_families import curve, family

from meta_analysis import curve_summary
from meta_analysis.choices_severity import as_it_is, fit_smd
from meta_analysis.specification import Family
from meta_analysis.specification_curve import Curve


def made(values, choices, keep=None, measure="SMD"):
    """A curve whose estimate is `values` at each cell of the product of `choices` (the interval comes last)."""
    choices = {name: dict.fromkeys(levels, "") for name, levels in (choices | {"interval": ["Wald", "t"]}).items()}
    family = Family("made", measure, choices, (), (), lambda c: set(), lambda c: [], lambda c, s: {}, (), fit_smd,
                    as_it_is)
    values = np.repeat(np.asarray(values, dtype=float)[..., None], 2, axis=-1)
    codes = np.argwhere(np.ones(values.shape, dtype=bool) if keep is None else np.repeat(keep[..., None], 2, axis=-1))
    estimate = values[tuple(codes.T)]
    zeros = np.zeros(estimate.size)
    return Curve(family, codes.astype(np.uint8), np.full(estimate.size, 3), estimate, estimate - 1, estimate + 1, zeros,
                 values.size, pd.DataFrame({"reason": [], "specifications": []}))


def shares(found):
    return curve_summary.variance_shares(found).set_index("choice")["share"]


def test_shares_of_a_balanced_additive_design_are_its_main_effects():
    a, b = np.array([0.0, 3.0]), np.array([-1.0, 0.0, 1.0])
    found = shares(made(a[:, None] + b, {"a": ["x", "y"], "b": ["x", "y", "z"]}))
    whole = a.var() + b.var()
    np.testing.assert_allclose([found["a"], found["b"]], [100 * a.var() / whole, 100 * b.var() / whole])


def test_an_interaction_is_shared_equally():
    found = shares(made([[0.0, 1.0], [1.0, 0.0]], {"a": ["x", "y"], "b": ["x", "y"]}))
    np.testing.assert_allclose([found["a"], found["b"]], [50, 50])


def test_choices_that_cannot_be_told_apart_share_what_they_explain():
    """Only the diagonal is valid: a and b always go together, as MP-9 and the change scores nearly do."""
    found = shares(made([[0.0, 9.0], [9.0, 1.0]], {"a": ["x", "y"], "b": ["x", "y"]}, keep=np.eye(2, dtype=bool)))
    np.testing.assert_allclose([found["a"], found["b"]], [50, 50])


def test_shares_are_the_average_over_all_orders_in_which_choices_are_revealed():
    """By definition, on an unbalanced set in which the first level of one choice and the last of another are unused."""
    rng = np.random.default_rng(7)
    choices = {"a": ["x", "y", "z", "u"], "b": ["x", "y"], "c": ["x", "y", "z"]}
    keep = rng.random((4, 2, 3)) < 0.7
    keep[3] = keep[..., 0] = False
    found = made(rng.normal(size=(4, 2, 3)), choices, keep=keep)
    once = pd.DataFrame(found.codes[found.codes[:, 3] == 0][:, :3], columns=list("abc"))
    y = pd.Series(found.estimate[found.codes[:, 3] == 0])

    def explained(known):
        return y.groupby([once[name] for name in known]).transform("mean").var(ddof=0) if known else 0.0

    gains = {name: [] for name in choices}
    for order in permutations(choices):
        for place, name in enumerate(order):
            gains[name].append(explained(order[: place + 1]) - explained(order[:place]))
    table = curve_summary.variance_shares(found).set_index("choice")
    for name in choices:
        np.testing.assert_allclose(table.loc[name, "share"], 100 * np.mean(gains[name]) / y.var(ddof=0))
        np.testing.assert_allclose(table.loc[name, "alone"], 100 * explained([name]) / y.var(ddof=0))


def test_a_choice_without_effect_gets_nothing_and_ratios_are_logs():
    values = np.exp([[0.0, 0.0], [2.0, 2.0]])
    found = shares(made(values, {"a": ["x", "y"], "b": ["x", "y"]}, measure="RR"))
    np.testing.assert_allclose([found["a"], found["b"]], [100, 0], atol=1e-9)


@pytest.mark.parametrize("name", ("severity", "response", "remission"))
def test_real_shares_add_up_and_first_order_is_that_of_a_group_mean(name):
    found = curve(name)
    table = curve_summary.variance_shares(found).set_index("choice")
    np.testing.assert_allclose(table["share"].sum(), 100)
    assert "interval" not in table.index and (table["share"] > 0).all()
    place = list(found.family.choices).index("trials")
    wald = found.codes[:, -1] == list(found.family.choices["interval"]).index("Wald")
    y = pd.Series(curve_summary.on_pooling_scale(found, found.estimate[wald]))
    means = y.groupby(found.codes[wald, place]).transform("mean")
    np.testing.assert_allclose(table.loc["trials", "alone"], 100 * means.var() / y.var())


def test_one_choice_freed_moves_only_that_choice():
    found = made([[0.0, 5.0], [-2.0, 90.0]], {"a": ["x", "y"], "b": ["x", "y"]})
    table = curve_summary.one_choice_freed(found, "made/x/x/Wald").set_index("choice")
    assert table.loc["a", ["lowest", "highest", "lowest_level", "highest_level"]].to_list() == [-2, 0, "y", "x"]
    assert table.loc["b", ["lowest", "highest", "specifications"]].to_list() == [0, 5, 2]
    assert table.loc["interval", "spread"] == 0


def test_a_thinned_curve_keeps_both_ends_and_the_order():
    found = curve("remission")
    rows = curve_summary.thinned(found, 50)
    assert len(rows) == 50 and rows["id"].is_unique
    assert (np.diff(rows["estimate"]) > -1e-9).all()  # equal ones are ranked by their id
    assert rows["estimate"].iloc[0] == found.estimate.min() and rows["estimate"].iloc[-1] == found.estimate.max()
    assert rows["rank"].iloc[-1] == found.estimate.size - 1


def test_ids_lead_back_to_their_rows():
    found = curve("response")
    for place in (0, 777, found.estimate.size - 1):
        assert curve_summary.position(found, found.ids([place])[0]) == place


def test_levels_are_summed_up():
    found = made([[0.0, 5.0], [-3.0, 1.0]], {"a": ["x", "y"], "b": ["x", "y"]})
    table = curve_summary.level_summary(found).set_index(["choice", "level"])
    assert table.loc[("a", "y"), ["specifications", "lowest", "median", "highest"]].to_list() == [4, -3, -1, 1]
    assert table.loc[("a", "x"), "excludes_no_effect"] == 50  # 0 +- 1 holds no effect, 5 +- 1 does not
    assert table["specifications"].groupby("choice").sum().nunique() == 1


@pytest.mark.parametrize("name", ("severity", "response", "remission"))
def test_levels_hold_the_order_statistics_of_their_own_specifications(name):
    found = curve(name)
    rank = np.argsort(found.by_estimate)
    table = curve_summary.level_summary(found).set_index(["choice", "level"])
    for place, (choice, levels) in enumerate(found.family.choices.items()):
        for code, level in enumerate(levels):
            members, row = found.codes[:, place] == code, table.loc[(choice, level)]
            own = found.estimate[members]
            assert row["specifications"] == own.size
            if own.size:
                values = row[["lowest", "median", "highest", "excludes_no_effect", "median_rank"]].to_numpy(float)
                expected = [own.min(), np.median(own), own.max(), 100 * found.excludes_no_effect[members].mean(),
                            100 * np.median(rank[members]) / rank.size]
                np.testing.assert_allclose(values, expected, atol=1e-9)


def test_part_of_a_curve():
    found = made([[0.0, 5.0], [-3.0, 1.0]], {"a": ["x", "y"], "b": ["x", "y"]})
    assert sorted(curve_summary.restricted(found, a="y").estimate) == [-3, -3, 1, 1]
    assert curve_summary.share_below(found, 0.5) == 50
    empty = made([[0.0, 5.0], [-3.0, 1.0]], {"a": ["x", "y"], "b": ["x", "y"]}, keep=np.eye(2, dtype=bool))
    with pytest.raises(ValueError, match="no specification of made"):
        curve_summary.restricted(empty, a="x", b="y")


def test_reaching_a_printed_result():
    found = made([[1.004, 1.006], [1.2, 3.0]], {"a": ["x", "y"], "b": ["x", "y"]})
    hits = curve_summary.reaching(found, 1.00, 0.00, 2.00)
    assert set(found.estimate[hits["estimates"]]) == {1.004} and hits["intervals"].size == 2
    assert found.estimate[hits["nearest"]] == found.estimate[hits["best"]] == 1.004
    np.testing.assert_allclose(hits["distance"], 0.004)
    assert curve_summary.reaching(found, 9.0, 8.0, 10.0)["estimates"].size == 0
    often = curve_summary.most_frequent(found, hits["estimates"], ("a",))
    assert often == {"a": "x 100%"}
    assert curve_summary.most_frequent(found, np.array([], dtype=int), ("a",)) == {"a": ""}


def test_a_specification_that_was_not_run_has_no_place():
    severity = family("severity")
    with pytest.raises(ValueError, match="was not run"):
        curve_summary.position(curve("severity"), severity.primary.replace("/out/", "/5+3/"))
