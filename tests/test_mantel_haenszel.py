"""Pooling of 2 x 2 tables against metafor, statsmodels, and plain algebra."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from meta_analysis.event_effects import odds_ratio, risk_difference, risk_ratio
from meta_analysis.mantel_haenszel import mantel_haenszel, peto
from meta_analysis.pooling import Pool, pool
from tests.reference import CLOSED_FORM, NEAR_ZERO, metafor, tables

NAMES = ("bcg", "li2007", "collins1985b", "yusuf1985", "nielweise2007", "hine1989", "hahn2001", "zero_cells")
QUANTITIES = ("estimate", "se", "ci_low", "ci_high", "p", "i2", "h2", "q", "q_p")
EFFECTS = {"RR": risk_ratio, "OR": odds_ratio, "RD": risk_difference}
TABLES = tuple(np.array(x, dtype=float) for x in ([4, 10, 21, 37], [12, 12, 46, 42], [1, 2, 14, 23], [7, 8, 43, 37]))


def fit(name: str, measure: str, **options) -> Pool:
    if measure == "PETO":
        return peto(*tables(name), **options)
    return mantel_haenszel(*tables(name), measure=measure, **options)


def stratified(a, n1, c, n2) -> StratifiedTable:
    return StratifiedTable([np.array([[w, x - w], [y, z - y]]) for w, x, y, z in zip(a, n1, c, n2, strict=True)])


def test_the_reference_fits_are_whole():
    expected = {(name, measure) for name in NAMES for measure in ("RR", "OR", "RD", "PETO")}
    assert {(row["tables"], row["measure"]) for row in metafor()["table_fits"]} == expected
    assert len(metafor()["table_fits"]) == len(expected)
    assert set(metafor()["tables"]) == set(NAMES)
    assert all(row["drop00"] == [row["measure"] != "RD"] * 2 for row in metafor()["table_fits"])
    assert all(row[quantity] is not None for row in metafor()["table_fits"] for quantity in QUANTITIES)


@pytest.mark.parametrize("row", metafor()["table_fits"], ids=lambda row: f"{row['tables']}-{row['measure']}")
def test_common_effect_as_in_metafor(row):
    result = fit(row["tables"], row["measure"])
    for quantity in QUANTITIES:
        got, expected = getattr(result, quantity), row[quantity]
        np.testing.assert_allclose(got, expected, rtol=CLOSED_FORM, atol=NEAR_ZERO, err_msg=quantity)
    assert (result.k, result.q_df) == (row["k_yi"], row["k_yi"] - 1)
    assert result.tau2 == 0 and result.df == np.inf and np.isnan(result.pi_low) and result.converged


def test_tables_in_which_everybody_had_the_event():
    """On purpose as Review Manager: left out of a risk ratio altogether. metafor's default keeps them in its sums."""
    row = metafor()["metafor_keeps_full_tables"]
    assert row["drop00"] == [True, False]
    a, n1, c, n2 = tables("zero_cells")
    full = (a == n1) & (c == n2)
    assert full.sum() == 1
    ours = mantel_haenszel(a, n1, c, n2)
    without = mantel_haenszel(*(x[~full] for x in (a, n1, c, n2)))
    assert ours.estimate == without.estimate and ours.k == without.k
    assert abs(row["estimate"] - ours.estimate) > 0.01


def test_odds_ratio_as_in_statsmodels():
    result, table = mantel_haenszel(*TABLES, measure="OR"), stratified(*TABLES)
    np.testing.assert_allclose(np.exp(result.estimate), table.oddsratio_pooled, rtol=CLOSED_FORM)
    np.testing.assert_allclose(result.se, table.logodds_pooled_se, rtol=CLOSED_FORM)
    np.testing.assert_allclose(
        np.exp([result.ci_low, result.ci_high]), table.oddsratio_pooled_confint(), rtol=CLOSED_FORM
    )
    np.testing.assert_allclose(np.exp(mantel_haenszel(*TABLES).estimate), table.riskratio_pooled, rtol=CLOSED_FORM)


