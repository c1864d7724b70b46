"""metafor's diagnostics, as the tests use them (made by data/reference/make_reference.R)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.reference import CLOSED_FORM, stored

# metafor's iterations stop when tau2 moves by less than their threshold (1e-15 to 1e-12 of the variance of the effects)
# and converge linearly, so that its last digits are not exact: 2e-10 was seen, in thousands of refits of six studies.
ITERATIVE = 1e-7
# Quantities of which either program says exactly 0: metafor stops up to 7e-13 short of a tau2 of 0, and the I2 is then
# 4e-10 percent.
NEAR_ZERO = 1e-9
# Names of metafor's tests here.
CI_METHODS = {"z": "Wald", "t": "t", "knha": "HK", "adhoc": "mHK"}
ITERATED = ("REML", "ML", "PM", "EB")


def diagnostics() -> dict:
    """The block on diagnostics of metafor.json."""
    return stored("metafor.json")["diagnostics"]


def datasets() -> dict:
    return diagnostics()["datasets"]


def studies(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Effects and variances of a data set."""
    return np.array(datasets()[name]["yi"]), np.array(datasets()[name]["vi"])


def cases(diagnostic: str) -> list[tuple[str, int]]:
    """Data set and place of each reference result of a diagnostic."""
    return [(name, i) for name, dataset in datasets().items() for i in range(len(dataset.get(diagnostic, [])))]


def model(case: dict) -> dict[str, Any]:
    """Keywords of `pooling.pool` for a case's method and test."""
    ci_method = CI_METHODS[case.get("test", "z")]
    if case["method"] == "EE":
        return {"model": "common", "ci_method": ci_method}
    return {"tau2_method": case["method"], "ci_method": ci_method}


def assert_agrees(got: Any, expected: Any, case: dict, what: str = "") -> None:
    """Ours against metafor's: the tolerance is that of the case's estimator of tau2, missing means missing."""
    expected = np.array(expected, dtype=float)  # None becomes NaN
    got = np.broadcast_to(np.asarray(got, dtype=float), expected.shape)
    zero = (got == 0) | (expected == 0)
    tolerance = ITERATIVE if case.get("method") in ITERATED else CLOSED_FORM
    np.testing.assert_allclose(got[zero], expected[zero], rtol=0, atol=NEAR_ZERO, err_msg=what)
    np.testing.assert_allclose(got[~zero], expected[~zero], rtol=tolerance, err_msg=what)
