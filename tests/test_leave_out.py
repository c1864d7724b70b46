"""Leave-one-out, cumulative and GOSH against metafor, against a loop, and at their edges."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields
from itertools import combinations

import numpy as np
import pytest

from meta_analysis import leave_out
from meta_analysis.leave_out import cumulative, gosh, leave_one_out
from meta_analysis.pooling import Pool, pool
from tests.diagnostics_reference import assert_agrees, cases, datasets, diagnostics, model, studies

QUANTITIES = ("estimate", "se", "ci_low", "ci_high", "p", "q", "q_p", "tau2", "i2", "h2")
# The same sums over studies in another order.
ROUNDING = 1e-12
SIZES = {
    "alike": 3,
    "bangertdrowns2004": 48,
    "bcg": 13,
    "bcg_three": 3,
    "bcg_first_two": 2,
    "cohen1981": 20,
    "hackshaw1998": 37,
    "hart1999": 6,
    "normand1999": 9,
    "normand1999_days": 9,
    "raudenbush1985": 19,
    "yusuf1985": 21,
}


def assert_same(got: Pool, expected: Pool) -> None:
    for field in fields(Pool):
        values = getattr(got, field.name), getattr(expected, field.name)
        np.testing.assert_allclose(*values, rtol=ROUNDING, atol=ROUNDING, err_msg=field.name)


def test_the_reference_is_whole():
    assert {name: len(dataset["yi"]) for name, dataset in datasets().items()} == SIZES
    fitted = [("REML", "z"), ("REML", "knha"), ("DL", "adhoc"), ("EE", "z")]
    for name, dataset in datasets().items():
        for diagnostic in ("leave_one_out", "influence", "baujat"):
            assert [(case["method"], case["test"]) for case in dataset[diagnostic]] == fitted, (name, diagnostic)
        for case in dataset["leave_one_out"] + dataset["cumulative"]:
            assert {len(case[quantity]) for quantity in QUANTITIES} == {SIZES[name]}
            assert not any(None in case[quantity] for quantity in QUANTITIES)
    tau2 = {name: np.array(dataset["leave_one_out"][0]["tau2"]) for name, dataset in datasets().items()}
    assert sum((values == 0).all() for values in tau2.values()) >= 3, "sets without heterogeneity"
    assert tau2["normand1999_days"].min() > 100, "a large tau2"
    assert tau2["normand1999"].min() < tau2["normand1999"].max() / 2, "tau2 that hangs on one study"
    assert len(diagnostics()["gosh"][0]["subsets"]["k"]) == 2**6 - 1
    assert len(diagnostics()["gosh"][1]["subsets"]["k"]) == 2**9 - 1


@pytest.mark.parametrize(("name", "i"), cases("leave_one_out"))
def test_leave_one_out(name, i):
    case = datasets()[name]["leave_one_out"][i]
    result = leave_one_out(*studies(name), **model(case))
    for quantity in QUANTITIES:
        assert_agrees(getattr(result, quantity), case[quantity], case, quantity)
    assert (result.k == SIZES[name] - 1).all() and result.weights.shape == (SIZES[name], SIZES[name])
    assert (np.diag(result.weights) == 0).all()


@pytest.mark.parametrize(("name", "i"), cases("cumulative"))
def test_cumulative(name, i):
    case = datasets()[name]["cumulative"][i]
    result = cumulative(*studies(name), **model(case))
    for quantity in QUANTITIES:
        assert_agrees(getattr(result, quantity), case[quantity], case, quantity)
    assert result.k.tolist() == list(range(1, SIZES[name] + 1))


@pytest.mark.parametrize("case", diagnostics()["gosh"], ids=lambda case: f"{case['data']}-{case['method']}")
def test_gosh(case):
    """metafor sorts the subsets by size and, within a size, in binary order."""
    result = gosh(*studies(case["data"]), **model(case))
    names = {"k": "k", "QE": "q", "I2": "i2", "H2": "h2", "tau2": "tau2", "estimate": "estimate"}
    assert result.exact and len(result.present) == 2 ** SIZES[case["data"]] - 1 and result.converged.all()
    for theirs, ours in names.items():
        got = getattr(result, ours)
        if case["mean_by_size"]:
            got = np.array([got[result.k == k].mean() for k in range(1, SIZES[case["data"]] + 1)])
        else:
            got = got[np.argsort(result.k, kind="stable")]
        assert_agrees(got, case["subsets"][theirs], case, theirs)


@pytest.mark.parametrize("options", ({}, {"tau2_method": "PM", "ci_method": "HK", "level": 0.8}, {"model": "common"}))
def test_leave_one_out_is_a_loop_over_reduced_pools(options):
    y, v = studies("normand1999")
    result = leave_one_out(y, v, **options)
    for i in range(len(y)):
        alone = pool(np.delete(y, i), np.delete(v, i), **options)
        for field in fields(Pool):
            got = np.delete(result.weights[i], i) if field.name == "weights" else getattr(result, field.name)[i]
            np.testing.assert_allclose(got, getattr(alone, field.name), rtol=ROUNDING, err_msg=field.name)


def test_cumulative_is_a_loop_over_growing_pools_in_any_order():
    y, v = studies("bcg")
    order = np.random.default_rng(1).permutation(len(y))
    result = cumulative(y, v, order=order, tau2_interval=True)
    for j in range(1, len(y)):
        grown = pool(y[order[: j + 1]], v[order[: j + 1]], tau2_interval=True)
        for name in (*QUANTITIES, "pi_low", "tau2_low", "tau2_high", "df"):
            np.testing.assert_allclose(getattr(result, name)[j], getattr(grown, name), rtol=1e-10, err_msg=name)
        assert set(np.flatnonzero(result.weights[j])) == set(order[: j + 1].tolist())


def test_the_first_study_of_a_cumulative_pool_and_the_rest_of_two_stand_alone():
    y, v = np.array([-0.5, 0.3]), np.array([0.04, 0.25])
    first, rest = cumulative(y, v, level=0.8), leave_one_out(y, v, level=0.8)
    for result, place, study in ((first, 0, 0), (rest, 0, 1), (rest, 1, 0)):
        assert (result.k[place], result.tau2[place], result.i2[place]) == (1, 0, 0)
        assert result.estimate[place] == y[study] and result.df[place] == np.inf
        half_width = 1.2815515655446004 * np.sqrt(v[study])  # 90 % quantile of the normal
        np.testing.assert_allclose(result.ci_high[place], y[study] + half_width, rtol=1e-14)
        assert np.isnan(result.pi_low[place]) and result.weights[place].tolist() == np.eye(2)[study].tolist()
    np.testing.assert_allclose(first.estimate[1], pool(y, v).estimate, rtol=ROUNDING)


def test_many_sets_at_once():
    rng = np.random.default_rng(3)
    y, v = rng.normal(size=(2, 3, 7)), rng.gamma(2, 0.2, size=(3, 7))
    order = rng.permutation(7)
    together, grown = leave_one_out(y, v), cumulative(y, v, order=order)
    assert together.estimate.shape == grown.estimate.shape == (2, 3, 7) and together.weights.shape == (2, 3, 7, 7)
    for a in range(2):
        for b in range(3):
            one = {field.name: getattr(together, field.name)[a, b] for field in fields(Pool)}
            assert_same(Pool(**one), leave_one_out(y[a, b], v[b]))
            one = {field.name: getattr(grown, field.name)[a, b] for field in fields(Pool)}
            assert_same(Pool(**one), cumulative(y[a, b], v[b], order=order))


def test_an_absent_study_is_as_if_it_were_not_there():
    y, v = studies("normand1999")
    mask = np.ones(len(y), dtype=bool)
    mask[[2, 5]] = False
    y[2], v[5] = np.nan, -1.0
    result, reduced = leave_one_out(y, v, mask=mask), leave_one_out(y[mask], v[mask])
    whole = pool(y[mask], v[mask])
    for name in QUANTITIES:
        np.testing.assert_allclose(getattr(result, name)[mask], getattr(reduced, name), rtol=ROUNDING, err_msg=name)
        np.testing.assert_allclose(getattr(result, name)[~mask], getattr(whole, name), rtol=ROUNDING, err_msg=name)


def test_gosh_counts_its_subsets_in_binary():
    y, v = studies("hart1999")
    result = gosh(y, v)
    assert result.present[:4].tolist() == [
        [True, False, False, False, False, False],
        [False, True, False, False, False, False],
        [True, True, False, False, False, False],
        [False, False, True, False, False, False],
    ]
    assert {tuple(np.flatnonzero(row)) for row in result.present} == {
        subset for size in range(1, 7) for subset in combinations(range(6), size)
    }
    whole = pool(y, v)
    for name in ("k", "estimate", "se", "ci_low", "ci_high", "p", "tau2", "i2", "h2", "q"):
        np.testing.assert_allclose(getattr(result, name)[-1], getattr(whole, name), rtol=ROUNDING, err_msg=name)


@pytest.mark.parametrize("options", ({}, {"ci_method": "HK", "tau2_method": "DL"}, {"model": "common"}))
def test_gosh_works_through_pieces(options, monkeypatch):
    """Pieces of 5 subsets, of which one may hold a single study and nothing else, give what one piece gives."""
    y, v = studies("hart1999")
    whole = gosh(y, v, **options)
    monkeypatch.setattr(leave_out, "GOSH_CHUNK", 1)
    for field in fields(whole):
        got = getattr(gosh(y, v, **options), field.name)
        np.testing.assert_allclose(got, getattr(whole, field.name), rtol=ROUNDING, err_msg=field.name)


def test_gosh_draws_subsets_where_there_are_too_many():
    y, v = studies("bcg")
    result, again, other = gosh(y, v, subsets=3000), gosh(y, v, subsets=3000), gosh(y, v, subsets=3000, seed=1)
    assert not result.exact and result.present.shape == (3000, 13)
    assert np.array_equal(result.present, again.present) and not np.array_equal(result.present, other.present)
    assert result.present.any(axis=1).all()
    # Each study is in with probability a half: 3000 tosses have a standard error of 0.009.
    assert np.abs(result.present.mean(axis=0) - 0.5).max() < 4 * 0.0092
    everything = gosh(y, v)
    number = (result.present * 2 ** np.arange(13)).sum(axis=1)
    for name in ("k", "estimate", "se", "tau2", "q"):
        expected = getattr(everything, name)[number - 1]
        np.testing.assert_allclose(getattr(result, name), expected, rtol=ROUNDING, atol=ROUNDING, err_msg=name)


def test_gosh_never_draws_an_empty_subset():
    result = gosh([0.1, 0.2, 0.4], [0.1, 0.1, 0.2], subsets=6)
    assert not result.exact and len(result.present) == 6 and result.present.any(axis=1).all()
    assert not gosh([0.1, 0.2], [0.1, 0.1], subsets=1).exact  # one subset, which may be a study alone
    assert gosh([0.1, 0.2, 0.4], [0.1, 0.1, 0.2], subsets=7).exact


def memory_beyond_results(k: int) -> float:
    """Peak of GOSH over k studies, in bytes, less what its results hold."""
    tracemalloc.start()
    result = gosh(np.linspace(-1, 1, k), np.linspace(0.1, 0.5, k), tau2_method="DL")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = sum(getattr(result, field.name).nbytes for field in fields(result) if field.name != "exact")
    assert held == (2**k - 1) * (81 + k)
    return peak - held


def test_gosh_needs_no_more_memory_for_more_subsets():
    """16 times the subsets; the pools' weights alone would be 17 MB more, were they all kept."""
    assert memory_beyond_results(17) < memory_beyond_results(13) + 4e6 < 20e6


