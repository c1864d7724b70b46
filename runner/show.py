"""Tables and paths as plain text for the terminal."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from runner.compare import Difference, is_number

SHOWN_PER_FILE = 6
SHOWN_WIDTH = 44


def path(file: Path) -> str:
    """A path as short as a person in this folder needs it."""
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def headline(file: Path) -> str:
    """The headline table as plain text, fractions with three significant digits."""
    def short(cell: str) -> str:
        try:
            value = float(cell)
        except ValueError:
            return cell
        return cell if cell.lstrip("-").isdigit() else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    with open(file, encoding="utf-8", newline="") as text:
        return aligned([[short(cell) for cell in row] for row in csv.reader(text)])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows (the first one the header) as columns of plain text; columns of numbers flush right."""
    columns = list(zip(*rows))
    widths = [max(map(len, column)) for column in columns]
    right = [any(column[1:]) and all(is_number(cell, float) for cell in column[1:] if cell) for column in columns]
    lines = ["  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _cut(text: str, start: int = 0) -> str:
    """At most `SHOWN_WIDTH` characters of a text, from a little before `start` on."""
    begin = max(0, start - 8) if len(text) > SHOWN_WIDTH else 0
    text = ("..." if begin else "") + text[begin:]
    return text if len(text) <= SHOWN_WIDTH else text[: SHOWN_WIDTH - 3] + "..."


def drift_table(differences: Sequence[Difference]) -> str:
    """The differences as plain text, a few for each file; of long texts the piece in which they differ."""
    rows = [("file", "row", "column", "stored", "now")]
    for file in dict.fromkeys(difference.file for difference in differences):
        own = [difference for difference in differences if difference.file == file]
        for d in own[:SHOWN_PER_FILE]:
            start = len(os.path.commonprefix([d.stored, d.now]))
            rows.append((file, _cut(d.row), _cut(d.column), _cut(d.stored, start), _cut(d.now, start)))
        if len(own) > SHOWN_PER_FILE:
            rows.append((file, f"... and {len(own) - SHOWN_PER_FILE} more", "", "", ""))
    return aligned(rows)
