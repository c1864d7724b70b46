"""How a rule between cells of the data tables is written and registered.

A rule is a small pure function whose name says what holds. It takes tables as frames indexed by the row's line in the
file, and returns what it finds wrong with the first of them. It is given the columns it declares and no others, so a
fault elsewhere in a table never silences it. Cells that could not be read are NaN here; they are reported before the
rules run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

#: line in the file, column, what is wrong
Finding = tuple[int, str, str]


class Rule(NamedTuple):
    """A check, and the columns of each table it reads; the first table is the one at fault."""

    check: Callable[..., list[Finding]]
    columns: dict[str, list[str]]


RULES: list[Rule] = []


def rule(tables: str, columns: str, **others: str) -> Callable:
    """Register a check for each of `tables`, with the `columns` it reads there and those of `others` to look up."""

    def register(check: Callable[..., list[Finding]]) -> Callable[..., list[Finding]]:
        for table in tables.split():
            needs = {table: columns} | others
            RULES.append(Rule(check, {name: wanted.split() for name, wanted in needs.items()}))
        return check

    return register


def lookup(column: pd.Series, table: pd.DataFrame, key: str, wanted: str) -> pd.Series:
    """Value of `wanted` in the row of `table` whose `key` is the cell; NaN where there is no such row."""
    return column.map(table.drop_duplicates(key).set_index(key)[wanted])


def repeats(rows: pd.DataFrame, keys: list[str]) -> list[tuple[int, int]]:
    """Lines which repeat the `keys` of an earlier line, each with that earlier line."""
    first = rows.assign(line=rows.index).groupby(keys)["line"].transform("first")
    return [(line, earlier) for line, earlier in first.items() if line != earlier]
