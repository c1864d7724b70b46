"""The summary-of-findings table: what each outcome's results are, and the facts that its certainty is judged on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from meta_analysis import grade
from meta_analysis.grade import Judgement
from meta_analysis.judgements import weight_shares
from meta_analysis.pooling import pool
from meta_analysis.report import estimate_with_interval

#: Judgements where nobody has judged: every trial then counts as "No information".
UNJUDGED = pd.DataFrame(columns=["overall"], dtype=str)


class Facts(NamedTuple):
    """What is known of the trials behind one outcome, apart from their results.

    Attributes
    ----------
    days : float
        Longest randomised follow-up after the last dose.
    prior_use : float
        Share of people who had taken the drug before, where it is known.
    instruments : int
        Instruments on which an event is defined; 1 for scores and for events that need none.
    people_in, people_known : float
        People randomised in the trials that give a result, and in all known trials.
    control_risk : float
        Over all control arms, per person; NaN for scores.
    """

    days: float
    prior_use: float
    instruments: int
    people_in: float
    people_known: float
    control_risk: float


def people_randomised(arms: pd.DataFrame) -> pd.Series:
    """People randomised in each trial, by its whole-trial row of ``extracted/arms.csv`` (index: trial_id)."""
    return arms[arms["role"] == "whole_trial"].set_index("trial_id")["n_randomised"].astype(float)


def prior_use(characteristics: pd.DataFrame, trial_ids: pd.Series) -> float:
    """Share of people who had taken MDMA before, in those of the trials that give a count; NaN if none does."""
    rows = characteristics[characteristics["characteristic"] == "prior_mdma_use"]
    rows = rows[(rows["statistic"] == "count") & (rows["use"] == "used") & rows["trial_id"].isin(trial_ids)]
    return float(rows["value"].sum() / rows["n"].sum()) if len(rows) else float("nan")


def gather(
    trials: pd.DataFrame,
    *,
    arms: pd.DataFrame,
    timepoints: pd.DataFrame,
    trial_table: pd.DataFrame,
    characteristics: pd.DataFrame,
    defined_on_a_scale: bool = False,
) -> Facts:
    """Collect the facts about the trials behind one outcome.

    Parameters
    ----------
    trials : DataFrame, one row a trial
        trial_id, and events_control and n_control if it counts events.
    arms, timepoints, trial_table, characteristics : DataFrame
        The extracted tables arms, timepoints, trials and characteristics.
    defined_on_a_scale : bool
        Whether the event is defined by scores of the severity instrument.

    Returns
    -------
    Facts
    """
    ids = trials["trial_id"]
    primary = timepoints[timepoints["is_primary"] & timepoints["trial_id"].isin(ids)]
    known = people_randomised(arms)
    risk = float("nan")
    if "events_control" in trials:
        risk = trials["events_control"].astype(float).sum(min_count=1) / trials["n_control"].sum()
    instruments = trial_table.loc[trial_table["trial_id"].isin(ids), "severity_instrument"]
    return Facts(
        days=float(primary["days_since_last_dose"].max()),
        prior_use=prior_use(characteristics, ids),
        instruments=instruments[instruments != ""].nunique() if defined_on_a_scale else 1,
        people_in=float(known.reindex(ids.unique()).sum()),
        people_known=float(known.sum()),
        control_risk=float(risk),
    )


def judge(row: Mapping[str, Any], trials: pd.DataFrame, lights: pd.DataFrame, facts: Facts) -> list[Judgement]:
    """The five GRADE judgements of one outcome.

    Parameters
    ----------
    row : mapping
        A row of a results table: measure, k, ci_low, ci_high, i2, tau2_high, n_active, n_control.
    trials : DataFrame, one row a trial
        report, yi, vi.
    lights : DataFrame
        Overall risk-of-bias judgements (column ``overall``), one row a report; a trial without a row counts as
        "No information".
    facts : Facts
    """
    if (known := trials["yi"].notna()).any():  # a trial without any event has no ratio, and no say in one
        trials = trials[known]
    pooled = len(trials) > 1 and known.any()
    weights = pool(trials["yi"], trials["vi"], **_model(row)).weights if pooled else np.ones(len(trials))
    overall = lights[["overall"]].reindex(trials["report"], fill_value="No information")
    shares = weight_shares(overall, weights).loc["overall"].to_dict()
    people = float(row["n_active"] + row["n_control"])
    needed = grade.optimal_information_size(row["measure"], facts.control_risk)
    return [
        grade.risk_of_bias(shares),
        grade.inconsistency(int(row["k"]), float(row["i2"]), float(row["tau2_high"])),
        grade.indirectness(facts.days, facts.prior_use, facts.instruments),
        grade.imprecision(row["measure"], row["ci_low"], row["ci_high"], people, needed),
        grade.missing_results(facts.people_in, facts.people_known),
    ]


def assess(
    name: str,
    row: Mapping[str, Any],
    trials: pd.DataFrame,
    readings: Mapping[str, pd.DataFrame],
    facts: Facts,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Judge one outcome under each reading of the risk of bias.

    Parameters
    ----------
    name : str
        The outcome.
    row, trials, facts
        As for `judge`.
    readings : mapping
        Name of the reading -> risk-of-bias judgements, as `lights` in `judge`.

    Returns
    -------
    rows : list of dict
        From `grade.judgement_rows`, all domains of all readings.
    certainties : dict
        Reading -> certainty.
    """
    rows, certainties = [], {}
    for reading, lights in readings.items():
        items = judge(row, trials, lights, facts)
        rows += grade.judgement_rows(name, reading, items)
        certainties[reading] = grade.certainty(items)
    return rows, certainties


