"""Forest plots for few trials: squares, intervals, diamonds, prediction intervals and, if wanted, risk-of-bias lights.

Everything is on the natural scale: ratios as ratios, not as logarithms. A row that cannot be estimated stays in the
figure and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_analysis import lights
from meta_analysis.forest_rows import Summary
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
from meta_analysis.plots import GREY, INK, PALE_BLUE, WIDTH, axis_range, favours, style, typographic
from meta_analysis.report import number, percent

LARGEST_SQUARE = 100.0  # points squared: the trial with most weight; a side of 10 points in a row of 14.4
DIAMOND_HALF_HEIGHT = 0.33 * LINE
PREDICTION_WIDTH = 3.5  # points


@style()
def forest_plot(ax: Axes, studies: pd.DataFrame, summaries: Sequence[Summary] = (), *, measure: str,
                columns: Mapping[str, str] | None = None, event: str | None = None,
                groups: Mapping[str, Sequence[Summary]] | None = None, notes: Sequence[str] = (), title: str = "",
                label_header: str = "Trial", weight_header: str = "Weight", digits: int = 2,
                xlim: tuple[float, float] | None = None, ticks: Sequence[float] | None = None,
                active: str = "MDMA-AT", control: str = "control", footer: float = 0.0) -> tuple[Axes, pd.DataFrame]:
    """Draw a forest plot on an axis.

    Parameters
    ----------
    ax : Axes
        Its whole area is used. `frame.fit_height(ax)` afterwards gives the figure the height that the rows need;
        `forest_figure` does both.
    studies : DataFrame, one row a trial
        label (unique), estimate, low, high, weight (shares that sum to 1, or all missing) and whatever `columns` names;
        `group` makes blocks of rows. Missing numbers are shown as "not estimable".
    summaries : sequence of Summary
        Under all trials.
    measure : str
        One of report.MEASURES; RR and OR are drawn on a log axis.
    columns : dict
        Columns of text left of the panel: name in `studies` -> header.
    event : {"good", "bad"}, optional
        For RR, OR and RD: whether the event is to be hoped for. Decides which side favours which arm.
    groups : dict
        Summaries of blocks: name in the column `group` -> summaries.
    notes : sequence of str
        Lines below the axis, for example `forest_text.heterogeneity_text`.
    xlim, ticks : optional
        Limits and ticks of the axis; chosen from the data by default.
    footer : float
        Inches kept free below the panel, if more than the axis needs.

    Returns
    -------
    ax : Axes
    plotted : DataFrame, one row a mark
        kind (study, diamond, hollow, prediction), group, label, estimate, low, high, weight, y (inches from the
        bottom), drawn_low, drawn_high, arrow_low, arrow_high, square_area (points squared; NaN where none is drawn).

    Raises
    ------
    ValueError
        If a column is missing, labels repeat, an interval does not hold its estimate, weights do not sum to 1, a
        ratio is not positive, or a group is unknown.
    """
    _check(studies, measure, columns or {}, groups or {})
    studies = studies.astype(dict.fromkeys(["estimate", "low", "high", "weight"], float))
    sides = favours(measure, event, active, control)
    rows = _rows(studies, summaries, columns or {}, groups or {}, digits)
    left = dict(columns or {})
    right = {"interval": f"{measure} [95% CI]"}
    if studies["weight"].notna().any():
        right["weight"] = weight_header
    lines = [line for line, _ in rows]
    marks = pd.DataFrame([{"line": place, **mark} for place, (_, mark) in enumerate(rows) if mark])
    limits = xlim or axis_range(marks["estimate"], marks["low"], marks["high"], measure)
    frame = lay_out(lines, left, right, width=width_of(ax), notes=[typographic(note) for note in notes],
                    title=title, footer=footer)
    panel = draw_frame(ax, frame, lines, {**left, **right}, label_header, title)
    draw_axis(ax, panel, frame, measure, limits, sides=sides, ticks=ticks)
    marks.insert(8, "y", [frame.centres[place] for place in marks["line"]])
    marks["square_area"] = _square_areas(marks)
    drawn = [_draw_mark(panel, mark) for _, mark in marks.iterrows()]
    overall = marks[marks["kind"].isin(["diamond", "hollow"]) & (marks["group"] == "")].sort_values("kind")
    if len(overall):  # a dashed line at the filled diamond, if there is one
        top = marks.loc[marks["kind"] == "study", "y"].max() + LINE / 2
        panel.plot([overall["estimate"].iloc[0]] * 2, [frame.floor, top], color=GREY, lw=0.7, ls=(0, (3, 2)), zorder=0)
    plotted = pd.concat([marks.drop(columns="line"), pd.DataFrame(drawn)], axis=1)
    return ax, plotted[[*[name for name in plotted if name != "square_area"], "square_area"]]


@style()
def forest_figure(studies: pd.DataFrame, summaries: Sequence[Summary] = (), *, measure: str,
                  judgements: pd.DataFrame | None = None, width: float = WIDTH,
                  **options: Any) -> tuple[Figure, pd.DataFrame]:
    """A figure that holds a forest plot and, right of it with aligned rows, risk-of-bias lights.

    Parameters
    ----------
    studies, summaries, measure, **options
        As for `forest_plot`.
    judgements : DataFrame, optional
        As for `lights.rob_lights`: rows are the labels of the trials, columns the domains.
    width : float
        Inches.

    Returns
    -------
    fig : Figure
        As high as its rows need.
    plotted : DataFrame
        As from `forest_plot`; with `judgements`, a column for each domain holds what is shown.
    """
    lights_width = 0.0 if judgements is None else lights.panel_width(judgements)
    fig = plt.figure(figsize=(width, 1.0))
    try:
        ax = fig.add_axes((0, 0, 1 - lights_width / width, 1))
        if judgements is not None:
            options["notes"] = [*options.get("notes", ()), lights.domain_key(judgements)]
            options["footer"] = max(options.get("footer", 0.0), lights.legend_height(judgements))
        ax, plotted = forest_plot(ax, studies, summaries, measure=measure, **options)
        if judgements is not None:
            beside = fig.add_axes((1 - lights_width / width, 0, lights_width / width, 1), sharey=ax)
            rows = plotted[plotted["kind"] == "study"].set_index("label")["y"]
            _, shown = lights.rob_lights(beside, judgements, beside=ax, rows=rows)
            plotted = plotted.join(shown.pivot(index="trial", columns="domain", values="judgement"), on="label")
        fit_height(ax)
    except ValueError:
        plt.close(fig)
        raise
    return fig, plotted


def _check(studies: pd.DataFrame, measure: str, columns: Mapping[str, str], groups: Mapping[str, object]) -> None:
    check_intervals(studies, measure, ["weight", *columns, *(["group"] if groups else [])])
    if twice := sorted(set(studies.loc[studies["label"].duplicated(), "label"])):
        raise ValueError(f"two studies have the label {', '.join(twice)}")
    if unknown := sorted(set(groups) - set(studies["group"] if groups else ())):
        raise ValueError(f"no study is in the group {', '.join(unknown)}")
    weights = studies["weight"].dropna()
    if len(weights) and (abs(weights.sum() - 1) > 1e-6 or (weights < 0).any()):
        raise ValueError(f"weights are shares that sum to 1, these sum to {number(weights.sum(), 3)}")


def _rows(studies: pd.DataFrame, summaries: Sequence[Summary], columns: Mapping[str, str],
          groups: Mapping[str, Sequence[Summary]], digits: int) -> list[tuple[Line, dict[str, Any]]]:
    """Lines from top to bottom, each with the numbers of its mark (none for headings)."""

    def study(row: pd.Series, group: str, indent: float) -> tuple[Line, dict[str, Any]]:
        cells = {name: cell_text(row[name], digits) for name in columns}
        cells["interval"] = interval_text(row["estimate"], row["low"], row["high"], digits)
        cells["weight"] = percent(100 * row["weight"], 1, missing="")
        mark = {"kind": "study", "group": group, **row[["label", "estimate", "low", "high", "weight"]].to_dict()}
        return Line("study", row["label"], cells, indent=indent), mark

    def summary(item: Summary, group: str, indent: float, rule: bool) -> tuple[Line, dict[str, Any]]:
        cells = {name: cell_text(text, digits) for name, text in item.cells.items()}
        bar = item.kind == "prediction"
        cells["interval"] = interval_text(np.nan if bar else item.estimate, item.low, item.high, digits)
        mark = {"kind": item.kind, "group": group, "label": item.label, "estimate": item.estimate, "low": item.low,
                "high": item.high, "weight": np.nan}
        return Line(item.kind, item.label, cells, bold=not bar, indent=indent, rule=rule), mark

    rows: list[tuple[Line, dict[str, Any]]] = []
    blocks = studies.groupby("group", sort=False) if "group" in studies else [("", studies)]
    for group, block in blocks:
        indent = INDENT if group else 0.0
        if group:
            rows.append((Line("heading", group, bold=True, rule=bool(rows)), {}))
        rows += [study(row, group, indent) for _, row in block.iterrows()]
        rows += [summary(item, group, indent, False) for item in groups.get(group, ())]
    return rows + [summary(item, "", 0.0, place == 0) for place, item in enumerate(summaries)]


def _square_areas(marks: pd.DataFrame) -> pd.Series:
    """Areas in points squared, proportional to weight; equal squares where no trial has a weight."""
    weights = marks["weight"].where(marks["low"].notna() & (marks["kind"] == "study"))
    if weights.isna().all():
        return pd.Series(np.where(marks["kind"] == "study", LARGEST_SQUARE / 3, np.nan), marks.index)
    return LARGEST_SQUARE * weights / weights.max()


def _draw_mark(panel: Axes, mark: pd.Series) -> dict[str, object]:
    """Draw the square, diamond or bar of one row; return what was drawn."""
    y, low, high = mark["y"], mark["low"], mark["high"]
    if np.isnan(low):
        return {"drawn_low": np.nan, "drawn_high": np.nan, "arrow_low": False, "arrow_high": False}
    if mark["kind"] == "study":
        if mark["square_area"] > 0:
            panel.scatter([mark["estimate"]], [y], s=mark["square_area"], marker="s", color=PALE_BLUE, lw=0, zorder=3)
        # A square of little weight is thinner than the line: a short stroke shows where the estimate is.
        panel.plot([mark["estimate"]], [y], marker="|", ms=5, mew=1.0, color=INK, ls="none", zorder=5)
        return draw_interval(panel, y, low, high)
    if mark["kind"] == "prediction":
        return draw_interval(panel, y, low, high, color=GREY, lw=PREDICTION_WIDTH, zorder=3)
    corners = [(low, y), (mark["estimate"], y + DIAMOND_HALF_HEIGHT), (high, y),
               (mark["estimate"], y - DIAMOND_HALF_HEIGHT)]
    face = "white" if mark["kind"] == "hollow" else INK
    panel.add_patch(plt.Polygon(corners, closed=True, facecolor=face, edgecolor=INK, lw=0.9, zorder=5))
    return draw_interval(panel, y, low, high, lw=0)
