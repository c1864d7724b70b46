"""Absolute effects as rows and in words: at which control risks, in points of which scale, and from which facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from meta_analysis.absolute_effects import absolute_effect, pooled_sd
from meta_analysis.comparisons import HIGHER_IS_BETTER
from meta_analysis.report import interval, number
from meta_analysis.two_by_two import share


class ControlRisks(NamedTuple):
    """Assumed risks of an event without the active treatment.

    Attributes
    ----------
    levels : dict
        "low", "middle" and "high" -> risk per person.
    source : str
        The control arms that they come from, in words, with their counts.
    """

    levels: dict[str, float]
    source: str


def control_risks(trials: pd.DataFrame, preferred: Collection[str] = ()) -> ControlRisks:
    """Take three control risks from the control arms of some trials.

    With two arms or more the lowest, the pooled and the highest of their risks. With one, its own risk in the middle,
    and the limits of its exact 95% interval (Clopper and Pearson 1934) as low and high.

    Parameters
    ----------
    trials : DataFrame, one row a trial
        trial_id, events_control, n_control.
    preferred : collection of str
        trial_id of the trials to rely on, such as the larger ones. If none of them is there, all are used.

    Raises
    ------
    ValueError
        If there is no trial.
    """
    if trials.empty:
        raise ValueError("control risks need at least one trial")
    chosen = trials[trials["trial_id"].isin(preferred)] if trials["trial_id"].isin(preferred).any() else trials
    events, n = chosen["events_control"].astype(int), chosen["n_control"].astype(int)
    arms = ", ".join(f"{trial} {a} of {of}" for trial, a, of in zip(chosen["trial_id"], events, n))
    if len(chosen) == 1:
        own = share(int(events.iloc[0]), int(n.iloc[0]))
        levels = {"low": own.low, "middle": own.estimate, "high": own.high}
        return ControlRisks(levels, f"control arm of {arms} (low, high: its exact 95% interval)")
    levels = {"low": float((events / n).min()), "middle": float(events.sum() / n.sum()),
              "high": float((events / n).max())}
    return ControlRisks(levels, f"control arms of {arms} (lowest, pooled, highest)")


def usable(ratio: Mapping[str, Any], difference: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ratio, if both of its limits are above zero and finite; otherwise the risk difference.

    Parameters
    ----------
    ratio, difference : mapping
        Rows of a results table (estimate, ci_low, ci_high). An arm without any event leaves a ratio without one of its
        limits; the difference still has both.
    """
    return ratio if 0 < ratio["ci_low"] <= ratio["ci_high"] < float("inf") else difference


def absolute_rows(row: Mapping[str, Any], levels: Mapping[str, float]) -> pd.DataFrame:
    """Absolute effects at several control risks, with the columns of ``derived/03_absolute.csv`` that are used here.

    Parameters
    ----------
    row : mapping
        A row of a results table whose measure is RR, OR or RD.
    levels : mapping
        Name of the level (low, middle, high) -> control risk per person.
    """
    found = []
    for level, risk in levels.items():
        effect = absolute_effect(risk, row["estimate"], row["ci_low"], row["ci_high"], row["measure"])
        numbers = {name: float(value) for name, value in effect._asdict().items()}
        found.append({"analysis_id": row["analysis_id"], "control_risk_level": level, "control_risk": risk} | numbers)
    return pd.DataFrame(found)


def per_thousand(rows: pd.DataFrame) -> dict[str, str]:
    """Absolute effects of one analysis in words.

    Parameters
    ----------
    rows : DataFrame
        From `absolute_rows`: control_risk_level, control_risk, and per person difference, difference_low,
        difference_high.

    Returns
    -------
    dict
        control_risk_level -> such as "278 more (138 fewer to 861 more) than 139".
    """

    def words(difference: float) -> str:
        size = number(abs(1000 * difference), 0)
        return "0" if size == "0" else f"{size} {'more' if difference > 0 else 'fewer'}"

    return {
        row["control_risk_level"]: f"{words(row['difference'])} ({words(row['difference_low'])} to "
        f"{words(row['difference_high'])}) than {number(1000 * row['control_risk'], 0)}"
        for _, row in rows.iterrows()
    }