def test_there_is_no_loop_over_pools(monkeypatch):
    calls = []

    def counted(*arguments, **options):
        calls.append(1)
        return pool(*arguments, **options)

    monkeypatch.setattr(leave_out, "pool", counted)
    y, v = studies("bcg")
    leave_one_out(y, v)
    assert len(calls) == 1
    cumulative(y, v)
    gosh(y, v)
    assert len(calls) == 8  # GOSH takes four pieces; subsets of one study take a call of their own


@pytest.mark.parametrize(
    ("call", "message"),
    (
        (lambda: leave_one_out([0.1], [0.1]), "at least 2 studies needed, got 1"),
        (lambda: leave_one_out([0.1, np.nan, 0.2], [1, 1, 1]), "study 1: an effect must be finite; got nan"),
        (lambda: leave_one_out([0.1, 0.2, 0.3], [1, 1, 0]), "study 2: a variance must be finite and above zero; got 0"),
        (lambda: leave_one_out([0.1, 0.2, 0.3], [1, 1, 1], ci_method="hk"), "unknown ci_method 'hk'; use one of"),
        (lambda: cumulative([0.1], [0.1]), "at least 2 studies needed, got 1"),
        (lambda: cumulative([0.1, 0.2], [1, 1], order=[1, 1]), "order must name each of the 2 studies once, from"),
        (lambda: cumulative([0.1, 0.2], [1, 1], order=[0]), "order must name each of the 2 studies once"),
        (lambda: cumulative([[0.1, 0.2], [0.1, np.inf]], [1, 1]), "pool 1: study 1: an effect must be finite; got inf"),
        (lambda: gosh([0.1], [0.1]), "at least 2 studies needed, got 1"),
        (lambda: gosh(np.zeros((2, 3)), np.ones(3)), "GOSH takes one set of studies, so effects of shape"),
        (lambda: gosh([0.1, 0.2], [1, 1], subsets=0), "subsets must be at least 1, got 0"),
        (lambda: gosh([0.1, 0.2], [1, -1]), "study 1: a variance must be finite and above zero; got -1"),
    ),
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
