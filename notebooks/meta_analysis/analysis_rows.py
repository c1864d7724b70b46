"""Rows of a results table from analyses that are not a plain pool: a specification, a regression, a posterior."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from meta_analysis.analyses import described
from meta_analysis.bayes import Posterior
from meta_analysis.meta_regression import MetaRegression
from meta_analysis.results import result_row
from meta_analysis.specification import TOO_FEW, Family, TooFewTrials, run_specification, vary

OUTCOMES = {"severity": "ptsd_severity", "response": "response"}
ALL = "all with results"
DEFINITIONS = {"loss": "loss_of_diagnosis", "strict": "remission", "mixed": "remission_mixed"}


def specification_row(family: Family, specification: str, analysis_id: str, *, note: str = "") -> dict[str, Any]:
    """Run one specification and describe it as a row of a results table.

    Parameters
    ----------
    family : Family
    specification : str
        Its id. Its measure must be that of the family (an SMD, or a risk ratio that is not re-expressed).
    analysis_id, note : str

    Raises
    ------
    ValueError
        As `specification.run_specification`, and on a measure that the row could not show as it was pooled.
    """
    run = run_specification(family, specification)
    choice, rows = run["choice"], run["comparisons"]
    if family.measure == "RR" and choice["measure"] != "RR":
        raise ValueError(f"{specification}: only risk ratios are shown as they were pooled")
    common = choice["model"] in ("common", "MH", "peto")
    method = "" if common else {"MH_DL": "DL around MH"}.get(choice["model"], choice["model"])
    kind = "change" if choice.get("score", "endpoint") != "endpoint" else "endpoint"
    return result_row(
        analysis_id, run["pool"], outcome=OUTCOMES.get(family.name) or DEFINITIONS[choice["definition"]],
        measure=family.measure, study_set=family.choices["trials"][choice["trials"]], arms=choice["arms"],
        scale_kind="events" if family.measure == "RR" else kind, model="common" if common else "random",
        tau2_method=method,
        ci_method=choice["interval"], n_active=round(rows["n_active"].sum()), n_control=round(rows["n_control"].sum()),
        note=note,
    )


def choice_rows(family: Family, choice: str, *, skip: tuple[str, ...] = (), note: str = "", **start: str
                ) -> list[dict[str, Any]]:
    """A row for each level of one choice, all others as in the primary specification or as `start` says.

    The rows are named ``severity.arms.split``; where `start` holds other choices their levels follow the choice's name,
    ``severity.mp9.change_r50.5+3``. Levels in `skip` are left out; so are those for which fewer than two trials have
    the data, with a printed line. Raises as `specification_row` otherwise.
    """
    held = ".".join(start.values())
    prefix = f"{family.name}.{choice}.{held}." if held else f"{family.name}.{choice}."
    rows = []
    for level, meaning in family.choices[choice].items():
        if level in skip:
            continue
        try:
            rows.append(specification_row(family, vary(family, **start, **{choice: level}), f"{prefix}{level}",
                                          note=f"{meaning}; {note}" if note else meaning))
        except TooFewTrials:
            print(f"{prefix}{level} is left out: {TOO_FEW}")
    return rows


def regression_row(analysis_id: str, fit: MetaRegression, coefficient: int, *, effects: pd.DataFrame, ci_method: str,
                   note: str, tau2_method: str = "REML") -> dict[str, Any]:
    """One coefficient of a meta-regression as a row; q is the residual one. `effects`: its data."""
    names = {"estimate": "coefficients", "se": "se", "ci_low": "ci_low", "ci_high": "ci_high", "p": "p"}
    values = {name: getattr(fit, source)[..., coefficient] for name, source in names.items()}
    values |= {"k": fit.k, "tau2": fit.tau2, "i2": fit.i2, "q": fit.qe, "q_df": fit.qe_df, "q_p": fit.qe_p}
    nothing = dict.fromkeys(("pi_low", "pi_high", "tau2_low", "tau2_high"), np.nan)
    return result_row(analysis_id, SimpleNamespace(**values, **nothing), model="regression", tau2_method=tau2_method,
                      ci_method=ci_method, note=note, study_set=ALL, **described(effects))


def posterior_row(analysis_id: str, posterior: Posterior, *, effects: pd.DataFrame, note: str = "") -> dict[str, Any]:
    """A Bayesian result as a row: posterior median and central 95 % interval of the mean effect and of tau2.

    The prediction interval is that of the effect in a new trial; `se` is the posterior SD, `p` is left blank, and
    `tau2_method` names the prior of tau. `effects`, from `analyses.choose`, are what it was made of.
    """
    low, high = posterior.mu.interval()
    new_low, new_high = posterior.new_trial.interval()
    tau_low, tau_high = posterior.tau.interval()
    values = {"k": posterior.effects.size, "estimate": posterior.mu.median, "se": posterior.mu.sd, "ci_low": low,
              "ci_high": high, "pi_low": new_low, "pi_high": new_high, "tau2": posterior.tau.median**2,
              "tau2_low": tau_low**2, "tau2_high": tau_high**2}
    nothing = dict.fromkeys(("p", "i2", "q", "q_p"), np.nan) | {"q_df": posterior.effects.size - 1}
    return result_row(analysis_id, SimpleNamespace(**values, **nothing), model="bayes",
                      tau2_method=posterior.tau_prior.name, ci_method="central", note=note, study_set=ALL,
                      **described(effects))
