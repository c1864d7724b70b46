"""The contour-enhanced funnel plot: effects against their standard errors, with the regions of one trial's p value."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from scipy import special

from meta_analysis.plots import INK, SMALL, axis_ticks, style, tick_texts
from meta_analysis.report import MEASURES, RATIO_MEASURES, no_effect

#: Two-sided p of the edges of the regions, and the shades from "not significant" (white) outwards.
LEVELS = (0.1, 0.05, 0.01)
SHADES = ("#ececec", "#d4d4d4", "#b9b9b9")


@style()
def funnel_plot(ax: Axes, studies: pd.DataFrame, *, measure: str, estimate: float, title: str = "",
                filled: pd.DataFrame | None = None) -> tuple[Axes, pd.DataFrame]:
    """Draw a funnel plot with contours of significance (Peters and others 2008, Journal of Clinical Epidemiology).

    The white cone about no effect holds trials with p above 0.1; the shades, from light to dark, p below 0.1, 0.05 and
    0.01. Asymmetry where the trials would be significant is less easily explained by unpublished ones.

    Parameters
    ----------
    ax : Axes
    studies : DataFrame
        label, yi, vi: effects (logs for ratios) and their sampling variances.
    measure : str
        The axis is on the natural scale.
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
    depth = np.linspace(0, deepest, 60)
    reach = np.abs(rows["yi"] - np.log(no_effect(measure)) if log else rows["yi"])
    half = 1.08 * max(reach.max(), -special.ndtri(LEVELS[-1] / 2) * deepest)
    low, high = -half, half
    ax.set_facecolor(SHADES[-1])
    for level, shade in zip(LEVELS[::-1], ("#d4d4d4", "#ececec", "white")):
        z = -special.ndtri(level / 2)
        ax.fill_betweenx(depth, show(-z * depth), show(z * depth), color=shade, lw=0, zorder=1)
    z = -special.ndtri(0.025)
    for sign in (-1, 1):
        side = show(np.clip(estimate + sign * z * depth, low, high))
        ax.plot(side, depth, color=INK, lw=0.7, ls=(0, (4, 2)), zorder=2)
    ax.axvline(show(estimate), color=INK, lw=0.7, ls=(0, (4, 2)), zorder=2)
    ax.axvline(no_effect(measure), color=INK, lw=0.8, zorder=2)
    for kind, face in (("study", INK), ("filled", "white")):
        mine = rows["kind"] == kind
        ax.plot(show(rows["yi"][mine]), se[mine], "o", ms=4.5, mfc=face, mec=INK, mew=0.8, ls="none", zorder=4)
    places = list(zip(rows["yi"] / (2 * half), se / deepest))
    for label, y, s, (x, depth_share) in zip(studies["label"], studies["yi"], se, places):
        # Where another study stands close by at the right, the label goes to the left.
        crowded = any(0 < other - x < 0.25 and abs(at - depth_share) < 0.06 for other, at in places)
        ax.annotate(label, (show(y), s), (-5 if crowded else 5, -1), textcoords="offset points", size=SMALL - 0.5,
                    ha="right" if crowded else "left", va="center", zorder=5)
    ax.set(xscale="log" if log else "linear", xlim=tuple(float(end) for end in show([low, high])), ylim=(deepest, 0),
           xlabel=MEASURES[measure], ylabel="standard error")
    ticks = axis_ticks(ax.get_xlim(), measure, 2.4)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FixedFormatter(tick_texts(ticks, measure)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_title(title, loc="left", weight="bold")
    plotted = pd.DataFrame({"label": rows["label"], "estimate": show(rows["yi"]), "se": se, "kind": rows["kind"]})
    return ax, plotted
