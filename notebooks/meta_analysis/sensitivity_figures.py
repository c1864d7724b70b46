"""The figures of the sensitivity notebook, each with its plotted numbers and its alternative text.

Every function takes `trials`, a dict of titles to effects (from `analyses.choose`), or results, and returns
``(Figure, DataFrame of the plotted numbers, alternative text)``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from meta_analysis import missing_outcomes
from meta_analysis.bayes import Posterior
from meta_analysis.funnel import funnel_plot
from meta_analysis.intervals import dot_interval_alt_text, dot_interval_figure
from meta_analysis.leave_out import gosh
from meta_analysis.pooling import Pool, pool
from meta_analysis.report import interval, number, percent
from meta_analysis.sensitivity import gosh_split
from meta_analysis.sensitivity_plots import exceedance_plot, gosh_plot, imor_plot, panels, tau_trace_plot
from meta_analysis.small_study import TrimAndFill

Drawn = tuple[Figure, pd.DataFrame, str]
TITLES = {"severity": "Severity", "response": "Response", "loss_of_diagnosis": "Loss of diagnosis"}
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


def all_subsets_figure(trials: Mapping[str, pd.DataFrame]) -> Drawn:
    """GOSH for each set of trials, the trial that splits its cloud told apart."""
    fig, axes = panels(len(trials), 2.8, head=0.58)
    marks, splits = [], []
    for ax, (title, own) in zip(axes, trials.items()):
        subsets = gosh(own["yi"], own["vi"])
        study = gosh_split(subsets).study
        name = own["trial_id"].iloc[study]
        _, drawn = gosh_plot(ax, subsets, study, name, measure=own["measure"].iloc[0], title=title)
        marks.append(drawn.assign(group=title))
        means = drawn.groupby("with_it")["estimate"].mean()
        splits.append(f"{title}: {name}, mean {number(means[True])} with it and {number(means[False])} without")
    alt = f"Pools of all subsets of trials, and the trial that splits them. {'; '.join(splits)}."
    return fig, pd.concat(marks), alt


def tau_figure(trials: Mapping[str, pd.DataFrame]) -> Drawn:
    """The pooled effect against tau, with the estimators of tau."""
    fig, axes = panels(len(trials), 2.5)
    marks = []
    for ax, (title, own) in zip(axes, trials.items()):
        _, drawn = tau_trace_plot(ax, own["yi"], own["vi"], measure=own["measure"].iloc[0], title=title)
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


def funnel_figure(trials: Mapping[str, pd.DataFrame], filled: Mapping[str, TrimAndFill]) -> Drawn:
    """Contour-enhanced funnel plots with the mirror images of trim-and-fill."""
    fig, axes = panels(len(trials), 2.8)
    marks, words = [], ["Funnel plots with contours of significance."]
    for ax, (title, own) in zip(axes, trials.items()):
        mirror = filled[title]
        added = pd.DataFrame({"yi": mirror.effects[len(own):], "vi": mirror.variances[len(own):]})
        centre = float(pool(own["yi"], own["vi"]).estimate)
        _, drawn = funnel_plot(ax, own.assign(label=own["trial_id"]), measure=own["measure"].iloc[0], title=title,
                               estimate=centre, filled=added)
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
