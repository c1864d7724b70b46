"""The codings of the trials under which a published estimate is run again, listed from choices alone.

A coding is natural by rule and not by its result: a careful reviewer could choose it from the trial reports. All active
arms of a trial or its highest dose; for scores the endpoint or the change; for events each definition that a review
pools under the claimed name; a trial whose counts are doubtful in or out. Every combination is listed. What lists them
is told which arms stand in which set, and nothing else: it cannot follow a result that it cannot see.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

#: All that the list may depend on: columns of ``derived/02_effects.csv``.
MEMBERS = ["effect_set", "trial_id", "active_arms"]
MEASURES = {"C03": "SMD", "C04": "RR", "C05": "RR"}
ARMS = ("combined", "high_dose")
#: Scores, or definitions of the event, of each claim; the first, with all arms, is the coding of the primary analysis.
OUTCOMES = {
    "C03": ("endpoint", "change"),
    "C04": ("response",),
    "C05": ("remission_mixed", "remission", "loss_of_diagnosis"),
}
#: Trials whose counts are doubtful, so that leaving them out is natural too.
DOUBTFUL = {"C03": (), "C04": ("MP-1",), "C05": ("MP-1",)}


class Coding(NamedTuple):
    """One way to code the trials for a claim: a set of effects, and the trial that is left out of it, if any."""

    claim_id: str
    effect_set: str
    left_out: str

    @property
    def analysis_id(self) -> str:
        """Name of its result: "C04.response_high_dose.without.MP-1"."""
        return f"{self.claim_id}.{self.effect_set}" + (f".without.{self.left_out}" if self.left_out else "")


def effect_set(claim_id: str, outcome: str, arms: str) -> str:
    """Name in ``02_effects.csv`` of the trials' effects under one outcome and one choice of arms."""
    if MEASURES[claim_id] == "SMD":
        return f"severity_review_manager_{arms}_{outcome}".removesuffix("_combined_endpoint")
    return outcome if arms == "combined" else f"{outcome}_{arms}"


def natural_codings(claim_id: str, members: pd.DataFrame) -> list[Coding]:
    """List every natural coding of a claim, in a fixed order.

    Parameters
    ----------
    claim_id : str
        C03, C04 or C05.
    members : DataFrame
        Columns `MEMBERS` and no other: which arms of which trials stand in which set.

    Returns
    -------
    list of Coding
        The coding of the primary analysis first. A combination that leaves the same people under the same definition
        as an earlier one (trials with a single active arm have no other dose) is the same coding, and one that leaves
        nobody is none.

    Raises
    ------
    ValueError
        If `members` has another column: the list must not see results.
    """
    if more := sorted(set(members.columns) - set(MEMBERS)):
        raise ValueError(f"codings are listed without sight of results, but the table holds {', '.join(more)}")
    arms_in = {name: set(zip(block["trial_id"], block["active_arms"])) for name, block in members.groupby("effect_set")}
    codings: list[Coding] = []
    seen: list[tuple[str, set]] = []
    for outcome in OUTCOMES[claim_id]:
        for arms in ARMS:
            name = effect_set(claim_id, outcome, arms)
            for left_out in ("", *DOUBTFUL[claim_id]):
                people = {pair for pair in arms_in.get(name, set()) if pair[0] != left_out}
                if people and (outcome, people) not in seen:
                    seen.append((outcome, people))
                    codings.append(Coding(claim_id, name, left_out))
    return codings
