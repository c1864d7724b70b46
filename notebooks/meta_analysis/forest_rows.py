"""The rows of a forest plot: trials and pooled results, on the natural scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from meta_analysis.report import RATIO_MEASURES, check_measure


@dataclass(frozen=True)
class Summary:
    """A pooled result under the trials.

    Attributes
    ----------
    label : str
        Name of the model.
    estimate, low, high : float
        On the natural scale; `estimate` is not drawn for a prediction interval.
    kind : str
        "diamond" (filled), "hollow" (a diamond in outline) or "prediction" (a bar).
    cells : dict
        Texts for the columns left of the panel, for example totals: {"n_active": "132"}.
    """

    label: str
    estimate: float
    low: float
    high: float
    kind: str = "diamond"
    cells: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("diamond", "hollow", "prediction"):
            raise ValueError(f"summary {self.label!r}: kind is diamond, hollow or prediction, not {self.kind!r}")


def study_rows(labels: Sequence[str], effects: Sequence[float], variances: Sequence[float], *, measure: str,
               weights: Sequence[float] | None = None, level: float = 0.95) -> pd.DataFrame:
    """Trials as `forest.forest_plot` wants them, from effects as they were pooled.

    Parameters
    ----------
    labels : sequence of str, shape (k,)
    effects, variances : array-like, shape (k,)
        Ratios as logarithms, with the variance of the logarithm.
    measure : str
        One of report.MEASURES.
    weights : array-like, shape (k,), optional
        Shares that sum to 1.
    level : float
        Of the normal (Wald) interval of each trial.

    Returns
    -------
    DataFrame
        label, estimate, low, high, weight; on the natural scale.

    Raises
    ------
    ValueError
        If the measure is unknown.
    """
    transform = np.exp if check_measure(measure) in RATIO_MEASURES else np.asarray
    effects = np.asarray(effects, dtype=float)
    half = NormalDist().inv_cdf(0.5 + level / 2) * np.sqrt(np.asarray(variances, dtype=float))
    return pd.DataFrame({"label": list(labels), "estimate": transform(effects), "low": transform(effects - half),
                         "high": transform(effects + half), "weight": np.nan if weights is None else weights})


def model_summaries(*results: Mapping[str, Any], labels: Sequence[str] | None = None) -> list[Summary]:
    """Rows of a results table as summaries: a diamond each, and a bar for the prediction interval if there is one."""
    names = {"common": "Common effect", "random": "Random effects"}
    summaries = []
    for position, row in enumerate(results):
        methods = ", ".join(text for text in (row["tau2_method"], row["ci_method"]) if str(text).strip(" -"))
        label = names.get(row["model"], row["model"]) + (f" ({methods})" if methods else "")
        summaries.append(Summary(label if labels is None else labels[position], row["estimate"], row["ci_low"],
                                 row["ci_high"], "hollow" if row["model"] == "common" else "diamond",
                                 {"n_active": row["n_active"], "n_control": row["n_control"]}))
        if pd.notna(row["pi_low"]):
            summaries.append(Summary("95% prediction interval", row["estimate"], row["pi_low"], row["pi_high"],
                                     "prediction"))
    return summaries
