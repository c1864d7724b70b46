"""One page that a patient could read, written from the results."""

from __future__ import annotations

import pandas as pd

from meta_analysis.results import one


def _per_100(share: float) -> str:
    return f"{100 * share:.0f}"


def _people(row: pd.Series) -> tuple[str, str]:
    """Of 100 people, how many with MDMA and how many without."""
    return _per_100(row["events_active"] / row["n_active"]), _per_100(row["events_control"] / row["n_control"])


def plain_language(results: pd.DataFrame, absolute: pd.DataFrame, harms: pd.DataFrame) -> str:
    """Say in plain words what was compared, what happened, what could go wrong, how sure it is and what it is not.

    Parameters
    ----------
    results : DataFrame
        ``derived/03_results.csv``.
    absolute : DataFrame
        ``derived/03_absolute.csv``; the rows of the middle control risk are used.
    harms : DataFrame
        ``derived/06_allowances.csv``: counts of each harm and the largest increase still allowed, per 100 people.

    Returns
    -------
    str
        Markdown, a heading and five short paragraphs.
    """
    severity = one(results, "severity.primary")
    middle = absolute[absolute["control_risk_level"] == "middle"].set_index("analysis_id")
    better, cured = middle.loc["response.primary"], middle.loc["loss_of_diagnosis.primary"]
    harm = harms.set_index("analysis_id")
    severe, thoughts = harm.loc["severe.rd"], harm.loc["suicidal_ideation_event.rd"]
    tight, sick = harm.loc["muscle_tightness.rd_mh"], harm.loc["nausea.rd_mh"]
    people = severity["n_active"] + severity["n_control"]
    return "\n\n".join([
        "## In plain language",
        f"**What was compared.** {people} people with post-traumatic stress disorder took part in {severity['k']} "
        "trials whose results can be read. All of them had talking therapy. By lot, some were given MDMA in a few of "
        "the sessions, and the others a dummy or a small dose of it.",
        f"**What happened to 100 people.** Without MDMA about {_per_100(better['control_risk'])} of 100 got clearly "
        f"better; with it about {_per_100(better['risk'])} ({_per_100(better['risk_low'])} to "
        f"{_per_100(better['risk_high'])}). Without it about {_per_100(cured['control_risk'])} of 100 no longer had "
        f"the diagnosis; with it about {_per_100(cured['risk'])} ({_per_100(cured['risk_low'])} to "
        f"{_per_100(cured['risk_high'])}).",
        "**What could go wrong.** Of 100 people, with MDMA and without: tight muscles "
        f"{' and '.join(_people(tight))}; nausea {' and '.join(_people(sick))}; a severe unwanted event "
        f"{' and '.join(_people(severe))}; thoughts of suicide {' and '.join(_people(thoughts))}. Rare harms could not "
        f"be seen: the numbers leave room for {severe['high']:.0f} more severe events in 100 people than without MDMA, "
        "and not every harm may have been written down.",
        "**How sure this is.** Not very. The trials are few and small. Most people could tell whether they had been "
        "given MDMA, and hope alone may have helped them, or disappointment held others back. Wherever a sponsor is "
        "named it is the same one. What happens after the first months was never compared fairly.",
        "**What it does not mean.** It does not mean that MDMA helps without the therapy, or that taking it elsewhere "
        "is safe. Nobody should begin or stop a treatment because of this page: it is no medical advice.",
    ])
