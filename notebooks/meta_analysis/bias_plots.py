"""Figures of bias: shares of judgements by domain, and what a bias of any size would leave of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from meta_analysis.judgements import ORDER
from meta_analysis.lights import DOMAINS, LIGHTS
from meta_analysis.plots import BAND, GREY, INK, SMALL, WIDTH, style, typographic
from meta_analysis.report import number, percent

#: Pattern of a bar beside its colour, so that a bar is known without colour too.
HATCHES = {"Low": "", "Some concerns": "....", "No information": "", "High": "////"}
BAR_HEIGHT = 0.22  # inches a bar, with its gap
LEGEND_DROP = 0.2  # inches from the axis down to the legend
SMALLEST_LABELLED = 0.07  # share of a bar that has room for its percentage


@style()
def rob_bars(ax: Axes, shares: pd.DataFrame) -> tuple[Axes, pd.DataFrame]:
    """Draw what share of the trials, or of their weight, has each judgement: one bar a domain.

    Parameters
    ----------
    ax : Axes
        To be drawn on.
    shares : DataFrame
        From `judgements.weight_shares`: one row a domain, one column a judgement, rows sum to 1.

    Returns
    -------
    ax : Axes
    plotted : DataFrame, one row a piece of a bar
        domain, judgement, start, share.

    Raises
    ------
    ValueError
        If a domain or judgement is unknown, or a row does not sum to 1.
    """
    if unknown := [name for name in shares.index if name not in DOMAINS]:
        raise ValueError(f"risk of bias: unknown domain {', '.join(map(str, unknown))}")
    if unknown := [name for name in shares.columns if name not in LIGHTS]:
        raise ValueError(f"risk of bias: unknown judgement {', '.join(map(str, unknown))}")
    if (wrong := (shares.sum(axis=1) - 1).abs() > 1e-9).any():
        raise ValueError(f"risk of bias: the shares of {shares.index[wrong][0]} do not sum to 1")
    pieces = []
    for place, (domain, row) in enumerate(shares.iterrows()):
        start = 0.0
        for judgement in [name for name in ORDER if name in shares.columns and row[name] > 0]:
            face, symbol, ink = LIGHTS[judgement]
            ax.barh(place, row[judgement], left=start, height=0.72, facecolor=face, edgecolor=INK, lw=0.6,
                    hatch=HATCHES[judgement])
            if row[judgement] >= SMALLEST_LABELLED:
                box = {"facecolor": face, "edgecolor": "none", "pad": 1.0}
                ax.text(start + row[judgement] / 2, place, percent(100 * row[judgement]), size=SMALL, ha="center",
                        va="center", color=ink, bbox=box)
            pieces.append({"domain": domain, "judgement": judgement, "start": start, "share": row[judgement]})
            start += row[judgement]
    names = [f"{name}  {DOMAINS[name]}" if name != "overall" else DOMAINS[name] for name in shares.index]
    ax.set_yticks(range(len(shares)), names)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0%", "25%", "50%", "75%", "100%"])
    ax.set(xlim=(0, 1), ylim=(len(shares) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    ax.spines[["left", "right", "top"]].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, facecolor=LIGHTS[name][0], edgecolor=INK, lw=0.6, hatch=HATCHES[name])
               for name in ORDER]
    below = ScaledTranslation(0, -LEGEND_DROP, ax.figure.dpi_scale_trans)
    ax.legend(handles, ORDER, loc="upper center", bbox_to_anchor=(0.35, 0), bbox_transform=ax.transAxes + below,
              ncols=len(ORDER), handlelength=1.2)
    return ax, pd.DataFrame(pieces)


@style()
def rob_bars_figure(shares: pd.DataFrame, *, width: float = WIDTH) -> tuple[Figure, pd.DataFrame]:
    """A figure of its own for `rob_bars`."""
    height = BAR_HEIGHT * len(shares) + 0.55
    fig = plt.figure(figsize=(width, height))
    try:
        _, plotted = rob_bars(fig.add_axes((0.31, 0.48 / height, 0.66, 1 - 0.53 / height)), shares)
    except ValueError:
        plt.close(fig)
        raise
    return fig, plotted


def rob_bars_alt_text(plotted: pd.DataFrame, *, subject: str) -> str:
    """The bars in words and numbers, from the table that `rob_bars` gave back."""
    sentences = [f"Share of each risk-of-bias judgement: {subject}."]
    for domain, pieces in plotted.groupby("domain", sort=False):
        parts = (f"{percent(100 * piece['share'])} {piece['judgement'].lower()}" for _, piece in pieces.iterrows())
        sentences.append(f"{DOMAINS[domain].capitalize()}: {', '.join(parts)}.")
    return " ".join(sentences)


@style()
def bias_surface_plot(ax: Axes, surface: pd.DataFrame, *, points: float | None = None, title: str = "",
                      levels: Sequence[float] = ()) -> tuple[Axes, pd.DataFrame]:
    """Draw for which biases the interval of a pooled difference still excludes no effect.

    The pooled effect must be negative (favouring the active arm) without bias. White: the whole interval is below
    zero. Light grey: it includes zero. Dark grey: the estimate itself is on the other side.

    Parameters
    ----------
    ax : Axes
        To be drawn on.
    surface : DataFrame
        From `bias_model.bias_surface`: a full grid of `bias_mean` (0 or negative) and `bias_sd`, with `estimate` and
        `ci_high`.
    points : float, optional
        Points of a scale in one unit of the effect: gives a second axis on top.
    title : str
        Above the panel.
    levels : sequence of float
        Values of the upper limit drawn as thin labelled lines.

    Returns
    -------
    ax : Axes
    plotted : DataFrame, one row a bias spread
        bias_sd, and the bias means at which the interval (`interval_reaches`) and the estimate (`estimate_reaches`)
        come to no effect, read off the grid by linear interpolation; NaN where that lies outside.

    Raises
    ------
    ValueError
        If the grid has gaps.
    """
    upper = surface.pivot(index="bias_sd", columns="bias_mean", values="ci_high")
    middle = surface.pivot(index="bias_sd", columns="bias_mean", values="estimate")
    if upper.isna().any(axis=None) or middle.isna().any(axis=None):
        raise ValueError("the surface must be a full grid of bias means and bias spreads")
    overstated, spread = -upper.columns.to_numpy(), upper.index.to_numpy()
    ax.contourf(overstated, spread, upper, levels=[0, np.inf], colors=[BAND])
    ax.contourf(overstated, spread, middle, levels=[0, np.inf], colors=[GREY], alpha=0.55)
    low = len(spread) // 12  # labels of the thin lines stand a little above the axis
    for level in levels:
        ax.contour(overstated, spread, upper, levels=[level], colors=[GREY], linewidths=0.6, linestyles="solid")
        place = -_crossings(upper.iloc[[low]] - level)[0]
        ax.text(place, spread[low], typographic(number(level, 1)), size=SMALL, color=GREY, ha="center", va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8}, clip_on=True)
    ax.contour(overstated, spread, upper, levels=[0], colors=[INK], linewidths=1.8)
    ax.contour(overstated, spread, middle, levels=[0], colors=[INK], linewidths=1.0, linestyles="dashed")
    ax.set(xlim=(overstated.min(), overstated.max()), ylim=(spread.min(), spread.max()))
    ax.set_xlabel("Mean bias: benefit overstated by (SMD)")
    ax.set_ylabel("Spread of the bias (SD, SMD)")
    if title:
        ax.set_title(title, loc="left", weight="bold", pad=24 if points else 6)
    if points:
        top = ax.secondary_xaxis("top", functions=(lambda x: x * points, lambda x: x / points))
        top.set_xlabel("in points of CAPS-5", size=SMALL, labelpad=2)
        top.tick_params(labelsize=SMALL, length=2.5)
    ax.spines[["top", "right"]].set_visible(True)
    return ax, pd.DataFrame({"bias_sd": spread, "interval_reaches": _crossings(upper),
                             "estimate_reaches": _crossings(middle)})


@style()
def bias_surface_figure(surfaces: Sequence[pd.DataFrame], titles: Sequence[str], *, width: float = WIDTH,
                        **options: Any) -> tuple[Figure, pd.DataFrame]:
    """A figure with one panel for each surface; `plotted` has a column `panel` with its title."""
    fig, axes = plt.subplots(1, len(surfaces), figsize=(width, 3.3), sharey=True, squeeze=False)
    plotted = []
    for ax, surface, title in zip(axes[0], surfaces, titles, strict=True):
        _, lines = bias_surface_plot(ax, surface, title=title, **options)
        plotted.append(lines.assign(panel=title))
    for ax in axes[0][1:]:
        ax.set_ylabel("")
    words = ("White: the whole interval favours MDMA-AT; thin lines: its upper limit. Light grey, beyond the thick "
             "line: the interval includes 0.\nDark grey, beyond the dashed line: the estimate itself favours control.")
    fig.text(0.01, 0.02, words, size=SMALL, color=GREY, va="bottom")
    fig.subplots_adjust(left=0.075, right=0.985, bottom=0.235, top=0.80, wspace=0.1)
    return fig, pd.concat(plotted, ignore_index=True)


def bias_surface_alt_text(plotted: pd.DataFrame, *, subject: str) -> str:
    """The lines of the surface in words: first and last spread of each panel."""
    sentences = [f"What a bias would leave of {subject}: mean of the bias across, its spread upwards."]
    for panel, lines in plotted.groupby("panel", sort=False):
        parts = [f"at a spread of {number(line['bias_sd'])} the interval reaches no effect when the benefit is "
                 f"overstated by {number(-line['interval_reaches'], missing='0 already')}"
                 for _, line in lines.iloc[[0, len(lines) // 2, -1]].iterrows()]
        sentences.append(f"{panel}: {'; '.join(parts)}.")
    return " ".join(sentences)


def _crossings(grid: pd.DataFrame) -> list[float]:
    """In each row the bias mean at which the value becomes 0, between the two neighbours on either side of it."""
    grid = grid.sort_index(axis=1, ascending=False)  # from no bias to the largest: values rise
    means, found = grid.columns.to_numpy(), []
    for row in grid.to_numpy():
        after = int(np.argmax(row >= 0))
        if not (row >= 0).any() or (after == 0 and row[0] > 0):
            found.append(np.nan)
        elif after == 0:
            found.append(float(means[0]))
        else:
            part = -row[after - 1] / (row[after] - row[after - 1])
            found.append(float(means[after - 1] + part * (means[after] - means[after - 1])))
    return found
