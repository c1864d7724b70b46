"""Figures of bias, harms and follow-up: what they give back, in which order, and that every text can be read."""

import itertools

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from meta_analysis import bias_model, bias_plots, follow_up, harms_plots, report
from meta_analysis.judgements import ORDER
from meta_analysis.lights import LIGHTS
from tests.readable import assert_readable, drawn_texts, words_of
from tests.test_plots import GREY_STEP

matplotlib.use("Agg")

Y, V = np.array([-1.2, -0.9, -1.3, -0.2, -0.8, -0.6]), np.array([0.24, 0.4, 0.23, 0.21, 0.055, 0.045])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def grey(colour):
    return float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114)))


# Risk of bias by weight


def shares():
    rows = {"D1": [1.0, 0, 0, 0], "D4": [0.5, 0.2, 0.1, 0.2], "overall": [0.45, 0.25, 0.1, 0.2]}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(ORDER))


def test_bars_give_back_what_they_show():
    fig, plotted = bias_plots.rob_bars_figure(shares())
    assert_readable(fig, 15)
    for domain, row in shares().iterrows():
        pieces = plotted[plotted["domain"] == domain]
        assert pieces.set_index("judgement")["share"].to_dict() == row[row > 0].to_dict()
        assert (pieces["start"] + pieces["share"]).iloc[-1] == pytest.approx(1)
    bars = [patch for patch in fig.axes[0].patches]
    assert sorted(bar.get_width() for bar in bars) == pytest.approx(sorted(plotted["share"]))
    alt = bias_plots.rob_bars_alt_text(plotted, subject="made-up trials")
    assert "Measurement of the outcome: 50% low, 20% some concerns, 10% no information, 20% high." in alt


def test_judgements_are_told_apart_without_colour():
    looks = {name: (grey(LIGHTS[name][0]), bias_plots.HATCHES[name]) for name in ORDER}
    for (one, (light, hatch)), (other, (another, pattern)) in itertools.combinations(looks.items(), 2):
        assert hatch != pattern or abs(light - another) > GREY_STEP, (one, other)


@pytest.mark.parametrize("change, message", [
    (lambda s: s.rename(index={"D4": "D6"}), "unknown domain D6"),
    (lambda s: s.rename(columns={"Low": "Lowish"}), "unknown judgement Lowish"),
    (lambda s: s * 0.9, "shares of D1 do not sum to 1")])
def test_bars_refuse_what_they_cannot_show(change, message):
    with pytest.raises(ValueError, match=message):
        bias_plots.rob_bars_figure(change(shares()))
    assert not plt.get_fignums()


# The surface


def surface(shared=0.0, means=11, sds=13):
    return bias_model.bias_surface(Y, V, -np.linspace(0, 1, means), np.linspace(0, 0.6, sds), shared=shared)


def test_the_lines_of_the_surface_are_the_tipping_points():
    fig, plotted = bias_plots.bias_surface_figure([surface(), surface(1.0)], ["own", "shared"], points=12.0,
                                                  levels=(-0.3, -0.2, -0.1))
    assert_readable(fig, 20)
    for shared, panel in ((0.0, "own"), (1.0, "shared")):
        for _, line in plotted[plotted["panel"] == panel].iterrows():
            exact = bias_model.tipping_bias(Y, V, line["bias_sd"], shared=shared)
            if exact == 0:
                assert np.isnan(line["interval_reaches"])
            else:  # the upper limit is a straight line in the mean bias: interpolation is exact
                assert line["interval_reaches"] == pytest.approx(exact, abs=1e-12)
    alt = bias_plots.bias_surface_alt_text(plotted, subject="made-up trials")
    first = report.number(-bias_model.tipping_bias(Y, V))
    assert f"own: at a spread of 0.00 the interval reaches no effect when the benefit is overstated by {first};" in alt
    assert "0 already" in alt


def test_a_surface_with_gaps_is_refused():
    with pytest.raises(ValueError, match="full grid"):
        bias_plots.bias_surface_plot(plt.figure().add_subplot(), surface().iloc[1:])


# Events by arm, and benefits beside harms


def events(extra=()):
    rows = [("A", "mild ache", 5, 20, 4, 20, 0.05, -0.2, 0.3), ("A", "a reaction with quite a long name", 15, 20, 2, 20,
            0.65, 0.4, 0.8), ("B", "none at all", 0, 30, 0, 28, 0.0, -0.12, 0.11), ("B", "fewer", 1, 30, 9, 28, -0.29,
            -0.46, -0.1), *extra]
    return pd.DataFrame(rows, columns=["group", "label", *harms_plots.COUNTS, "estimate", "low", "high"])


def test_events_are_ordered_by_their_difference_within_each_group():
    fig, plotted = harms_plots.events_figure(events(), what="Adverse event", notes=["A note."])
    assert {"Adverse event", "A note."} <= set(words_of(fig))
    assert_readable(fig, 30)
    assert list(plotted["label"]) == ["a reaction with quite a long name", "mild ache", "none at all", "fewer"]
    assert plotted["y"].is_monotonic_decreasing
    assert plotted["estimate"].tolist() == pytest.approx([65, 5, 0, -29])
    assert plotted["percent_active"].tolist() == pytest.approx([75, 25, 0, 100 / 30])
    alt = harms_plots.events_alt_text(plotted, subject="made-up trials")
    assert "none at all: 0 of 30 with MDMA-AT, 0 of 28 with control, difference 0 (-12 to 11)." in alt