@pytest.mark.parametrize("name", ("bcg", "li2007", "collins1985b", "hine1989"))
def test_more_odds_ratios_as_in_statsmodels(name):
    result, table = fit(name, "OR"), stratified(*tables(name))
    np.testing.assert_allclose(result.estimate, table.logodds_pooled, rtol=CLOSED_FORM)
    np.testing.assert_allclose(result.se, table.logodds_pooled_se, rtol=CLOSED_FORM)


@pytest.mark.parametrize("measure", EFFECTS)
@pytest.mark.parametrize("name", NAMES)
def test_random_effects_as_in_review_manager(name, measure):
    """metafor has no such model; the algebra of the "Statistical algorithms in Review Manager 5", study by study."""
    rows = [
        (a, n1, c, n2) for a, n1, c, n2 in zip(*tables(name), strict=True) if measure == "RD" or 0 < a + c < n1 + n2
    ]
    upper, lower = 0.0, 0.0
    for a, n1, c, n2 in rows:
        n = n1 + n2
        upper += {"RR": a * n2 / n, "OR": a * (n2 - c) / n, "RD": (a * n2 - c * n1) / n}[measure]
        lower += {"RR": c * n1 / n, "OR": (n1 - a) * c / n, "RD": n1 * n2 / n}[measure]
    centre = upper / lower if measure == "RD" else np.log(upper / lower)
    y, w = [], []
    for a, n1, c, n2 in rows:
        if a in (0, n1) or c in (0, n2):
            a, n1, c, n2 = a + 0.5, n1 + 1, c + 0.5, n2 + 1
        b, d = n1 - a, n2 - c
        if measure == "RR":
            y.append(np.log(a * n2 / (c * n1)))
            w.append(1 / (1 / a + 1 / c - 1 / n1 - 1 / n2))
        elif measure == "OR":
            y.append(np.log(a * d / (b * c)))
            w.append(1 / (1 / a + 1 / b + 1 / c + 1 / d))
        else:
            y.append(a / n1 - c / n2)
            w.append(1 / (a * b / n1**3 + c * d / n2**3))
    y, w = np.array(y), np.array(w)
    q = np.sum(w * (y - centre) ** 2)
    tau2 = max(0.0, (q - (len(rows) - 1)) / (np.sum(w) - np.sum(w**2) / np.sum(w)))
    w_random = 1 / (1 / w + tau2)
    estimate, se = np.sum(w_random * y) / np.sum(w_random), 1 / np.sqrt(np.sum(w_random))
    i2 = max(0.0, 100 * (q - (len(rows) - 1)) / q)

    result = fit(name, measure, model="random")
    expected = (estimate, se, tau2, q, i2, 2 * stats.norm.sf(abs(estimate / se)), estimate - stats.norm.ppf(0.975) * se)
    got = (result.estimate, result.se, result.tau2, result.q, result.i2, result.p, result.ci_low)
    np.testing.assert_allclose(got, expected, rtol=CLOSED_FORM, atol=NEAR_ZERO)
    np.testing.assert_allclose(result.q_p, stats.chi2(len(rows) - 1).sf(q), rtol=CLOSED_FORM)
    assert result.k == len(rows)
    assert (result.tau2 == 0) == (tau2 == 0)
    margin = stats.t(len(rows) - 2).ppf(0.975) * np.hypot(se, np.sqrt(tau2))
    prediction = estimate - margin, estimate + margin
    np.testing.assert_allclose((result.pi_low, result.pi_high), prediction, rtol=CLOSED_FORM)


def test_the_random_model_is_close_to_dersimonian_and_laird_but_not_it():
    """Only the centre of Q differs, so tau2 is never smaller: Q is least about the inverse-variance mean."""
    for name in NAMES:
        centred = fit(name, "OR", model="random")
        a, n1, c, n2 = tables(name)
        informative = (a + c > 0) & (a + c < n1 + n2)
        plain = pool(*odds_ratio(a, n1, c, n2), mask=informative, tau2_method="DL", ci_method="Wald")
        assert centred.tau2 >= plain.tau2 and centred.q >= plain.q
    assert centred.q > plain.q


