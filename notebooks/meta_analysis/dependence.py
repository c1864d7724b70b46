"""Which results rest on a retracted report or on a given trial, and what becomes of them without it."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from meta_analysis.analyses import pooled_row


def retracted_sources(sources: pd.DataFrame, retractions: pd.DataFrame) -> pd.Series:
    """Sources whose citation names a retracted report.

    Parameters
    ----------
    sources : DataFrame
        ``extracted/sources.csv``.
    retractions : DataFrame
        ``published/retractions.csv``; its column `report` is such as "Jerome 2020".

    Returns
    -------
    Series
        Index: source_id; values: the retracted report.
    """
    named = {
        source: report
        for source, citation in zip(sources["source_id"], sources["citation"])
        for report in retractions["report"]
        if report in citation
    }
    return pd.Series(named, name="report", dtype=str).rename_axis("source_id")


def facts_behind(trials: Iterable[str], outcome: str, facts: pd.DataFrame) -> pd.DataFrame:
    """The used facts of some trials about one outcome.

    Parameters
    ----------
    trials : iterable of str
        trial_id.
    outcome : str
        As in the column `outcome`.
    facts : DataFrame
        Extracted tables set under each other: fact_id, trial_id, outcome, use, source_id.
    """
    mine = facts["trial_id"].isin(list(trials)) & (facts["outcome"] == outcome) & (facts["use"] == "used")
    return facts[mine]


def dependence(
    effects: pd.DataFrame, facts: pd.DataFrame, retracted: Iterable[str], site: str, *, name: str
) -> dict[str, object]:
    """What one analysis owes to retracted reports and to one site, and the same analysis without them.

    Parameters
    ----------
    effects : DataFrame, one row a trial
        From `analyses.choose`.
    facts : DataFrame
        As for `facts_behind`.
    retracted : iterable of str
        source_id of retracted reports.
    site : str
        trial_id of the trial in question.
    name : str
        Of the analysis.

    Returns
    -------
    dict
        analysis_id, k, facts (used ones behind it), facts_retracted (of them, read in a retracted report), site
        (whether the trial is among its trials), k_without, and estimate, ci_low, ci_high without these trials (NaN if
        no trial is left).
    """
    behind = pd.concat([facts_behind(effects["trial_id"], outcome, facts) for outcome in effects["outcome"].unique()])
    from_retracted = behind[behind["source_id"].isin(list(retracted))]
    leave_out = set(from_retracted["trial_id"]) | {site}
    left = effects[~effects["trial_id"].isin(leave_out)]
    row = {"analysis_id": name, "k": len(effects), "facts": len(behind), "facts_retracted": len(from_retracted),
           "site": bool((effects["trial_id"] == site).any()), "k_without": len(left)}
    numbers = ("estimate", "ci_low", "ci_high")
    result = pooled_row(left, f"{name}.without") if len(left) else dict.fromkeys(numbers, float("nan"))
    return row | {column: result[column] for column in numbers}


def sponsor_evidence(
    trials: pd.DataFrame, characteristics: pd.DataFrame, facts: pd.DataFrame, sources: pd.DataFrame
) -> pd.DataFrame:
    """What the tables tell about who sponsored each trial.

    Parameters
    ----------
    trials, characteristics, sources : DataFrame
        Extracted tables.
    facts : DataFrame
        Any extracted tables set under each other: trial_id, source_id.

    Returns
    -------
    DataFrame, one row a trial
        trial_id, in_primary, sponsor (as the trials table names it), in_words (a sponsor named elsewhere), and
        sponsor_pages: how many facts about the trial were read on pages of a sponsor.
    """
    words = characteristics[characteristics["characteristic"] == "sponsor"].groupby("trial_id")["text"].agg("; ".join)
    pages = facts["source_id"].isin(sources.loc[sources["kind"] == "sponsor_page", "source_id"])
    counts = facts[pages].groupby("trial_id").size()
    ids = trials["trial_id"]
    return pd.DataFrame(
        {"trial_id": ids, "in_primary": trials["in_primary"], "sponsor": trials["sponsor"],
         "in_words": ids.map(words).fillna(""), "sponsor_pages": ids.map(counts).fillna(0).astype(int)}
    )
