"""The figures of the sensitivity notebook, each with its plotted numbers and its alternative text.

Every function takes `trials`, a dict of titles to effects (from `analyses.choose`), or results, and returns
``(Figure, DataFrame of the plotted numbers, alternative text)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from meta_analysis import missing_outcomes
from meta_analysis.bayes import Posterior
from meta_analysis.frame import LINE
from meta_analysis.funnel import funnel_plot
from meta_analysis.intervals import dot_interval_alt_text, dot_interval_figure
from meta_analysis.leave_out import gosh
from meta_analysis.plots import GREY, SMALL, WIDTH, style, wrap
from meta_analysis.pooling import Pool, pool
from meta_analysis.report import RATIO_MEASURES, interval, number, percent
from meta_analysis.sensitivity import gosh_split
from meta_analysis.sensitivity_plots import (
    exceedance_plot,
    gosh_plot,
    imor_plot,
    one_at_a_time_plot,
    panels,
    tau_trace_plot,
)
from meta_analysis.small_study import TrimAndFill
from meta_analysis.specification_curve import Curve
from meta_analysis.specification_plot import Mark, specification_alt_text, specification_figure

Drawn = tuple[Figure, pd.DataFrame, str]
TITLES = {"severity": "Severity", "response": "Response", "loss_of_diagnosis": "Loss of diagnosis"}
FUNNEL_KEY = ("White: p above 0.1 for the trial alone; greys, from light to dark: p below 0.1, 0.05 and 0.01. Dashed: "
              "the pooled result, and where 95% of trials about it would lie. Hollow: mirror images of trim-and-fill.")
FARTHEST, STEPS, BOX = 100.0, 31, 5.0  # odds ratios of the missing: how far the map goes, its grid, the usual range


def rows_figure(
    rows: pd.DataFrame, full: pd.Series, *, subject: str, event: str | None = None, band: bool = False
) -> Drawn:
    """Results as dots with intervals beside a main result.

    Parameters
    ----------
    rows : DataFrame
        A results table with `label` and `group`.
    full : Series
        The main result: its estimate is a dashed line and, if `band`, its interval a band.
    subject : str
        For the alternative text.
    event : {"good", "bad"}, optional
        For ratios.
    """
    lines = rows.rename(columns={"ci_low": "low", "ci_high": "high"})
    middle = (full["ci_low"], full["ci_high"]) if band else None
    how = {"measure": full["measure"], "event": event, "reference": full["estimate"]}
    fig, marks = dot_interval_figure(lines, band=middle, **how)
    alt = dot_interval_alt_text(marks, subject=subject, **how)
    return fig, marks, alt


@style()
def one_at_a_time_figure(results: Mapping[str, pd.DataFrame], full: Mapping[str, pd.Series]) -> Drawn:
    """Each trial left out in turn, and the trials joining in the order of time: a panel for each outcome.

    Parameters
    ----------
    results : dict
        Title -> results table of `sensitivity_tables.one_at_a_time`. What the rows have in common is written once, at
        the left; an outcome that lacks a trial leaves its rows blank.
    full : dict
        Title -> result of all trials, a dashed line.
    """
    labels = list(dict.fromkeys(pd.concat(results.values())["study_set"]))
    labels.sort(key=lambda label: not label.startswith("without"))
    first_joined = next(place for place, label in enumerate(labels) if not label.startswith("without"))
    y = {label: -place - (place >= first_joined) for place, label in enumerate(labels)}
    height = 0.34 + LINE * (len(labels) + 2) + 0.58
    fig, axes = panels(len(results), height, gap=0.2, head=0.34, foot=0.58, left=1.5)
    marks, words = [], ["Estimates with 95% confidence intervals, one trial at a time."]
    for ax, (title, found) in zip(axes, results.items()):
        names = {"study_set": "label", "ci_low": "low", "ci_high": "high"}
        drawn = found[["study_set", "estimate", "ci_low", "ci_high"]].rename(columns=names)
        one_at_a_time_plot(ax, drawn.assign(y=drawn["label"].map(y)), full[title]["estimate"], title=title,
                           **_scale(found))
        marks.append(drawn.assign(group=title))
        listed = "; ".join(f"{row.label} {number(row.estimate)} ({interval(row.low, row.high)})"
                           for row in drawn.itertuples())
        words.append(f"{title}, all trials {number(full[title]['estimate'])} (dashed line): {listed}.")
    axes[0].set_yticks(list(y.values()), list(y))
    return fig, pd.concat(marks), " ".join(words)


def _scale(effects: pd.DataFrame) -> dict[str, str | None]:
    """Measure of a set of trials and, for ratios, what is counted: response and loss of diagnosis, to be hoped for."""
    measure = effects["measure"].iloc[0]
    return {"measure": measure, "event": "good" if measure in RATIO_MEASURES else None}


def all_subsets_figure(trials: Mapping[str, pd.DataFrame]) -> Drawn:
    """GOSH for each set of trials, the trial that splits its cloud told apart."""
    fig, axes = panels(len(trials), 2.9, head=0.58, foot=0.56)
    marks, splits = [], []
    for ax, (title, own) in zip(axes, trials.items()):
        subsets = gosh(own["yi"], own["vi"])
        study = gosh_split(subsets).study
        name = own["trial_id"].iloc[study]
        _, drawn = gosh_plot(ax, subsets, study, name, title=title, **_scale(own))
        marks.append(drawn.assign(group=title))
        means = drawn.groupby("with_it")["estimate"].mean()
        splits.append(f"{title}: {name}, mean {number(means[True])} with it and {number(means[False])} without")
    alt = f"Pools of all subsets of trials, and the trial that splits them. {'; '.join(splits)}."
    return fig, pd.concat(marks), alt


def tau_figure(trials: Mapping[str, pd.DataFrame]) -> Drawn:
    """The pooled effect against tau, with the estimators of tau."""
    fig, axes = panels(len(trials), 2.5, left=0.66, gap=0.76)
    marks = []
    for ax, (title, own) in zip(axes, trials.items()):
        _, drawn = tau_trace_plot(ax, own["yi"], own["vi"], title=title, **_scale(own))
        marks.append(drawn.assign(group=title))
    marks = pd.concat(marks)
    estimators = [f"{row.group}, {row.method}: tau {number(row.tau)} gives {number(row.estimate)}."
                  for row in marks[marks["method"] != ""].itertuples()]
    return fig, marks, " ".join(["Pooled effect for each standard deviation tau between trials.", *estimators])


def missing_figure(counts: Mapping[str, Mapping[str, NDArray]]) -> Drawn:
    """Contours of the pooled risk ratio over the missingness odds ratios of both arms.

    `counts`: title -> counts with the people lost, from `sensitivity_tables.counts_with_lost`.
    """
    fig, axes = panels(len(counts), 3.3)
    grid, marks, words = missing_outcomes.imor_grid(FARTHEST, STEPS), [], []
    for ax, (title, own) in zip(axes, counts.items()):
        at = missing_outcomes.surface(own, grid)
        result = pool(at.estimate, at.variance)
        _, drawn = imor_plot(ax, grid, np.exp(result.estimate), result.p, title=title, box=BOX)
        marks.append(drawn.assign(group=title))
        inner = missing_square(own)
        words.append(f"{title}: within odds of 1/{BOX:g} to {BOX:g} the ratio is "
                     f"{interval(*np.exp([inner.estimate.min(), inner.estimate.max()]))}, the largest p "
                     f"{number(inner.p.max(), 3)}.")
    return fig, pd.concat(marks), " ".join(["Pooled risk ratio over the odds of the missing in each arm.", *words])


def missing_square(counts: Mapping[str, NDArray]) -> Pool:
    """Pools for missingness odds ratios from 1/`BOX` to `BOX` in each arm."""
    at = missing_outcomes.surface(counts, missing_outcomes.imor_grid(BOX))
    return pool(at.estimate, at.variance)


@style()
def funnel_figure(trials: Mapping[str, pd.DataFrame], filled: Mapping[str, TrimAndFill]) -> Drawn:
    """Contour-enhanced funnel plots with the mirror images of trim-and-fill."""
    fig, axes = panels(len(trials), 3.2, foot=0.86)
    fig.text(0.05 / WIDTH, 0.04 / 3.2, wrap(FUNNEL_KEY, WIDTH - 0.1, SMALL), size=SMALL, color=GREY, va="bottom")
    marks, words = [], ["Funnel plots with contours of significance."]
    for ax, (title, own) in zip(axes, trials.items()):
        mirror = filled[title]
        added = pd.DataFrame({"yi": mirror.effects[len(own):], "vi": mirror.variances[len(own):]})
        centre = float(pool(own["yi"], own["vi"]).estimate)
        _, drawn = funnel_plot(ax, own.assign(label=own["trial_id"]), title=title, estimate=centre, filled=added,
                               **_scale(own))
        marks.append(drawn.assign(group=title))
        dots = ", ".join(f"{row.label} {number(row.estimate)} (se {number(row.se)})" for row in drawn.itertuples()
                         if row.kind == "study")
        words.append(f"{title}: {dots}; trim-and-fill adds {mirror.k0} on the {mirror.side}.")
    return fig, pd.concat(marks), " ".join(words)


def thresholds_figure(posteriors: Mapping[str, Posterior], marked: Mapping[str, float]) -> Drawn:
    """Probability that the mean effect, and that of the next trial, lie beyond each threshold.

    `marked`: words -> threshold, shown as lines.
    """
    fig, axes = panels(2, 2.7)
    marks = []
    for ax, new_trial, title in zip(axes, (False, True), ("The mean effect", "The next trial")):
        how = {"marked": marked, "new_trial": new_trial, "title": title}
        _, drawn = exceedance_plot(ax, posteriors, np.linspace(0, 1.4, 57), **how)
        marks.append(drawn.assign(group=title))
    words = [f"Beyond the {name}, {number(value)}: " + ", ".join(
        f"{prior} {percent(100 * post.mu.cdf(-value))}" for prior, post in posteriors.items()) + "."
        for name, value in marked.items()]
    words.insert(0, "Probability that the effect lies beyond each threshold, by prior.")
    return fig, pd.concat(marks), " ".join(words)


def curve_figure(curve: Curve, levels: pd.DataFrame, shares: pd.DataFrame, marks: Sequence[Mark], *, subject: str,
                 note: str = "") -> Drawn:
    """The specification curve with its choices (`specification_plot`); the events of ratios are to be hoped for."""
    event = "good" if curve.family.measure in RATIO_MEASURES else None
    fig, drawn = specification_figure(curve, levels, shares, event=event, marks=marks, note=note)
    return fig, drawn, specification_alt_text(curve, shares, subject=subject, event=event, marks=marks)