def event_effect(
    row: Mapping[str, Any], risks: ControlRisks, found: Mapping[str, Any] | None = None
) -> tuple[dict[str, str], str]:
    """Absolute effects of an event in words, and what they rest on.

    Parameters
    ----------
    row : mapping
        A row of a results table whose measure is RR, OR or RD, such as from `usable`.
    risks : ControlRisks
    found : mapping, optional
        The result row of the risk difference, to be named as it was found.

    Returns
    -------
    levels : dict
        From `per_thousand`; those of a risk difference begin with "RD: ".
    basis : str
        The measure, the control arms, and the risk difference as found.
    """
    words = per_thousand(absolute_rows(row, risks.levels))
    basis = f"{row['measure']} at the risks of the {risks.source}"
    if row["measure"] == "RD":
        words = {level: f"RD: {text}" for level, text in words.items()}
        basis = f"{basis}, as an arm had no event"
    if found is not None:
        ends = interval(1000 * found["ci_low"], 1000 * found["ci_high"], 0)
        basis = f"{basis}; RD as found {number(1000 * found['estimate'], 0)} per 1000 ({ends})"
    return words, basis


def scale_row(
    trials: pd.DataFrame, row: Mapping[str, Any], arms: pd.DataFrame, facts: pd.DataFrame, instrument: str = ""
) -> dict[str, Any]:
    """A pooled standardised difference in points of one instrument.

    Points are the standardised difference times the pooled end-point standard deviation of the control arms that used
    the instrument (`pooled_sd`; Cochrane Handbook 15.5.3.2).

    Parameters
    ----------
    trials : DataFrame, one row a trial
        The trials behind the result: trial_id, timepoint_id, instrument, n_control, mean_control,
        sd_control.
    row : mapping
        The result: analysis_id, estimate, ci_low, ci_high; a negative estimate favours the active arm.
    arms, facts : DataFrame
        The extracted tables arms and continuous_outcomes.
    instrument : str
        By default the one that most people in control arms have a score on.

    Returns
    -------
    dict
        analysis_id, instrument, higher_is_better (of the instrument), trials, n_control, control_mean and sd (of all
        people in these control arms), facts (fact_id of the standard deviations), turned (other instruments in the pool
        on which higher is better), and points, points_low, points_high: of the instrument itself, so that more is worse
        unless higher_is_better.

    Raises
    ------
    ValueError
        If no trial used the instrument.
    """
    instrument = instrument or trials.groupby("instrument")["n_control"].sum().idxmax()
    mine = trials[trials["instrument"] == instrument]
    if mine.empty:
        raise ValueError(f"{row['analysis_id']}: no trial used {instrument}; only "
                         f"{', '.join(sorted(set(trials['instrument'])))}")
    control = arms.loc[arms["role"] == "control", "arm_id"]
    sds = facts[(facts["statistic"] == "sd") & (facts["use"] == "used") & facts["arm_id"].isin(control)]
    sds = sds.merge(mine[["trial_id", "timepoint_id", "instrument"]], on=["trial_id", "timepoint_id", "instrument"])
    sd = pooled_sd(mine["n_control"], mine["sd_control"])
    mean = np.average(mine["mean_control"], weights=mine["n_control"])
    better = instrument in HIGHER_IS_BETTER
    points = sorted((-sd if better else sd) * row[end] for end in ("ci_low", "estimate", "ci_high"))
    turned = [name for name in trials["instrument"].unique() if name in HIGHER_IS_BETTER and name != instrument]
    return {"analysis_id": row["analysis_id"], "instrument": instrument, "higher_is_better": better,
            "trials": ", ".join(mine["trial_id"]), "n_control": int(mine["n_control"].sum()),
            "control_mean": float(mean), "sd": sd, "facts": " ".join(sds["fact_id"]), "turned": ", ".join(turned),
            "points": points[1], "points_low": points[0], "points_high": points[2]}


def scale_effect(scale: Mapping[str, Any]) -> tuple[str, str]:
    """A row of `scale_row` in words: the points, and what they rest on.

    "10.3 BDI-II points lower (44.6 lower to 24.1 higher); lower is better", and "SMD times the pooled end-point SD
    14.44 of the control arms of MP-8, MP-12, MAPP1 (52 people)".
    """

    def words(points: float) -> str:
        return f"{number(abs(points), 1)} {'higher' if points >= 0 else 'lower'}"

    size, side = words(scale["points"]).split()
    better = "higher" if scale["higher_is_better"] else "lower"
    text = (f"{size} {scale['instrument']} points {side} ({words(scale['points_low'])} to "
            f"{words(scale['points_high'])}); {better} is better")
    basis = (f"SMD times the pooled end-point SD {number(scale['sd'])} of the control arms of {scale['trials']} "
             f"({scale['n_control']} people)")
    turned = f"; {scale['turned']}, on which higher is better, was turned round" if scale["turned"] else ""
    return text, basis + turned