def test_the_marks_of_events_stand_where_the_table_says():
    fig, plotted = harms_plots.events_figure(events())
    shares_panel, differences = fig.axes[0].child_axes[1:3]
    drawn = {(line.get_xdata()[0], line.get_ydata()[0]) for line in shares_panel.lines if line.get_marker() == "o"}
    assert drawn == {(row["percent_active"], row["y"]) for _, row in plotted.iterrows()}
    squares = {(line.get_xdata()[0], line.get_ydata()[0]) for line in differences.lines if line.get_marker() == "s"}
    assert squares == {(row["estimate"], row["y"]) for _, row in plotted.iterrows()}


def balance():
    return pd.DataFrame([("Benefits", "Response", True, 25.0, 6.0, 34.0, "6, 258"),
                         ("Harms", "Nausea", False, 22.0, 10.0, 33.0, "3, 200"),
                         ("Harms", "Death", False, 0.0, -7.0, 7.0, "1, 104")], columns=harms_plots.COLUMNS)


def test_benefits_and_harms_stand_on_one_scale_with_marks_of_their_own():
    fig, plotted = harms_plots.per_100_figure(balance())
    assert_readable(fig, 18)
    panel = fig.axes[0].child_axes[1]
    marks = {line.get_ydata()[0]: line.get_marker() for line in panel.lines if line.get_marker() in ("o", "s")}
    assert [marks[y] for y in plotted["y"]] == ["o", "s", "s"]
    assert "Harms: Nausea: 22 (10 to 33). Death: 0 (-7 to 7)." in harms_plots.per_100_alt_text(plotted)


@pytest.mark.parametrize("draw, table, message", [
    (harms_plots.events_figure, events().drop(columns="n_active"), "no column n_active"),
    (harms_plots.events_figure, pd.concat([events()] * 2), "two rows have the label"),
    (harms_plots.events_figure, events().assign(low=0.9), "does not hold its estimate"),
    (harms_plots.per_100_figure, balance().drop(columns="good"), "no column good"),
    (harms_plots.per_100_figure, balance().iloc[:0], "empty")])
def test_harm_figures_refuse_what_they_cannot_show(draw, table, message):
    with pytest.raises(ValueError, match=message):
        draw(table)
    assert not plt.get_fignums()


# Courses


def course():
    rows = [("125 mg", "baseline", 12, 87.0, "active"), ("125 mg", "primary", 12, 44.0, "active"),
            ("125 mg", "follow-up", 11, 37.8, "active"), ("30 mg", "baseline", 7, 87.4, "control"),
            ("30 mg", "primary", 7, 76.0, "control"), ("30 mg", "follow-up", 6, 39.0, "control")]
    return pd.DataFrame(rows, columns=["group", "stage", "n", "mean", "role"])


def test_courses_are_dotted_where_nothing_is_randomised():
    fig, plotted = follow_up.course_figure({"Trial A": course(), "Trial B": course().iloc[:2]})
    assert_readable(fig, 14)
    lines = {(tuple(line.get_xdata()), line.get_linestyle()) for line in fig.axes[0].lines}
    assert ((0, 1), "-") in lines and ((1, 2), ":") in lines and ((1, 2), "-") not in lines
    assert len(plotted) == 8 and "30 mg, n 6" in [text.get_text() for text in fig.axes[0].texts]
    assert "Trial A, 30 mg: baseline 87.4 (n 7), primary 76.0 (n 7), follow-up 39.0 (n 6)." in (
        follow_up.course_alt_text(plotted))


def test_a_group_of_both_arms_looks_like_neither():
    everybody = pd.DataFrame({"group": ["all"], "stage": ["follow-up"], "n": [16], "mean": [20.0],
                              "role": ["whole_trial"]})
    fig, _ = follow_up.course_figure({"A": pd.concat([course(), everybody])})
    markers = {line.get_marker() for line in fig.axes[0].lines if len(line.get_xdata())}
    assert markers == {"o", "^", "D"}


def test_names_beside_the_primary_time_point_end_before_the_grey_part():
    fig, _ = follow_up.course_figure({"A": course()[course()["stage"] != "follow-up"], "B": course()})
    texts = drawn_texts(fig)
    grey = fig.axes[0].patches[0].get_window_extent().x0
    for text, _, box in texts:
        if text in ("125 mg, n 12", "30 mg, n 7"):
            assert box.x1 <= grey, text


@pytest.mark.parametrize("table, message", [
    (course().replace("primary", "later"), "unknown stage later"),
    (pd.concat([course(), course().iloc[:1]]), "two rows for 125 mg at one stage")])
def test_courses_refuse_what_they_cannot_show(table, message):
    with pytest.raises(ValueError, match=message):
        follow_up.course_figure({"A": table})
