"""Additive bias, tipping points and E-values: against metafor on shifted data, by hand, and at the edges."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meta_analysis import bias_model
from meta_analysis.pooling import pool

BIAS = json.loads((Path(__file__).parents[1] / "data" / "reference" / "harms.json").read_text(encoding="utf-8"))["bias"]
Y, V = np.array(BIAS["yi"]), np.array(BIAS["vi"])
# metafor's REML iteration stops at 1e-14 in tau2 and converges linearly.
ITERATIVE = 1e-8
# Six trials that favour the active arm and agree: an interval that excludes 0.
AGREED = np.array([-0.9, -0.8, -0.7, -0.6, -0.75, -0.7]), np.full(6, 0.06)


@pytest.mark.parametrize("fit", BIAS["fits"], ids=lambda fit: f"{fit['bias_mean']:.1f}, {fit['bias_sd']:.1f}")
def test_adjusted_pool_is_metafor_on_shifted_effects_and_larger_variances(fit):
    result = bias_model.adjusted_pool(Y, V, fit["bias_mean"], fit["bias_sd"])
    for name in result._fields:
        np.testing.assert_allclose(getattr(result, name), fit[name], rtol=ITERATIVE, err_msg=name)


def test_a_shared_bias_by_hand():
    y, v = np.array([-1.0, -0.5]), np.array([0.04, 0.04])
    result = bias_model.adjusted_pool(y, v, -0.2, 0.3, shared=1.0, model="common")
    # Common effect: estimate -0.75 + 0.2; variance 0.04 / 2 + 0.3^2, all of the bias being the same draw.
    assert result.estimate == pytest.approx(-0.55)
    assert result.se == pytest.approx(np.sqrt(0.02 + 0.09))
    assert result.ci_high == pytest.approx(-0.55 + 1.959963984540054 * np.sqrt(0.11))


def test_a_bias_of_its_own_in_each_trial():
    bias = np.array([0, 0, 0, 0, -0.4, -0.4])
    result = bias_model.adjusted_pool(*AGREED, bias)
    expected = pool(AGREED[0] - bias, AGREED[1])
    assert result.estimate == pytest.approx(float(expected.estimate), rel=1e-12)


def test_shared_biases_never_narrow_the_interval():
    alone = bias_model.adjusted_pool(*AGREED, 0.0, 0.3)
    shared = bias_model.adjusted_pool(*AGREED, 0.0, 0.3, shared=1.0)
    half = bias_model.adjusted_pool(*AGREED, 0.0, 0.3, shared=0.5)
    assert alone.se < half.se < shared.se


def test_the_surface_holds_every_pair_and_agrees_with_single_calls():
    surface = bias_model.bias_surface(*AGREED, [0.0, -0.3], [0.0, 0.1, 0.4], shared=0.25)
    assert len(surface) == 6 and not surface.duplicated(["bias_mean", "bias_sd"]).any()
    for _, row in surface.iterrows():
        single = bias_model.adjusted_pool(*AGREED, row["bias_mean"], row["bias_sd"], shared=0.25)
        np.testing.assert_allclose([row["estimate"], row["ci_low"], row["ci_high"]],
                                   [single.estimate, single.ci_low, single.ci_high], rtol=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("bias_sd, shared", [(0.0, 0.0), (0.1, 0.0), (0.1, 1.0)])
def test_the_tipping_point_brings_the_interval_to_no_effect(sign, bias_sd, shared):
    y, v = sign * np.abs(AGREED[0]), AGREED[1]
    bias = bias_model.tipping_bias(y, v, bias_sd, shared=shared)
    assert np.sign(bias) == sign
    result = bias_model.adjusted_pool(y, v, bias, bias_sd, shared=shared)
    assert min(abs(result.ci_low), abs(result.ci_high)) == pytest.approx(0, abs=1e-12)
    less = bias_model.adjusted_pool(y, v, 0.99 * bias, bias_sd, shared=shared)
    assert less.ci_low > 0 or less.ci_high < 0, "a smaller bias is not enough"


def test_the_tipping_spread_brings_the_interval_to_no_effect():
    for shared in (0.0, 1.0):
        spread = bias_model.tipping_spread(*AGREED, shared=shared)
        assert bias_model.adjusted_pool(*AGREED, 0.0, spread, shared=shared).ci_high == pytest.approx(0, abs=1e-9)
    assert bias_model.tipping_spread(*AGREED, shared=1.0) < bias_model.tipping_spread(*AGREED)


def test_an_interval_that_holds_no_effect_has_tipped_already():
    y, v = np.array([-0.5, 0.4]), np.array([0.1, 0.1])
    assert bias_model.tipping_bias(y, v) == 0
    assert bias_model.tipping_spread(y, v) == 0


def test_e_values_by_hand():
    # 3.9 + sqrt(3.9 * 2.9), and 1.8 + sqrt(1.8 * 0.8): the worked example of VanderWeele and Ding (2017).
    result = bias_model.e_value(3.9, 1.8, 8.7)
    assert (round(result.estimate, 2), round(result.limit, 1)) == (7.26, 3.0)
    inverse = bias_model.e_value(1 / 3.9, 1 / 8.7, 1 / 1.8)
    np.testing.assert_allclose(inverse, result, rtol=1e-12)
    assert bias_model.e_value(1.5, 0.9, 2.5).limit == 1
    assert bias_model.e_value(1.0, 0.9, 1.1).estimate == 1


def test_a_row_of_tipping_points():
    trials = pd.DataFrame({"yi": AGREED[0], "vi": AGREED[1]})
    result = pool(*AGREED)
    row = {"analysis_id": "x.primary", "measure": "SMD", "estimate": float(result.estimate), "tau2_method": "REML",
           "ci_method": "mHK", "ci_low": float(result.ci_low), "ci_high": float(result.ci_high)}
    found = bias_model.tipping_row(trials, row, points=10.0)
    assert found["tipping_bias"] == pytest.approx(float(result.ci_high))
    assert found["caps_5_points"] == pytest.approx(10 * found["tipping_bias"]) and np.isnan(found["e_value"])
    as_ratio = row | {"measure": "RR", "estimate": np.exp(row["estimate"]), "ci_low": np.exp(row["ci_low"]),
                      "ci_high": np.exp(row["ci_high"])}
    found = bias_model.tipping_row(trials, as_ratio, points=10.0)
    assert found["tipping_bias"] == pytest.approx(as_ratio["ci_high"]) and np.isnan(found["caps_5_points"])
    assert found["e_value_limit"] > 1


def test_a_result_of_one_trial_has_no_tipping_point(capsys):
    trials = pd.DataFrame({"yi": AGREED[0], "vi": AGREED[1]})
    row = {"measure": "SMD", "estimate": -0.7, "ci_low": -0.9, "ci_high": -0.5, "tau2_method": "REML",
           "ci_method": "mHK"}
    alone = row | {"analysis_id": "b", "tau2_method": "", "ci_method": "Wald"}
    table = bias_model.tipping_table({"a": (trials, row | {"analysis_id": "a"}), "b": (trials[:1], alone)}, points=13)
    assert list(table["analysis_id"]) == ["a"]
    assert table.iloc[0].to_dict() == pytest.approx(
        bias_model.tipping_row(trials, row | {"analysis_id": "a"}, points=13), nan_ok=True)
    assert capsys.readouterr().out == "b is left out: fewer than two trials have the data\n"


@pytest.mark.parametrize("call, message", [
    (lambda: bias_model.adjusted_pool(*AGREED, 0.0, -0.1), "standard deviation of 0 or more"),
    (lambda: bias_model.adjusted_pool(*AGREED, np.nan), "a finite mean"),
    (lambda: bias_model.adjusted_pool(*AGREED, 0.0, 0.1, shared=1.5), "between 0 and 1, got 1.5"),
    (lambda: bias_model.adjusted_pool([0.1], [0.1]), "at least 2 studies"),
    (lambda: bias_model.e_value(-1, 0.5, 2), "ratios must be above zero"),
    (lambda: bias_model.e_value(1.2, 1.3, 2), "the limits around them"),
])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
