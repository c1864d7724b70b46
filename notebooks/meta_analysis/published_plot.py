"""All published pooled estimates on one plot: a panel for each outcome, all panels with the same columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_analysis.frame import (
    Frame,
    Line,
    draw_axis,
    draw_frame,
    draw_interval,
    interval_text,
    lay_out,
)
from meta_analysis.plots import (
    BAND,
    BLUE,
    INK,
    WIDTH,
    axis_range,
    favours,
    scale_sentence,
    style,
    typographic,
)
from meta_analysis.published_reviews import PANELS
from meta_analysis.report import interval, number

LEFT = {"k": "k", "n": "People", "method": "Method"}
# Kind of row: marker, its size in points, the width of its edge, its face. They differ in shape and fill, not only in
# colour: a filled dot, an open diamond, and a larger filled diamond. Without an interval: an open circle.
MARKS = {"other": ("o", 4.0, 0.5, BLUE), "under test": ("D", 5.0, 1.2, "white"), "ours": ("D", 6.0, 0.5, INK)}
WITHOUT_INTERVAL = ("o", 4.0, 1.0, "white")
COLUMNS = ["panel", "label", "k", "n", "method", "kind", "turned", "estimate", "low", "high"]


def shared_frames(table: pd.DataFrame, width: float, notes: Sequence[str] = ()) -> dict[str, tuple[list[Line], Frame]]:
    """The lines of each panel, and their places: the columns and the panel lie alike in all, the notes in the last."""
    blocks = {name: [_line(row) for _, row in block.iterrows()] for name, block in table.groupby("panel", sort=False)}
    right = {"interval": "SMD [95% CI]"}
    every = [line for lines in blocks.values() for line in lines]
    whole = lay_out(every, LEFT, right, width=width)
    labels, frames = iter(whole.labels), {}
    for name, lines in blocks.items():
        lines = [replace(line, label=next(labels)) for line in lines]
        frame = lay_out(lines, LEFT, right, width=width, notes=notes if name == list(blocks)[-1] else ())
        frames[name] = lines, replace(frame, columns=whole.columns, panel=whole.panel)
    return frames


def _line(row: pd.Series) -> Line:
    shown = interval_text(row["estimate"], row["low"], row["high"], 2)
    if np.isnan(row["low"]):
        shown = typographic(f"{number(row['estimate'])} [not printed]")
    return Line(row["kind"], row["label"], {**{name: row[name] for name in LEFT}, "interval": shown},
                bold=row["kind"] == "ours")


def axis_limits(table: pd.DataFrame, bands: Mapping[str, tuple[float, float]], measure: str) -> tuple[float, float]:
    """Limits shared by the panels of one measure: every estimate and band, and the useful part of the intervals."""
    names = [name for name in table["panel"].unique() if PANELS[name].measure == measure]
    rows = table[table["panel"].isin(names)]
    ends = [end for name in names for end in bands.get(name, ())]
    none = [np.nan] * len(ends)
    return axis_range([*rows["estimate"], *ends], [*rows["low"], *none], [*rows["high"], *none], measure)


@style()
def published_plot(ax: Axes, table: pd.DataFrame, lines: Sequence[Line], frame: Frame, *,
                   limits: tuple[float, float], band: tuple[float, float] | None = None) -> tuple[Axes, pd.DataFrame]:
    """Draw the published estimates of one outcome and ours.

    Parameters
    ----------
    ax : Axes
        As wide and as high as `frame`, in inches.
    table : DataFrame
        The rows of one panel: `COLUMNS`, as from `published_reviews`.
    lines, frame
        From `shared_frames`.
    limits : (low, high)
        Of the axis, on the natural scale.
    band : (low, high), optional
        Shaded range.

    Returns
    -------
    (Axes, DataFrame)
        The axis, and the rows with y (inches from the bottom), drawn_low, drawn_high, arrow_low, arrow_high and the
        band.

    Raises
    ------
    ValueError
        On an unknown kind, or rows of more than one panel.
    """
    if odd := set(table["kind"]) - set(MARKS):
        raise ValueError(f"kind is one of {', '.join(MARKS)}, not {sorted(odd)[0]!r}")
    if table["panel"].nunique() != 1:
        raise ValueError("a panel shows one outcome")
    about = PANELS[table["panel"].iloc[0]]
    headers = {**LEFT, "interval": f"{about.measure} [95% CI]"}
    panel = draw_frame(ax, frame, lines, headers, about.title)
    draw_axis(ax, panel, frame, about.measure, limits, sides=favours(about.measure, about.event))
    low, high = band or (np.nan, np.nan)
    if band is not None:
        panel.fill_between(np.clip(band, *limits), frame.floor, frame.rule_y, color=BAND, lw=0, zorder=0)
    plotted = table[COLUMNS].reset_index(drop=True).assign(y=frame.centres, band_low=low, band_high=high)
    drawn = [_draw_row(panel, row) for _, row in plotted.iterrows()]
    return ax, plotted.join(pd.DataFrame(drawn))


def _draw_row(panel: Axes, row: pd.Series) -> dict[str, object]:
    drawn = {"drawn_low": np.nan, "drawn_high": np.nan, "arrow_low": False, "arrow_high": False}
    look = WITHOUT_INTERVAL
    if not np.isnan(row["low"]):
        look = MARKS[row["kind"]]
        drawn = draw_interval(panel, row["y"], row["low"], row["high"], lw=1.6 if row["kind"] == "ours" else 1.0)
    marker, size, edge, face = look
    panel.plot([row["estimate"]], [row["y"]], marker=marker, ms=size, mec=INK, mew=edge, mfc=face, ls="none", zorder=5)
    return drawn


def notes_of(table: pd.DataFrame) -> list[str]:
    """What stands below the plot: what the marks mean, and which estimates were turned round."""
    words = ["Filled diamond: this analysis. Open diamond: the review under test. Open circle: no interval printed. "
             "Grey band: nine tenths of our specifications."]
    if table["turned"].any():
        words.append("Printed with benefit positive and turned round here: "
                     f"{', '.join(table.loc[table['turned'], 'label'])}.")
    words.append("k as printed: trials, comparisons or effects. RE: random effects. Not stated: not in the text read. "
                 "Not seen: that text could not be read.")
    return words


@style()
def published_figure(table: pd.DataFrame, bands: Mapping[str, tuple[float, float]], width: float = WIDTH
                     ) -> tuple[Figure, pd.DataFrame]:
    """A figure of a panel for each outcome in `table`, one below the other; `bands` as from `published_reviews.bands`.

    Returns
    -------
    (Figure, DataFrame)
        The plotted numbers of all panels.
    """
    frames = shared_frames(table, width, notes_of(table))
    height = sum(frame.height for _, frame in frames.values())
    fig = plt.figure(figsize=(width, height))
    top, plotted = height, []
    for name, (lines, frame) in frames.items():
        top -= frame.height
        ax = fig.add_axes((0, top / height, 1, frame.height / height))
        _, marks = published_plot(ax, table[table["panel"] == name], lines, frame, band=bands.get(name),
                                  limits=axis_limits(table, bands, PANELS[name].measure))
        plotted.append(marks)
    return fig, pd.concat(plotted, ignore_index=True)


def published_alt_text(plotted: pd.DataFrame) -> str:
    """What the plot shows, in words and numbers."""
    sentences = ["Published pooled estimates with 95% confidence intervals, by outcome and year, beside this analysis."]
    last = ""
    for name, block in plotted.groupby("panel", sort=False):
        about = PANELS[name]
        if about.measure != last:
            sentences.append(scale_sentence(about.measure, about.event))
            last = about.measure
        low, high = block[["band_low", "band_high"]].iloc[0]
        band = "" if np.isnan(low) else f" (band, nine tenths of our specifications: {interval(low, high)})"
        rows = [_in_words(row) for _, row in block.iterrows()]
        sentences.append(f"{about.title}{band}: {'; '.join(rows)}.")
    return " ".join(sentences)


def _in_words(row: pd.Series) -> str:
    ends = interval(row["low"], row["high"], missing="no interval printed")
    about = {"under test": ", under test", "ours": "", "other": ""}[row["kind"]]
    turned = ", turned round" if row["turned"] else ""
    return f"{row['label']}{about}{turned} {number(row['estimate'])} ({ends})"
