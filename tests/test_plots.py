"""Figures: the table of what was drawn, the artists that drew it, and no text that overlaps another."""

import itertools
import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Polygon
from scipy import stats

from meta_analysis import forest, forest_rows, forest_text, frame, intervals, lights, plots, report
from meta_analysis.forest_rows import Summary
from tests.readable import DPI, PIXELS, assert_readable, drawn_texts, words_of

matplotlib.use("Agg")

# Contrast that WCAG 2.2 (1.4.11) wants of the parts of a picture that carry meaning.
WCAG_CONTRAST = 3.0
# Two greys this far apart (0 black, 1 white) are told apart in print.
GREY_STEP = 0.12


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def trials(count, *, ratio=False, long_labels=False, wide=False):
    """Made-up trials: regular numbers, so that a test can say what is to be seen."""
    effects = np.linspace(-1.2, 0.1, count)
    variances = np.linspace(0.3, 0.05, count)
    if wide:
        variances[0] = 30.0
    weights = 1 / variances / (1 / variances).sum()
    labels = [f"Author {2001 + number}" for number in range(count)]
    if long_labels:
        labels = [f"{label}, a name with many words (and a remark in parentheses, MP-{number})"
                  for number, label in enumerate(labels)]
    table = forest_rows.study_rows(labels, effects, variances, measure="RR" if ratio else "SMD", weights=weights)
    return table.assign(n_active=range(40, 40 + count), n_control=range(20, 20 + count), mean="25.5 (26.7)")


def summaries(measure="SMD"):
    low, middle, high = (0.3, 0.5, 0.9) if measure in report.RATIO_MEASURES else (-0.9, -0.6, -0.3)
    return [Summary("Common effect", middle, low, high, "hollow", {"n_active": 132}),
            Summary("Random effects (REML, mHK)", middle, low, high, cells={"n_active": 132, "n_control": 104}),
            Summary("95% prediction interval", middle, 0.8 * low, 1.2 * high, "prediction")]


def judge(labels, judgement="Low"):
    return pd.DataFrame(judgement, index=list(labels), columns=["D1", "D2", "D3", "D4", "D5", "overall"])


def assert_readable_beside_the_panel(fig, least):
    """As `assert_readable`, and no text stands in the panel."""
    assert_readable(fig, least)
    panel = frame.panel_of(fig.axes[0]).get_window_extent()
    for text, _, box in drawn_texts(fig):
        within = panel.y0 < box.y0 < panel.y1
        assert not within or box.x1 < panel.x0 or box.x0 > panel.x1, f"{text!r} stands in the panel"


# Style and scales


def test_style_does_not_leak_and_ignores_the_readers_settings():
    with matplotlib.rc_context({"font.family": "serif", "axes.facecolor": "red"}):
        with plots.style():
            assert matplotlib.rcParams["font.family"] == ["DejaVu Sans"]
            assert matplotlib.rcParams["axes.facecolor"] == "white"
        assert matplotlib.rcParams["font.family"] == ["serif"]


def test_style_does_not_switch_off_the_display_of_figures_that_a_notebook_switched_on_inside():
    with matplotlib.rc_context({"interactive": False}):
        with plots.style():
            matplotlib.interactive(True)
        assert matplotlib.is_interactive()
        with pytest.raises(KeyError), plots.style():
            raise KeyError
        assert matplotlib.is_interactive()


def test_a_style_that_ended_in_an_error_has_ended():
    with matplotlib.rc_context({"font.size": 20}):
        with pytest.raises(KeyError), plots.style():
            raise KeyError
        with plots.style():
            assert matplotlib.rcParams["font.size"] == plots.TEXT
        assert matplotlib.rcParams["font.size"] == 20


def test_text_is_as_wide_as_it_was_measured():
    fig = plt.figure(dpi=DPI)
    with plots.style():
        for words, bold in (("Mithoefer 2011", False), ("−0.71 [−1.06, −0.37]", True)):
            text = fig.text(0.1, 0.5, words, size=8, weight="bold" if bold else "normal")
            width = text.get_window_extent(fig.canvas.get_renderer()).width / DPI
            assert plots.text_width(words, 8, bold) == pytest.approx(width, abs=PIXELS / DPI)


