"""The picture of a specification curve: sorted estimates with their intervals above, the choices behind them below.

A hundred thousand specifications do not fit beside each other, so both parts show them in some hundred bins of equal
size. Above: the estimates, which hardly differ within a bin, and the middle interval of the bin inside a paler band of
nearly all of them. Below: one row a level; the darker, the more of the level's specifications lie at this place of the
curve; a stroke marks the level's middle one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from meta_analysis.curve_summary import by_estimate, share_below
from meta_analysis.plots import (
    BAND,
    GREY,
    INK,
    RULE,
    SMALL,
    TEXT,
    WIDTH,
    axis_ticks,
    scale_sentence,
    style,
    tick_texts,
    typographic,
    wrap,
)
from meta_analysis.report import MEASURES, RATIO_MEASURES, interval, no_effect, number
from meta_analysis.specification import Curve

TITLES = {
    "trials": "Trials", "mp9": "MP-9", "arms": "Arms", "score": "Score", "mp2": "MP-2", "mapp1": "MAPP1",
    "definition": "Definition", "mp12": "MP-12", "time": "Time", "people": "People", "measure": "Measure",
    "zero": "Zero cells", "model": "Model", "interval": "Interval",
}
BINS = 240
ROW, GAP = 0.112, 0.045  # inches: a level, and the space between two choices
CURVE_HEIGHT, HEAD, FOOT = 2.15, 0.12, 0.56
LEFT, MIDDLE, RIGHT = 0.72, 2.75, 6.25  # where the levels begin, the panel begins, the panel ends
MEDIAN_AT, SHARE_AT = 6.72, 7.15
LEVEL_SIZE = 6.5  # points
OUTER = (5, 95)  # percentiles of the lower and the upper ends that the pale band reaches


class Mark(NamedTuple):
    """A result to be shown beside the curve: words, its estimate, and how its line is drawn ("--", ":", "-.")."""

    label: str
    estimate: float
    line: str


@style()
def specification_plot(ax: Axes, curve: Curve, levels: pd.DataFrame, shares: pd.DataFrame, *,
                       marks: Sequence[Mark] = (), note: str = "") -> tuple[Axes, pd.DataFrame]:
    """Draw a specification curve with its choice panel.

    Parameters
    ----------
    ax : Axes
        Its whole area is used; it must be `WIDTH` inches wide. `specification_figure` gives it the height it needs.
    curve : Curve
    levels, shares : DataFrame
        From `curve_summary.level_summary` and `curve_summary.variance_shares`. Levels without a specification are left
        out: they change nothing here, or nothing is left of them.
    marks : sequence of Mark
        Results shown as lines across the curve.
    note : str
        A last line below the figure.

    Returns
    -------
    ax : Axes
    plotted : DataFrame, one row a bin
        bin, first, last (ranks), estimate (median), low, high (medians of the interval's ends), low_outer, high_outer.
    """
    order = by_estimate(curve)
    edges = np.unique(np.linspace(0, order.size, min(BINS, order.size) + 1).round().astype(int))
    plotted = _bins(curve, order, edges)
    shown = levels[levels["specifications"] > 0].reset_index(drop=True)
    height = _height(shown)
    ax.set(xlim=(0, WIDTH), ylim=(0, height))
    ax.axis("off")
    top = _draw_curve(ax, height, plotted, curve, marks)
    y = top - 0.2
    for x, text in ((MEDIAN_AT, "median"), (SHARE_AT, "share")):
        ax.text(x, y + 0.06, text, size=LEVEL_SIZE, ha="right", va="bottom", weight="bold")
    strips = _strips(curve, order, edges, shown)
    for choice, rows in shown.groupby("choice", sort=False):
        share = shares.set_index("choice")["share"].get(choice, np.nan)
        ax.plot([0.05, WIDTH - 0.05], [y + GAP / 2] * 2, color=RULE, lw=0.4)
        ax.text(0.05, y - ROW / 2, TITLES.get(choice, choice), size=LEVEL_SIZE, weight="bold", va="center")
        ax.text(SHARE_AT, y - ROW / 2, f"{number(share, 0)}%" if np.isfinite(share) else "none", size=LEVEL_SIZE,
                weight="bold", va="center", ha="right")
        panel = ax.inset_axes([MIDDLE, y - ROW * len(rows), RIGHT - MIDDLE, ROW * len(rows)], transform=ax.transData)
        panel.imshow(strips[rows.index], aspect="auto", cmap="Greys", vmin=0, vmax=1.15, interpolation="none",
                     extent=(0, 100, len(rows), 0))
        panel.axis("off")
        for line, (_, row) in enumerate(rows.iterrows()):
            panel.plot([row["median_rank"]] * 2, [line + 0.1, line + 0.9], color="white", lw=2.6, solid_capstyle="butt")
            panel.plot([row["median_rank"]] * 2, [line + 0.1, line + 0.9], color=INK, lw=1.1, solid_capstyle="butt")
            middle = y - ROW * (line + 0.55)
            ax.text(LEFT, middle, row["meaning"], size=LEVEL_SIZE, va="center")
            ax.text(MEDIAN_AT, middle, typographic(number(row["median"])), size=LEVEL_SIZE, va="center", ha="right")
        y -= ROW * len(rows) + GAP
    words = ("Specifications stand from left (lowest estimate) to right. Below, the darker, the more of a level's "
             "specifications lie there; the stroke marks their middle. Median: of their estimates. Share: of the "
             f"variance of the estimate (Shapley effects); the interval never moves it. {note}")
    ax.text(0.05, y - 0.03, wrap(words, WIDTH - 0.1, LEVEL_SIZE), size=LEVEL_SIZE, color=GREY, va="top")
    return ax, plotted


@style()
def specification_figure(curve: Curve, levels: pd.DataFrame, shares: pd.DataFrame, **options: Any
                         ) -> tuple[Figure, pd.DataFrame]:
    """A figure of its own for `specification_plot`: a page of a journal, as high as the levels need."""
    fig = plt.figure(figsize=(WIDTH, _height(levels[levels["specifications"] > 0])))
    _, plotted = specification_plot(fig.add_axes((0, 0, 1, 1)), curve, levels, shares, **options)
    return fig, plotted


def specification_alt_text(curve: Curve, shares: pd.DataFrame, *, subject: str, event: str | None = None,
                           marks: Sequence[Mark] = ()) -> str:
    """What the figure shows, in words and numbers; parameters as `specification_plot`, `event` as `plots.favours`."""
    ends = np.quantile(curve.estimate, [0, 0.05, 0.5, 0.95, 1])
    excluded = 100 * curve.excludes_no_effect.mean()
    sentences = [
        f"Specification curve: {subject}, {curve.estimate.size} specifications.",
        scale_sentence(curve.family.measure, event),
        f"Estimates run from {number(ends[0])} to {number(ends[4])}, nine tenths from {interval(ends[1], ends[3])}, "
        f"median {number(ends[2])}; {number(excluded, 0)} percent of the intervals exclude no effect.",
    ]
    sentences += [f"{mark.label}: {number(mark.estimate)}, below which {number(share_below(curve, mark.estimate), 0)} "
                  "percent of the estimates lie." for mark in marks]
    parts = [f"{TITLES.get(row.choice, row.choice)} {number(row.share, 0)} percent" for row in shares.itertuples()]
    return " ".join([*sentences, f"Shares of the variance of the estimate: {', '.join(parts)}."])


def _height(shown: pd.DataFrame) -> float:
    return HEAD + CURVE_HEIGHT + FOOT + ROW * len(shown) + GAP * shown["choice"].nunique()


def _bins(curve: Curve, order: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    rows = []
    for first, last in zip(edges[:-1], edges[1:]):
        members = order[first:last]
        low, high = curve.ci_low[members], curve.ci_high[members]
        rows.append([first, last - 1, np.median(curve.estimate[members]), np.median(low), np.median(high),
                     np.percentile(low, OUTER[0]), np.percentile(high, OUTER[1])])
    names = ["first", "last", "estimate", "low", "high", "low_outer", "high_outer"]
    return pd.DataFrame(rows, columns=names).astype({"first": int, "last": int}).rename_axis("bin").reset_index()


def _strips(curve: Curve, order: np.ndarray, edges: np.ndarray, shown: pd.DataFrame) -> np.ndarray:
    """Specifications of each level (rows) in each bin (columns), as a share of the level's fullest bin."""
    choices = list(curve.family.choices)
    bin_of = np.empty(order.size, dtype=int)
    bin_of[order] = np.searchsorted(edges, np.arange(order.size), side="right") - 1
    counts = {}
    for place, choice in enumerate(choices):
        size = len(curve.family.choices[choice])
        cell = curve.codes[:, place].astype(int) * (edges.size - 1) + bin_of
        both = np.bincount(cell, minlength=size * (edges.size - 1))
        for level, row in zip(curve.family.choices[choice], both.reshape(size, -1)):
            counts[choice, level] = row / max(row.max(), 1)
    return np.array([counts[key] for key in zip(shown["choice"], shown["level"])])


def _draw_curve(ax: Axes, height: float, bins: pd.DataFrame, curve: Curve, marks: Sequence[Mark]) -> float:
    """Draw the upper part; returns its lower edge in inches."""
    measure = curve.family.measure
    log = measure in RATIO_MEASURES
    floor = height - HEAD - CURVE_HEIGHT + 0.1
    panel = ax.inset_axes([MIDDLE, floor, RIGHT - MIDDLE, height - HEAD - floor], transform=ax.transData)
    limits = _limits(bins, curve, marks, log)
    x = (bins["first"] + bins["last"] + 1) / 2 / (bins["last"].iloc[-1] + 1) * 100
    for low, high, shade in (("low_outer", "high_outer", BAND), ("low", "high", "#b8b8b8")):
        panel.fill_between(x, bins[low].clip(*limits), bins[high].clip(*limits), color=shade, lw=0, zorder=1)
    panel.plot(x, bins["estimate"], color=INK, lw=1.3, zorder=4)
    panel.plot([0, 100], [no_effect(measure)] * 2, color=INK, lw=0.8, zorder=3)
    for mark in marks:
        panel.plot([0, 100], [mark.estimate] * 2, color=INK, lw=0.8, ls=mark.line, zorder=3)
    panel.set(xlim=(0, 100), yscale="log" if log else "linear", ylim=limits)
    ticks = axis_ticks(limits, measure, CURVE_HEIGHT)
    panel.yaxis.set_major_locator(FixedLocator(ticks))
    panel.yaxis.set_major_formatter(FixedFormatter(tick_texts(ticks, measure)))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.tick_params(axis="both", length=2.5, width=0.7, pad=1.5, labelsize=SMALL)
    panel.set_xticks([])
    panel.spines["bottom"].set_visible(False)
    centred = {"rotation": 90, "ha": "center", "va": "center"}
    ax.text(MIDDLE - 0.42, (floor + height - HEAD) / 2, MEASURES[measure], size=SMALL, **centred)
    _label_marks(ax, panel, [Mark("No effect", no_effect(measure), "-"), *marks], limits, log)
    ax.text(0.05, height - HEAD, f"{curve.estimate.size:,} specifications", size=TEXT, weight="bold", va="top")
    excluding = f"{number(100 * curve.excludes_no_effect.mean(), 0)}% of the intervals exclude no effect"
    ax.text(0.05, height - HEAD - 0.23, excluding, size=SMALL, va="center")
    for place, (shade, words) in enumerate((("#b8b8b8", "middle interval (95%)"), (BAND, "nearly all intervals"))):
        y = height - HEAD - 0.43 - 0.16 * place
        ax.add_patch(plt.Rectangle((0.05, y - 0.05), 0.2, 0.1, color=shade, lw=0))
        ax.text(0.31, y - 0.01, words, size=SMALL, va="center")
    return floor


def _limits(bins: pd.DataFrame, curve: Curve, marks: Sequence[Mark], log: bool) -> tuple[float, float]:
    """Axis that holds all estimates and marks, and the middle intervals of nine bins in ten."""
    seen = np.concatenate([bins["estimate"], [mark.estimate for mark in marks], [no_effect(curve.family.measure)],
                           [np.percentile(bins["low"], 10), np.percentile(bins["high"], 90)]])
    seen = np.log(seen[seen > 0]) if log else seen
    pad = 0.05 * (seen.max() - seen.min())
    ends = seen.min() - pad, seen.max() + pad
    return tuple(float(end) for end in (np.exp(ends) if log else ends))


def _label_marks(ax: Axes, panel: Axes, marks: Sequence[Mark], limits: tuple[float, float], log: bool) -> None:
    """Name each line at the right of the panel, from top to bottom, never closer than a line of text."""
    scale = np.log if log else np.asarray
    low, high = scale(limits[0]), scale(limits[1])
    floor, top = panel.get_position().y0, panel.get_position().y1
    figure_height = ax.get_ylim()[1]
    words_at = np.inf
    for mark in sorted(marks, key=lambda mark: -mark.estimate):
        share = (scale(mark.estimate) - low) / (high - low)
        y = (floor + share * (top - floor)) * figure_height
        words_at = min(y, words_at - 0.12)
        words = mark.label if mark.label == "No effect" else f"{mark.label} {typographic(number(mark.estimate))}"
        ax.plot([RIGHT, RIGHT + 0.07], [y, words_at], color=GREY, lw=0.5)
        ax.text(RIGHT + 0.09, words_at - 0.005, words, size=LEVEL_SIZE, va="center")
