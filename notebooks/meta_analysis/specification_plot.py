"""The picture of a specification curve: sorted estimates with their intervals above, the choices behind them below.

A hundred thousand specifications do not fit beside each other, so both parts show them in some hundred bins of equal
size. Above: the estimates, which hardly differ within a bin, and the middle interval of the bin inside a paler band of
nearly all of them. Below: one row a level; the darker, the more of the level's specifications lie at this place of the
curve; a stroke marks the level's middle one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from meta_analysis.curve_summary import share_below
from meta_analysis.lettering import lettering
from meta_analysis.plots import (
    BAND,
    GREY,
    INK,
    RULE,
    SMALL,
    TEXT,
    WIDTH,
    axis_ticks,
    favours,
    scale_sentence,
    style,
    tick_texts,
    typographic,
    wrap,
)
from meta_analysis.report import MEASURES, RATIO_MEASURES, interval, no_effect, number
from meta_analysis.specification_curve import Curve

TITLES = {
    "trials": "Trials", "mp9": "MP-9", "arms": "Arms", "score": "Score", "mp2": "MP-2", "mapp1": "MAPP1",
    "definition": "Definition", "mp12": "MP-12", "time": "Time", "people": "People", "measure": "Measure",
    "zero": "Zero cells", "model": "Model", "interval": "Interval",
}
BINS = 240
ROW, GAP = 0.1125, 0.045  # inches: a level, and the space between two choices
STEP = 0.0225  # inches: the largest length that fits both; a row of the picture of all levels
CURVE_HEIGHT, HEAD, FOOT = 2.15, 0.12, 0.56
LEFT, MIDDLE, RIGHT = 0.72, 2.75, 6.25  # where the levels begin, the panel begins, the panel ends
MEDIAN_AT, SHARE_AT = 6.72, 7.15
LEVEL_SIZE = 6.5  # points
MIDDLE_SHADE = "#b8b8b8"
DARKEST = 1.15  # where black would stand, in shares of a level's fullest bin
OUTER = (5, 95)  # percentiles of the lower and the upper ends that the pale band reaches


class Mark(NamedTuple):
    """A result to be shown beside the curve: words, its estimate, and how its line is drawn ("--", ":", "-.")."""

    label: str
    estimate: float
    line: str


@style()
def specification_plot(ax: Axes, curve: Curve, levels: pd.DataFrame, shares: pd.DataFrame, *, event: str | None = None,
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
    event : {"good", "bad"}, optional
        For ratios, as `plots.favours`.
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
    order = curve.by_estimate
    edges = np.unique(np.linspace(0, order.size, min(BINS, order.size) + 1).round().astype(int))
    plotted = _bins(curve, order, edges)
    shown = levels[levels["specifications"] > 0].reset_index(drop=True)
    height = _height(shown)
    ax.axis("off")
    floor = _draw_curve(ax, height, plotted, curve, marks)
    _describe(ax, height, curve, event)
    bottom = _draw_levels(ax, floor - 0.2, shown, shares, _strips(curve, order, edges, shown))
    words = ("Specifications stand from left (lowest estimate) to right. Below, the darker, the more of a level's "
             "specifications lie there; the stroke marks their middle. Median: of their estimates. Share: of the "
             f"variance of the estimate (Shapley effects); the interval never moves it. {note}")
    words = wrap(words, WIDTH - 0.1, LEVEL_SIZE)
    lettering(ax).write(0.05, bottom - 0.03, words, size=LEVEL_SIZE, colour=GREY, va="top")
    ax.set(xlim=(0, WIDTH), ylim=(0, height))
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
    sizes = np.diff(edges)
    found = pd.DataFrame({"first": edges[:-1], "last": edges[1:] - 1})
    for size in np.unique(sizes):  # bins of one size are the rows of a matrix
        which = np.flatnonzero(sizes == size)
        members = order[edges[which, None] + np.arange(size)]
        estimate = np.median(curve.estimate[members], axis=1)
        low, low_outer = np.percentile(curve.ci_low[members], (50, OUTER[0]), axis=1)
        high, high_outer = np.percentile(curve.ci_high[members], (50, OUTER[1]), axis=1)
        found.loc[which, ["estimate", "low", "high", "low_outer", "high_outer"]] = np.transpose(
            [estimate, low, high, low_outer, high_outer])
    return found.rename_axis("bin").reset_index()


def _strips(curve: Curve, order: np.ndarray, edges: np.ndarray, shown: pd.DataFrame) -> np.ndarray:
    """Specifications of each level (rows) in each bin (columns), as a share of the level's fullest bin."""
    bins = edges.size - 1
    bin_of = np.empty(order.size, dtype=int)
    bin_of[order] = np.repeat(np.arange(bins), np.diff(edges))
    counts = {}
    for place, (choice, levels) in enumerate(curve.family.choices.items()):
        both = np.bincount(curve.codes[:, place].astype(int) * bins + bin_of, minlength=len(levels) * bins)
        for level, row in zip(levels, both.reshape(len(levels), bins)):
            counts[choice, level] = row / max(row.max(), 1)
    return np.array([counts[key] for key in zip(shown["choice"], shown["level"])])


