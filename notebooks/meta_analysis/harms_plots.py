"""Figures of harms: events by arm with their differences, and benefits beside harms per 100 people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from meta_analysis.frame import (
    INDENT,
    Frame,
    Line,
    check_intervals,
    draw_frame,
    draw_interval,
    fit_height,
    interval_text,
    lay_out,
    width_of,
)
from meta_analysis.plots import BLUE, GREY, INK, SMALL, WIDTH, style, tick_texts, typographic
from meta_analysis.report import interval, number

GAP_BETWEEN_PANELS = 0.25  # inches
MARK = 4.5  # points
COLUMNS = ["group", "label", "good", "estimate", "low", "high", "source"]  # of the table for `per_100_plot`
COUNTS = ["events_active", "n_active", "events_control", "n_control"]


@style()
def events_plot(ax: Axes, table: pd.DataFrame, *, what: str = "Event", active: str = "MDMA-AT",
                control: str = "Control", notes: Sequence[str] = ()) -> tuple[Axes, pd.DataFrame]:
    """Draw how many people of each arm had each event, and beside it the risk difference (Amit and others 2008).

    Parameters
    ----------
    ax : Axes
        Its whole area is used; `frame.fit_height(ax)` afterwards gives the figure the height that the rows need.
    table : DataFrame, one row an event
        label, events_active, n_active, events_control, n_control, and estimate, low, high: the risk difference per
        person and its interval. `group` makes blocks; within a block the largest difference stands on top.
    what : str
        Header of the labels: what kind of event was counted.
    active, control : str
        Names of the arms.
    notes : sequence of str
        Lines below the panels.

    Returns
    -------
    ax : Axes
    plotted : DataFrame, one row an event, from the top
        group, label, counts, percent_active, percent_control, and per 100 people estimate, low, high; y in inches,
        drawn_low, drawn_high, arrow_low, arrow_high.

    Raises
    ------
    ValueError
        If a column is missing, labels repeat within a group, or an interval does not hold its estimate.
    """
    check_intervals(table, "RD", COUNTS)
    marks = table.assign(group=table.get("group", ""))
    blocks = [block.sort_values("estimate", ascending=False, kind="stable")
              for _, block in marks.groupby("group", sort=False)]
    marks = pd.concat(blocks, ignore_index=True)[["group", "label", *COUNTS, "estimate", "low", "high"]]
    marks[["estimate", "low", "high"]] *= 100
    for side in ("active", "control"):
        marks[f"percent_{side}"] = 100 * marks[f"events_{side}"] / marks[f"n_{side}"]
        marks[side] = marks[f"events_{side}"].astype(str) + "/" + marks[f"n_{side}"].astype(str)
    left = {"active": f"{active}\nevents/n", "control": f"{control}\nevents/n"}
    right = {"interval": "Difference per 100\n[95% CI]"}
    frame = _frame(ax, marks, left, right, what, notes)
    marks = marks.drop(columns=["active", "control"])
    middle = frame.panel[0] + 0.45 * (frame.panel[1] - frame.panel[0])
    shares = _panel(ax, frame, frame.panel[0], middle - GAP_BETWEEN_PANELS / 2)
    ends = marks[["percent_active", "percent_control"]].to_numpy()
    _scale(shares, (0.0, max(5.0, 1.06 * ends.max())), "People with it, percent", ax, frame)
    for _, mark in marks.iterrows():
        shares.plot([mark["percent_control"], mark["percent_active"]], [mark["y"]] * 2, color=GREY, lw=0.7, zorder=2)
        for side, marker, face in (("control", "^", "white"), ("active", "o", BLUE)):
            shares.plot([mark[f"percent_{side}"]], [mark["y"]], marker=marker, ms=MARK, mfc=face, mec=INK, mew=0.7,
                        clip_on=False, zorder=4)
    _key(ax, frame, active, control)
    place = middle + GAP_BETWEEN_PANELS / 2, frame.panel[1]
    square = {"marker": "s", "ms": MARK - 1, "mfc": INK}
    return ax, _differences(ax, frame, place, marks, "Difference per 100 people", active, [square] * len(marks))


@style()
def per_100_plot(ax: Axes, table: pd.DataFrame, *, active: str = "MDMA-AT",
                 notes: Sequence[str] = ()) -> tuple[Axes, pd.DataFrame]:
    """Draw benefits and harms on one scale: how many more of 100 people have each with the active arm.

    Parameters
    ----------
    ax : Axes
        Its whole area is used; `frame.fit_height(ax)` afterwards gives the figure its height.
    table : DataFrame, one row an outcome
        group, label, good (bool: an event to hope for), estimate, low, high: more people per 100 with its interval.
        `source` is a text shown at the right (trials, people).
    active : str
        Name of the active arm.
    notes : sequence of str
        Lines below the panel.

    Returns
    -------
    ax : Axes
    plotted : DataFrame
        The columns of `table`, with y (inches), drawn_low, drawn_high, arrow_low, arrow_high.

    Raises
    ------
    ValueError
        As `events_plot`.
    """
    check_intervals(table, "RD", ["group", "good", "source"])
    marks = pd.concat([block for _, block in table.groupby("group", sort=False)], ignore_index=True)
    right = {"interval": "More per 100\n[95% CI]", "source": "Trials,\npeople"}
    frame = _frame(ax, marks, {}, right, "Outcome", notes)
    shapes = [{"marker": "o", "ms": MARK, "mfc": BLUE} if good else {"marker": "s", "ms": MARK, "mfc": "white"}
              for good in marks["good"]]
    return ax, _differences(ax, frame, frame.panel, marks, "More people per 100", active, shapes)


def _figure(draw: Any, table: pd.DataFrame, width: float, options: dict[str, Any]) -> tuple[Figure, pd.DataFrame]:
    with style():
        fig = plt.figure(figsize=(width, 1.0))
    try:
        ax, plotted = draw(fig.add_axes((0, 0, 1, 1)), table, **options)
    except ValueError:
        plt.close(fig)
        raise
    fit_height(ax)
    return fig, plotted


def events_figure(table: pd.DataFrame, *, width: float = WIDTH, **options: Any) -> tuple[Figure, pd.DataFrame]:
    """A figure of its own, as high as its rows need, for `events_plot`."""
    return _figure(events_plot, table, width, options)


def per_100_figure(table: pd.DataFrame, *, width: float = WIDTH, **options: Any) -> tuple[Figure, pd.DataFrame]:
    """A figure of its own, as high as its rows need, for `per_100_plot`."""
    return _figure(per_100_plot, table, width, options)


def events_alt_text(plotted: pd.DataFrame, *, subject: str, active: str = "MDMA-AT", control: str = "control") -> str:
    """The plot of events by arm in words and numbers, from the table that `events_plot` gave back."""
    return _alt_text(
        plotted, f"Dot plot of {subject}: people with each of them by arm, and the difference per 100 people with its "
        "95% interval, the largest difference on top.",
        lambda mark: f"{mark['events_active']} of {mark['n_active']} with {active}, {mark['events_control']} of "
                     f"{mark['n_control']} with {control}, difference ")


def per_100_alt_text(plotted: pd.DataFrame, *, active: str = "MDMA-AT") -> str:
    """The display per 100 people in words and numbers, from the table that `per_100_plot` gave back."""
    return _alt_text(plotted, f"How many more of 100 people have each outcome with {active}, with 95% intervals.")


def _alt_text(plotted: pd.DataFrame, beginning: str, counts: Callable[[pd.Series], str] = lambda mark: "") -> str:
    """One sentence a row, with its group named before the first of it."""
    sentences = [beginning]
    for group, block in plotted.groupby("group", sort=False):
        sentences += [f"{group}:"] if group else []
        sentences += [f"{mark['label']}: {counts(mark)}{number(mark['estimate'], 0)} "
                      f"({interval(mark['low'], mark['high'], 0)})." for _, mark in block.iterrows()]
    return " ".join(sentences)


def _frame(ax: Axes, marks: pd.DataFrame, left: dict[str, str], right: dict[str, str], what: str,
           notes: Sequence[str]) -> Frame:
    """Write a heading a group and a line a row of `marks`, which gets the height of each line as its column y."""
    lines, places = [], []
    for group, block in marks.groupby("group", sort=False):
        if group:
            lines.append(Line("heading", group, bold=True, rule=bool(lines)))
        for _, mark in block.iterrows():
            cells = {name: mark[name] for name in (*left, *right) if name != "interval"}
            cells["interval"] = interval_text(mark["estimate"], mark["low"], mark["high"], 0)
            places.append(len(lines))
            lines.append(Line("row", mark["label"], cells, indent=INDENT if group else 0.0))
    frame = lay_out(lines, left, right, width=width_of(ax), notes=[typographic(note) for note in notes])
    draw_frame(ax, frame, lines, {**left, **right}, what).axis("off")
    marks["y"] = [frame.centres[place] for place in places]
    return frame


def _differences(ax: Axes, frame: Frame, place: tuple[float, float], marks: pd.DataFrame, label: str, active: str,
                 shapes: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Draw differences with their intervals around zero, and return `marks` with the ends as drawn."""
    panel = _panel(ax, frame, *place)
    low, high = min(marks["low"].min(), 0.0), max(marks["high"].max(), 0.0)
    pad = 0.04 * (high - low or 1.0)
    _scale(panel, (low - pad, high + pad), label, ax, frame, sides=(f"Fewer with {active}", f"More with {active}"))
    panel.axvline(0, color=INK, lw=0.8, zorder=1)
    drawn = []
    for (_, mark), shape in zip(marks.iterrows(), shapes):
        drawn.append(draw_interval(panel, mark["y"], mark["low"], mark["high"]))
        panel.plot([mark["estimate"]], [mark["y"]], mec=INK, mew=0.8, ls="none", zorder=5, **shape)
    return marks.join(pd.DataFrame(drawn))


