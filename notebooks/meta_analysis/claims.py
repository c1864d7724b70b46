"""From stored results to what is said of each published claim: finding, verdict, and share of what was claimed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from meta_analysis.report import estimate_with_interval, no_effect, number
from meta_analysis.verdicts import VERDICTS, Estimate, distance, verdict_on_estimate, verdict_on_no_increase

#: What a check of each claim would take.
NEEDS = {
    "C01": "the list of the nine trials",
    "C02": "the sizes of nine of the ten candidate trials",
    "C03": "means, SDs and people by arm, under the review's own method",
    "C04": "responders and people by arm, under the review's own method",
    "C05": "remitters and people by arm, under the review's own method",
    "C06": "people with at least one adverse event, by arm",
    "C07": "people with at least one severe adverse event, by arm",
    "C08": "people with suicidal ideation, by arm",
    "C09": "the dose of every control arm",
    "C10": "people lost, by arm",
    "C11": "doses, instruments and populations of the trials",
    "C12": "randomised comparisons after the primary time point",
    "C13": "data on use outside therapy",
    "C14": "the population of every trial",
    "C15": "judgements of the trials' risk of bias by more than one team",
}


def stored_codings(other_methods: pd.DataFrame, claim_id: str) -> pd.DataFrame:
    """The stored results of a claim's natural codings, the coding of the primary analysis first.

    Parameters
    ----------
    other_methods : DataFrame
        ``derived/03_other_methods.csv``.
    claim_id : str

    Raises
    ------
    KeyError
        If there are none.
    """
    rows = other_methods[other_methods["analysis_id"].str.startswith(f"{claim_id}.")]
    if rows.empty:
        raise KeyError(f"no stored result of a coding of {claim_id}")
    return rows.reset_index(drop=True)


def as_estimate(row: Mapping[str, Any] | pd.Series) -> Estimate:
    """Estimate and interval of a results row."""
    return Estimate(float(row["estimate"]), float(row["ci_low"]), float(row["ci_high"]))


def estimates(rows: pd.DataFrame) -> list[Estimate]:
    """Estimate and interval of each row of a results table."""
    return [as_estimate(row) for _, row in rows.iterrows()]


def _result(row: pd.Series) -> dict[str, Any]:
    """What a verdict's row tells of the stored result behind it."""
    return {name: row[name] for name in ("analysis_id", "estimate", "ci_low", "ci_high", "k")} | {
        "people": row["n_active"] + row["n_control"]}


def finding_on_estimate(printed: Estimate, codings: pd.DataFrame) -> dict[str, Any]:
    """Verdict, reason and result for a printed estimate, from the stored results of its natural codings."""
    found = estimates(codings)
    nearest = min(distance(printed, result) for result in found)
    return {"verdict": verdict_on_estimate(printed, found, no_effect(codings["measure"].iloc[0])),
            "why": f"nearest of {len(found)} natural codings is {number(nearest)} away"} | _result(codings.iloc[0])


def finding_on_harm(rows: pd.DataFrame) -> dict[str, Any]:
    """Verdict, reason and result for "no significant increase", from the stored risk ratios that fit its words."""
    found = estimates(rows)
    return {"verdict": verdict_on_no_increase(found),
            "why": f"risk ratios up to {number(max(result.high for result in found))} are not ruled out",
            } | _result(rows.iloc[0])


def verdict_table(claims: pd.DataFrame, findings: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Set each claim beside what was found and its verdict.

    Parameters
    ----------
    claims : DataFrame
        ``published/claims.csv``.
    findings : dict
        By claim_id: `verdict` and `why`, and where there is one result `analysis_id`, `estimate`, `ci_low`, `ci_high`,
        `k` and `people`.

    Raises
    ------
    ValueError
        If a claim has no finding, a finding no claim, or a verdict is none of the defined ones.
    """
    if odd := set(claims["claim_id"]) ^ set(findings):
        raise ValueError(f"claims and findings do not match: {', '.join(sorted(odd))}")
    if strange := sorted({finding["verdict"] for finding in findings.values()} - set(VERDICTS)):
        raise ValueError(f"unknown verdict {strange[0]!r}; defined are: {', '.join(VERDICTS)}")
    columns = ["verdict", "why", "analysis_id", "estimate", "ci_low", "ci_high", "k", "people"]
    found = pd.DataFrame.from_dict(findings, orient="index").reindex(columns=columns)
    table = claims[["claim_id", "claim"]].assign(needs=claims["claim_id"].map(NEEDS))
    table = table.join(found, on="claim_id")
    texts = {name: table[name].astype(object).where(table[name].notna(), "") for name in columns[:3]}
    numbers = {name: table[name].astype(float) for name in columns[3:]}
    return table.assign(**texts, **numbers)


def specification_in_words(specification: str, levels: pd.DataFrame) -> str:
    """The choices of a specification, "severity/all/out/...", in the words of ``derived/05_levels.csv``, in order.

    Raises
    ------
    ValueError
        If the family has another number of choices than the specification names.
    """
    family, *chosen = specification.split("/")
    known = levels[levels["family"] == family]
    choices = known["choice"].unique()
    if len(choices) != len(chosen):
        raise ValueError(f"{specification} names {len(chosen)} choices, its family has {len(choices)}")
    words = known.set_index(["choice", "level"])["meaning"]
    return "; ".join(words[choice, level] for choice, level in zip(choices, chosen))


def share_of_claim(claim: Estimate, found: Estimate, null: float) -> Estimate:
    """What was found as a share of what was claimed: 1 as claimed, 0 no effect; ratios on the log scale."""
    if null == 1.0:
        claim, found = Estimate(*np.log(claim)), Estimate(*np.log(found))
    ends = sorted((found.low / claim.estimate, found.high / claim.estimate))
    return Estimate(found.estimate / claim.estimate, *ends)


def share_rows(claim: str, printed: Estimate, found: Mapping[str, Estimate], measure: str) -> list[dict[str, Any]]:
    """A claim and what was found as rows for `claims_plot.share_plot`: each as a share of the claim.

    Parameters
    ----------
    claim : str
        Heading of the rows.
    printed : Estimate
    found : dict
        Label -> result.
    measure : str
        SMD, or a ratio.
    """
    rows = []
    for label, result in {"claimed": printed, **found}.items():
        share = share_of_claim(printed, result, no_effect(measure))
        rows.append({"claim": claim, "label": label, "kind": "claimed" if label == "claimed" else "found",
                     "share": share.estimate, "low": share.low, "high": share.high,
                     "text": estimate_with_interval(result)})
    return rows