def _draw_levels(ax: Axes, top: float, shown: pd.DataFrame, shares: pd.DataFrame, strips: np.ndarray) -> float:
    """Draw the lower part from `top` (inches) downwards, all strips as one picture; returns its lower edge."""
    letters = lettering(ax)
    for x, words in ((MEDIAN_AT, "median"), (SHARE_AT, "share")):
        letters.write(x, top + 0.06, words, size=LEVEL_SIZE, bold=True, ha="right", va="bottom")
    first = (shown["choice"] != shown["choice"].shift()).to_numpy()
    tops = top - ROW * np.arange(len(shown)) - GAP * (np.cumsum(first) - 1)
    bottom = tops[-1] - ROW
    picture = np.full((round((top - bottom) / STEP), strips.shape[1]), np.nan)
    for upper, strip in zip(tops, strips):
        start = round((top - upper) / STEP)
        picture[start : start + round(ROW / STEP)] = strip
    # Ready pixels: matplotlib would give each pixel of the paper its colour anew. Nothing stands between two choices.
    pixels = plt.get_cmap("Greys")(picture / DARKEST, bytes=True)
    ax.imshow(pixels, aspect="auto", interpolation="none", extent=(MIDDLE, RIGHT, bottom, top))
    strokes = MIDDLE + shown["median_rank"] / 100 * (RIGHT - MIDDLE)
    for colour, width in (("white", 2.6), (INK, 1.1)):
        ax.vlines(strokes, tops - 0.9 * ROW, tops - 0.1 * ROW, color=colour, lw=width, capstyle="butt")
    ax.hlines(tops[first] + GAP / 2, 0.05, WIDTH - 0.05, color=RULE, lw=0.4)
    share_of = shares.set_index("choice")["share"]
    for upper, begins, row in zip(tops, first, shown.itertuples()):
        if begins:
            share = share_of.get(row.choice, np.nan)
            words = f"{number(share, 0)}%" if np.isfinite(share) else "none"
            letters.write(0.05, upper - ROW / 2, TITLES.get(row.choice, row.choice), size=LEVEL_SIZE, bold=True)
            letters.write(SHARE_AT, upper - ROW / 2, words, size=LEVEL_SIZE, bold=True, ha="right")
        letters.write(LEFT, upper - 0.55 * ROW, row.meaning, size=LEVEL_SIZE)
        letters.write(MEDIAN_AT, upper - 0.55 * ROW, typographic(number(row.median)), size=LEVEL_SIZE, ha="right")
    return float(bottom - GAP)


