"""Pictures of time: the course of each arm of a trial, and the effect along a moderator with its honest band."""

from __future__ import annotations

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator
from matplotlib.transforms import Bbox

from meta_analysis.plots import BAND, GREY, INK, SMALL, WIDTH, style, text_width
from meta_analysis.report import interval, number

ACTIVE = (("-", "o"), ("-.", "s"))  # line and marker of the first and the second active arm
CONTROL = ("--", "o")
AREA = 1.6  # of a mark, in square points: this over the sampling variance
# Where a label may stand, as seen from its mark (left to right, down to up), the best place first.
SIDES = ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))


@style()
def course_plot(
    ax: Axes, arms: pd.DataFrame, *, limits: tuple[float, float], title: str = ""
) -> tuple[Axes, pd.DataFrame]:
    """Mean scores of the arms of one trial over time, with 95 % intervals.

    Parameters
    ----------
    ax : Axes
    arms : DataFrame
        Rows of one trial from `dose_time.courses`.
    limits : (low, high)
        Of the scores, the same for all trials of one instrument.
    title : str

    Returns
    -------
    ax : Axes
    plotted : DataFrame
        arm_id, role, weeks, sessions, mean, low, high as drawn (intervals cut at the limits).

    Raises
    ------
    ValueError
        If the rows are of more than one trial.
    """
    if arms["trial_id"].nunique() != 1:
        raise ValueError(f"one trial at a time, got {', '.join(arms['trial_id'].unique()) or 'none'}")
    plotted, shift = [], 0.012 * arms["weeks"].max()
    actives = list(dict.fromkeys(arms.loc[arms["role"] == "active", "arm_id"]))
    for place, (arm, rows) in enumerate(arms.groupby("arm_id", sort=False)):
        control = rows["role"].iloc[0] == "control"
        line, marker = CONTROL if control else ACTIVE[actives.index(arm) % len(ACTIVE)]
        low, high = rows["low"].clip(*limits), rows["high"].clip(*limits)
        x = rows["weeks"] + shift * (place - (arms["arm_id"].nunique() - 1) / 2)
        color = GREY if control else INK
        ax.vlines(x, low, high, color=color, lw=0.8)
        ax.plot(x, rows["mean"], ls=line, marker=marker, ms=3.6, lw=1.1, color=color, mfc="white" if control else color,
                mew=0.8, label=_arm_name(rows.iloc[0]))
        plotted.append(rows[["arm_id", "role", "weeks", "sessions", "mean"]].assign(low=low, high=high))
    times = arms.drop_duplicates("weeks").sort_values("weeks")
    ax.xaxis.set_major_locator(FixedLocator(times["weeks"].to_list()))
    ax.xaxis.set_major_formatter(FixedFormatter([f"{week:.0f}\n({sessions:.0f})" for week, sessions
                                                 in zip(times["weeks"], times["sessions"])]))
    ax.set(ylim=limits, xlim=(-0.06 * arms["weeks"].max(), 1.06 * arms["weeks"].max()))
    ax.legend(loc="lower left", borderaxespad=0.1, labelspacing=0.2, handlelength=2.6, fontsize=SMALL - 0.5)
    ax.set_title(title, loc="left", weight="bold")
    return ax, pd.concat(plotted, ignore_index=True)


