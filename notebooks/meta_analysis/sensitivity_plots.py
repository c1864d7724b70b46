"""Pictures of sensitivity: one trial at a time, the effect against tau, all subsets, missing outcomes, thresholds.

Each function draws on an axis and gives it back with the plotted numbers. Everything is readable in greyscale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from meta_analysis.bayes import Posterior
from meta_analysis.frame import draw_interval
from meta_analysis.leave_out import Gosh
from meta_analysis.plots import (
    BAND,
    BLUE,
    GREY,
    INK,
    SMALL,
    TEXT,
    WIDTH,
    axis_range,
    axis_ticks,
    measure_label,
    style,
    tick_texts,
)
from meta_analysis.pooling import pool
from meta_analysis.report import RATIO_MEASURES, no_effect, number
from meta_analysis.tau2 import METHODS, estimate_tau2

# From a word's lower left corner to its mark.
LEADER = {"arrowstyle": "-", "color": GREY, "lw": 0.5, "shrinkA": 0, "shrinkB": 2.5, "relpos": (0, 0)}
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))


def panels(count: int, height: float = 2.6, *, gap: float = 0.66, head: float = 0.28, foot: float = 0.46,
           left: float = 0.56) -> tuple[Figure, list[Axes]]:
    """A figure `WIDTH` by `height` inches with `count` axes side by side, and so many inches free about them."""
    right = 0.16
    with style():
        fig = plt.figure(figsize=(WIDTH, height))
        width = (WIDTH - left - right - gap * (count - 1)) / count
        places = [left + place * (width + gap) for place in range(count)]
        shape = foot / height, width / WIDTH, (height - foot - head) / height
        return fig, [fig.add_axes((x / WIDTH, *shape)) for x in places]


def natural(values: ArrayLike, measure: str) -> NDArray:
    """Logs become ratios."""
    return np.exp(values) if measure in RATIO_MEASURES else np.asarray(values)


@style()
def one_at_a_time_plot(ax: Axes, rows: pd.DataFrame, reference: float, *, measure: str, event: str | None = None,
                       title: str = "") -> Axes:
    """Dots with intervals at the heights `y`, without words at the left: one panel of several that share them.

    Parameters
    ----------
    ax : Axes
    rows : DataFrame
        estimate, low, high (natural scale), y.
    reference : float
        Where a dashed line stands.
    measure, event : str
        As `plots.favours`.
    title : str
    """
    limits = axis_range(rows["estimate"], rows["low"], rows["high"], measure)
    ax.set(xscale="log" if measure in RATIO_MEASURES else "linear", xlim=limits, xlabel=measure_label(measure, event),
           ylim=(rows["y"].min() - 0.7, 0.7), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, pad=8, labelsize=TEXT)
    ax.axvline(no_effect(measure), color=INK, lw=0.8, zorder=1)
    ax.axvline(reference, color=GREY, lw=0.7, ls=(0, (3, 2)), zorder=1)
    draw_interval(ax, rows["y"], rows["low"], rows["high"])
    ax.plot(rows["estimate"], rows["y"], "o", ms=4, mfc=BLUE, mec=INK, mew=0.5, ls="none", zorder=5)
    _ticks(ax.xaxis, limits, measure, ax.figure.get_figwidth() * ax.get_position().width)
    ax.set_title(title, loc="left", weight="bold")
    return ax


@style()
def tau_trace_plot(ax: Axes, effects: ArrayLike, variances: ArrayLike, *, measure: str, event: str | None = None,
                   title: str = "", highest: float = 1.0) -> tuple[Axes, pd.DataFrame]:
    """The pooled effect for every tau, with its normal interval, and where the estimators of tau put it.

    Parameters
    ----------
    ax : Axes
    effects, variances : array_like, shape (k,)
        Logs for ratios.
    measure, event : str
        The axis is on the natural scale; `event` as `plots.favours`.
    title : str
    highest : float
        Largest tau drawn.

    Returns
    -------
    ax : Axes
    plotted : DataFrame
        tau, estimate, low, high (natural scale), method ("" on the curve, the estimators' names at their tau).
    """
    found = {method: float(np.sqrt(estimate_tau2(effects, variances, method).tau2)) for method in METHODS}
    grid = np.linspace(0, highest, 101)
    tau = np.append(grid, list(found.values()))
    given = pool(np.broadcast_to(effects, (tau.size, len(effects))), variances, tau2=tau**2, ci_method="Wald")
    ends = natural([given.estimate, given.ci_low, given.ci_high], measure)
    plotted = pd.DataFrame({"tau": tau, "estimate": ends[0], "low": ends[1], "high": ends[2],
                            "method": [""] * grid.size + list(found)})
    curve = plotted[plotted["method"] == ""]
    ax.fill_between(curve["tau"], curve["low"], curve["high"], color=BAND, lw=0)
    ax.plot(curve["tau"], curve["estimate"], color=INK, lw=1.4)
    ax.axhline(no_effect(measure), color=INK, lw=0.8)
    groups: dict[float, list[str]] = {}
    for method, value in found.items():
        groups.setdefault(round(value, 2), []).append(method)
    inside = {value: names for value, names in sorted(groups.items()) if value <= highest}
    marks = plotted.set_index("method").loc[[names[0] for names in inside.values()]]
    ax.plot(marks["tau"], marks["estimate"], "o", ms=4, mfc="white", mec=INK, mew=0.9, zorder=5, clip_on=False)
    for place, (names, at) in enumerate(zip(inside.values(), marks.to_dict("records"))):
        ax.annotate(", ".join(names), (at["tau"], at["estimate"]), (at["tau"] + 0.01 * highest, 0.97 - 0.085 * place),
                    textcoords=("data", "axes fraction"), size=SMALL, va="top", ha="left", arrowprops=LEADER)
    seen = plotted["low"].min(), plotted["high"].max(), no_effect(measure)
    _dress(ax, measure, event, "y", seen, head=0.34)
    ax.set(xlim=(0, highest), xlabel="standard deviation between trials, \N{GREEK SMALL LETTER TAU}")
    ax.set_title(title, loc="left", weight="bold")
    return ax, plotted


@style()
def gosh_plot(
    ax: Axes, gosh: Gosh, study: int, name: str, *, measure: str, event: str | None = None, title: str = ""
) -> tuple[Axes, pd.DataFrame]:
    """The pools of all subsets of two or more studies: estimate against I2, those with one study told apart.

    `event` as `plots.favours`.

    Returns
    -------
    ax : Axes
    plotted : DataFrame
        k, estimate (natural scale), i2, with_it.
    """
    many = gosh.k >= 2
    plotted = pd.DataFrame({"k": gosh.k[many], "estimate": natural(gosh.estimate[many], measure), "i2": gosh.i2[many],
                            "with_it": gosh.present[many, study]})
    for with_it, face, label in ((True, INK, f"with {name}"), (False, "white", f"without {name}")):
        part = plotted[plotted["with_it"] == with_it]
        look = {"ms": 3.6, "mfc": face, "mec": INK, "mew": 0.7, "ls": "none", "clip_on": False, "zorder": 3}
        ax.plot(part["estimate"], part["i2"], "o", label=label, **look)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.04, 1.0), borderaxespad=0.1, handletextpad=0.1, labelspacing=0.15)
    seen = plotted["estimate"].min(), plotted["estimate"].max(), no_effect(measure)
    _dress(ax, measure, event, "x", seen, inches=1.2)
    ax.axvline(no_effect(measure), color=INK, lw=0.8)
    ax.set(ylim=(-4, max(plotted["i2"].max() + 6, 20)), ylabel="I\N{SUPERSCRIPT TWO}, %")
    ax.set_title(title, loc="left", weight="bold", pad=26)
    return ax, plotted


@style()
def imor_plot(ax: Axes, grid: ArrayLike, estimate: ArrayLike, p: ArrayLike, *, level: float = 0.05, box: float = 5.0,
              title: str = "") -> tuple[Axes, pd.DataFrame]:
    """Contours of the pooled risk ratio over the missingness odds ratios of both arms, and where significance ends.

    Parameters
    ----------
    ax : Axes
    grid : array_like, shape (g,)
        Odds ratios of both axes.
    estimate, p : array_like, shape (g, g)
        Pooled risk ratio (natural scale) and its p value; first axis: active arm.
    level : float
        The hatched part has p above it.
    box : float
        A dotted square shows the odds ratios from 1/box to box.
    title : str

    Returns
    -------
    ax : Axes
    plotted : DataFrame
        imor_active, imor_control, estimate, p.
    """
    grid, estimate, p = np.asarray(grid, float), np.asarray(estimate, float), np.asarray(p, float)
    active, control = np.meshgrid(grid, grid, indexing="ij")
    plotted = pd.DataFrame({"imor_active": active.ravel(), "imor_control": control.ravel(),
                            "estimate": estimate.ravel(), "p": p.ravel()})
    # The scale stands before the labels of the contours are placed, which cut their lines where they stand.
    ax.set(xscale="log", yscale="log", xlim=grid[[0, -1]], ylim=grid[[0, -1]])
    if p.max() > level:
        with plt.rc_context({"hatch.linewidth": 0.4, "hatch.color": GREY}):
            ax.contourf(active, control, p, levels=[level, 1.0], colors=[BAND], hatches=["////"])
        ax.text(0.03, 0.97, f"p above {level:g}", size=SMALL, va="top", transform=ax.transAxes,
                bbox={"fc": "white", "lw": 0, "pad": 1.5})
        if p.min() < level:
            ax.contour(active, control, p, levels=[level], colors=[INK], linewidths=1.8)
    lines = ax.contour(active, control, estimate, levels=6, colors=[GREY], linewidths=0.6)
    column = int(0.9 * (grid.size - 1))  # the labels stand near the right edge, where the lines are level
    places = [(grid[column], grid[np.argmin(np.abs(estimate[column] - value))]) for value in lines.levels[1:-1]]
    ax.clabel(lines, fmt=lambda value: number(value), fontsize=SMALL - 0.5, inline_spacing=5, manual=places)
    ax.plot([1 / box, box, box, 1 / box, 1 / box], [1 / box, 1 / box, box, box, 1 / box], color=INK, lw=0.8, ls=":")
    ax.plot([1], [1], "o", ms=4.5, mfc=BLUE, mec=INK, mew=0.6)
    ticks = [tick for tick in (0.01, 0.05, 0.2, 1, 5, 20, 100) if grid[0] <= tick <= grid[-1]]
    names = [f"1/{1 / tick:.0f}" if tick < 1 else f"{tick:g}" for tick in ticks]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(FixedFormatter(names))
        axis.set_minor_locator(NullLocator())
    ax.set(xlabel="odds of the missing against the seen, MDMA-AT",
           ylabel="odds of the missing against the seen, control")
    ax.set_title(title, loc="left", weight="bold")
    return ax, plotted


@style()
def exceedance_plot(
    ax: Axes, posteriors: Mapping[str, Posterior], thresholds: ArrayLike, *, marked: Mapping[str, float],
    new_trial: bool = False, title: str = "",
) -> tuple[Axes, pd.DataFrame]:
    """Probability that the effect is larger than each threshold, under several priors.

    Parameters
    ----------
    ax : Axes
    posteriors : dict
        Name of the prior -> posterior, on a scale on which lower favours the active arm.
    thresholds : array_like
        Sizes of an effect, 0 or more: P(effect < -threshold) is drawn.
    marked : dict
        Words -> threshold, shown as vertical lines.
    new_trial : bool
        The effect in a new trial instead of the mean effect.
    title : str

    Returns
    -------
    ax : Axes
    plotted : DataFrame
        prior, threshold, probability.
    """
    thresholds, rows = np.asarray(thresholds, dtype=float), []
    for line, (name, posterior) in zip(LINES, posteriors.items()):
        chance = (posterior.new_trial if new_trial else posterior.mu).cdf(-thresholds)
        ax.plot(thresholds, 100 * chance, color=INK, lw=1.1, ls=line, label=name)
        rows.append(pd.DataFrame({"prior": name, "threshold": thresholds, "probability": chance}))
    for words, value in marked.items():
        ax.axvline(value, color=GREY, lw=0.8)
        ax.text(value + 0.012, 99, words, size=SMALL, rotation=90, va="top", ha="left", color=GREY)
    ax.legend(loc="lower left")
    ax.set(xlim=(thresholds.min(), thresholds.max()), ylim=(0, 101), ylabel="probability, %",
           xlabel="effect at least this far below 0 (SMD)")
    ax.set_title(title, loc="left", weight="bold")
    return ax, pd.concat(rows, ignore_index=True)


def _dress(ax: Axes, measure: str, event: str | None, which: str, seen: Sequence[float], head: float = 0.0,
           inches: float = 1.8) -> None:
    """Scale, limits and ticks of the axis that shows a measure; `head` keeps a share free at its upper end."""
    log = measure in RATIO_MEASURES
    values = np.log(np.asarray(seen, dtype=float)) if log else np.asarray(seen, dtype=float)
    low, high = values.min(), values.max()
    pad = 0.05 * (high - low)
    high = high + pad + head * (high - low)
    limits = tuple(float(end) for end in (np.exp([low - pad, high]) if log else (low - pad, high)))
    axis = ax.yaxis if which == "y" else ax.xaxis
    ax.set(**{f"{which}scale": "log" if log else "linear", f"{which}lim": limits,
              f"{which}label": measure_label(measure, event)})
    _ticks(axis, limits, measure, inches)


def _ticks(axis: Axis, limits: tuple[float, float], measure: str, inches: float) -> None:
    ticks = axis_ticks(limits, measure, inches)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter(tick_texts(ticks, measure)))
    axis.set_minor_locator(NullLocator())
