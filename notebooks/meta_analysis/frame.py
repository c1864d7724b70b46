"""The frame that forest plots and interval plots have in common.

It is a drawing of lines: words at the left, one panel with an axis in the middle, numbers at the right, notes below.
Its coordinates are inches, measured up from the lower left corner, so that a line of text needs the same room in every
figure. Columns get the width their text was measured to have, and the panel gets the rest: nothing overlaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from meta_analysis.lettering import lettering
from meta_analysis.plots import GREY, INK, RULE, SMALL, TEXT, axis_ticks, text_width, tick_texts, typographic, wrap
from meta_analysis.report import MEASURES, RATIO_MEASURES, check_measure, no_effect, number

LINE, TEXT_LINE, NOTE_LINE = 0.2, 0.125, 0.13  # inches: a row, each further line of text in it, a line of notes
MARGIN, COLUMN_GAP, PANEL_GAP, INDENT = 0.05, 0.11, 0.13, 0.1
TICKS, AXIS_LABEL, FAVOURS = 0.19, 0.14, 0.15  # heights of the three lines below the panel
NARROWEST_PANEL, COMFORTABLE_PANEL = 1.0, 2.4
# The middle of a line of text lies this much above the middle of its capitals, in inches per point of size: texts are
# set lower by it, so that they stand level with the marks.
OPTICAL = 0.1 / 72
LABEL_WIDTHS = (3.2, 2.4, 2.0, 1.6, 1.3, 1.0)  # labels are broken into lines until the panel has a comfortable width


@dataclass(frozen=True)
class Line:
    """One line of a frame: a label at the left, and texts by column. `kind` tells what is drawn in the panel."""

    kind: str
    label: str
    cells: Mapping[str, str] = field(default_factory=dict)
    bold: bool = False
    indent: float = 0.0
    rule: bool = False  # a thin line above


@dataclass(frozen=True)
class Frame:
    """Where everything stands, in inches from the lower left corner."""

    width: float
    height: float
    title_y: float
    header_y: float
    rule_y: float
    centres: list[float]  # of the lines
    floor: float  # the axis of the panel
    labels: list[str]
    columns: dict[str, tuple[float, float]]  # column: centre, right end of its texts
    panel: tuple[float, float]
    notes: list[str]


def lay_out(lines: Sequence[Line], left: Mapping[str, str], right: Mapping[str, str], *, width: float,
            notes: Sequence[str] = (), title: str = "", footer: float = 0.0) -> Frame:
    """Measure the texts of a frame and give each its place.

    Parameters
    ----------
    lines : sequence of Line
        From top to bottom.
    left, right : dict
        Columns left and right of the panel: key in `Line.cells` -> header (may hold line breaks).
    width : float
        Inches.
    notes : sequence of str
        Paragraphs below the axis.
    title : str
        Bold line at the top.
    footer : float
        Inches kept free below the panel, if more than the axis itself needs.

    Raises
    ------
    ValueError
        If the texts leave less than `NARROWEST_PANEL` for the panel.
    """
    headers = {**left, **right}
    texts = {key: max([text_width(line.cells.get(key, ""), bold=line.bold) for line in lines], default=0.0)
             for key in headers}
    widths = {key: max(texts[key], text_width(header, bold=True)) for key, header in headers.items()}
    fixed = 2 * MARGIN + 2 * PANEL_GAP + sum(widths.values()) + COLUMN_GAP * (len(left) + max(len(right) - 1, 0))
    # A line without texts in the columns left of the panel (a heading, a prediction interval) may run on into them.
    runs_on = [bool(left) and not any(line.cells.get(key) for key in left) for line in lines]
    for label_width in LABEL_WIDTHS:
        labels = [wrap(line.label, label_width - line.indent, bold=line.bold) for line in lines]
        used = max([text_width(label, bold=line.bold) + line.indent
                    for label, line, free in zip(labels, lines, runs_on) if not free], default=label_width)
        if width - fixed - used >= COMFORTABLE_PANEL:
            break
    panel_width = width - fixed - used
    if panel_width < NARROWEST_PANEL:
        raise ValueError(f"the text columns leave {panel_width:.2f} in for the panel, {NARROWEST_PANEL} in are needed: "
                         "widen the figure, or drop or shorten columns")

    columns, x = {}, MARGIN + used
    left_block = used + sum(COLUMN_GAP + widths[key] for key in left)
    labels = [wrap(line.label, left_block - line.indent, bold=line.bold) if free else label
              for label, line, free in zip(labels, lines, runs_on)]
    for key in left:
        columns[key] = (x + COLUMN_GAP + widths[key] / 2, x + COLUMN_GAP + (widths[key] + texts[key]) / 2)
        x += COLUMN_GAP + widths[key]
    panel = (x + PANEL_GAP, x + PANEL_GAP + panel_width)
    x = panel[1] + PANEL_GAP - COLUMN_GAP
    for key in right:
        columns[key] = (x + COLUMN_GAP + widths[key] / 2, x + COLUMN_GAP + (widths[key] + texts[key]) / 2)
        x += COLUMN_GAP + widths[key]

    note_lines = [line for note in notes for line in wrap(note, width - 2 * MARGIN, SMALL).split("\n")]
    heights = [LINE + TEXT_LINE * label.count("\n") for label in labels]
    header = TEXT_LINE * (1 + max((text.count("\n") for text in headers.values()), default=0)) + 0.05
    head = 0.06 + (0.24 if title else 0.0) + header
    foot = max(TICKS + AXIS_LABEL + FAVOURS + 0.05, footer) + NOTE_LINE * len(note_lines) + 0.04
    height = head + 0.04 + sum(heights) + 0.06 + foot
    rule_y = height - head
    tops = rule_y - 0.04 - np.cumsum([0.0, *heights])
    return Frame(width, height, height - 0.15, rule_y + 0.06, rule_y,
                 [float(top - high / 2) for top, high in zip(tops, heights)], float(tops[-1] - 0.06),
                 labels, columns, panel, note_lines)


def draw_frame(ax: Axes, frame: Frame, lines: Sequence[Line], headers: Mapping[str, str], label_header: str = "",
               title: str = "") -> Axes:
    """Write the words of a frame on `ax`, and return the panel (an inset axis, empty, sharing the frame's heights)."""
    ax.set(xlim=(0, frame.width), ylim=(0, frame.height))
    ax.axis("off")
    words = lettering(ax)
    if title:
        words.write(MARGIN, frame.title_y, title, size=TEXT + 1, bold=True)
    words.write(MARGIN, frame.header_y, label_header, size=TEXT, bold=True, va="bottom")
    for key, header in headers.items():
        words.write(frame.columns[key][0], frame.header_y, header, size=TEXT, bold=True, ha="center", va="bottom")
    right_end = frame.width - MARGIN
    ax.plot([MARGIN, right_end], [frame.rule_y] * 2, color=INK, lw=0.7, solid_capstyle="butt")
    for line, label, y in zip(lines, frame.labels, frame.centres):
        if line.rule:
            top = y + LINE / 2 + TEXT_LINE * label.count("\n") / 2
            ax.plot([MARGIN, right_end], [top] * 2, color=RULE, lw=0.5, solid_capstyle="butt")
        y -= OPTICAL * TEXT
        words.write(MARGIN + line.indent, y, label, size=TEXT, bold=line.bold)
        for key, text in line.cells.items():
            if key in headers and text:
                words.write(frame.columns[key][1], y, text, size=TEXT, bold=line.bold, ha="right")
    for place, note in enumerate(reversed(frame.notes)):
        words.write(MARGIN, 0.04 + NOTE_LINE * (place + 0.5), note, size=SMALL, colour=GREY)
    left, right = frame.panel
    return ax.inset_axes([left, frame.floor, right - left, frame.rule_y - frame.floor], transform=ax.transData)


def draw_axis(ax: Axes, panel: Axes, frame: Frame, measure: str, limits: tuple[float, float], *,
              sides: Sequence[str] = (), ticks: Sequence[float] | None = None) -> None:
    """Give the panel its scale and line of no effect, and name below it the measure and what each side favours."""
    left, right = frame.panel
    log = measure in RATIO_MEASURES
    panel.set(xscale="log" if log else "linear", xlim=limits, ylim=(frame.floor, frame.rule_y))
    panel.patch.set_visible(False)
    panel.yaxis.set_visible(False)
    panel.spines[["left", "top", "right"]].set_visible(False)
    ticks = axis_ticks(limits, measure, right - left) if ticks is None else list(ticks)
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_major_formatter(FixedFormatter(tick_texts(ticks, measure)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.tick_params(axis="x", length=2.5, width=0.7, pad=1.5, labelsize=SMALL)
    null = no_effect(measure)
    if limits[0] <= null <= limits[1]:
        panel.plot([null, null], [frame.floor, frame.rule_y], color=INK, lw=0.8, zorder=1, solid_capstyle="butt")
    y = frame.floor - TICKS - AXIS_LABEL / 2
    words = lettering(ax)
    words.write((left + right) / 2, y, MEASURES[measure], size=SMALL, ha="center")
    if sides:
        scale = np.log if log else float
        share = (scale(null) - scale(limits[0])) / (scale(limits[1]) - scale(limits[0]))
        middle = left + (right - left) * min(max(share, 0.0), 1.0)
        y -= (AXIS_LABEL + FAVOURS) / 2
        named = f"\N{LEFTWARDS ARROW} {sides[0]}", f"{sides[1]} \N{RIGHTWARDS ARROW}"
        # Both stand beside the line of no effect; the footer has room for them on either side of the panel.
        for text, x, align in ((named[0], middle - 0.06, "right"), (named[1], middle + 0.06, "left")):
            words.write(x, y, text, size=SMALL, ha=align)


def draw_interval(panel: Axes, y: ArrayLike, low: ArrayLike, high: ArrayLike, **line: object) -> dict[str, NDArray]:
    """Draw an interval at height `y`, or several at theirs, with an arrow at each end that lies outside the panel.

    Returns
    -------
    dict
        drawn_low, drawn_high: the ends as drawn; arrow_low, arrow_high: whether an arrow stands there.
    """
    left, right = panel.get_xlim()
    drawn = {"drawn_low": np.clip(low, left, right), "drawn_high": np.clip(high, left, right),
             "arrow_low": np.less(low, left), "arrow_high": np.greater(high, right)}
    look = {"color": INK, "lw": 1.0, "zorder": 4, "solid_capstyle": "butt"} | line
    heights = np.ravel(y)
    # All intervals are one line with a gap after each: much faster than a line for each.
    ends = np.column_stack([np.ravel(drawn["drawn_low"]), np.ravel(drawn["drawn_high"]), np.full(heights.size, np.nan)])
    panel.plot(ends.ravel()[:-1], np.repeat(heights, 3)[:-1], **look)
    for end, x, marker in (("arrow_low", left, "<"), ("arrow_high", right, ">")):
        at = heights[np.ravel(drawn[end])]
        if at.size:
            panel.plot(np.full(at.size, x), at, marker=marker, ms=4 + look["lw"], mew=0, color=look["color"],
                       clip_on=False, zorder=6, ls="none")
    return drawn


def check_intervals(table: pd.DataFrame, measure: str, columns: Sequence[str] = ()) -> None:
    """Raise a ValueError of one line if a table of estimates and intervals cannot be drawn."""
    check_measure(measure)
    if absent := [name for name in ("label", "estimate", "low", "high", *columns) if name not in table.columns]:
        raise ValueError(f"the table to be drawn has no column {', '.join(absent)}")
    if table.empty:
        raise ValueError("the table to be drawn is empty")
    names = table[["group", "label"] if "group" in table else ["label"]]
    if names.duplicated().any():
        raise ValueError(f"two rows have the label {', '.join(sorted(set(table['label'][names.duplicated()])))}")
    if "group" in table and table["group"].isna().any():
        nowhere = table.loc[table["group"].isna(), "label"].iloc[0]
        raise ValueError(f"{nowhere} has no group: name one, or leave the text blank")
    numbers = table[["estimate", "low", "high"]].dropna()
    outside = numbers[(numbers["estimate"] < numbers["low"]) | (numbers["estimate"] > numbers["high"])]
    if len(outside):
        raise ValueError(f"the interval of {table.loc[outside.index[0], 'label']} does not hold its estimate")
    if measure in RATIO_MEASURES and (numbers <= 0).any(axis=None):
        raise ValueError(f"a {measure} must be positive: is it still a logarithm?")


def cell_text(value: object, digits: int = 2) -> str:
    """Text of a cell: fractions with `digits` decimals, counts (integers) as they are, blank for what is missing."""
    if value is None or value is pd.NA:
        return ""
    is_fraction = isinstance(value, (float, np.floating))
    return typographic(number(value, digits, missing="") if is_fraction else str(value))


def interval_text(estimate: float, low: float, high: float, digits: int) -> str:
    """An estimate and its interval as printed in a figure: "−0.72 [−1.05, −0.39]"; the interval alone without it."""
    if np.isnan(low):
        return "not estimable"
    ends = f"[{number(low, digits)}, {number(high, digits)}]"
    return typographic(f"{number(estimate, digits, missing='')} {ends}".strip())


def panel_of(ax: Axes) -> Axes:
    """The panel of a frame drawn on `ax`; its y limits are the axis line and the line under the headers."""
    return ax.child_axes[0]


def fit_height(ax: Axes) -> None:
    """Make the figure as high as the frame drawn on `ax` needs: its y coordinates are then true inches."""
    ax.figure.set_figheight(ax.get_ylim()[1] / ax.get_position().height)


def width_of(ax: Axes) -> float:
    """Width of `ax` in inches."""
    return ax.figure.get_figwidth() * ax.get_position().width
