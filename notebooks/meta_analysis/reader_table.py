"""Tables for the reader's eye: numbers as text, words at the left, in HTML that does not change from run to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from meta_analysis.report import number


def show_table(frame: pd.DataFrame, digits: int | Mapping[str, int] = 2,
               columns: Mapping[str, str] | Sequence[str] | None = None) -> pd.DataFrame:
    """A table for the reader's eye: numbers rounded to text, blanks for what is missing, no row numbers.

    Parameters
    ----------
    frame : DataFrame
        Left unchanged. A named index becomes the first columns.
    digits : int or dict
        Decimals of the columns that hold fractions; a dict gives them by (old) column name, 2 for the others.
    columns : dict or list, optional
        Columns to show, in this order; a dict also renames them. All by default.

    Returns
    -------
    ReaderTable
        Text only, blank row labels; in a notebook words stand at the left of their column, numbers at the right.

    Raises
    ------
    ValueError
        If a column to be shown is not there.
    """
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    renames = dict(columns) if isinstance(columns, Mapping) else {name: name for name in (columns or frame.columns)}
    if absent := [str(name) for name in renames if name not in frame.columns]:
        raise ValueError(f"no such column: {', '.join(absent)}; the table has {', '.join(map(str, frame.columns))}")

    def as_text(value: Any, decimals: int) -> str:
        if value is None or value is pd.NA:
            return ""
        if isinstance(value, (bool, np.bool_)):
            return "yes" if value else "no"
        if isinstance(value, (int, np.integer)):
            return str(int(value))
        return number(value, decimals, missing="") if isinstance(value, (float, np.floating)) else str(value)

    def texts(name: str) -> list[str]:
        decimals = digits.get(name, 2) if isinstance(digits, Mapping) else digits
        decimals = 0 if is_count(frame[name]) else decimals
        return [as_text(value, decimals) for value in frame[name]]

    table = ReaderTable({new: texts(old) for old, new in renames.items()}, index=[""] * len(frame), dtype=str)
    table.attrs["words"] = [pd.api.types.is_string_dtype(frame[old]) for old in renames]
    return table


def is_count(column: pd.Series) -> bool:
    """Whether a column of floats holds whole numbers only, as counts with gaps do."""
    if not pd.api.types.is_float_dtype(column):
        return False
    values = column.to_numpy(dtype=float, na_value=np.nan)
    values = values[~np.isnan(values)]
    return bool((values == values.round()).all() and values.any())


class ReaderTable(pd.DataFrame):
    """A table of texts for reading: in a notebook words are set left, numbers right, in plain and stable HTML."""

    def _repr_html_(self) -> str:
        sides = ["left" if words else "right" for words in self.attrs["words"]]

        def line(tag: str, texts: Iterable[str]) -> str:
            cells = [f'<{tag} style="text-align: {side}">{escape(str(text))}</{tag}>'
                     for side, text in zip(sides, texts)]
            return f"<tr>{''.join(cells)}</tr>"

        body = "\n".join(line("td", row) for row in self.to_numpy())
        names = (str(name).replace("_", " ") for name in self.columns)
        return f"<table>\n<thead>{line('th', names)}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"
