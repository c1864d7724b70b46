"""Rows of the results tables: one pooled result each, under its `analysis_id`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from meta_analysis.report import RATIO_MEASURES, check_measure

RESULT_COLUMNS = [
    "analysis_id", "outcome", "measure", "study_set", "arms", "scale_kind", "model", "tau2_method", "ci_method", "k",
    "n_active", "n_control", "estimate", "se", "ci_low", "ci_high", "p", "pi_low", "pi_high", "tau2", "tau2_low",
    "tau2_high", "i2", "q", "q_df", "q_p", "note",
]
COUNT_COLUMNS = ["k", "n_active", "n_control", "q_df"]


def result_row(analysis_id: str, pool: Any, *, outcome: str, measure: str, study_set: str, arms: str, scale_kind: str,
               model: str, tau2_method: str, ci_method: str, n_active: int, n_control: int,
               note: str = "") -> dict[str, Any]:
    """One pooled result as a row of a results table.

    Parameters
    ----------
    analysis_id : str
        Unique name, for example "severity.primary".
    pool : Pool
        One pooled result: scalars, or arrays that hold one value. Ratios are on the log scale, as pooled.
    outcome, measure, study_set, arms, scale_kind, model, tau2_method, ci_method, note : str
        What was pooled, and how. `measure` is one of `MEASURES`.
    n_active, n_control : int
        Participants analysed per arm.

    Returns
    -------
    dict
        Keys in the order of `RESULT_COLUMNS`. Estimates and intervals of ratios stand on their natural scale; their
        `se` stays on the log scale. `i2` is in percent.

    Raises
    ------
    ValueError
        If the measure is unknown, or `pool` holds more than one result.
    """
    transform = np.exp if check_measure(measure) in RATIO_MEASURES else np.asarray

    def one_value(name: str) -> float:
        value = np.asarray(getattr(pool, name), dtype=float)
        if value.size != 1:
            raise ValueError(f"{analysis_id}: one pooled result wanted, but {name} holds {value.size} values")
        return value.item()

    row: dict[str, Any] = {
        "analysis_id": analysis_id, "outcome": outcome, "measure": measure, "study_set": study_set, "arms": arms,
        "scale_kind": scale_kind, "model": model, "tau2_method": tau2_method, "ci_method": ci_method,
        "n_active": n_active, "n_control": n_control, "note": note, "k": int(one_value("k")),
    }
    for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high"):
        row[name] = float(transform(one_value(name)))
    for name in ("se", "p", "tau2", "tau2_low", "tau2_high", "i2", "q", "q_df", "q_p"):
        row[name] = one_value(name)
    return {name: row[name] for name in RESULT_COLUMNS}


def results_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as made by `result_row`, as a table in the order of `RESULT_COLUMNS`.

    Raises
    ------
    ValueError
        If a column is missing or strange, an `analysis_id` stands twice, or a measure is unknown.
    """
    rows = list(rows)
    for row in rows:
        if wrong := set(RESULT_COLUMNS) ^ set(row):
            name = row.get("analysis_id")
            raise ValueError(f"result {name!r}: missing or unknown columns {', '.join(sorted(wrong))}")
        check_measure(row["measure"])
    table = pd.DataFrame(rows, columns=RESULT_COLUMNS)
    if twice := sorted(set(table.loc[table["analysis_id"].duplicated(), "analysis_id"])):
        raise ValueError(f"analysis_id given twice: {', '.join(twice)}")
    return table.assign(**{name: table[name].astype("Int64") for name in COUNT_COLUMNS})


def one(results: pd.DataFrame, analysis_id: str) -> pd.Series:
    """The row of a results table with this `analysis_id`; KeyError, with near names, if there is not just one."""
    found = results[results["analysis_id"] == analysis_id]
    if len(found) != 1:
        near = difflib.get_close_matches(analysis_id, list(results["analysis_id"]), n=3, cutoff=0.4)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise KeyError(f"{len(found)} results named {analysis_id} among {len(results)}{hint}")
    return found.iloc[0]