def domain_cells(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The judgements of one outcome as cells of its row in the summary of findings.

    Parameters
    ----------
    rows : list of dict
        From `assess`.

    Returns
    -------
    dict
        Domain -> concern, levels lost and the reason with its numbers, such as "serious (-1): I2 60%". Risk of bias has
        a cell for each reading ("risk of bias, Sypres"); the other domains are the same in all of them.
    """
    cells = {}
    for row in rows:
        of_reading = row["domain"] == "risk of bias"
        name = f"{row['domain']}, {row['reading']}" if of_reading else row["domain"]
        lost = f" ({row['levels']})" if row["levels"] else ""
        cells[name] = f"{row['concern']}{lost}: {row['reason']}"
    return cells


def summary_row(
    label: str,
    row: Mapping[str, Any],
    *,
    measured_as: str,
    domains: list[dict[str, Any]],
    certainties: Mapping[str, str],
    levels: Mapping[str, str] | None = None,
    points: str = "",
    basis: str,
) -> dict[str, Any]:
    """One outcome as a row of the summary of findings; every outcome has the same columns.

    Parameters
    ----------
    label : str
        The outcome in words.
    row : mapping
        Its row of a results table.
    measured_as : str
        The instruments of a score, or how an event was counted.
    domains, certainties
        From `assess`.
    levels, points, basis
        Its absolute effect in words, and what that rests on: `absolute_rows.event_effect` or `scale_effect`.
    """
    relative = f"{row['measure']} {estimate_with_interval(row)}"
    per_1000 = {f"per 1000, {level} control risk": (levels or {}).get(level, "") for level in ("low", "middle", "high")}
    return {"outcome": label, "analysis_id": row["analysis_id"], "measured as": measured_as, "trials": int(row["k"]),
            "people": int(row["n_active"] + row["n_control"]), "effect": relative, **per_1000, "points": points,
            "basis of the absolute effect": basis, **domain_cells(domains),
            **{f"certainty, {reading}": text for reading, text in certainties.items()}}


def _model(row: Mapping[str, Any]) -> dict[str, Any]:
    """How the trials of a result were weighted, as options of `pooling.pool`."""
    return {"model": "common"} if row["model"] != "random" else {"tau2_method": row["tau2_method"]}
