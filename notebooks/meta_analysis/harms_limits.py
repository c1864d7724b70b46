"""What the harms leave open: increases still allowed, increases that would not have been seen, counts nobody has.

Active arm first, control second; differences here are per 100 people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from meta_analysis import two_by_two
from meta_analysis.harms import COUNTS
from meta_analysis.report import interval, number, p_value


def detectable_from_se(se: float, *, chance: float = 0.8, level: float = 0.95) -> float:
    """Smallest true difference that a pool with this error shows with the given chance: (z(level) + z(chance)) se."""
    return float((stats.norm.ppf(0.5 + level / 2) + stats.norm.ppf(chance)) * se)


def allowance(trials: pd.DataFrame, row: Mapping[str, Any], label: str) -> dict[str, Any]:
    """What a harm's risk difference leaves open.

    Parameters
    ----------
    trials : DataFrame
        The comparisons behind the result.
    row : mapping
        Result row of the risk difference: of a single trial, or pooled.
    label : str
        The harm in words.

    Returns
    -------
    dict
        label, analysis_id, k, counts of both arms, and per 100 people: `difference`, `low`, `high` (the largest
        increase that the data allow) and `detectable` (the smallest true increase that would have been shown four
        times in five; NaN if none would), and `p`. With one trial the power is exact, at its own control risk; with
        several it follows from the standard error.
    """
    sums = {column: int(trials[column].sum()) for column in COUNTS}
    if len(trials) == 1:
        risk = sums["events_control"] / sums["n_control"]
        detectable = two_by_two.smallest_detectable_increase(risk, sums["n_active"], sums["n_control"])
    else:
        detectable = detectable_from_se(row["se"])
    return {"label": label, "analysis_id": row["analysis_id"], "k": len(trials), **sums,
            "difference": 100 * row["estimate"], "low": 100 * row["ci_low"], "high": 100 * row["ci_high"],
            "detectable": 100 * detectable, "p": row["p"]}


def verdict(found: Mapping[str, Any]) -> str:
    """Whether the interval of a difference shows an increase, shows a decrease, or leaves the sign open."""
    return "increase" if found["low"] > 0 else "decrease" if found["high"] < 0 else "open"


def statement(found: Mapping[str, Any]) -> str:
    """What a row of `allowance` means, in two or three sentences.

    "Any severe event: 5 of 53 with MDMA-AT, 2 of 51 with control. No significant increase (p = 0.264), which is not the
    absence of one: the data allow up to 17.0 more per 100 people. A true increase of less than 17.3 per 100 would go
    unseen more often than one time in five."
    """
    counts = (f"{found['label']}: {found['events_active']} of {found['n_active']} with MDMA-AT, "
              f"{found['events_control']} of {found['n_control']} with control.")
    kind, high, test = verdict(found), number(found["high"], 1), p_value(found["p"])
    if kind == "increase":
        said = (f"More with MDMA-AT ({test}): {number(found['difference'], 1)} more per 100 people "
                f"({interval(found['low'], found['high'], 1)}).")
        return f"{counts} {said}"
    if kind == "decrease":
        said = f"Fewer with MDMA-AT ({test}): {number(-found['difference'], 1)} fewer per 100 people"
        return f"{counts} {said} ({interval(-found['high'], -found['low'], 1)})."
    said = (f"No significant increase ({test}), which is not the absence of one: the data allow up to {high} more per "
            "100 people.")
    if np.isnan(found["detectable"]):
        return f"{counts} {said} No increase, however large, would have been shown four times in five."
    missed = number(found["detectable"], 1)
    seen = f"A true increase of less than {missed} per 100 would go unseen more often than one time in five."
    return f"{counts} {said} {seen}"


#: Who said in so many words that harms were missed or reported poorly: part of the review's name, and what it is.
WITNESSES = {"FDA PDAC": "the regulator's advisers", "ICER": "a health technology review",
             "Borgogna": "quality of reporting"}
#: Traits of trials that bear on how completely harms were recorded.
TRAITS = {("MP-4", "status"): "MP-4", ("MP-8", "safety_in_words"): "MP-8"}


def reasons_for_more(
    harms: pd.DataFrame, reviews: pd.DataFrame, retractions: pd.DataFrame, characteristics: pd.DataFrame
) -> pd.DataFrame:
    """Reasons to take recorded harms as a lower bound, each in the words of a source.

    Parameters
    ----------
    harms, characteristics : DataFrame
        Extracted tables, whole.
    reviews, retractions : DataFrame
        Published tables.

    Returns
    -------
    DataFrame
        about, words, source.

    Raises
    ------
    ValueError
        If a witness or a trait is in the tables no longer.
    """
    rows = []
    for name, about in WITNESSES.items():
        found = reviews[reviews["review"].str.contains(name) & (reviews["risk_of_bias"] != "")]
        if found.empty:
            raise ValueError(f"no review of {name} with words on bias: mend the list of witnesses")
        rows.append((about, found["risk_of_bias"].iloc[0], found["review"].iloc[0]))
    for (trial, trait), about in TRAITS.items():
        found = characteristics[(characteristics["trial_id"] == trial) & (characteristics["characteristic"] == trait)]
        if found.empty:
            raise ValueError(f"no {trait} of {trial} in the characteristics: mend the list of traits")
        rows.append((about, found["text"].iloc[0], found["source_id"].iloc[0]))
    for reason, found in retractions.groupby("reason"):
        rows.append((f"{len(found)} retractions", reason, ", ".join(found["source_id"].unique())))
    derived = harms["note"].str.contains("recomputed from the rounded|Proportion times n|the proportion times n")
    unseen = harms["note"].str.contains("the table it comes from was not seen")
    rows.append(("counts", f"{int(derived.sum())} of {len(harms)} counts are worked out from rounded percentages; for "
                 f"{int(unseen.sum())} the printed table was not seen", "column note of the harms table"))
    return pd.DataFrame(rows, columns=["about", "words", "source"])


def holes(harms: pd.DataFrame, incomplete: pd.DataFrame, guesses: pd.DataFrame) -> pd.DataFrame:
    """What cannot be pooled, how many rows were found for it, and why they do not do.

    Parameters
    ----------
    harms : DataFrame
        ``extracted/harms.csv``, whole.
    incomplete : DataFrame
        From `compare_arms`.
    guesses : DataFrame
        What was printed about people who guessed their arm: rows of ``published/pooled_reports.csv``.

    Returns
    -------
    DataFrame
        what, rows (found for it in the tables), why.
    """
    used = harms["use"] == "used"
    any_event = harms["term"].str.contains("any adverse event")
    serious = (harms["kind"] == "serious") & ~harms["randomised_comparison"]
    phase_2 = serious & (harms["unit"] == "participants") & used
    by_term = (harms["kind"] == "serious") & harms["randomised_comparison"] & (harms["term"] != "any serious event")
    entries: Iterable[tuple[str, int, str]] = [
        ("people with any adverse event", int((any_event & harms["randomised_comparison"]).sum()),
         f"no source read gives it by arm; {int(any_event.sum())} row gives it for a whole trial, all stages together"),
        ("suicidality by the C-SSRS interview", int(harms["term"].str.contains("C-SSRS").sum()),
         "the tables of that interview stand in no source read"),
        ("reactions by session", int((used & (harms["unit"] == "sessions")).sum()),
         "a person has several sessions, which are not independent; in MP-2 open-label sessions are among them"),
        ("composites of a third party", int((harms["kind"] == "composite").sum()),
         "they add up terms, can count a person twice, and changed between versions of their table"),
        ("serious events in phase 2", int(phase_2.sum()), "given for whole trials, not by arm"),
        ("serious events given by term", int(by_term.sum()), "one person can be in two terms, so they do not add up"),
        ("serious events counted as events", int((harms["unit"] == "events").sum()), "events are not people"),
        ("two rows under one term", int((harms["conflict_id"] == "duplicate_terms").sum()),
         "the same person can be in both"),
        ("harms listed for some arms only", len(incomplete), "not listed is not zero"),
        ("guesses of the arm (blinding)", len(guesses),
         f"rounded shares, second-hand, no trial named; {int(guesses['n'].notna().sum())} with a number of people"),
    ]
    return pd.DataFrame(entries, columns=["what", "rows", "why"])
