"""What must hold for any studies: symmetries of pooling, batches and masks, and limits, over generated inputs."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_analysis.pooling import Pool, pool, q_profile
from meta_analysis.tau2 import METHODS

# The same examples in every run, so that a failure can be repeated; without a clock, because machines differ.
repeatable = settings(derandomize=True, deadline=None, max_examples=50, database=None)

# The same arithmetic in another order or unit, on variances that differ by a factor of up to 10,000.
REORDERED = 1e-8
# One batch against its pools alone: identical formulas, sums over the same studies.
BATCH = 1e-12
CI_METHODS = ("mHK", "HK", "t", "Wald")


@st.composite
def studies(draw, min_size: int = 2, max_size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Effects of everyday size and variances from 0.001 to 10, rounded so that no difference is lost in rounding."""
    k = draw(st.integers(min_size, max_size))
    effects = draw(st.lists(st.integers(-3000, 3000), min_size=k, max_size=k))
    variances = draw(st.lists(st.integers(1, 10_000), min_size=k, max_size=k))
    return np.array(effects) / 1000, np.array(variances) / 1000


def assert_same(got: Pool, expected: Pool, tolerance: float, *, leave_out: tuple[str, ...] = ()) -> None:
    for field in fields(Pool):
        if field.name not in leave_out:
            a, b = getattr(got, field.name), getattr(expected, field.name)
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=field.name)


method = st.sampled_from(METHODS)
ci_method = st.sampled_from(CI_METHODS)


@repeatable
@given(studies(), method, ci_method, st.randoms(use_true_random=False))
def test_the_order_of_the_studies_does_not_matter(data, method, ci_method, random):
    effects, variances = data
    order = np.array(random.sample(range(len(effects)), len(effects)))
    expected = pool(effects, variances, tau2_method=method, ci_method=ci_method, tau2_interval=True)
    got = pool(effects[order], variances[order], tau2_method=method, ci_method=ci_method, tau2_interval=True)
    assert_same(got, expected, REORDERED, leave_out=("weights",))
    np.testing.assert_allclose(got.weights, expected.weights[order], rtol=REORDERED, atol=REORDERED)


@repeatable
@given(studies(), method, ci_method, st.integers(-10, 10))
def test_a_shift_moves_the_estimate_and_the_intervals_only(data, method, ci_method, shift):
    effects, variances = data
    one = pool(effects, variances, tau2_method=method, ci_method=ci_method)
    other = pool(effects + shift, variances, tau2_method=method, ci_method=ci_method)
    moved = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")
    assert_same(other, one, REORDERED, leave_out=(*moved, "p"))
    for name in moved:
        np.testing.assert_allclose(getattr(other, name), getattr(one, name) + shift, rtol=REORDERED, atol=REORDERED)


@repeatable
@given(studies(), method, ci_method, st.sampled_from([-250.0, -1.0, 0.01, 3.0, 1e4]))
def test_a_change_of_unit_changes_the_unit_only(data, method, ci_method, unit):
    effects, variances = data
    one = pool(effects, variances, tau2_method=method, ci_method=ci_method, tau2_interval=True)
    other = pool(effects * unit, variances * unit**2, tau2_method=method, ci_method=ci_method, tau2_interval=True)
    names = ("ci_low", "ci_high", "pi_low", "pi_high") if unit > 0 else ("ci_high", "ci_low", "pi_high", "pi_low")
    for got, want in zip(("ci_low", "ci_high", "pi_low", "pi_high"), names, strict=True):
        np.testing.assert_allclose(getattr(other, got) / unit, getattr(one, want), rtol=REORDERED, atol=REORDERED)
    for name, power in (("estimate", 1), ("se", 1), ("tau2", 2), ("tau2_low", 2), ("tau2_high", 2)):
        size = abs(unit) if name == "se" else unit**power
        np.testing.assert_allclose(getattr(other, name) / size, getattr(one, name), rtol=REORDERED, atol=REORDERED)
    for name in ("i2", "h2", "q", "q_p", "weights", "k", "df", "converged"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=REORDERED, atol=REORDERED)


@repeatable
@given(st.lists(studies(), min_size=1, max_size=6), method, ci_method)
def test_a_batch_is_its_pools_one_by_one(pools, method, ci_method):
    width = max(len(effects) for effects, _ in pools)
    effects, variances = np.full((2, len(pools), width), np.nan)
    for row, (y, v) in enumerate(pools):
        effects[row, : len(y)], variances[row, : len(y)] = y, v
    batch = pool(
        effects, variances, mask=np.isfinite(effects), tau2_method=method, ci_method=ci_method, tau2_interval=True
    )
    for row, (y, v) in enumerate(pools):
        alone = pool(y, v, tau2_method=method, ci_method=ci_method, tau2_interval=True)
        for field in fields(Pool):
            got = getattr(batch, field.name)[row]
            got = got[: len(y)] if field.name == "weights" else got
            want = getattr(alone, field.name)
            np.testing.assert_allclose(got, want, rtol=BATCH, atol=BATCH, err_msg=field.name)


@repeatable
@given(studies(min_size=3), method, ci_method, st.data())
def test_a_masked_study_is_an_absent_study(data, method, ci_method, draw):
    effects, variances = data
    out = draw.draw(st.integers(0, len(effects) - 1))
    mask = np.arange(len(effects)) != out
    spoilt = np.where(mask, effects, draw.draw(st.sampled_from([np.nan, np.inf, 1e300])))
    got = pool(spoilt, np.where(mask, variances, np.nan), mask=mask, tau2_method=method, ci_method=ci_method)
    expected = pool(effects[mask], variances[mask], tau2_method=method, ci_method=ci_method)
    assert_same(got, expected, BATCH, leave_out=("weights",))
    assert got.weights[out] == 0
    np.testing.assert_allclose(got.weights[mask], expected.weights, rtol=BATCH)