@pytest.mark.parametrize("measure", ("RR", "OR", "RD"))
def test_the_common_estimate_is_the_weighted_mean_of_natural_effects(measure):
    a, n1, c, n2 = TABLES
    natural = {"RR": (a / n1) / (c / n2), "OR": a * (n2 - c) / ((n1 - a) * c), "RD": a / n1 - c / n2}[measure]
    result = mantel_haenszel(*TABLES, measure=measure)
    np.testing.assert_allclose(result.weights.sum(), 1, rtol=CLOSED_FORM)
    mean = np.sum(result.weights * natural)
    np.testing.assert_allclose(result.estimate, mean if measure == "RD" else np.log(mean), rtol=CLOSED_FORM)


@pytest.mark.parametrize("measure", ("RR", "OR", "RD", "PETO"))
def test_exchanging_the_arms_changes_the_sign_only(measure):
    a, n1, c, n2 = TABLES
    for model in ("common",) if measure == "PETO" else ("common", "random"):
        if measure == "PETO":
            one, other = peto(a, n1, c, n2), peto(c, n2, a, n1)
        else:
            one, other = (mantel_haenszel(*t, measure=measure, model=model) for t in ((a, n1, c, n2), (c, n2, a, n1)))
        np.testing.assert_allclose(one.estimate, -other.estimate, rtol=CLOSED_FORM)
        np.testing.assert_allclose((one.se, one.tau2, one.q), (other.se, other.tau2, other.q), rtol=CLOSED_FORM)


@pytest.mark.parametrize("measure", ("RR", "OR", "PETO"))
def test_tables_without_any_event_say_nothing_on_a_ratio(measure):
    call = peto if measure == "PETO" else lambda *t: mantel_haenszel(*t, measure=measure)
    one = call(*TABLES)
    more = call(*(np.append(x, extra) for x, extra in zip(TABLES, (0, 30, 0, 10), strict=True)))
    for field in fields(Pool):
        got = getattr(more, field.name)
        got = got[:4] if field.name == "weights" else got
        np.testing.assert_allclose(got, getattr(one, field.name), rtol=CLOSED_FORM, err_msg=field.name)
    assert more.weights[4] == 0


def test_a_risk_difference_keeps_tables_without_any_event():
    more = tuple(np.append(x, extra) for x, extra in zip(TABLES, (0, 30, 0, 10), strict=True))
    result = mantel_haenszel(*more, measure="RD")
    assert result.k == 5 and abs(result.estimate) < abs(mantel_haenszel(*TABLES, measure="RD").estimate)


@pytest.mark.parametrize("measure", ("RR", "OR", "RD", "PETO"))
def test_batches_and_masks(measure):
    """Every pair or more of the four tables, with rubbish where a table is absent, against the subset alone."""
    masks = np.array([[bool(i >> j & 1) for j in range(4)] for i in range(16)])
    masks = masks[masks.sum(axis=1) >= 2]
    rubbish = (
        *(np.where(masks, x, bad) for x, bad in zip(TABLES[:3], (np.inf, np.nan, -np.inf), strict=True)),
        TABLES[3],
    )
    for model in ("common",) if measure == "PETO" else ("common", "random"):

        def call(*t, mask=None, model=model):
            if measure == "PETO":
                return peto(*t, mask=mask)
            return mantel_haenszel(*t, measure=measure, model=model, mask=mask)

        batch = call(*rubbish, mask=masks)
        for row, mask in enumerate(masks):
            alone = call(*(x[mask] for x in TABLES))
            for field in fields(Pool):
                got = getattr(batch, field.name)[row]
                got = got[mask] if field.name == "weights" else got
                np.testing.assert_allclose(got, getattr(alone, field.name), rtol=CLOSED_FORM, atol=NEAR_ZERO)