def _draw_curve(ax: Axes, height: float, bins: pd.DataFrame, curve: Curve, marks: Sequence[Mark]) -> float:
    """Draw the upper part; returns its lower edge in inches."""
    measure = curve.family.measure
    log = measure in RATIO_MEASURES
    floor = height - HEAD - CURVE_HEIGHT + 0.1
    box = MIDDLE / WIDTH, floor / height, (RIGHT - MIDDLE) / WIDTH, (height - HEAD - floor) / height
    panel = ax.inset_axes(box)
    limits = _limits(bins, curve, marks, log)
    x = (bins["first"] + bins["last"] + 1) / 2 / (bins["last"].iloc[-1] + 1) * 100
    for low, high, shade in (("low_outer", "high_outer", BAND), ("low", "high", MIDDLE_SHADE)):
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
    panel.tick_params(axis="y", length=2.5, width=0.7, pad=1.5, labelsize=SMALL)
    panel.xaxis.set_visible(False)
    panel.spines["bottom"].set_visible(False)
    centred = {"rotation": 90, "ha": "center", "va": "center"}
    ax.text(MIDDLE - 0.42, (floor + height - HEAD) / 2, MEASURES[measure], size=SMALL, **centred)
    scale = np.log if log else np.asarray
    low, high = scale(limits)
    named = [Mark("No effect", no_effect(measure), "-"), *marks]
    _label_marks(ax, {mark: floor + (scale(mark.estimate) - low) / (high - low) * (height - HEAD - floor)
                      for mark in named})
    return floor


def _describe(ax: Axes, height: float, curve: Curve, event: str | None) -> None:
    """Words and legend at the left of the curve."""
    top, measure, letters = height - HEAD, curve.family.measure, lettering(ax)
    letters.write(0.05, top, f"{curve.estimate.size:,} specifications", size=TEXT, bold=True, va="top")
    excluding = f"{number(100 * curve.excludes_no_effect.mean(), 0)}% of the intervals exclude no effect"
    letters.write(0.05, top - 0.23, excluding, size=SMALL)
    for place, (shade, words) in enumerate(((MIDDLE_SHADE, "middle interval (95%)"), (BAND, "nearly all intervals"))):
        y = top - 0.43 - 0.16 * place
        ax.add_patch(plt.Rectangle((0.05, y - 0.05), 0.2, 0.1, color=shade, lw=0))
        letters.write(0.31, y - 0.01, words, size=SMALL)
    below, above = (side[0].lower() + side[1:] for side in favours(measure, event))
    null = number(no_effect(measure), 0)
    for place, words in enumerate((f"above {null}: {above}", f"below {null}: {below}")):
        letters.write(0.05, top - 0.8 - 0.15 * place, words, size=SMALL)


def _limits(bins: pd.DataFrame, curve: Curve, marks: Sequence[Mark], log: bool) -> tuple[float, float]:
    """Axis that holds all estimates and marks, and the middle intervals of nine bins in ten."""
    seen = np.concatenate([bins["estimate"], [mark.estimate for mark in marks], [no_effect(curve.family.measure)],
                           [np.percentile(bins["low"], 10), np.percentile(bins["high"], 90)]])
    seen = np.log(seen[seen > 0]) if log else seen
    pad = 0.05 * (seen.max() - seen.min())
    ends = seen.min() - pad, seen.max() + pad
    return tuple(float(end) for end in (np.exp(ends) if log else ends))


def _label_marks(ax: Axes, heights: Mapping[Mark, float]) -> None:
    """Name each line, given with its height in inches, at its right end; never closer than a line of text."""
    words_at = np.inf
    for mark, y in sorted(heights.items(), key=lambda item: -item[1]):
        words_at = min(y, words_at - 0.12)
        words = mark.label if mark.label == "No effect" else f"{mark.label} {typographic(number(mark.estimate))}"
        ax.plot([RIGHT, RIGHT + 0.07], [y, words_at], color=GREY, lw=0.5)
        lettering(ax).write(RIGHT + 0.09, words_at - 0.005, words, size=LEVEL_SIZE)