@repeatable
@given(studies(), method, st.sampled_from([0.5, 0.8, 0.95, 0.999]))
def test_modified_hartung_knapp_is_never_narrower_than_t_nor_than_hartung_knapp(data, method, level):
    modified, knapp, t = (pool(*data, tau2_method=method, ci_method=c, level=level) for c in ("mHK", "HK", "t"))
    assert modified.se >= t.se and modified.se >= knapp.se
    assert modified.ci_low <= min(t.ci_low, knapp.ci_low) and modified.ci_high >= max(t.ci_high, knapp.ci_high)
    assert modified.se in (t.se, knapp.se)


@repeatable
@given(studies(), method, ci_method)
def test_what_every_pool_promises(data, method, ci_method):
    effects, variances = data
    result = pool(effects, variances, tau2_method=method, ci_method=ci_method, tau2_interval=True)
    assert result.converged and result.k == len(effects)
    rounding = 1e-9 * (1 + np.abs(effects).max())
    assert effects.min() - rounding <= result.estimate <= effects.max() + rounding
    assert result.ci_low <= result.estimate <= result.ci_high
    assert result.tau2 >= 0 and 0 <= result.tau2_low <= result.tau2_high
    assert 0 <= result.i2 < 100 and result.h2 >= 1 and result.q >= 0
    assert 0 <= result.q_p <= 1 and not result.p > 1
    np.testing.assert_allclose(result.weights.sum(), 1, rtol=BATCH)
    if ci_method != "HK":  # whose standard error can be far below the others
        assert result.pi_low <= result.ci_low and result.pi_high >= result.ci_high


@repeatable
@given(studies(), method)
def test_a_wider_level_gives_wider_intervals(data, method):
    narrow, wide = (pool(*data, tau2_method=method, level=level, tau2_interval=True) for level in (0.8, 0.95))
    assert wide.ci_low <= narrow.ci_low and wide.ci_high >= narrow.ci_high
    assert wide.tau2_low <= narrow.tau2_low and wide.tau2_high >= narrow.tau2_high
    assert wide.estimate == narrow.estimate


@repeatable
@given(studies(), st.integers(2, 5))
def test_copies_of_every_study_narrow_the_common_effect_by_the_root_of_their_number(data, copies):
    effects, variances = data
    one = pool(effects, variances, model="common")
    many = pool(np.tile(effects, copies), np.tile(variances, copies), model="common")
    np.testing.assert_allclose(many.estimate, one.estimate, rtol=REORDERED, atol=REORDERED)
    np.testing.assert_allclose(many.se, one.se / np.sqrt(copies), rtol=REORDERED)
    np.testing.assert_allclose(many.q, one.q * copies, rtol=REORDERED, atol=REORDERED)


@repeatable
@given(studies(), method)
def test_many_copies_of_every_study_pin_the_estimate_and_tau2_down(data, method):
    """With n copies the standard error goes with the root of 1/n, and the Q-profile interval closes on PM's tau2."""
    effects, variances = data
    hundred, thousand = (
        pool(np.tile(effects, n), np.tile(variances, n), tau2_method=method, ci_method="Wald") for n in (100, 1000)
    )
    np.testing.assert_allclose(thousand.se, hundred.se / np.sqrt(10), rtol=0.05)
    np.testing.assert_allclose(thousand.estimate, hundred.estimate, atol=0.05 * hundred.se * 10)
    widths = [np.subtract(*q_profile(np.tile(effects, n), np.tile(variances, n))[::-1]) for n in (100, 1000)]
    assert widths[1] <= widths[0]


@repeatable
@given(st.integers(2, 12), st.integers(-3000, 3000), st.integers(1, 10_000), method)
def test_copies_of_one_study_are_that_study_more_precisely(copies, effect, variance, method):
    effect, variance = effect / 1000, variance / 1000
    result = pool(np.full(copies, effect), np.full(copies, variance), tau2_method=method)
    assert result.tau2 == 0 and result.i2 == 0
    np.testing.assert_allclose(result.estimate, effect, rtol=BATCH, atol=BATCH)
    np.testing.assert_allclose(result.se, np.sqrt(variance / copies), rtol=BATCH)


@repeatable
@given(studies(), method)
def test_a_study_that_knows_nothing_changes_no_weight_of_the_others(data, method):
    """As its variance grows a study's weight vanishes, whatever its effect."""
    effects, variances = data
    result = pool(np.append(effects, 50.0), np.append(variances, 1e12), model="common")
    expected = pool(effects, variances, model="common")
    np.testing.assert_allclose(result.estimate, expected.estimate, atol=1e-6)
    np.testing.assert_allclose(result.se, expected.se, rtol=1e-6)
    assert result.weights[-1] < 1e-10


@repeatable
@given(studies(), st.sampled_from([np.nan, np.inf, -np.inf]), st.booleans(), st.data())
def test_a_bad_number_anywhere_is_found_and_named(data, bad, in_effects, draw):
    effects, variances = (np.tile(x, (3, 1)) for x in data)
    row, column = draw.draw(st.integers(0, 2)), draw.draw(st.integers(0, len(data[0]) - 1))
    (effects if in_effects else variances)[row, column] = bad
    message = rf"\Apool {row}: study {column}: an? (effect|variance) must be finite[^\n]*\Z"
    with pytest.raises(ValueError, match=message):
        pool(effects, variances)
