"""Dots with intervals, one row an analysis: leave-one-out tables and other comparisons of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_analysis.frame import (
    INDENT,
    LINE,
    Line,
    cell_text,
    check_intervals,
    draw_axis,
    draw_frame,
    draw_interval,
    fit_height,
    interval_text,
    lay_out,
    width_of,
)
from meta_analysis.plots import BAND, BLUE, GREY, INK, WIDTH, axis_range, favours, scale_sentence, style, typographic
from meta_analysis.report import interval, no_effect, number

DOT, MAIN_DOT = 4.0, 6.0  # points


@style()
def dot_interval_plot(ax: Axes, table: pd.DataFrame, *, measure: str, columns: Mapping[str, str] | None = None,
                      reference: float | None = None, band: tuple[float, float] | None = None,
                      event: str | None = None, notes: Sequence[str] = (), title: str = "",
                      label_header: str = "Analysis", digits: int = 2, xlim: tuple[float, float] | None = None,
                      ticks: Sequence[float] | None = None, active: str = "MDMA-AT",
                      control: str = "control") -> tuple[Axes, pd.DataFrame]:
    """Draw estimates with their intervals, one row each, on an axis.

    Parameters
    ----------
    ax : Axes
        Its whole area is used. `frame.fit_height(ax)` afterwards gives the figure the height that the rows need;
        `dot_interval_figure` does both.
    table : DataFrame, one row an estimate
        label, estimate, low, high on the natural scale; `group` makes blocks of rows; `main` (bool) marks rows to be
        drawn larger and in bold. Missing numbers are shown as "not estimable".
    measure : str
        One of report.MEASURES; RR and OR are drawn on a log axis.
    columns : dict
        Further columns at the right: name in `table` -> header. Texts, counts, or numbers (two decimals).
    reference : float, optional
        Where a dashed line stands, for example the main result.
    band : (low, high), optional
        Shaded interval, for example that of the main result.
    event : {"good", "bad"}, optional
        For RR, OR and RD: whether the event is to be hoped for.
    notes, title, label_header, digits, xlim, ticks, active, control
        As for `forest.forest_plot`.

    Returns
    -------
    ax : Axes
    plotted : DataFrame, one row an estimate
        group, label, estimate, low, high, main, y (inches from the bottom), drawn_low, drawn_high, arrow_low,
        arrow_high.

    Raises
    ------
    ValueError
        If a column is missing, labels repeat within a group, an interval does not hold its estimate, or a ratio is
        not positive.
    """
    columns = dict(columns or {})
    check_intervals(table, measure, list(columns))
    table = table.astype(dict.fromkeys(["estimate", "low", "high"], float))
    sides = favours(measure, event, active, control)
    marks = table.assign(group=table.get("group", ""), main=table.get("main", False))
    blocks = [block for _, block in marks.groupby("group", sort=False)]
    marks = pd.concat(blocks, ignore_index=True)
    lines, line_of = [], []
    for block in blocks:
        group = block["group"].iloc[0]
        if group:
            lines.append(Line("heading", group, bold=True, rule=bool(lines)))
        for _, row in block.iterrows():
            cells = {name: cell_text(row[name]) for name in columns}
            cells["interval"] = interval_text(row["estimate"], row["low"], row["high"], digits)
            line_of.append(len(lines))
            lines.append(Line("dot", row["label"], cells, bold=bool(row["main"]), indent=INDENT if group else 0.0))
    marks = marks[["group", "label", "estimate", "low", "high", "main"]]
    limits = xlim or axis_range(marks["estimate"], marks["low"], marks["high"], measure)
    right = {"interval": f"{measure} [95% CI]", **columns}
    frame = lay_out(lines, {}, right, width=width_of(ax), notes=[typographic(note) for note in notes], title=title)
    panel = draw_frame(ax, frame, lines, right, label_header, title)
    draw_axis(ax, panel, frame, measure, limits, sides=sides, ticks=ticks)
    marks["y"] = [frame.centres[place] for place in line_of]
    top, floor = marks["y"].max() + LINE / 2, frame.floor
    if band is not None:
        low, high = np.clip(band, *limits)
        panel.fill_between([low, high], floor, top, color=BAND, lw=0, zorder=0)
    if reference is not None:
        panel.plot([reference] * 2, [floor, top], color=GREY, lw=0.7, ls=(0, (3, 2)), zorder=1)
    return ax, marks.join(_draw_dots(panel, marks))


@style()
def dot_interval_figure(table: pd.DataFrame, *, measure: str, width: float = WIDTH,
                        **options: Any) -> tuple[Figure, pd.DataFrame]:
    """A figure of its own, `width` inches wide and as high as its rows need, for `dot_interval_plot`."""
    fig = plt.figure(figsize=(width, 1.0))
    try:
        ax, plotted = dot_interval_plot(fig.add_axes((0, 0, 1, 1)), table, measure=measure, **options)
    except ValueError:
        plt.close(fig)
        raise
    fit_height(ax)
    return fig, plotted


def dot_interval_alt_text(plotted: pd.DataFrame, *, measure: str, subject: str, event: str | None = None,
                          reference: float | None = None, active: str = "MDMA-AT", control: str = "control",
                          digits: int = 2) -> str:
    """What the plot shows, in words and numbers, from the table that `dot_interval_plot` gave back.

    Parameters
    ----------
    plotted : DataFrame
    subject : str
        For example "the severity result with each trial left out in turn".
    measure, event, reference, active, control, digits
        As for `dot_interval_plot`.
    """
    null = number(no_effect(measure), 0)
    sentences = [f"Estimates with 95% confidence intervals: {subject}.",
                 scale_sentence(measure, event, active, control)]
    if reference is not None:
        sentences.append(f"A dashed line stands at {number(reference, digits)}.")
    group = ""
    for _, mark in plotted.iterrows():
        if mark["group"] != group:
            group = mark["group"]
            sentences.append(f"{group}:")
        ends = interval(mark["low"], mark["high"], digits, missing="")
        crosses = f", interval crosses {null}" if mark["low"] < no_effect(measure) < mark["high"] else ""
        sentences.append(f"{mark['label']}: {number(mark['estimate'], digits)} ({ends}){crosses}." if ends
                         else f"{mark['label']}: not estimable.")
    return " ".join(sentences)


def _draw_dots(panel: Axes, marks: pd.DataFrame) -> pd.DataFrame:
    """Draw the estimates that there are; returns what `frame.draw_interval` does, one row a mark."""
    drawn = pd.DataFrame({"drawn_low": np.nan, "drawn_high": np.nan, "arrow_low": False, "arrow_high": False},
                         index=marks.index)
    main = marks["main"].astype(bool)
    for which, width, marker, size, face in ((~main, 1.0, "o", DOT, BLUE), (main, 1.6, "D", MAIN_DOT, INK)):
        rows = marks[which & marks["low"].notna()]
        if len(rows):
            ends = draw_interval(panel, rows["y"], rows["low"], rows["high"], lw=width)
            drawn.loc[rows.index, list(ends)] = pd.DataFrame(ends, index=rows.index)
            panel.plot(rows["estimate"], rows["y"], marker=marker, ms=size, mfc=face, mec=INK, mew=0.5, ls="none",
                       zorder=5)
    return drawn
