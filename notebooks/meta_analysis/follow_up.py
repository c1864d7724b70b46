"""What was measured after the crossover: one group after another course of treatment, never a comparison of arms."""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_analysis.groups import combine_groups
from meta_analysis.plots import BLUE, GREY, INK, SMALL, TEXT, WIDTH, style
from meta_analysis.report import number
from meta_analysis.two_by_two import Interval, share

STAGES = ("baseline", "primary", "follow-up")
LOOKS = {"active": ("o", BLUE, BLUE), "control": ("^", "white", INK)}  # marker, its fill, colour of the line
MIXED = ("D", GREY, GREY)  # people of both arms together
ENDS = 1.78  # where the grey begins: behind the names beside the primary time point


class Bounds(NamedTuple):
    """Share of a group with an outcome: among those seen, and if all who were lost had it not, or had it."""

    seen: Interval
    worst: float
    best: float


def lost_to_follow_up(events: int, followed_up: int, randomised: int) -> Bounds:
    """Bounds of a share when some people were not followed up.

    Parameters
    ----------
    events : int
        People seen with the outcome (one to hope for).
    followed_up, randomised : int
        People seen, and people randomised.

    Returns
    -------
    Bounds
        `seen` with its exact interval; `worst`: all lost people without the outcome; `best`: all with it. Both are
        shares of those randomised and need no assumption.

    Raises
    ------
    ValueError
        Unless 0 <= events <= followed_up <= randomised and somebody was followed up.
    """
    if not 0 <= events <= followed_up <= randomised or followed_up == 0:
        raise ValueError(f"events, seen and randomised must rise from 0: got {events}, {followed_up} and {randomised}")
    lost = randomised - followed_up
    return Bounds(share(events, followed_up), events / randomised, (events + lost) / randomised)


def whole_group(arms: pd.DataFrame) -> dict[str, float]:
    """Arms taken together as one group (Cochrane Handbook 6.5.2.10).

    Parameters
    ----------
    arms : DataFrame, one row an arm
        n, mean, sd.

    Returns
    -------
    dict
        n, mean, sd of all people together.
    """
    group = combine_groups(arms["n"], arms["mean"], arms["sd"])
    return {"n": float(group.n), "mean": float(group.mean), "sd": float(group.sd)}


def refuse_contrasts(rows: pd.DataFrame, timepoints: pd.DataFrame) -> None:
    """Raise ValueError if a row that claims to be a randomised comparison lies after the crossover.

    Parameters
    ----------
    rows : DataFrame
        timepoint_id, and optionally randomised_comparison (bool); without it every row claims to be one.
    timepoints : DataFrame
        ``extracted/timepoints.csv``.
    """
    after = set(timepoints.loc[timepoints["post_crossover"], "timepoint_id"])
    claims = rows[rows["randomised_comparison"]] if "randomised_comparison" in rows else rows
    if len(wrong := claims[claims["timepoint_id"].isin(after)]):
        raise ValueError(f"{wrong['timepoint_id'].iloc[0]} is after the crossover: there is no randomised comparison")


