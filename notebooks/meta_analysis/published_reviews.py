"""What other reviews print, sorted by outcome and turned to one direction, and set beside a re-run of their choices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from meta_analysis.report import RATIO_MEASURES, estimate_with_interval, number
from meta_analysis.results import one
from meta_analysis.verdicts import ROUNDING, Estimate

#: Standardised differences under their printed names.
STANDARDISED = ("SMD", "Hedges g", "Hedges g (magnitude)", "Cohen d")


class Panel(NamedTuple):
    """One outcome: its title and measure, our primary result, and the specifications of notebook 05 that belong to it.

    `definitions` are levels of the choice "definition"; none means that the family has no such choice.
    """

    title: str
    measure: str
    analysis_id: str
    family: str
    definitions: tuple[str, ...] = ()

    @property
    def event(self) -> str | None:
        """Whether the counted event is one to hope for, as the plotting functions ask."""
        return None if self.measure == "SMD" else "good"


PANELS = {
    "severity": Panel("Severity", "SMD", "severity.primary", "severity"),
    "response": Panel("Response", "RR", "response.primary", "response"),
    "remission": Panel("Remission", "RR", "remission_mixed.primary", "remission", ("mixed", "strict")),
    "loss of diagnosis": Panel("Loss of diagnosis", "RR", "loss_of_diagnosis.primary", "remission", ("loss",)),
}


def panel_of(review: pd.Series) -> tuple[str, str]:
    """The panel of a row of ``published/reviews.csv``, or "" and the reason why it stands in none."""
    if not review["usable"]:
        return "", "marked as not usable, see its note in reviews.csv"
    if np.isnan(review["estimate"]):
        return "", "no estimate printed"
    outcome = review["outcome"]
    if review["measure"] in STANDARDISED:
        if "self-report" in outcome:
            return "", "symptoms by self-report or another outcome"
        if re.search("PTSD|trauma|CAPS", outcome):
            return "severity", ""
    elif review["measure"] == "RR":
        for name in ("response", "remission", "loss of diagnosis"):
            if outcome.startswith(name):
                return name, ""
    else:
        return "", "another measure (points of a scale, odds ratios)"
    return "", "symptoms by self-report or another outcome"


def short_name(review: pd.Series) -> str:
    """First author and year, or the short form of a name: "Smith et al. 2022", "ICER 2024"."""
    name = re.split(r" \(", review["review"])[0]
    authors = name.split(", ")
    name = authors[0] + (" et al." if len(authors) > 2 else "")
    return name if pd.isna(review["year"]) else f"{name} {review['year']}"


def short_method(model: str, measure: str) -> str:
    """The method as printed, shortened: "RE, RevMan"; what is said for another measure in parentheses is left out.

    "not stated": the text that was read does not say it; "not seen": the text that would say it could not be read.
    """
    if model.endswith("not seen"):
        return "not seen"
    if model.startswith("not "):
        return "not stated"
    said, _, aside = model.partition(" (")
    short = re.sub(r"^random effects,? ?", "RE, ", said).rstrip(", ")
    own = re.fullmatch(rf"(\S+) for {measure}\)", aside)
    return f"{short}, {own[1]}" if own else short


def published_rows(reviews: pd.DataFrame, tested: Sequence[str]) -> pd.DataFrame:
    """The published estimates that can be drawn, by panel and year, with benefit on the side where ours has it.

    Parameters
    ----------
    reviews : DataFrame
        ``published/reviews.csv``.
    tested : sequence of str
        Identifiers of the reviews whose claims are under test.

    Returns
    -------
    DataFrame
        review_id, year, panel, label, k, n, method (texts, blank where not printed), estimate, low, high (NaN where no
        interval is printed), kind ("other" or "under test"), turned (printed with benefit positive).
    """
    reviews = reviews.assign(panel=[panel_of(row)[0] for _, row in reviews.iterrows()])
    reviews = reviews[reviews["panel"] != ""].sort_values("year", kind="stable")
    rows = []
    for panel in PANELS:
        for _, row in reviews[reviews["panel"] == panel].iterrows():
            turned = PANELS[panel].measure == "SMD" and row["estimate"] > 0
            numbers = row[["estimate", "ci_low", "ci_high"]].astype(float).to_numpy()
            estimate, low, high = (-numbers[0], -numbers[2], -numbers[1]) if turned else numbers
            counts = {"k": row["k"], "n": row["n_participants"]}
            rows.append({
                "review_id": row["review_id"], "year": int(row["year"]), "panel": panel, "label": short_name(row),
                **{name: "" if pd.isna(count) else str(int(count)) for name, count in counts.items()},
                "method": short_method(row["model"], PANELS[panel].measure), "estimate": estimate, "low": low,
                "high": high, "kind": "under test" if row["identifier"] in tested else "other", "turned": turned,
                "outcome": row["outcome"]})
    table = pd.DataFrame(rows)
    again = table.duplicated(["panel", "label"])
    beside = [f", {outcome.partition(', ')[2] or review_id}"
              for outcome, review_id in zip(table["outcome"], table["review_id"])]
    return table.assign(label=table["label"].where(~again, table["label"] + beside)).drop(columns="outcome")


def left_out(reviews: pd.DataFrame) -> pd.DataFrame:
    """Published estimates that stand in no panel: review_id, review (short), outcome, reason."""
    rows = [{"review_id": row["review_id"], "review": short_name(row), "outcome": row["outcome"],
             "reason": panel_of(row)[1]} for _, row in reviews.iterrows()]
    table = pd.DataFrame(rows)
    return table[table["reason"] != ""].reset_index(drop=True)


def with_ours(published: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """`published_rows` with our primary result at the foot of each panel, from ``derived/03_results.csv``."""
    blocks = []
    for name, panel in PANELS.items():
        result = one(results, panel.analysis_id)
        ours = {"review_id": "", "panel": name, "label": "This analysis", "k": str(result["k"]),
                "n": str(result["n_active"] + result["n_control"]),
                "method": f"RE, {result['tau2_method']}, {result['ci_method']}", "estimate": result["estimate"],
                "low": result["ci_low"], "high": result["ci_high"], "kind": "ours", "turned": False}
        blocks += [published[published["panel"] == name], pd.DataFrame([ours])]
    return pd.concat(blocks, ignore_index=True)


def bands(curve: pd.DataFrame, share: float = 0.9) -> dict[str, tuple[float, float]]:
    """Where the middle `share` of the specifications' estimates lies, by panel.

    Parameters
    ----------
    curve : DataFrame
        ``derived/05_specifications.csv``: every n-th specification of each family by rank, so that its quantiles are
        those of all.
    share : float

    Returns
    -------
    dict
        Panel -> (low, high). A panel whose definition is a choice within its family takes the specifications with its
        own definition. Panels without any are absent.
    """
    tails = [(1 - share) / 2, (1 + share) / 2]
    found = {}
    for name, panel in PANELS.items():
        rows = curve[curve["family"] == panel.family]
        if panel.definitions:
            rows = rows[[bool(set(panel.definitions) & set(text.split("/"))) for text in rows["id"]]]
        if len(rows):
            low, high = rows["estimate"].quantile(tails)
            found[name] = (float(low), float(high))
    return found


def trials_of_its_time(year: int, outcome: str, trials: pd.DataFrame, results: pd.DataFrame) -> str:
    """The stored analysis of the trials that were out before `year`: "severity.up_to.MP-12"; "" if there is none.

    Parameters
    ----------
    year : int
        Year of a review.
    outcome : str
        First part of the analyses' names.
    trials : DataFrame
        ``extracted/trials.csv``.
    results : DataFrame
        ``derived/05_results.csv``, whose cumulative results are in order of time.
    """
    out = set(trials.loc[trials["year"] < year, "trial_id"])
    prefix = f"{outcome}.up_to."
    names = [name for name in results["analysis_id"] if name.startswith(prefix) and name.removeprefix(prefix) in out]
    return names[-1] if names else ""


def explained(printed: Estimate, ours: Estimate, again: Estimate, measure: str) -> str:
    """Say how far a choice, run again, leads from our result to the printed one.

    "gives it" within rounding, with or without the interval; else the share of the way between the two estimates, on
    the log scale for ratios, as "goes 53% of the way"; "leads away from it" if the distance grows.
    """
    if abs(printed.estimate - again.estimate) <= ROUNDING:
        ends = np.abs(np.subtract(printed[1:], again[1:]))
        return "gives it, with its interval" if np.all(ends <= ROUNDING) else "gives the estimate, not the interval"
    scale = np.log if measure in RATIO_MEASURES else float
    start, end, reached = (scale(result.estimate) for result in (ours, printed, again))
    if abs(reached - end) >= abs(start - end):
        return "leads no nearer" if np.isclose(reached, start, atol=ROUNDING) else "leads away from it"
    way = 100 * (1 - abs(reached - end) / abs(start - end))
    return f"goes {number(way, 0)}% of the way" + (" (and beyond)" if (reached - end) * (start - end) < 0 else "")


def rerun_choices(shown: pd.DataFrame, choices: Mapping[str, tuple[str, str]], results: pd.DataFrame,
                  trials: pd.DataFrame) -> pd.DataFrame:
    """Set the published estimates beside stored results under the reviews' own choices.

    Parameters
    ----------
    shown : DataFrame
        From `with_ours`.
    choices : dict
        review_id -> the choice in words, and the `analysis_id` of the result that makes it; where there is no such
        result, a line is printed. Every review that is older than the newest trial gets a second line, for the trials
        that were out before its year.
    results : DataFrame
        All stored results that may be named.
    trials : DataFrame
        ``extracted/trials.csv``.

    Returns
    -------
    DataFrame
        Texts, one row a review and choice: review, outcome, choice, k, printed, ours, with the choice, and what the
        choice does, as `explained` says it.
    """
    ours = shown[shown["kind"] == "ours"].set_index("panel")
    newest = trials.loc[trials["in_primary"], "year"].max()
    rows = []
    for _, row in shown[shown["kind"] != "ours"].iterrows():
        panel = PANELS[row["panel"]]
        runs = [choices[row["review_id"]]] if row["review_id"] in choices else []
        if row["year"] <= newest:
            name = trials_of_its_time(row["year"], panel.analysis_id.removesuffix(".primary"), trials, results)
            runs += [("the trials out before its year", name)] if name else []
        for words, name in runs:
            if name not in results["analysis_id"].to_numpy():
                print(f"{row['label']}, {words}: left out, for there is no result {name}")
                continue
            again = one(results, name)
            found = Estimate(*again[["estimate", "ci_low", "ci_high"]].astype(float))
            printed, own = (Estimate(*line[["estimate", "low", "high"]].astype(float))
                            for line in (row, ours.loc[row["panel"]]))
            rows.append({"review": row["label"], "outcome": row["panel"], "choice": words,
                         "printed": _as_printed(printed), "ours": number(own.estimate),
                         "ours with the choice": estimate_with_interval(found), "k": str(again["k"]),
                         "the choice alone": explained(printed, own, found, panel.measure)})
    return pd.DataFrame(rows)


def _as_printed(result: Estimate) -> str:
    return number(result.estimate) if np.isnan(result.low) else estimate_with_interval(result)
