"""The plot of published estimates: its numbers, its shared layout, and the words of the alternative text."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from meta_analysis.frame import panel_of
from meta_analysis.published_plot import (
    COLUMNS,
    axis_limits,
    notes_of,
    published_alt_text,
    published_figure,
    published_plot,
    shared_frames,
)
from tests.readable import assert_readable


def row(panel, label, kind, estimate, low, high, **more):
    return {"panel": panel, "label": label, "kind": kind, "estimate": estimate, "low": low, "high": high, "k": "6",
            "n": "258", "method": "RE", "turned": False} | more


TABLE = pd.DataFrame([
    row("severity", "A et al. 2016", "other", -1.17, np.nan, np.nan, n="", turned=True),
    row("severity", "B et al. 2024", "under test", -1.10, -1.62, -0.59, k="9"),
    row("severity", "This analysis", "ours", -0.73, -1.07, -0.39),
    row("response", "C, a review with rather a long name indeed 2022", "other", 3.65, 2.39, 5.57),
    row("response", "This analysis", "ours", 1.38, 1.09, 1.75),
    row("remission", "This analysis", "ours", 2.41, 1.27, 4.58),
])
BANDS = {"severity": (-1.3, -0.63), "response": (1.36, 3.11)}


@pytest.fixture
def drawn():
    fig, plotted = published_figure(TABLE, BANDS)
    fig.canvas.draw()
    yield fig, plotted
    plt.close(fig)


def test_the_plotted_numbers_are_those_of_the_table(drawn):
    _, plotted = drawn
    pd.testing.assert_frame_equal(plotted[COLUMNS], TABLE[COLUMNS])
    marked = plotted.dropna(subset=["low"])
    assert (marked["drawn_low"] <= marked["estimate"]).all() and (marked["estimate"] <= marked["drawn_high"]).all()
    assert plotted.loc[plotted["panel"] == "response", ["band_low", "band_high"]].drop_duplicates().values.tolist() == [
        [1.36, 3.11]]
    assert plotted.loc[plotted["panel"] == "remission", "band_low"].isna().all()


def test_the_panels_share_their_columns_and_the_ratios_their_axis(drawn):
    fig, _ = drawn
    places = [panel_of(ax).get_window_extent() for ax in fig.axes]
    assert len(places) == 3
    assert len({(round(place.x0, 3), round(place.x1, 3)) for place in places}) == 1
    limits = [panel_of(ax).get_xlim() for ax in fig.axes]
    assert limits[1] == pytest.approx(limits[2]) and panel_of(fig.axes[1]).get_xscale() == "log"
    assert limits[0] != pytest.approx(limits[1])


def test_texts_stay_inside_and_do_not_overlap(drawn):
    fig, _ = drawn
    assert_readable(fig, 3 * len(TABLE))


def test_each_kind_has_a_mark_of_its_own_and_a_point_without_interval_no_line(drawn):
    fig, _ = drawn
    panel = panel_of(fig.axes[0])
    marks = [line for line in panel.lines if line.get_marker() in ("o", "D")]
    looks = [(line.get_marker(), line.get_markerfacecolor(), line.get_markersize()) for line in marks]
    assert len(set(looks)) == len(looks) == 3
    heights = {float(line.get_ydata()[0]) for line in panel.lines if line.get_linestyle() == "-"}
    assert marks[0].get_ydata()[0] not in heights


def test_the_drawing_function_takes_and_gives_back_an_axis():
    lines, frame = shared_frames(TABLE, 7.2)["severity"]
    fig = plt.figure(figsize=(7.2, frame.height))
    ax = fig.add_axes((0, 0, 1, 1))
    rows = TABLE[TABLE["panel"] == "severity"]
    back, plotted = published_plot(ax, rows, lines, frame, limits=(-2, 0.5), band=(-1.3, -0.6))
    assert back is ax and plotted["estimate"].tolist() == rows["estimate"].tolist()
    assert plotted["y"].is_monotonic_decreasing
    with pytest.raises(ValueError, match="not 'guessed'"):
        published_plot(ax, rows.assign(kind="guessed"), lines, frame, limits=(-2, 0.5))
    with pytest.raises(ValueError, match="shows one outcome"):
        published_plot(ax, TABLE, lines, frame, limits=(-2, 0.5))
    plt.close(fig)


def test_limits_hold_every_estimate_and_band():
    low, high = axis_limits(TABLE, {**BANDS, "response": (0.7, 9.0)}, "RR")
    assert low < 0.7 and high > 9.0
    low, high = axis_limits(TABLE, BANDS, "SMD")
    assert low < -1.3 and high > 0


def test_the_notes_name_what_was_turned_round():
    assert any("turned round here: A et al. 2016." in note for note in notes_of(TABLE))
    assert not any("turned" in note for note in notes_of(TABLE.assign(turned=False)))


def test_the_alternative_text_carries_every_number(drawn):
    text = published_alt_text(drawn[1])
    for part in ("A et al. 2016, turned round -1.17 (no interval printed)", "B et al. 2024, under test -1.10 (-1.62 to",
                 "This analysis 1.38 (1.09 to 1.75)", "nine tenths of our specifications: 1.36 to 3.11",
                 "below 0 favours MDMA-AT", "above 1 favours MDMA-AT"):
        assert part in text
    assert text.count("Risk ratio (RR)") == 1
