"""The answer in two sentences, as it stands at the top of the README: written from the results, never by hand."""

from __future__ import annotations

import pandas as pd

from meta_analysis.report import interval, number
from meta_analysis.results import one


def answer(results: pd.DataFrame, claims: pd.DataFrame) -> str:
    """Say what was found and how sure it is.

    Parameters
    ----------
    results : DataFrame
        ``derived/03_results.csv``.
    claims : DataFrame
        ``published/claims.csv``; C03 is the published SMD of severity.

    Returns
    -------
    str
        One line of Markdown.
    """
    severity, response = one(results, "severity.primary"), one(results, "response.primary")
    as_published = one(results, "severity.dl_wald")
    claim = claims.set_index("claim_id").loc["C03", "value"]
    people = severity["n_active"] + severity["n_control"]
    return (
        f"**Answer.** In the {severity['k']} randomised trials with readable results ({people} people analysed) "
        f"symptoms were less severe after MDMA-assisted therapy: standardised mean difference "
        f"{number(severity['estimate'])} (95% CI {interval(severity['ci_low'], severity['ci_high'])}), and response "
        f"was {number(response['estimate'])} times as frequent ({interval(response['ci_low'], response['ci_high'])}). "
        f"That is less sure than it looks: the trials are few and small (the data allow a between-trial variance up to "
        f"{number(severity['tau2_high'])}), most people could tell what they had been given, and a published estimate "
        f"of {number(claim)}, whose list of trials we could not read, becomes "
        f"{number(as_published['estimate'])} when its own method is run on these {severity['k']}."
    )