def test_wrap_keeps_words_and_parentheses_whole():
    assert plots.wrap("Random effects (REML, mHK)", 1.2).split("\n") == ["Random effects", "(REML, mHK)"]
    assert plots.wrap("one", 0.01) == "one"
    text = "some words (of which these stand in very long parentheses) and more"
    lines = plots.wrap(text, 1.0).split("\n")
    assert " ".join(lines) == text and max(map(plots.text_width, lines)) <= 1.0


def test_only_the_hyphen_of_a_number_becomes_a_minus_sign():
    assert plots.typographic("-0.5 [-1.0, 0.2] (-3)") == "−0.5 [−1.0, 0.2] (−3)"
    assert plots.typographic("MP-8, 100-125 mg, 2011-12") == "MP-8, 100-125 mg, 2011-12"


@pytest.mark.parametrize(("measure", "event", "below"), [
    ("SMD", None, "MDMA-AT"), ("MD", None, "MDMA-AT"), ("RR", "good", "control"), ("RR", "bad", "MDMA-AT"),
    ("OR", "good", "control"), ("RD", "good", "control"), ("RD", "bad", "MDMA-AT"),
])
def test_what_lies_below_no_effect_favours(measure, event, below):
    other = {"MDMA-AT": "control", "control": "MDMA-AT"}[below]
    assert plots.favours(measure, event) == [f"Favours {below}", f"Favours {other}"]


def test_the_direction_of_an_event_is_neither_guessed_nor_given_for_scores():
    with pytest.raises(ValueError, match="RR: say whether the event is 'good' or 'bad', got None"):
        plots.favours("RR")
    with pytest.raises(ValueError, match="SMD compares scores"):
        plots.favours("SMD", "good")


def test_a_label_says_what_is_measured_and_which_side_favours_the_active_arm():
    assert plots.measure_label("SMD") == "Standardised mean difference\n(below 0 favours MDMA-AT)"
    assert plots.measure_label("RR", "good") == "Risk ratio\n(above 1 favours MDMA-AT)"
    assert plots.measure_label("OR", "bad", "A") == "Odds ratio\n(below 1 favours A)"


def test_axis_shows_no_effect_all_estimates_and_ordinary_intervals_but_not_a_huge_one():
    low, high = plots.axis_range([-1.0, -0.6, -0.8], [-1.4, -1.0, -30.0], [-0.6, -0.2, 28.4], "SMD")
    assert -4 < low < -1.4 and 0 < high < 4
    low, high = plots.axis_range([2.0, 1.5], [1.2, 0.9], [3.3, 2.5], "RR")
    assert 0 < low < 0.9 and 3.3 < high < 4
    for value in (1.0, math.nan):
        low, high = plots.axis_range([value], [value], [value], "OR")
        assert 0 < low < 1 < high
    assert np.all(np.isfinite(plots.axis_range([0.5], [0.2], [math.inf], "SMD")))


@pytest.mark.parametrize("measure", ["RR", "OR"])
@pytest.mark.parametrize("limits", [(0.9, 1.2), (0.5, 3), (0.1, 12), (0.03, 20), (1e-3, 1e3), (1e-9, 1e9)])
@pytest.mark.parametrize("width", [1.0, 1.4, 3.0])
def test_log_ticks_are_few_apart_and_hold_no_effect(measure, limits, width):
    ticks = plots.axis_ticks(limits, measure, width)
    assert 1.0 in ticks and 2 <= len(ticks) <= width / plots.TICK_PITCH + 1
    assert limits[0] <= min(ticks) and max(ticks) <= limits[1]
    assert np.diff(np.log(ticks)).min() * width / np.log(limits[1] / limits[0]) > 0.2


def test_linear_ticks():
    assert plots.axis_ticks((-2.3, 0.8), "SMD", 1.4) == [-2, -1, 0]
    assert plots.tick_texts([-0.5, 0.0, 0.5], "SMD") == ["−0.5", "0.0", "0.5"]
    assert plots.tick_texts([0.5, 1, 10], "RR") == ["0.5", "1", "10"]


# Forest plots


def test_study_rows_have_normal_intervals_and_ratios_on_their_natural_scale():
    rows = forest_rows.study_rows(["a"], [-0.5], [0.04], measure="SMD", weights=[1.0])
    half = stats.norm.ppf(0.975) * 0.2
    assert rows.iloc[0, 1:].tolist() == pytest.approx([-0.5, -0.5 - half, -0.5 + half, 1.0], rel=1e-12)
    ratio = forest_rows.study_rows(["a"], [-0.5], [0.04], measure="OR")
    numbers = ["estimate", "low", "high"]
    np.testing.assert_allclose(np.log(ratio[numbers]), rows[numbers], rtol=1e-12)
    assert ratio["weight"].isna().all()


