"""Reference results of outside programs, as the tests use them (made by data/reference/make_reference.R)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "data" / "reference"
# Closed formulas differ between programs by rounding only: some hundred operations on doubles, with cancellation.
CLOSED_FORM = 1e-10
# metafor's iterations stop when tau2 moves by less than their threshold (1e-15 to 1e-12, stored with each fit) and
# converge linearly, so its last digits are not exact (2e-12 was seen). test_tau2.py holds ours to their own equations.
ITERATIVE = 1e-9
# Quantities whose true value is 0 (a tau2 or I2 on the boundary, an exact null effect) have no relative error.
NEAR_ZERO = 1e-12


@cache
def stored(file: str) -> dict:
    """The whole of a file of data/reference."""
    return json.loads((FOLDER / file).read_text(encoding="utf-8"))


def metafor() -> dict:
    """The block on pooling and effect sizes of metafor.json."""
    return stored("metafor.json")["pooling"]


@cache
def random_fits() -> dict[tuple[str, str, str], dict]:
    """Random-effects fits by (data set, tau2 method, metafor's test), each a dict of the stored columns."""
    columns = metafor()["random_columns"]
    fits = {}
    for name, dataset in metafor()["datasets"].items():
        for row in dataset["random"]:
            fit = dict(zip(columns, row, strict=True))
            fits[name, fit["method"], fit["test"]] = fit
    return fits


def inputs(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Effects and variances of a data set."""
    dataset = metafor()["datasets"][name]
    return np.array(dataset["yi"]), np.array(dataset["vi"])


def tables(name: str) -> tuple[np.ndarray, ...]:
    """Counts of a set of 2 x 2 tables: events and totals of the active arm, then of the control arm."""
    return tuple(np.array(metafor()["tables"][name][column], dtype=float) for column in ("ai", "n1i", "ci", "n2i"))
