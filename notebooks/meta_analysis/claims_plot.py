"""Claim and finding on one scale: what was found as a share of what was claimed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_analysis.plots import BLUE, GREY, INK, ORANGE, RULE, WIDTH, style, typographic
from meta_analysis.report import interval, number

ROW = 0.22  # inches
MARKERS = {"claimed": ("D", ORANGE, "white"), "found": ("o", BLUE, BLUE)}


@style()
def share_plot(ax: Axes, table: pd.DataFrame) -> tuple[Axes, pd.DataFrame]:
    """Draw claims and findings as shares of the claimed effect.

    Parameters
    ----------
    ax : Axes
    table : DataFrame, one row a claim or finding
        `claim` (rows of one claim stand together under its name), `label`, `kind` ("claimed": an open diamond, or
        "found": a filled circle), `share`, `low`, `high` (1: as claimed; 0: no effect), and `text`, the result itself.

    Returns
    -------
    (Axes, DataFrame)
        The axis, and the rows with their `y`.

    Raises
    ------
    ValueError
        On an unknown kind.
    """
    if odd := set(table["kind"]) - set(MARKERS):
        raise ValueError(f"kind is claimed or found, not {sorted(odd)[0]!r}")
    rows, y, ticks = [], 0.0, []
    for claim, block in table.groupby("claim", sort=False):
        ax.text(-0.02, y, claim, transform=ax.get_yaxis_transform(), ha="right", va="center", weight="bold")
        for _, row in block.iterrows():
            y -= 1.0
            marker, colour, fill = MARKERS[row["kind"]]
            ax.plot([row["low"], row["high"]], [y, y], color=INK, lw=1.0, zorder=2)
            ax.plot(row["share"], y, marker, color=colour, markerfacecolor=fill, markersize=5, zorder=3)
            ax.text(1.02, y, typographic(row["text"]), transform=ax.get_yaxis_transform(), va="center")
            ax.text(-0.02, y, row["label"], transform=ax.get_yaxis_transform(), ha="right", va="center")
            rows.append({**row, "y": y})
            ticks.append(y)
        y -= 1.4
    for place, line in ((0.0, "-"), (1.0, (0, (3, 2)))):
        ax.axvline(place, color=INK if place == 0 else GREY, lw=0.7, ls=line, zorder=1)
    ax.set(yticks=[], ylim=(y + 0.9, 0.7), xlabel="Share of the claimed effect (0: no effect, 1: as claimed; ratios as "
           "logarithms)")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="x", color=RULE)
    return ax, pd.DataFrame(rows)


@style()
def share_figure(table: pd.DataFrame, width: float = WIDTH) -> tuple[Figure, pd.DataFrame]:
    """A figure of its own for `share_plot`, as high as its rows need."""
    lines = len(table) + 1.4 * table["claim"].nunique()
    height = ROW * lines + 0.45
    fig = plt.figure(figsize=(width, height))
    ax = fig.add_axes((0.33, 0.40 / height, 0.40, 1 - 0.45 / height))
    _, plotted = share_plot(ax, table)
    return fig, plotted


def share_alt_text(plotted: pd.DataFrame) -> str:
    """What the plot shows, in words and numbers."""
    sentences = ["Claims and findings as shares of the claimed effect, 0 meaning no effect and 1 as claimed."]
    for claim, block in plotted.groupby("claim", sort=False):
        rows = [f"{row['label']}: {row['text']}, share {number(row['share'])} ({interval(row['low'], row['high'])})"
                for _, row in block.iterrows()]
        sentences.append(f"{claim}. {'; '.join(rows)}.")
    return " ".join(sentences)