def test_shapes():
    one = mantel_haenszel(*TABLES)
    many = mantel_haenszel(*(np.broadcast_to(x, (2, 3, 4)) for x in TABLES), model="random")
    for field in fields(Pool):
        assert np.shape(getattr(one, field.name)) == ((4,) if field.name == "weights" else ())
        assert np.shape(getattr(many, field.name)) == ((2, 3, 4) if field.name == "weights" else (2, 3))


def test_a_single_table():
    result = mantel_haenszel([10], [12], [2], [8])
    np.testing.assert_allclose(result.estimate, np.log((10 / 12) / (2 / 8)), rtol=CLOSED_FORM)
    np.testing.assert_allclose(result.se**2, 1 / 10 - 1 / 12 + 1 / 2 - 1 / 8, rtol=CLOSED_FORM)
    assert (result.k, result.q, result.q_p, result.i2) == (1, 0, 1, 0)


def test_peto_by_hand():
    a, n1, c, n2 = TABLES
    n, m = n1 + n2, a + c
    expected, variance = m * n1 / n, m * (n - m) * n1 * n2 / (n**2 * (n - 1))
    result = peto(*TABLES)
    np.testing.assert_allclose(result.estimate, np.sum(a - expected) / np.sum(variance), rtol=CLOSED_FORM)
    np.testing.assert_allclose(result.se, np.sum(variance) ** -0.5, rtol=CLOSED_FORM)
    q = np.sum((a - expected) ** 2 / variance) - np.sum(a - expected) ** 2 / np.sum(variance)
    np.testing.assert_allclose(result.q, q, rtol=CLOSED_FORM)
    # The variance is that of the hypergeometric distribution.
    np.testing.assert_allclose(variance, stats.hypergeom(n, m, n1).var(), rtol=CLOSED_FORM)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mantel_haenszel([1, 9], [8, 8], [1, 1], [8, 8]), "study 1: active arm: events must .*; got 9, 8"),
        (lambda: mantel_haenszel([[1, 1], [1, 1]], 2 * [8], [1, -1], 2 * [8]), "pool 0: study 1: control arm: .*"),
        (lambda: peto([1, 1], [8, 0], [1, 1], [8, 8]), "study 1: active arm: events must .*; got 1, 0"),
        (lambda: peto([1, np.nan], [8, 8], [1, 1], [8, 8]), "study 1: active arm: events must .*; got nan, 8"),
        (lambda: mantel_haenszel([1, 1], [8, 8], [1, 1], [8]), r"the last axes \(studies\) do not match: .*"),
        (lambda: mantel_haenszel(1, 8, 1, 8), "studies lie along the last axis, so a scalar cannot be pooled: .*"),
        (lambda: mantel_haenszel([1, 2], [8, 8], [0, 0], [8, 8]), "the RR is 0 or infinite: one of its .*"),
        (
            lambda: mantel_haenszel([[1, 2], [0, 0]], [8, 8], [1, 1], [8, 8], measure="OR"),
            r"pool 1: the OR is 0 or infinite: one of its Mantel-Haenszel sums is 0 \(an arm without events\?\)",
        ),
        (lambda: mantel_haenszel([0, 0], [8, 8], [0, 0], [8, 8]), "at least 1 study needed, got 0"),
        (lambda: peto([0, 8], [8, 8], [0, 8], [8, 8]), "at least 1 study needed, got 0"),
        (lambda: mantel_haenszel([1], [8], [1], [8], model="random"), "at least 2 studies needed, got 1"),
        (lambda: mantel_haenszel([1], [8], [1], [8], measure="SMD"), "unknown measure 'SMD'; use one of RR, OR, RD"),
        (lambda: mantel_haenszel([1], [8], [1], [8], model="fixed"), "unknown model 'fixed'; use one of .*"),
        (lambda: peto([1], [8], [1], [8], level=95), "level must lie between 0 and 1, got 95"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=rf"\A{message}\Z") as caught:
        call()
    assert "\n" not in str(caught.value)