@style()
def band_plot(ax: Axes, effects: pd.DataFrame, fitted: pd.DataFrame, moderator: str, *, label: str,
              title: str = "") -> tuple[Axes, pd.DataFrame]:
    """Effects along a moderator, the fitted line, the model's interval and the cluster-robust one.

    Parameters
    ----------
    ax : Axes
    effects : DataFrame
        From `dose_time.all_time_effects`; the area of a mark is proportional to its precision.
    fitted : DataFrame
        From `dose_time.band`.
    moderator, label : str
        Column of `effects`, and its name on the axis.
    title : str

    Returns
    -------
    ax : Axes
    plotted : DataFrame
        trial_id, arm, place, yi, vi of the marks.
    """
    ax.fill_between(fitted["place"], fitted["robust_low"], fitted["robust_high"], color=BAND, lw=0, zorder=0,
                    label="95% interval, robust (CR2)")
    for end in ("model_low", "model_high"):
        ax.plot(fitted["place"], fitted[end], color=GREY, lw=0.9, ls="--", zorder=2,
                label="95% interval of the model" if end == "model_low" else None)
    ax.plot(fitted["place"], fitted["estimate"], color=INK, lw=1.4, zorder=3)
    ax.axhline(0, color=INK, lw=0.8, zorder=1)
    spread = 0.02 * np.ptp(fitted["place"])
    trials = list(dict.fromkeys(effects["trial_id"]))
    labels, marks = [], []
    for (trial, arm), rows in effects.groupby(["trial_id", "arm"], sort=False):
        x = rows[moderator] + spread * (trials.index(trial) - (len(trials) - 1) / 2)
        ax.plot(x, rows["yi"], color=INK, lw=0.5, zorder=3)
        ax.scatter(x, rows["yi"], s=AREA / rows["vi"], facecolor="white", edgecolor=INK, linewidth=0.8, zorder=4)
        several = effects.loc[effects["trial_id"] == trial, "arm"].nunique() > 1
        words = arm.replace(":", ", ").replace("mg", " mg") if several else trial
        labels.append((words, x.iloc[-1], rows["yi"].iloc[-1]))
        marks += list(zip(x, rows["yi"], np.sqrt(AREA / rows["vi"]) / 2))
    ax.legend(loc="lower left")
    ax.set(xlabel=label, ylabel="Standardised mean difference (below 0 favours MDMA-AT)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))  # sessions and weeks come whole
    ax.set_xlim(right=ax.get_xlim()[1] + 0.08 * np.ptp(fitted["place"]))  # room for the last label
    ax.set_title(title, loc="left", weight="bold")
    _write_beside(ax, labels, marks)
    plotted = effects[["trial_id", "arm", moderator, "yi", "vi"]].rename(columns={moderator: "place"})
    return ax, plotted.reset_index(drop=True)


def _write_beside(ax: Axes, labels: list[tuple[str, float, float]], marks: list[tuple[float, float, float]]) -> None:
    """Write each text beside its mark, at the nearest place that no line, mark, legend or other text takes.

    Parameters
    ----------
    ax : Axes
        With its final limits.
    labels : list of (text, x, y)
    marks : list of (x, y, radius)
        All marks; the radius in points.
    """
    ax.figure.draw_without_rendering()  # a layout engine may yet move the panel
    point, size = ax.figure.dpi / 72, SMALL - 0.5
    taken = [ax.get_legend().get_window_extent()]
    for x, y, radius in marks:
        (across, up), half = ax.transData.transform((x, y)), (radius + 1) * point
        taken.append(Bbox.from_extents(across - half, up - half, across + half, up + half))
    lines = [line.get_path().transformed(line.get_transform()) for line in ax.lines]

    def is_free(box: Bbox) -> bool:
        inside = ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1
        return inside and not box.count_overlaps(taken) and not any(
            line.intersects_bbox(box, filled=False) for line in lines)

    for text, x, y in labels:
        width, height = 72 * text_width(text, size) * point, 1.3 * size * point
        places = []
        for gap, (right, up) in product((6, 10, 15), SIDES):
            near = gap * point / (2**0.5 if right and up else 1)
            centre = ax.transData.transform((x, y)) + [right * (near + width / 2), up * (near + height / 2)]
            places.append(Bbox.from_extents(*(centre - [width / 2, height / 2]), *(centre + [width / 2, height / 2])))
        box = next(filter(is_free, places), places[0])
        taken.append(box)
        middle = ax.transData.inverted().transform(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
        ax.text(*middle, text, size=size, ha="center", va="center", zorder=5).set_in_layout(False)


def _arm_name(arm: pd.Series) -> str:
    dose = float(arm["dose_mg"])
    return "placebo" if dose == 0 else f"{dose:g} mg"


def courses_figure(arms: pd.DataFrame) -> tuple[Figure, pd.DataFrame, str]:
    """The courses of all trials, one panel each, with the plotted numbers and the alternative text.

    `arms` comes from `dose_time.courses`; trials of one instrument share their scale.
    """
    trials = list(dict.fromkeys(arms["trial_id"]))
    with style():
        lines = -(-len(trials) // 3)
        fig, axes = plt.subplots(lines, 3, figsize=(WIDTH, 2.1 * lines + 0.15), layout="constrained", squeeze=False)
    top = 1.05 * arms.groupby("instrument")["high"].max()
    plotted = []
    for ax, trial in zip(axes.ravel(), trials):
        own = arms[arms["trial_id"] == trial]
        scale = own["instrument"].iloc[0]
        _, drawn = course_plot(ax, own, limits=(0, top[scale]), title=f"{trial}, {scale}")
        plotted.append(drawn.assign(group=trial))
    for ax in axes.ravel()[len(trials):]:
        ax.axis("off")
    for ax in axes[-1]:
        ax.set_xlabel("weeks (sessions so far)")
    for ax in axes[:, 0]:
        ax.set_ylabel("mean score (lower: less ill)")
    last = arms.groupby("arm_id", sort=False).tail(1)
    words = ", ".join(f"{row.arm_id} {number(row.mean, 1)} after {row.sessions:.0f} sessions"
                      for row in last.itertuples())
    return fig, pd.concat(plotted), f"Mean severity of each arm from baseline on. Last score before crossover: {words}."


def band_figure(effects: pd.DataFrame, fitted: pd.DataFrame, moderator: str, *, label: str
                ) -> tuple[Figure, pd.DataFrame, str]:
    """A figure of its own for `band_plot`, with the plotted numbers and the alternative text."""
    with style():
        fig, ax = plt.subplots(figsize=(0.8 * WIDTH, 3.5), layout="constrained")
    _, plotted = band_plot(ax, effects, fitted, moderator, label=label)
    words = " ".join(
        f"At {row.place:g}: {number(row.estimate)}, robust interval {interval(row.robust_low, row.robust_high)}, model "
        f"{interval(row.model_low, row.model_high)}." for row in fitted.iloc[[0, -1]].itertuples())
    return fig, plotted, f"Effect on severity against {label}, all time points. {words}"