@style()
def course_plot(ax: Axes, table: pd.DataFrame, *, title: str = "",
                unit: str = "mean CAPS-IV (lower: less ill)") -> tuple[Axes, pd.DataFrame]:
    """Draw the mean score of each group of one trial at baseline, primary time point and follow-up.

    Lines are solid between baseline and the primary time point, where arms are randomised, and dotted beyond it, where
    everybody has had the drug and people have been lost.

    Parameters
    ----------
    ax : Axes
        To be drawn on.
    table : DataFrame, one row a group and stage
        group, stage (one of `STAGES`), n, mean, role (as in ``extracted/arms.csv``). A group may lack a stage.
    title : str
        Above the panel.
    unit : str
        Of the vertical axis.

    Returns
    -------
    ax : Axes
    plotted : DataFrame
        group, stage, n, mean, x.

    Raises
    ------
    ValueError
        On an unknown stage, or a group with two rows for one.
    """
    if unknown := sorted(set(table["stage"]) - set(STAGES)):
        raise ValueError(f"unknown stage {', '.join(unknown)}; stages are {', '.join(STAGES)}")
    if (twice := table.duplicated(["group", "stage"])).any():
        raise ValueError(f"two rows for {table.loc[twice, 'group'].iloc[0]} at one stage")
    marks = table.assign(x=table["stage"].map(STAGES.index))[["group", "stage", "role", "n", "mean", "x"]]
    marks = marks.sort_values(["group", "x"], kind="stable").reset_index(drop=True)
    for _, group in marks.groupby("group", sort=False):
        marker, fill, color = LOOKS.get(group["role"].iloc[0], MIXED)
        look = {"marker": marker, "mfc": fill, "mec": INK, "ms": 5, "mew": 0.8}
        for left, right, dashes in ((0, 1, "-"), (1, 2, ":")):
            part = group[group["x"].isin([left, right])]
            ax.plot(part["x"], part["mean"], color=color, ls=dashes, lw=1.2, **look)
    _write_numbers(ax, marks)
    ax.set_xticks(range(len(STAGES)), ["baseline", "primary\ntime point", "follow-up"])
    ax.axvspan(ENDS, 3.0, color="#f0f0f0", lw=0, zorder=0)
    ax.text((ENDS + 3.0) / 2, ax.get_ylim()[1], "not randomised", size=SMALL, color=GREY, ha="center", va="bottom")
    ax.set(xlim=(-0.25, 3.0), ylabel=unit)
    if title:
        ax.set_title(title, loc="left", weight="bold", size=TEXT, pad=14)
    return ax, marks


@style()
def course_figure(tables: dict[str, pd.DataFrame], *, width: float = WIDTH) -> tuple[Figure, pd.DataFrame]:
    """A figure with one panel a trial, all on one scale; `plotted` has a column `trial`."""
    fig, axes = plt.subplots(1, len(tables), figsize=(width, 3.1), sharey=True, squeeze=False)
    top = max(table["mean"].max() for table in tables.values())
    plotted = []
    for ax, (trial, table) in zip(axes[0], tables.items()):
        ax.set_ylim(0, 1.12 * top)
        _, marks = course_plot(ax, table, title=trial)
        plotted.append(marks.assign(trial=trial))
        ax.yaxis.label.set_visible(ax is axes[0][0])
    fig.subplots_adjust(left=0.075, right=0.99, bottom=0.15, top=0.86, wspace=0.08)
    return fig, pd.concat(plotted, ignore_index=True)


def course_alt_text(plotted: pd.DataFrame) -> str:
    """The courses in words and numbers, from the table that `course_figure` gave back."""
    sentences = ["Mean severity by group; after the primary time point nothing is randomised."]
    for (trial, group), rows in plotted.groupby(["trial", "group"], sort=False):
        steps = (f"{row['stage']} {number(row['mean'], 1)} (n {number(row['n'], 0)})" for _, row in rows.iterrows())
        sentences.append(f"{trial}, {group}: {', '.join(steps)}.")
    return " ".join(sentences)


def _write_numbers(ax: Axes, marks: pd.DataFrame) -> None:
    """Name and people of each group beside its last point, moved apart where they would touch; people above the others.

    Baseline is left bare: everybody randomised stands there.
    """
    step = 0.055 * np.diff(ax.get_ylim())[0]
    at_end = marks.groupby("group")["x"].transform("max") == marks["x"]
    for _, here in marks[at_end].groupby("x"):
        height = -np.inf
        for _, mark in here.sort_values("mean").iterrows():
            height = max(mark["mean"], height + step)
            ax.text(mark["x"] + 0.08, height, f"{mark['group']}, n {number(mark['n'], 0)}", size=SMALL, va="center")
    for _, mark in marks[~at_end & (marks["x"] > 0)].iterrows():
        ax.text(mark["x"] + 0.06, mark["mean"] + 0.8 * step, f"n {number(mark['n'], 0)}", size=SMALL, va="center")