def test_plotted_table_holds_what_was_given_in_the_order_of_the_rows():
    studies, pooled = trials(6), summaries()
    _, plotted = forest.forest_figure(studies, pooled, measure="SMD")
    assert plotted["label"].tolist() == [*studies["label"], *(item.label for item in pooled)]
    assert plotted["kind"].tolist() == ["study"] * 6 + ["hollow", "diamond", "prediction"]
    assert (np.diff(plotted["y"]) < 0).all(), "from top to bottom"
    np.testing.assert_array_equal(plotted.loc[:5, ["estimate", "low", "high", "weight"]],
                                  studies[["estimate", "low", "high", "weight"]])
    np.testing.assert_array_equal(plotted.loc[6:, ["estimate", "low", "high"]],
                                  [[item.estimate, item.low, item.high] for item in pooled])


def test_squares_have_areas_proportional_to_weight_and_stand_at_the_estimates():
    studies = trials(6)
    fig, plotted = forest.forest_figure(studies, summaries(), measure="SMD")
    squares = [item for item in frame.panel_of(fig.axes[0]).collections if isinstance(item, PathCollection)]
    sizes = np.concatenate([item.get_sizes() for item in squares])
    np.testing.assert_allclose(sizes / sizes.sum(), studies["weight"], rtol=1e-12)
    np.testing.assert_allclose(sizes, plotted["square_area"].dropna(), rtol=1e-12)
    places = np.concatenate([item.get_offsets() for item in squares])
    np.testing.assert_allclose(places, plotted.loc[:5, ["estimate", "y"]])
    # matplotlib's sizes are areas in points squared: the square itself must have that area.
    fig.canvas.draw()
    path = squares[0].get_paths()[0].transformed(matplotlib.transforms.Affine2D(squares[0].get_transforms()[0]))
    assert np.prod(np.ptp(path.vertices, axis=0)) == pytest.approx(sizes[0] * (fig.dpi / 72) ** 2)


def test_diamonds_end_at_their_intervals_and_only_the_random_effects_one_is_filled():
    fig, plotted = forest.forest_figure(trials(6), summaries(), measure="SMD")
    diamonds = [item for item in frame.panel_of(fig.axes[0]).patches if isinstance(item, Polygon)]
    assert [to_rgb(item.get_facecolor()) == (1, 1, 1) for item in diamonds] == [True, False]
    marks = plotted[plotted["kind"].isin(["hollow", "diamond"])]
    for diamond, (_, mark) in zip(diamonds, marks.iterrows(), strict=True):
        corners = diamond.get_xy()
        left, right = corners[corners[:, 0].argmin()], corners[corners[:, 0].argmax()]
        assert left.tolist() == [mark["low"], mark["y"]] and right.tolist() == [mark["high"], mark["y"]]
        assert corners[corners[:, 1].argmax(), 0] == mark["estimate"]


def test_an_interval_that_leaves_the_axis_is_cut_and_gets_an_arrow():
    studies = trials(6, wide=True)
    fig, plotted = forest.forest_figure(studies, summaries(), measure="SMD", xlim=(-2.0, 0.5))
    expected_low, expected_high = plotted["low"] < -2.0, plotted["high"] > 0.5
    assert expected_low.sum() == 1 and expected_high.sum() == 2
    assert plotted["arrow_low"].tolist() == expected_low.tolist()
    assert plotted["arrow_high"].tolist() == expected_high.tolist()
    np.testing.assert_array_equal(plotted["drawn_low"], plotted["low"].clip(lower=-2.0))
    np.testing.assert_array_equal(plotted["drawn_high"], plotted["high"].clip(upper=0.5))
    ends = [line.get_xdata() for line in frame.panel_of(fig.axes[0]).lines if line.get_ydata()[0] == plotted["y"][0]]
    assert [-2.0, 0.5] in [list(end) for end in ends], "the line of the first trial ends where the axis ends"
    arrows = [(line.get_marker(), *line.get_xydata()[0]) for line in frame.panel_of(fig.axes[0]).lines
              if line.get_marker() in ("<", ">")]
    assert sorted(arrows) == sorted([("<", -2.0, y) for y in plotted.loc[expected_low, "y"]]
                                    + [(">", 0.5, y) for y in plotted.loc[expected_high, "y"]])


