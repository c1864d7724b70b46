"""The three families of the specification curve, made once for all tests from the stored tables."""

from __future__ import annotations

from functools import cache

from meta_analysis.choices_events import remission_family, response_family
from meta_analysis.choices_severity import severity_family
from meta_analysis.data import read_derived, read_extracted
from meta_analysis.specification import Family
from meta_analysis.specification_curve import Curve, specification_curve

MAKERS = {"severity": (severity_family, "continuous_outcomes"), "response": (response_family, "event_outcomes"),
          "remission": (remission_family, "event_outcomes")}


@cache
def family(name: str) -> Family:
    maker, facts = MAKERS[name]
    about = [read_extracted(table) for table in ("trials", "arms", "participants", "risk_of_bias")]
    return maker(read_derived("01_analysis_table.csv"), read_extracted(facts), *about)


@cache
def curve(name: str) -> Curve:
    return specification_curve(family(name))
