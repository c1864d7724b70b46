"""Risk-of-bias judgements as data: the worst domain, a belief changed, shares by weight, other reviewers' words."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from meta_analysis.lights import DOMAINS, LIGHTS, check_judgements

# From best to worst. What nobody has told is worse than some concerns: it may hide anything short of a known fault.
ORDER = ("Low", "Some concerns", "No information", "High")

# What reviewers printed about a set of trials in words, read as lights: which judgement holds for most of the trials.
# Domains of which the words do not say what holds for most are "No information". This reading is ours.
READINGS = {
    "5 low, 1 some concerns (Mithoefer 2011)": {"overall": "Low"},
    "high risk in outcome measurement for most; some concerns for deviations": {"D4": "High"},
    "83.3% of its 30 RCTs high risk (RoB 2)": {"overall": "High"},
    "majority of RCTs high risk": {"overall": "High"},
}
# What the same words tell of a number of trials that they do not give: no light of "most" can show it.
HINTS = {
    "high risk in outcome measurement for most; some concerns for deviations":
        "D2 some concerns, in how many trials is not said",
}


def worst(judgements: pd.DataFrame) -> pd.Series:
    """The overall judgement that the domains of each trial allow at best: that of the worst of them (RoB 2).

    Parameters
    ----------
    judgements : DataFrame
        One row a trial, one column a domain, cells keys of `lights.LIGHTS`; a column ``overall`` is passed over.

    Returns
    -------
    Series
        One judgement a trial, of the kinds in `ORDER`.

    Raises
    ------
    ValueError
        On an unknown domain or judgement, or a trial without one.
    """
    domains = check_judgements(judgements, judgements.index).drop(columns="overall", errors="ignore")
    rank = domains.apply(lambda column: column.map(ORDER.index))
    return rank.max(axis=1).map(lambda place: ORDER[place]).rename("overall")


def believe(judgements: pd.DataFrame, domain: str, judgement: str) -> pd.DataFrame:
    """The same table with one domain judged alike in all trials, and the overall judgement following the worst domain.

    Raises
    ------
    ValueError
        On an unknown domain or judgement.
    """
    if domain not in judgements.columns or domain == "overall":
        raise ValueError(f"risk of bias: no domain {domain!r} in the table; there are {', '.join(judgements.columns)}")
    changed = judgements.assign(**{domain: judgement})
    return changed.assign(overall=worst(changed))


def weight_shares(judgements: pd.DataFrame, weights: ArrayLike | None = None) -> pd.DataFrame:
    """Share of each judgement in each domain: by number of trials, or by the weight that the trials have in a pool.

    Parameters
    ----------
    judgements : DataFrame
        One row a trial, one column a domain.
    weights : array_like, shape (trials,), optional
        Weights in the order of the rows, 0 or more; all alike if not given.

    Returns
    -------
    DataFrame
        One row a domain, one column for each of `ORDER`; each row sums to 1.

    Raises
    ------
    ValueError
        On bad judgements, or weights that do not fit.
    """
    judgements = check_judgements(judgements, judgements.index)
    weights = np.ones(len(judgements)) if weights is None else np.asarray(weights, dtype=float)
    if weights.shape != (len(judgements),) or not (weights >= 0).all() or weights.sum() <= 0:
        raise ValueError(f"risk of bias: {len(judgements)} weights of 0 or more are needed, not all of them 0")
    shares = {domain: [weights[judgements[domain] == judgement].sum() / weights.sum() for judgement in ORDER]
              for domain in judgements.columns}
    return pd.DataFrame.from_dict(shares, orient="index", columns=list(ORDER)).rename_axis("domain")


def most_common(judgements: pd.DataFrame) -> pd.Series:
    """For each domain the judgement that more than half of the trials have; "No information" where none has."""
    shares = weight_shares(judgements)
    return shares.idxmax(axis=1).where(shares.max(axis=1) > 0.5, "No information")


def known_of_most(words: pd.Series) -> pd.DataFrame:
    """What reviewers' words tell, and do not tell, of most of their trials; `words` and errors as `reviewers_matrix`.

    Returns
    -------
    DataFrame
        reviewer, known_of_most (domain and judgement), known_besides (from `HINTS`), not_known (domains).
    """
    rows = []
    for reviewer, lights in reviewers_matrix(words).iterrows():
        known = lights[lights != "No information"]
        rows.append({"reviewer": reviewer,
                     "known_of_most": ", ".join(f"{domain} {judgement.lower()}" for domain, judgement in known.items()),
                     "known_besides": HINTS.get(words[reviewer], ""),
                     "not_known": ", ".join(domain for domain in lights.index if domain not in known.index)})
    return pd.DataFrame(rows)


def reviewers_matrix(words: pd.Series) -> pd.DataFrame:
    """Lights for what reviewers said of most of their trials.

    Parameters
    ----------
    words : Series of str
        Index: the reviewers; values: their words, each one a key of `READINGS`.

    Returns
    -------
    DataFrame
        One row a reviewer, one column for each of `lights.DOMAINS`.

    Raises
    ------
    ValueError
        If there is no reading of some words.
    """
    if unread := [f"{reviewer} ({text!r})" for reviewer, text in words.items() if text not in READINGS]:
        raise ValueError(f"risk of bias: no reading of the words of {', '.join(unread)}")
    rows = {reviewer: {domain: READINGS[text].get(domain, "No information") for domain in DOMAINS}
            for reviewer, text in words.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(DOMAINS))
    assert set(table.to_numpy().ravel()) <= set(LIGHTS)
    return table