@pytest.mark.parametrize("measure", ["RR", "OR"])
def test_ratios_have_a_log_axis_with_a_line_at_one(measure):
    fig, _ = forest.forest_figure(trials(3, ratio=True), summaries(measure), measure=measure, event="bad")
    panel = frame.panel_of(fig.axes[0])
    assert panel.get_xscale() == "log" and 1.0 in panel.get_xticks()
    assert any(list(line.get_xdata()) == [1.0, 1.0] for line in panel.lines)


@pytest.mark.parametrize(("event", "side"), [("good", "right"), ("bad", "left")])
def test_the_side_that_favours_the_active_arm_is_written_on_that_side_of_no_effect(event, side):
    fig, _ = forest.forest_figure(trials(3, ratio=True), measure="RR", event=event)
    [box] = [box for text, _, box in drawn_texts(fig) if "Favours MDMA-AT" in text]
    middle = frame.panel_of(fig.axes[0]).transData.transform((1.0, 0.0))[0]
    assert (box.x0 > middle) if side == "right" else (box.x1 < middle)


def test_a_trial_without_an_estimate_keeps_its_row():
    studies = trials(3)
    studies.loc[1, ["estimate", "low", "high", "weight"]] = math.nan
    studies["weight"] /= studies["weight"].sum()
    fig, plotted = forest.forest_figure(studies, measure="SMD")
    assert plotted["square_area"].isna().tolist() == [False, True, False]
    assert "not estimable" in words_of(fig)
    assert "Author 2002: not estimable." in forest_text.forest_alt_text(plotted, measure="SMD", outcome="severity")


def test_trials_that_are_not_pooled_have_equal_squares_and_no_weight_column():
    fig, plotted = forest.forest_figure(trials(3).assign(weight=math.nan), measure="SMD")
    assert plotted["square_area"].nunique() == 1
    assert "Weight" not in words_of(fig)


def test_groups_are_blocks_with_their_own_summaries():
    studies = trials(4).assign(group=["Phase 2", "Phase 3", "Phase 2", "Phase 3"])
    groups = {name: [Summary(f"Subtotal {name}", -0.5, -0.9, -0.1)] for name in ("Phase 2", "Phase 3")}
    _, plotted = forest.forest_figure(studies, summaries(), measure="SMD", groups=groups)
    assert plotted["label"].tolist()[:6] == ["Author 2001", "Author 2003", "Subtotal Phase 2", "Author 2002",
                                             "Author 2004", "Subtotal Phase 3"]
    assert plotted["group"].tolist() == ["Phase 2"] * 3 + ["Phase 3"] * 3 + [""] * 3
    text = forest_text.forest_alt_text(plotted, measure="SMD", outcome="severity")
    assert text.index("Phase 2:") < text.index("Subtotal Phase 2:") < text.index("Phase 3:") < text.index("All trials:")


RESULT = {"model": "random", "tau2_method": "REML", "ci_method": "mHK", "estimate": -0.7, "ci_low": -1.1,
          "ci_high": -0.3, "pi_low": -1.3, "pi_high": -0.1, "n_active": 130, "n_control": 108, "tau2": 0.012,
          "tau2_low": 0.0, "tau2_high": 0.64, "i2": 8.2, "q": 5.44, "q_df": 5, "q_p": 0.365}


def test_summaries_and_heterogeneity_come_from_rows_of_a_results_table():
    common = RESULT | {"model": "common", "tau2_method": "", "ci_method": "Wald", "pi_low": math.nan}
    made = forest_rows.model_summaries(common, pd.Series(RESULT))
    assert [(item.label, item.kind, item.low, item.high) for item in made] == [
        ("Common effect (Wald)", "hollow", -1.1, -0.3), ("Random effects (REML, mHK)", "diamond", -1.1, -0.3),
        ("95% prediction interval", "prediction", -1.3, -0.1)]
    assert forest_text.heterogeneity_text(RESULT) == (
        "Heterogeneity: Q = 5.44, df = 5, p = 0.365; τ² = 0.01 (95% CI 0.00 to 0.64); I² = 8%")
    assert "τ² = 0.01; I²" in forest_text.heterogeneity_text(RESULT | {"tau2_low": math.nan})


