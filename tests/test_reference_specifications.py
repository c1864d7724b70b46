"""Specifications that metafor worked out on its own (data/reference/parts/specifications.R)."""

import numpy as np
import pytest
from specification_families import curve, family

from meta_analysis.curve_summary import position
from meta_analysis.data import read_reference
from meta_analysis.specification import run_specification

# metafor's rma.mv climbs a flat likelihood and stops some 1e-8 short; all others agree to 1e-10.
ITERATED = 1e-7

REFERENCE = read_reference("specifications.json")["specifications"]


@pytest.mark.parametrize("reference", REFERENCE, ids=lambda reference: reference["id"])
def test_the_scalar_path_agrees_with_metafor(reference):
    run = run_specification(family(reference["id"].split("/")[0]), reference["id"])
    assert run["k"] == reference["k"]
    for name in ("estimate", "ci_low", "ci_high", "tau2"):
        np.testing.assert_allclose(run[name], reference[name], rtol=ITERATED, atol=ITERATED, err_msg=name)


def test_the_batch_agrees_with_metafor():
    """An id with the same trial effects as an earlier one is run there; few of these are."""
    elsewhere = []
    for reference in REFERENCE:
        found = curve(reference["id"].split("/")[0])
        try:
            place = position(found, reference["id"])
        except ValueError:
            elsewhere.append(reference["id"])
            continue
        for name in ("estimate", "ci_low", "ci_high", "tau2"):
            np.testing.assert_allclose(getattr(found, name)[place], reference[name], rtol=ITERATED, atol=ITERATED)
    assert len(elsewhere) <= 3, elsewhere


def test_the_references_cover_every_level_that_changes_a_number():
    """Every score, arm rule, measure, way of counting people, zero-cell rule, model and interval stands in some id."""
    seen = {name: set() for name in ("severity", "response", "remission")}
    for reference in REFERENCE:
        name, *levels = reference["id"].split("/")
        seen[name] |= set(zip(family(name).choices, levels))
    both = seen["response"] | seen["remission"]
    for choice in ("arms", "score", "mp2", "time", "people", "measure", "model", "interval"):
        assert {level for key, level in seen["severity"] if key == choice} == set(family("severity").choices[choice])
    for choice in ("arms", "mapp1", "time", "people", "measure", "zero", "interval"):
        assert {level for key, level in both if key == choice} == set(family("response").choices[choice])
    # Review Manager's random-effects model about Mantel-Haenszel has no counterpart in metafor.
    assert set(family("response").choices["model"]) - {level for key, level in both if key == "model"} == {"MH_DL"}
