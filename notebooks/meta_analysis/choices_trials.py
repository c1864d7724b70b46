"""Which trials a reviewer could take: sets made by an eligibility rule that can be written down, never by looking."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

#: set -> (what it means, rule on one row of the trials table with `people`, `risk_of_bias` added). Every rule can be
#: found in the methods of some review; arbitrary subsets of trials are not defensible and not here (GOSH shows them).
SETS: dict[str, tuple[str, Callable[[pd.Series], bool]]] = {
    "all": ("all trials with results", lambda t: True),
    "low_risk": ("overall risk of bias low (RoB 2)", lambda t: t.risk_of_bias == "Low"),
    "n20": ("20 or more people", lambda t: t.people >= 20),
    "low_risk_n20": ("low risk of bias, 20 or more", lambda t: t.risk_of_bias == "Low" and t.people >= 20),
    "to_2021": ("published up to 2021", lambda t: t.year <= 2021),
    "phase_2": ("phase 2", lambda t: t.phase == 2),
    "phase_3": ("phase 3", lambda t: t.phase == 3),
    "placebo": ("inert placebo as control", lambda t: t.control_kind == "placebo"),
    "low_dose": ("low dose as control", lambda t: t.control_kind == "low_dose"),
    "two_doses": ("two blinded sessions", lambda t: t.blinded_sessions == 2),
    "three_doses": ("three blinded sessions", lambda t: t.blinded_sessions == 3),
    "resistant": ("treatment-resistant PTSD", lambda t: "treatment-resistant" in t.population),
    "not_service": ("without the trial of veterans", lambda t: "veterans" not in t.population),
}


def trial_sets(trials: pd.DataFrame, arms: pd.DataFrame, risk_of_bias: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The trials that fulfil the rule of each of `SETS`.

    Parameters
    ----------
    trials, arms, risk_of_bias : DataFrame
        The extracted tables of these names. People are those randomised in the whole trial; risk of bias is the overall
        judgement, blank where nobody judged.

    Returns
    -------
    dict
        Set -> trial_ids, in the order of the table. A rule about something that is not known of a trial (a blank year
        or judgement) is not fulfilled.
    """
    people = arms[arms["role"] == "whole_trial"].set_index("trial_id")["n_randomised"].astype(float)
    overall = risk_of_bias[risk_of_bias["domain"] == "overall"].drop_duplicates("trial_id")
    overall = overall.set_index("trial_id")["judgement"]
    rows = trials.assign(people=trials["trial_id"].map(people), risk_of_bias=trials["trial_id"].map(overall).fillna(""))
    rows[["year", "phase", "blinded_sessions"]] = rows[["year", "phase", "blinded_sessions"]].astype(float)
    facts = list(rows.itertuples())
    return {name: tuple(row.trial_id for row in facts if rule(row)) for name, (_, rule) in SETS.items()}