def test_alt_text_carries_the_numbers():
    _, plotted = forest.forest_figure(trials(2), forest_rows.model_summaries(RESULT), measure="SMD",
                                      judgements=judge(trials(2)["label"]))
    text = forest_text.forest_alt_text(plotted, measure="SMD", outcome="severity of PTSD", notes=["I² = 8%"])
    assert text == (
        "Forest plot of severity of PTSD, two trials. Standardised mean difference (SMD): below 0 favours MDMA-AT, "
        "above 0 favours control. Author 2001: SMD -1.20 (95% CI -2.27 to -0.13), weight 14.3%. Author 2002: SMD 0.10 "
        "(95% CI -0.34 to 0.54), interval crosses 0, weight 85.7%. Random effects (REML, mHK): SMD -0.70 "
        "(95% CI -1.10 to -0.30). 95% prediction interval: -1.30 to -0.10. Risk of bias. Author 2001: low throughout. "
        "Author 2002: low throughout. I² = 8%.")


@pytest.mark.parametrize("count", [2, 6, 12])
@pytest.mark.parametrize("kind", ["plain", "long", "wide", "ratio", "lights", "groups"])
def test_no_text_of_a_forest_plot_overlaps_another_or_leaves_the_figure(count, kind):
    measure = "RR" if kind == "ratio" else "SMD"
    studies = trials(count, ratio=kind == "ratio", long_labels=kind == "long", wide=kind == "wide")
    options = {"columns": {"n_active": "MDMA-AT\nn", "n_control": "Control\nn"}, "title": "Severity of PTSD",
               "notes": [forest_text.heterogeneity_text(RESULT), "A remark of many words. " * 8]}
    if kind == "plain":
        options["columns"] = {"n_active": "MDMA-AT\nn", "mean": "MDMA-AT\nmean (SD)", "n_control": "Control\nn"}
    if kind == "lights":
        judgements = judge(studies["label"])
        judgements.iloc[0, :4] = list(lights.LIGHTS)
        options["judgements"] = judgements
    if kind == "groups":
        half = count // 2
        studies["group"] = ["Phase 2, of which there are some more words"] * half + ["Phase 3"] * (count - half)
        options["groups"] = {"Phase 3": [Summary("Subtotal: Q = 1.20, df = 7, p = 0.990; I² = 0%", -0.6, -0.9, -0.3)]}
    fig, _ = forest.forest_figure(studies, summaries(measure), measure=measure,
                                  event="good" if kind == "ratio" else None, **options)
    assert fig.get_figwidth() == plots.WIDTH
    assert_readable_beside_the_panel(fig, least=2 * count + 10)


def test_columns_that_leave_no_room_are_refused():
    studies = trials(2).assign(**{f"words_{number}": "a long text in each cell" for number in range(5)})
    with pytest.raises(ValueError, match="the text columns leave .* in for the panel"):
        forest.forest_figure(studies, measure="SMD", columns={f"words_{number}": "Words" for number in range(5)})
    assert plt.get_fignums() == []


@pytest.mark.parametrize(("spoil", "options", "message"), [
    (lambda table: table.drop(columns="weight"), {}, "no column weight"),
    (lambda table: table, {"columns": {"events": "Events"}}, "no column events"),
    (lambda table: table.head(0), {}, "the table to be drawn is empty"),
    (lambda table: table.assign(label="same"), {}, "two rows have the label same"),
    (lambda table: table.assign(low=table["high"] + 1), {}, "the interval of Author 2001 does not hold its estimate"),
    (lambda table: table.assign(weight=table["weight"] * 100), {}, "shares that sum to 1, these sum to 100"),
    (lambda table: table, {"measure": "RR", "event": "good"}, "a RR must be positive: is it still a logarithm"),
    (lambda table: table, {"measure": "HR"}, "unknown measure 'HR'"),
    (lambda table: table.assign(group="a"), {"groups": {"b": []}}, "no study is in the group b"),
    (lambda table: table.assign(group=None), {}, "Author 2001 has no group"),
])
def test_a_forest_plot_refuses_bad_input_in_one_line(spoil, options, message):
    with pytest.raises(ValueError, match=message) as error:
        forest.forest_figure(spoil(trials(3)), **({"measure": "SMD"} | options))
    assert "\n" not in str(error.value)
    assert plt.get_fignums() == []


