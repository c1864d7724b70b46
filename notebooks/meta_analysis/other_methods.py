"""The same trials by the methods of others: the review under test (Review Manager), and the living review Sypres."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import norm

from meta_analysis.analyses import choose, mantel_haenszel_row, pooled_row
from meta_analysis.natural_codings import MEASURES, MEMBERS, natural_codings

#: What Sypres pools: set of effects, measure, and its estimator of tau2.
PEER = {"severity_peer": ("SMD", "REML"), "response_peer": ("RR", "PM"), "remission_mixed_peer": ("RR", "PM"),
        "depression_peer": ("SMD", "REML")}


def review_manager_rows(effects: pd.DataFrame, claim_id: str) -> list[dict[str, Any]]:
    """Pool every natural coding of a claim as Review Manager does, as rows of a results table.

    Random effects by DerSimonian and Laird with a Wald interval; for risk ratios with Q around the Mantel-Haenszel
    estimate (Deeks and Higgins 2010, Statistical algorithms in Review Manager 5).

    Parameters
    ----------
    effects : DataFrame
        ``derived/02_effects.csv``.
    claim_id : str
        C03, C04 or C05.
    """
    rows = []
    for coding in natural_codings(claim_id, effects[MEMBERS]):
        trials = choose(effects, coding.effect_set, MEASURES[claim_id])
        trials = trials[trials["trial_id"] != coding.left_out].reset_index(drop=True)
        about = {"study_set": f"without {coding.left_out}" if coding.left_out else "all with results"}
        if MEASURES[claim_id] == "SMD":
            row = pooled_row(trials, coding.analysis_id, tau2_method="DL", ci_method="Wald", pi_method="HTS", **about)
        else:
            row = mantel_haenszel_row(trials, coding.analysis_id, model="random", **about)
        rows.append(row)
    return rows


def peer_rows(effects: pd.DataFrame) -> list[dict[str, Any]]:
    """Pool the sets that are coded as Sypres codes them, by its methods, as rows of a results table.

    First its four results (Hartung-Knapp intervals). Then, for the two ratios, the common-effect pools by Mantel and
    Haenszel and by inverse variance; and functioning with the Global Assessment of Functioning (GAF, higher is better)
    as it stands on its scale, "unaligned", and turned round to point the way of the other scale, "aligned".

    Parameters
    ----------
    effects : DataFrame
        ``derived/02_effects.csv``.
    """
    rows = [pooled_row(choose(effects, name, measure), f"peer.{name}", tau2_method=tau2_method, ci_method="HK",
                       note="as the living review Sypres codes and pools it")
            for name, (measure, tau2_method) in PEER.items()]
    for name, effect_set in {"response": "response_peer", "remission": "remission_mixed_peer"}.items():
        trials = choose(effects, effect_set, "RR")
        rows += [mantel_haenszel_row(trials, f"peer.{name}.mantel_haenszel"),
                 pooled_row(trials, f"peer.{name}.inverse_variance", model="common", ci_method="Wald")]
    aligned = choose(effects, "functioning_peer", "SMD")
    unaligned = aligned.assign(yi=aligned["yi"].where(aligned["instrument"] != "GAF", -aligned["yi"]))
    return rows + [pooled_row(unaligned, "peer.functioning.unaligned", ci_method="HK"),
                   pooled_row(aligned, "peer.functioning.aligned", ci_method="HK")]


def implied_tau2(variances: ArrayLike, low: float, high: float, level: float = 0.95) -> float:
    """Between-trial variance that a Wald interval of a random-effects pool implies for trials of given variances.

    The interval's width gives its standard error, (high - low) / (2 z), and 1 / se^2 is the sum of 1 / (v + tau2).

    Parameters
    ----------
    variances : array_like, shape (k,)
        Sampling variances of the trials (of the logarithm for ratios).
    low, high : float
        The interval on the scale of the variances.
    level : float
        Level of the interval.

    Returns
    -------
    float
        tau2; NaN if the interval is narrower than these trials could give at tau2 = 0.

    Raises
    ------
    ValueError
        If `high` is not above `low`.
    """
    if not high > low:
        raise ValueError(f"an interval runs from low to high, got {low} to {high}")
    variances = np.asarray(variances, dtype=float)
    information = (2 * norm.ppf((1 + level) / 2) / (high - low)) ** 2

    def excess(tau2: float) -> float:
        return float(np.sum(1 / (variances + tau2)) - information)

    if excess(0.0) < 0:
        return float("nan")
    upper = 1.0
    while excess(upper) > 0:
        upper *= 2
    return brentq(excess, 0.0, upper, xtol=1e-12)
