"""A data table as it lies in its file: cells as text, the line of every row, and what is wrong with them.

Nothing is refused here. A file that is damaged in one place is read as far as it goes, so that one check can list
everything that is wrong.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd


class Violation(NamedTuple):
    """One thing that is wrong; `row` is the line in the file (header = 1, 0 = the file as a whole)."""

    file: str
    row: int
    column: str
    value: str
    message: str

    def __str__(self) -> str:
        where = self.file + (f", row {self.row}" if self.row else "")
        if self.column:
            shown = self.value if len(self.value) <= 60 else self.value[:57] + "..."
            where += f", column {self.column}, value {shown!r}"
        return f"{where}: {self.message}"


@dataclass
class Table:
    """A file as it was found: its cells as text, the line on which each row begins, and what is wrong so far."""

    file: str
    resource: dict
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    misshapen: set[int] = field(default_factory=set)  # lines with too many or too few cells: which is which is unknown
    whole: bool = False  # False: rows are lost, and what refers to them cannot be judged

    @property
    def fields(self) -> dict[str, dict]:
        return {described["name"]: described for described in self.resource["schema"]["fields"]}

    def report(self, row: int, column: str, message: str) -> None:
        """Note what is wrong with a file (row 0), a row (no column) or a cell."""
        value = ""
        if row and column:
            cells = dict(zip(self.columns, self.rows[self.lines.index(row)]))
            value = cells.get(column, "")
        self.violations.append(Violation(self.file, row, column, value, message))

    def texts(self) -> pd.DataFrame:
        """The cells of the well-shaped rows as text, indexed by line; of a column that stands there twice the first."""
        rows = {line: row for line, row in zip(self.lines, self.rows) if line not in self.misshapen}
        frame = pd.DataFrame(list(rows.values()), columns=self.columns, index=list(rows), dtype=str)
        return frame.loc[:, ~frame.columns.duplicated()]

    def frame(self) -> pd.DataFrame:
        """The same by type; a number that cannot be read is NaN, a boolean that cannot be read False."""
        frame = self.texts()
        for name, described in self.fields.items():
            if name in frame and described["type"] in ("number", "integer"):
                numbers = pd.to_numeric(frame[name], errors="coerce").astype("float64")
                frame[name] = numbers.where(np.isfinite(numbers))
            elif name in frame and described["type"] == "boolean":
                frame[name] = frame[name] == "true"
        return frame


def _delimiter(header: str, names: set[str]) -> str:
    """The mark that splits the header into the most known names; a comma where none does."""
    return max(",;\t|", key=lambda mark: len(names & set(next(csv.reader([header], delimiter=mark), []))))


def read_table(data_dir: Path, resource: dict) -> Table:
    """Read one file as text and note what is wrong with the file, its header and the shape of its cells."""
    table = Table(f"{data_dir.name}/{resource['path']}", resource)
    path = data_dir / resource["path"]
    if not path.is_file():
        table.report(0, "", "the file is missing")
        return table
    raw = path.read_bytes()
    if not raw.strip():
        table.report(0, "", "the file is empty")
        return table
    if b"\0" in raw:
        table.report(0, "", "is not a text file")
        return table
    for number, line in enumerate(raw.split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            table.report(number, "", "the text is not UTF-8")
    _split(table, raw.decode("utf-8-sig", errors="replace"))
    return table


def _split(table: Table, text: str) -> None:
    delimiter = _delimiter(text.splitlines()[0], set(table.fields))
    if delimiter != ",":
        table.report(0, "", f"the columns are separated by {delimiter!r} where ',' is expected")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    before = 0
    try:
        for cells in reader:
            table.rows.append(cells)
            table.lines.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        table.report(before + 1, "", f"cannot be read as CSV: {error}")
        table.rows.clear()
        return
    table.columns, table.rows, table.lines = table.rows[0], table.rows[1:], table.lines[1:]
    table.whole = bool(table.rows)
    _check_header(table, list(table.fields))
    if not table.rows:
        table.report(0, "", "the table has no rows")
    for line, cells in zip(table.lines, table.rows):
        _check_row(table, line, cells)


def _check_row(table: Table, line: int, cells: list[str]) -> None:
    several_lines = any("\n" in cell or "\r" in cell for cell in cells)
    if not any(cells) or len(cells) != len(table.columns):
        table.misshapen.add(line)
        amount = "fewer" if len(cells) < len(table.columns) else "more"
        table.report(line, "", f"the row has {amount} cells than the header" if any(cells) else "the row is empty")
        if several_lines:
            table.whole = False
            table.report(line, "", "the row runs over several lines: a quotation mark is left open")
        return
    for name, cell in zip(table.columns, cells):
        if "\n" in cell or "\r" in cell:
            table.report(line, name, "holds a line break")
        elif cell != cell.strip():
            table.report(line, name, "begins or ends with a blank")


def _check_header(table: Table, names: list[str]) -> None:
    for name, count in Counter(table.columns).items():
        if name not in names:
            table.report(0, "", f"column {name or '(no name)'} is not described in datapackage.json")
        if count > 1:
            table.report(0, "", f"column {name} stands there {count} times")
    for name in names:
        if name not in table.columns:
            table.report(0, "", f"column {name} is missing")
    if set(names) == set(table.columns) and names != table.columns and len(names) == len(table.columns):
        table.report(0, "", "the columns are not in the order of datapackage.json")