def test_an_unknown_kind_of_summary_is_refused():
    with pytest.raises(ValueError, match="summary 'x': kind is diamond, hollow or prediction, not 'circle'"):
        Summary("x", 0, 0, 0, "circle")


def test_a_forest_plot_can_stand_in_a_figure_of_the_readers_own():
    fig, (upper, lower) = plt.subplots(2, 1, figsize=(9, 7))
    returned, _ = forest.forest_plot(upper, trials(4), summaries(), measure="SMD")
    assert returned is upper and lower.has_data() is False


# Risk-of-bias lights


def test_lights_stand_level_with_the_rows_of_the_forest_plot():
    studies = trials(6)
    judgements = judge(studies["label"]).iloc[::-1]
    judgements.loc["Author 2003", "D4"] = "High"
    fig, plotted = forest.forest_figure(studies, summaries(), measure="SMD", judgements=judgements)
    left, right = fig.axes
    heights = {line.get_ydata()[0] for line in right.lines if line.get_marker() == "x"}
    y = plotted.set_index("label").loc["Author 2003", "y"]
    assert y in heights
    assert left.transData.transform((0, y))[1] == right.transData.transform((0, y))[1]
    assert plotted.set_index("label").loc["Author 2003", ["D3", "D4"]].tolist() == ["Low", "High"]


def test_lights_give_back_every_judgement_with_its_symbol():
    judgements = judge(["A", "B"])
    judgements.loc["A"] = ["Low", "Some concerns", "High", "No information", "Low", "High"]
    fig, shown = lights.rob_figure(judgements, order=["B", "A"])
    assert shown["trial"].tolist() == ["B"] * 6 + ["A"] * 6
    assert shown.loc[shown["trial"] == "A", "symbol"].tolist() == ["+", "_", "x", "?", "+", "x"]
    pd.testing.assert_frame_equal(shown.pivot(index="trial", columns="domain", values="judgement"), judgements,
                                  check_names=False)
    circles = [line.get_xydata()[0].tolist() for line in fig.axes[0].lines if line.get_marker() == "o"]
    assert all(place in circles for place in shown[["x", "y"]].to_numpy().tolist())


def test_lights_in_words():
    judgements = judge(["A", "B", "C"])
    judgements.loc["B", ["D2", "overall"]] = "Some concerns"
    judgements.loc["C"] = "High"
    _, shown = lights.rob_figure(judgements)
    assert lights.rob_alt_text(shown) == (
        "Risk of bias. A: low throughout. B: D2 some concerns, overall some concerns, the rest low. "
        "C: high throughout.")


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda table: table.replace("Low", "Lowish"), "A, D1: 'Lowish' is not one of Low, Some concerns, High, No inf"),
    (lambda table: table.replace("Low", ""), "A, D1: '' is not one of"),
    (lambda table: table.where(table != "Low"), "A, D1: nan is not one of"),
    (lambda table: table.drop(index="B"), "no judgements for trial B"),
    (lambda table: table.rename(index={"B": "Bee"}), "no judgements for trial B"),
    (lambda table: pd.concat([table, judge(["C"])]), "judgements for unknown trial C"),
    (lambda table: pd.concat([table, table]), "two rows for trial A, B"),
    (lambda table: table.rename(columns={"D5": "D6"}), "unknown domain D6"),
])
def test_lights_refuse_strange_judgements_and_trials_in_one_line(spoil, message):
    with pytest.raises(ValueError, match=f"^risk of bias: {message}") as error:
        lights.rob_figure(spoil(judge(["A", "B"])), order=["A", "B"])
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=message):
        forest.forest_figure(trials(2).assign(label=["A", "B"]), measure="SMD", judgements=spoil(judge(["A", "B"])))
    assert plt.get_fignums() == []


@pytest.mark.parametrize("count", [2, 6, 12])
def test_no_text_of_the_lights_overlaps_another_or_leaves_the_figure(count):
    judgements = judge(trials(count)["label"])
    judgements.iloc[0, :4] = list(lights.LIGHTS)
    fig, _ = lights.rob_figure(judgements)
    assert_readable(fig, least=count + 6 + 4)