def _panel(ax: Axes, frame: Frame, left: float, right: float) -> Axes:
    return ax.inset_axes([left, frame.floor, right - left, frame.rule_y - frame.floor], transform=ax.transData)


def _scale(panel: Axes, limits: tuple[float, float], label: str, ax: Axes, frame: Frame,
           sides: Sequence[str] = ()) -> None:
    """Axis with ticks and its name below; what each side of no difference means stands under the name."""
    panel.set(xlim=limits, ylim=(frame.floor, frame.rule_y))
    panel.patch.set_visible(False)
    panel.yaxis.set_visible(False)
    panel.spines[["left", "top", "right"]].set_visible(False)
    box = panel.get_position()
    width = box.width * ax.figure.get_figwidth()
    ticks = MaxNLocator(min(8, max(2, int(width / 0.3))), steps=[1, 2, 2.5, 5, 10]).tick_values(*limits)
    ticks = [float(tick) for tick in ticks if limits[0] <= tick <= limits[1]]
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.set_xticks(ticks, tick_texts(ticks, "RD"))
    panel.tick_params(axis="x", length=2.5, width=0.7, pad=1.5, labelsize=SMALL)
    left, right = (panel.transData.transform((x, 0))[0] for x in limits)
    left, right = (ax.transData.inverted().transform((x, 0))[0] for x in (left, right))
    ax.text((left + right) / 2, frame.floor - 0.26, label, size=SMALL, ha="center", va="center")
    if sides:
        null = left + (right - left) * (0 - limits[0]) / (limits[1] - limits[0])
        words = f"\N{LEFTWARDS ARROW} {sides[0]}", f"{sides[1]} \N{RIGHTWARDS ARROW}"
        for text, x, align in ((words[0], null - 0.06, "right"), (words[1], null + 0.06, "left")):
            ax.text(x, frame.floor - 0.4, text, size=SMALL, ha=align, va="center")


def _key(ax: Axes, frame: Frame, active: str, control: str) -> None:
    """What the two marks of the left panel stand for, among the headers above it."""
    left = frame.panel[0] + MARK / 72
    y = frame.header_y + 0.07
    for x, marker, face, words in ((left, "o", BLUE, active), (left + 0.75, "^", "white", control)):
        ax.plot([x], [y], marker=marker, ms=MARK, mfc=face, mec=INK, mew=0.7, ls="none", clip_on=False)
        ax.text(x + 0.08, y, words, size=SMALL, va="center")


