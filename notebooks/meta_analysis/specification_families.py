"""The three families of specifications of the stored tables, and all their results as one file.

    cd notebooks && ../.venv/bin/python -m meta_analysis.specification_families FILE.csv

writes one row a specification, half a million of them; ``data/derived/05_specifications.csv`` keeps some of each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from meta_analysis.choices_events import remission_family, response_family
from meta_analysis.choices_severity import severity_family
from meta_analysis.curve_summary import curve_rows
from meta_analysis.data import read_derived, read_extracted
from meta_analysis.specification import Family
from meta_analysis.specification_curve import Curve, specification_curve

MAKERS = {"severity": (severity_family, "continuous_outcomes"), "response": (response_family, "event_outcomes"),
          "remission": (remission_family, "event_outcomes")}


def stored_family(name: str) -> Family:
    """The family "severity", "response" or "remission" of the stored tables; KeyError on another name."""
    maker, facts = MAKERS[name]
    about = [read_extracted(table) for table in ("trials", "arms", "participants", "risk_of_bias")]
    return maker(read_derived("01_analysis_table.csv"), read_extracted(facts), *about)


def write_curves(curves: list[Curve], file: Path) -> int:
    """Write every specification of some curves as CSV, one row each, and return how many there are.

    Parameters
    ----------
    curves : list of Curve
    file : Path
        Columns family, id, rank, k, estimate, ci_low, ci_high, tau2, as `curve_summary.curve_rows`; 12 digits.

    Returns
    -------
    int
    """
    rows = pd.concat([curve_rows(curve).assign(family=curve.family.name) for curve in curves])
    rows = rows[["family", *rows.columns.drop("family")]]
    rows.to_csv(file, index=False, float_format="%.12g", lineterminator="\n")
    return len(rows)


def main() -> None:
    """Run all three families and write them to the file named on the command line; SystemExit if none is named."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m meta_analysis.specification_families FILE.csv")
    count = write_curves([specification_curve(stored_family(name)) for name in MAKERS], Path(sys.argv[1]))
    print(f"{count:,} specifications written to {sys.argv[1]}")


if __name__ == "__main__":
    main()
