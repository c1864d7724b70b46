"""The contour-enhanced funnel plot: effects against their standard errors, with the regions of one trial's p value."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import ArrayLike, NDArray
from scipy import special

from meta_analysis.frame import width_of
from meta_analysis.plots import GREY, INK, SMALL, axis_ticks, measure_label, style, text_width, tick_texts
from meta_analysis.report import RATIO_MEASURES, no_effect

#: Two-sided p of the edges of the regions, and the shades from "not significant" (white) outwards.
LEVELS = (0.1, 0.05, 0.01)
SHADES = ("#ececec", "#d4d4d4", "#b9b9b9")
Z = 1.959963984540054  # a normal 95 % interval
LABEL, LABEL_HEIGHT, CLEAR = SMALL - 0.5, 0.1, 0.02  # points; inches: of a label, and free about it
#: Where a label may stand: on which side of its mark, how far up and how far off (inches), the nearest places first.
PLACES = sorted(((side, up, off) for off in (0.07, 0.2, 0.35, 0.5, 0.7, 0.9) for up in (0.0, 0.1, -0.1, 0.2, -0.2)
                 for side in (1, -1)), key=lambda place: abs(place[1]) + place[2])


@style()
def funnel_plot(ax: Axes, studies: pd.DataFrame, *, measure: str, estimate: float, event: str | None = None,
                title: str = "", filled: pd.DataFrame | None = None) -> tuple[Axes, pd.DataFrame]:
    """Draw a funnel plot with contours of significance (Peters and others 2008, Journal of Clinical Epidemiology).

    The white cone about no effect holds trials with p above 0.1; the shades, from light to dark, p below 0.1, 0.05 and
    0.01. Asymmetry where the trials would be significant is less easily explained by unpublished ones.

    Parameters
    ----------
    ax : Axes
    studies : DataFrame
        label, yi, vi: effects (logs for ratios) and their sampling variances.
    measure, event : str
        The axis is on the natural scale; `event` as `plots.favours`.
    estimate : float
        Pooled effect (a log for ratios), with the 95 % pseudo-interval of trials about it (dashed).
    title : str
    filled : DataFrame, optional
        yi, vi of studies that trim-and-fill adds: hollow.

    Returns
    -------
    ax : Axes
    plotted : DataFrame
        label, estimate (natural scale), se, kind ("study" or "filled").

    Raises
    ------
    ValueError
        If there is no study, or a variance is not above zero.
    """
    if studies.empty or not (studies["vi"] > 0).all():
        raise ValueError("a funnel plot needs studies with variances above zero")
    log = measure in RATIO_MEASURES
    show = np.exp if log else np.asarray
    parts = [studies.assign(kind="study")]
    if filled is not None and len(filled):
        parts.append(filled.assign(kind="filled", label="filled"))
    rows = pd.concat(parts, ignore_index=True)
    se = np.sqrt(rows["vi"].to_numpy(dtype=float))
    deepest = 1.12 * se.max()
    depth = np.array([0, deepest])  # all lines and borders are straight, on the log axis too
    reach = np.abs(rows["yi"] - np.log(no_effect(measure)) if log else rows["yi"])
    half = 1.08 * max(reach.max(), -special.ndtri(LEVELS[-1] / 2) * deepest)
    low, high = -half, half
    ax.set_facecolor(SHADES[-1])
    for level, shade in zip(LEVELS[::-1], (*SHADES[1::-1], "white")):
        z = -special.ndtri(level / 2)
        ax.fill_betweenx(depth, show(-z * depth), show(z * depth), color=shade, lw=0, zorder=1)
    lines = [0 * depth, *(estimate + sign * Z * depth for sign in (-1, 0, 1))]
    for line, look in zip(lines, [{"lw": 0.8}] + [{"lw": 0.7, "ls": (0, (4, 2))}] * 3):
        ax.plot(show(line), depth, color=INK, zorder=2, **look)
    for kind, face in (("study", INK), ("filled", "white")):
        mine = rows["kind"] == kind
        ax.plot(show(rows["yi"][mine]), se[mine], "o", ms=4.5, mfc=face, mec=INK, mew=0.8, ls="none", zorder=4)
    size = np.array([width_of(ax), ax.figure.get_figheight() * ax.get_position().height])

    def inches(y: ArrayLike, s: ArrayLike) -> NDArray:
        return np.column_stack([(np.asarray(y) + half) / (2 * half), 1 - s / deepest]) * size

    steps = np.linspace(0, 1, 60)[:, None]
    marks, taken = inches(rows["yi"], se), np.concatenate([a + steps * (b - a) for a, b in
                                                           (inches(line, depth) for line in lines)])
    for label, mark, (side, *end) in zip(studies["label"], marks, _places(studies["label"], marks, taken, size)):
        if abs(end[1] - mark[1]) > 0 or abs(end[0] - mark[0]) > 0.1:
            ax.plot(*np.transpose([mark, end] / size), color=GREY, lw=0.5, zorder=3, transform=ax.transAxes)
        x, y = np.add(end, (0.01 * side, -0.01)) / size
        ax.text(x, y, label, size=LABEL, va="center", zorder=5, ha="left" if side > 0 else "right",
                transform=ax.transAxes)
    ax.set(xscale="log" if log else "linear", xlim=tuple(float(end) for end in show([low, high])), ylim=(deepest, 0),
           xlabel=measure_label(measure, event), ylabel="standard error")
    ticks = axis_ticks(ax.get_xlim(), measure, 2.4)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FixedFormatter(tick_texts(ticks, measure)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_title(title, loc="left", weight="bold")
    plotted = pd.DataFrame({"label": rows["label"], "estimate": show(rows["yi"]), "se": se, "kind": rows["kind"]})
    return ax, plotted


def _places(labels: pd.Series, marks: NDArray, taken: NDArray, size: NDArray) -> list[tuple[int, float, float]]:
    """A place for each label, the nearest of `PLACES` at which it touches no line, no other mark and no other label.

    Where there is none, the place with the fewest touches is taken.

    Parameters
    ----------
    labels : of the studies
    marks : inches, shape (m, 2)
        The studies in the order of `labels`, then further marks.
    taken : inches, shape (n, 2)
        Points of the lines.
    size : inches, shape (2,)
        Width and height of the plot.

    Returns
    -------
    list of (side, x, y)
        Side of the mark (1 right, -1 left), and the end of the label next to it, in inches.
    """
    placed, words = [], np.empty((0, 2))
    for number, label in enumerate(labels):
        width, others = text_width(label, LABEL), np.delete(marks, number, axis=0)
        x, y = marks[number]
        best = np.inf, (1, float(x), float(y)), (x, x + width)
        for side, up, off in PLACES:
            end = marks[number] + [side * off, up]
            left, right = sorted((end[0], end[0] + side * width))
            if left < 0 or right > size[0] or not LABEL_HEIGHT < end[1] < size[1] - LABEL_HEIGHT:
                continue
            hits = _touches(np.concatenate([taken, words, others]), left, right, end[1])
            leader = marks[number] + np.linspace(0.2, 1, 9)[:, None] * (end - marks[number])
            apart = np.linalg.norm(leader[:, None] - np.concatenate([others, words]), axis=-1)
            hits += np.sum(apart < 0.05) if up or off > 0.1 else 0
            if hits < best[0]:
                best = hits, (side, float(end[0]), float(end[1])), (left, right)
            if hits == 0:
                break
        _, place, (left, right) = best
        placed.append(place)
        across = np.linspace(left, right, 12)
        words = np.concatenate([words, *(np.column_stack([across, np.full(12, place[2] + up)])
                                         for up in (-0.04, 0.0, 0.04))])
    return placed


def _touches(points: NDArray, left: float, right: float, y: float) -> int:
    """How many points lie on a label, or nearly, that runs from `left` to `right` at height `y` (inches)."""
    across = (points[:, 0] > left - 2 * CLEAR) & (points[:, 0] < right + 2 * CLEAR)
    return int(np.sum(across & (np.abs(points[:, 1] - y) < LABEL_HEIGHT / 2 + CLEAR)))
