"""What a check of each published claim needs, and which codings of the trials count as natural."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from meta_analysis.analyses import choose, mantel_haenszel_row, pooled_row
from meta_analysis.verdicts import VERDICTS, Estimate

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

#: A coding is natural by rule, not by its result: a careful reviewer could choose it from the trial reports alone. All
#: active arms or the highest dose; endpoint or change; each trial's own outcome, or one that another review pools under
#: the claimed name. The first of each is the coding of our primary analysis.
NATURAL = {
    "C03": ["severity_review_manager", "severity_review_manager_high_dose_endpoint",
            "severity_review_manager_combined_change"],
    "C04": ["response", "response_high_dose"],
    "C05": ["remission_mixed", "remission_mixed_high_dose", "remission", "loss_of_diagnosis",
            "loss_of_diagnosis_high_dose"],
}
#: Trials whose results for an outcome are doubtful, so that leaving them out is natural too.
DOUBTFUL = {"C04": ["MP-1"], "C05": ["MP-1"]}
NULL = {"SMD": 0.0, "RR": 1.0}


def own_method_rows(effects: pd.DataFrame, claim_id: str) -> list[dict[str, Any]]:
    """Pool every natural coding of a claim by the review's own method, as rows of a results table.

    Review Manager's random effects: DerSimonian and Laird with a Wald interval for the SMD, and around the
    Mantel-Haenszel estimate for risk ratios.

    Parameters
    ----------
    effects : DataFrame
        ``derived/02_effects.csv``.
    claim_id : str
        C03, C04 or C05.
    """
    rows = []
    for effect_set in NATURAL[claim_id]:
        trials = choose(effects, effect_set, "SMD" if claim_id == "C03" else "RR")
        for left_out in ("", *DOUBTFUL.get(claim_id, [])):
            kept = trials[trials["trial_id"] != left_out].reset_index(drop=True)
            if left_out and len(kept) == len(trials):
                continue  # the doubtful trial is not in this set
            name = f"{claim_id}.{effect_set}" + (f".without.{left_out}" if left_out else "")
            if claim_id == "C03":
                rows.append(pooled_row(kept, name, tau2_method="DL", ci_method="Wald", pi_method="HTS"))
            else:
                rows.append(mantel_haenszel_row(kept, name, model="random"))
            rows[-1]["study_set"] = f"without {left_out}" if left_out else "all with results"
    return rows


def estimates(rows: Sequence[dict[str, Any]]) -> list[Estimate]:
    """Estimate and interval of each results row."""
    return [Estimate(row["estimate"], row["ci_low"], row["ci_high"]) for row in rows]


def implied_tau2(variances: ArrayLike, low: float, high: float, level_z: float = 1.959963984540054) -> float:
    """Between-trial variance that a Wald interval of a random-effects pool implies for trials of given variances.

    The interval's width gives its standard error, and 1 / se^2 is the sum of 1 / (v + tau2).

    Parameters
    ----------
    variances : array_like, shape (k,)
        Sampling variances of the trials (of the logarithm for ratios).
    low, high : float
        The interval on the scale of the variances.

    Returns
    -------
    float
        tau2; NaN if the interval is narrower than these trials could give at tau2 = 0.
    """
    variances = np.asarray(variances, dtype=float)
    information = (2 * level_z / (high - low)) ** 2

    def excess(tau2: float) -> float:
        return float(np.sum(1 / (variances + tau2)) - information)

    if excess(0.0) < 0:
        return float("nan")
    upper = 1.0
    while excess(upper) > 0:
        upper *= 2
    return brentq(excess, 0.0, upper, xtol=1e-12)


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


def share_of_claim(claim: Estimate, found: Estimate, null: float) -> Estimate:
    """What was found as a share of what was claimed: 1 as claimed, 0 no effect; ratios on the log scale."""
    if null == 1.0:
        claim, found = Estimate(*np.log(claim)), Estimate(*np.log(found))
    ends = sorted((found.low / claim.estimate, found.high / claim.estimate))
    return Estimate(found.estimate / claim.estimate, *ends)