def luminance(colour):
    """Relative luminance of a colour (WCAG 2.2)."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_lights_can_be_told_apart_without_colour():
    faces = [np.dot(to_rgb(face), [0.299, 0.587, 0.114]) for face, _, _ in lights.LIGHTS.values()]
    assert min(abs(one - other) for one, other in itertools.combinations(faces, 2)) >= GREY_STEP
    assert len({symbol for _, symbol, _ in lights.LIGHTS.values()}) == len(lights.LIGHTS)
    for face, _, ink in lights.LIGHTS.values():
        dark, light = sorted((luminance(face), luminance(ink)))
        assert (light + 0.05) / (dark + 0.05) >= WCAG_CONTRAST


# Dots with intervals


def analyses(count=6):
    table = trials(count)[["label", "estimate", "low", "high"]]
    return table.assign(main=[True] + [False] * (count - 1), k=range(count), i2="0%", tau2=0.0)


def test_dots_give_back_the_table_they_show():
    table = analyses()
    fig, plotted = intervals.dot_interval_figure(table, measure="SMD", reference=-0.5, band=(-9.0, -0.2),
                                                 xlim=(-2, 0.5))
    pd.testing.assert_frame_equal(plotted[["label", "estimate", "low", "high", "main"]],
                                  table[["label", "estimate", "low", "high", "main"]])
    assert plotted["arrow_low"].tolist() == (table["low"] < -2).tolist()
    assert plotted["arrow_high"].tolist() == (table["high"] > 0.5).tolist()
    assert plotted["arrow_low"].any() and plotted["arrow_high"].any()
    panel = frame.panel_of(fig.axes[0])
    main, others = plotted["main"], ~plotted["main"]
    for marker, which in (("D", main), ("o", others)):
        [dots] = [line.get_xydata() for line in panel.lines if line.get_marker() == marker]
        np.testing.assert_array_equal(dots, plotted.loc[which, ["estimate", "y"]])
    [ends] = [line.get_xydata() for line in panel.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 2]
    pairs = ends[~np.isnan(ends[:, 0])].reshape(-1, 4)  # low, y, high, y of each interval
    np.testing.assert_array_equal(pairs, plotted.loc[others, ["drawn_low", "y", "drawn_high", "y"]])
    band = panel.collections[0].get_paths()[0].vertices[:, 0]
    assert (band.min(), band.max()) == (-2, -0.2), "a band is cut at the ends of the axis"
    assert any(list(line.get_xdata()) == [-0.5, -0.5] for line in panel.lines)


def test_dots_print_fractions_with_decimals_and_counts_without():
    fig, _ = intervals.dot_interval_figure(analyses(2), measure="SMD", columns={"k": "k", "tau2": "τ²"})
    texts = words_of(fig)
    assert "0" in texts and "0.00" in texts


@pytest.mark.parametrize("count", [2, 6, 12])
@pytest.mark.parametrize("ratio", [False, True])
def test_no_text_of_the_dots_overlaps_another_or_leaves_the_figure(count, ratio):
    table = analyses(count).assign(group=[""] + ["A group with a name of some length"] * (count - 1))
    table.loc[count - 1, "label"] = "An analysis that is described at such length that its label needs several lines"
    if ratio:
        table[["estimate", "low", "high"]] = np.exp(table[["estimate", "low", "high"]])
    fig, _ = intervals.dot_interval_figure(table, measure="OR" if ratio else "SMD", event="bad" if ratio else None,
                                           columns={"k": "k", "i2": "I²", "tau2": "τ²"}, title="Leave one out",
                                           notes=["A remark."])
    assert_readable_beside_the_panel(fig, least=4 * count + 8)


def test_dots_in_words():
    table = analyses(2).assign(group=["", "Others"])
    _, plotted = intervals.dot_interval_figure(table, measure="SMD")
    assert intervals.dot_interval_alt_text(plotted, measure="SMD", subject="two ways", reference=-0.5) == (
        "Estimates with 95% confidence intervals: two ways. Standardised mean difference (SMD): below 0 favours "
        "MDMA-AT, above 0 favours control. A dashed line stands at -0.50. Author 2001: -1.20 (-2.27 to -0.13). "
        "Others: Author 2002: 0.10 (-0.34 to 0.54), interval crosses 0.")


def test_dots_refuse_bad_input_in_one_line():
    with pytest.raises(ValueError, match="no column p"):
        intervals.dot_interval_figure(analyses(2), measure="SMD", columns={"p": "p"})
    with pytest.raises(ValueError, match="two rows have the label same"):
        intervals.dot_interval_figure(analyses(2).assign(label="same"), measure="SMD")
    assert plt.get_fignums() == []
