"""Numbers as text, rows of the results tables, and figures shown and saved.

Everything a reader sees as a number passes through `number`, so that two runs print the same characters: never
"-0.00", never "np.float64(0.1)", and the minus sign is the ASCII hyphen, so that text can be searched.
"""

from __future__ import annotations

import difflib
import io
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

RESULT_COLUMNS = [
    "analysis_id", "outcome", "measure", "study_set", "arms", "scale_kind", "model", "tau2_method", "ci_method", "k",
    "n_active", "n_control", "estimate", "se", "ci_low", "ci_high", "p", "pi_low", "pi_high", "tau2", "tau2_low",
    "tau2_high", "i2", "q", "q_df", "q_p", "note",
]
COUNT_COLUMNS = ["k", "n_active", "n_control", "q_df"]

MEASURES = {
    "SMD": "Standardised mean difference",
    "MD": "Mean difference",
    "RR": "Risk ratio",
    "OR": "Odds ratio",
    "RD": "Risk difference",
}
RATIO_MEASURES = ("RR", "OR")

PNG_DPI = 200  # 7 inches become 1400 pixels: sharp in print at that width and on a dense screen
SCREEN_DPI = 100  # pixels of the page per inch of figure, when shown in a notebook


def check_measure(measure: str) -> str:
    """Return `measure`; raise ValueError if it is not one of `MEASURES`."""
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}: use one of {', '.join(MEASURES)}")
    return measure


def no_effect(measure: str) -> float:
    """The value that means no effect, on the natural scale: 1 for ratios, 0 for differences."""
    return 1.0 if check_measure(measure) in RATIO_MEASURES else 0.0


# Numbers as text ------------------------------------------------------------------------------------------------------


def number(x: float | None, digits: int = 2, *, missing: str = "not estimable") -> str:
    """A number as text with a fixed count of decimals.

    Parameters
    ----------
    x : float
        Any scalar, numpy and pandas scalars and 0-d arrays included.
    digits : int
        Decimals kept.
    missing : str
        Text for NaN, None and pandas.NA.

    Returns
    -------
    str
        "0.00" where rounding leaves "-0.00"; "infinity" or "-infinity" for infinite values.
    """
    if x is None or x is pd.NA:
        return missing
    value = float(x)
    if np.isnan(value):
        return missing
    if np.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def interval(low: float, high: float, digits: int = 2, *, missing: str = "not estimable") -> str:
    """The two ends of an interval as text, for example "-1.05 to -0.39"; ValueError if low exceeds high."""
    ends = [number(low, digits, missing=""), number(high, digits, missing="")]
    if "" in ends:
        return missing
    if low > high:
        raise ValueError(f"an interval runs from low to high, got {ends[0]} to {ends[1]}")
    return " to ".join(ends)


def p_value(p: float, *, missing: str = "not estimable") -> str:
    """A p value as text with three decimals: "p = 0.032", "p < 0.001" or "p > 0.999"; ValueError outside 0 to 1."""
    if number(p, missing="") == "":
        return missing
    if not 0 <= p <= 1:
        raise ValueError(f"a p value lies between 0 and 1, got {number(p, 3)}")
    if p < 0.001:
        return "p < 0.001"
    # 0.9996 would round to "p = 1.000", which no test can give.
    return "p > 0.999" if p > 0.999 else f"p = {number(p, 3)}"


def percent(x: float, digits: int = 0, *, missing: str = "not estimable") -> str:
    """A percentage as text, for example "47%". `x` is already in percent (0 to 100), as I2 is in the tables."""
    text = number(x, digits, missing="")
    return f"{text}%" if text else missing


def estimate_with_interval(values: Mapping[str, Any] | pd.Series | Sequence[float], digits: int = 2,
                           *, level: int = 95, missing: str = "not estimable") -> str:
    """An estimate with its confidence interval as text, for example "-0.72 (95% CI -1.05 to -0.39)".

    Parameters
    ----------
    values : Mapping, Series or sequence
        A row with `estimate`, `ci_low` and `ci_high`, or three numbers in that order.
    digits : int
        Decimals kept.
    level : int
        Confidence level in percent.
    missing : str
        Text for an estimate or an interval that does not exist.
    """
    if isinstance(values, (Mapping, pd.Series)):
        values = [values["estimate"], values["ci_low"], values["ci_high"]]
    estimate, low, high = values
    text = number(estimate, digits, missing="")
    return f"{text} ({level}% CI {interval(low, high, digits, missing=missing)})" if text else missing


# Rows of the results tables -------------------------------------------------------------------------------------------


def result_row(analysis_id: str, pool: Any, *, outcome: str, measure: str, study_set: str, arms: str, scale_kind: str,
               model: str, tau2_method: str, ci_method: str, n_active: int, n_control: int,
               note: str = "") -> dict[str, Any]:
    """One pooled result as a row of a results table.

    Parameters
    ----------
    analysis_id : str
        Unique name, for example "severity.primary".
    pool : Pool
        One pooled result: scalars, or arrays that hold one value. Ratios are on the log scale, as pooled.
    outcome, measure, study_set, arms, scale_kind, model, tau2_method, ci_method, note : str
        What was pooled, and how. `measure` is one of `MEASURES`.
    n_active, n_control : int
        Participants analysed per arm.

    Returns
    -------
    dict
        Keys in the order of `RESULT_COLUMNS`. Estimates and intervals of ratios stand on their natural scale; their
        `se` stays on the log scale. `i2` is in percent.

    Raises
    ------
    ValueError
        If the measure is unknown, or `pool` holds more than one result.
    """
    transform = np.exp if check_measure(measure) in RATIO_MEASURES else np.asarray

    def one_value(name: str) -> float:
        value = np.asarray(getattr(pool, name), dtype=float)
        if value.size != 1:
            raise ValueError(f"{analysis_id}: one pooled result wanted, but {name} holds {value.size} values")
        return value.item()

    row: dict[str, Any] = {
        "analysis_id": analysis_id, "outcome": outcome, "measure": measure, "study_set": study_set, "arms": arms,
        "scale_kind": scale_kind, "model": model, "tau2_method": tau2_method, "ci_method": ci_method,
        "n_active": n_active, "n_control": n_control, "note": note, "k": int(one_value("k")),
    }
    for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high"):
        row[name] = float(transform(one_value(name)))
    for name in ("se", "p", "tau2", "tau2_low", "tau2_high", "i2", "q", "q_df", "q_p"):
        row[name] = one_value(name)
    return {name: row[name] for name in RESULT_COLUMNS}


def results_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as made by `result_row`, as a table in the order of `RESULT_COLUMNS`.

    Raises
    ------
    ValueError
        If a column is missing or strange, an `analysis_id` stands twice, or a measure is unknown.
    """
    rows = list(rows)
    for row in rows:
        if wrong := set(RESULT_COLUMNS) ^ set(row):
            name = row.get("analysis_id")
            raise ValueError(f"result {name!r}: missing or unknown columns {', '.join(sorted(wrong))}")
        check_measure(row["measure"])
    table = pd.DataFrame(rows, columns=RESULT_COLUMNS)
    if twice := sorted(set(table.loc[table["analysis_id"].duplicated(), "analysis_id"])):
        raise ValueError(f"analysis_id given twice: {', '.join(twice)}")
    return table.astype({name: "Int64" for name in COUNT_COLUMNS})


def one(results: pd.DataFrame, analysis_id: str) -> pd.Series:
    """The row of a results table with this `analysis_id`; KeyError, with near names, if there is not just one."""
    found = results[results["analysis_id"] == analysis_id]
    if len(found) != 1:
        near = difflib.get_close_matches(analysis_id, list(results["analysis_id"]), n=3, cutoff=0.4)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise KeyError(f"{len(found)} results named {analysis_id} among {len(results)}{hint}")
    return found.iloc[0]


# Tables for display ---------------------------------------------------------------------------------------------------


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

    def decimals_of(name: str) -> int:
        if is_count(frame[name]):
            return 0
        return digits.get(name, 2) if isinstance(digits, Mapping) else digits

    shown = {new: [as_text(value, decimals_of(old)) for value in frame[old]] for old, new in renames.items()}
    table = ReaderTable(shown, index=[""] * len(frame), dtype=str)
    table.attrs["words"] = [pd.api.types.is_string_dtype(frame[old]) for old in renames]
    return table


def is_count(column: pd.Series) -> bool:
    """Whether a column of floats holds whole numbers only, as counts with gaps do."""
    if not pd.api.types.is_float_dtype(column):
        return False
    values = column.dropna()
    return bool((values == values.round()).all() and (values != 0).any())


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


def figures_table(figures: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """Names, titles and alternative texts of figures as a table with columns figure, title, alt.

    Raises
    ------
    ValueError
        If an entry is blank or missing, or a figure stands twice.
    """
    figures = list(figures)
    for entry in figures:
        if blank := [key for key in ("figure", "title", "alt") if not str(entry.get(key, "")).strip()]:
            raise ValueError(f"figure {entry.get('figure', '?')!r} has no {' and no '.join(blank)}")
    table = pd.DataFrame(figures, columns=["figure", "title", "alt"])
    if twice := sorted(set(table.loc[table["figure"].duplicated(), "figure"])):
        raise ValueError(f"figure given twice: {', '.join(twice)}")
    return table


# Figures shown and saved ----------------------------------------------------------------------------------------------


def accessible_svg(svg: str, alt: str) -> str:
    """An SVG document with `alt` as its description, and the first sentence of `alt` as its title.

    A screen reader then announces the picture as one image and reads the numbers in it (WAI-ARIA Graphics, role img).
    """
    title = re.split(r"(?<=[.:]) ", alt, maxsplit=1)[0]
    words = f'<title id="title">{escape(title)}</title>\n <desc id="desc">{escape(alt)}</desc>'
    return re.sub(r"<svg\b[^>]*>", lambda tag: f'{tag[0][:-1]} role="img" aria-labelledby="title desc">\n {words}',
                  svg, count=1)


def with_palette(png: bytes) -> bytes:
    """The same picture in 64 colours: a third of the bytes, no difference that an eye could see in line drawings."""
    from PIL import Image

    picture, small = Image.open(io.BytesIO(png)).convert("RGB"), io.BytesIO()
    picture.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def show_figure(fig: Any, name: str, alt: str) -> None:
    """Save a figure as NAME.png and NAME.svg, show the saved PNG with its alternative text, and close the figure.

    What is shown in a notebook is the saved PNG with `alt` as its alternative text and as its plain-text form.
    The same figure always gives the same bytes: no date, no program version, ids from a fixed salt. Letters are
    outlines in the SVG, so that it looks the same where DejaVu Sans is not installed.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        The figure, at its printed size.
    name : str
        File name without suffix, beginning with the number of its notebook: "03_forest_severity".
    alt : str
        What the figure shows, in words and numbers.

    Raises
    ------
    ValueError
        If the name has another form, or the alternative text is blank.
    """
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        raise ValueError(f"a figure name is like '03_forest_severity', got {name!r}")
    if not alt.strip():
        raise ValueError(f"figure {name} needs an alternative text")
    import matplotlib
    import matplotlib.pyplot as plt
    from IPython.display import display

    from meta_analysis.data import figure_path
    from meta_analysis.plots import style

    png, svg = io.BytesIO(), io.StringIO()
    settings = {"svg.hashsalt": "meta_analysis", "svg.fonttype": "path", "savefig.bbox": None}
    with style(), matplotlib.rc_context(settings):
        fig.savefig(png, format="png", dpi=PNG_DPI, metadata={"Software": None})
        fig.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    picture = with_palette(png.getvalue())
    path = figure_path(f"{name}.png")
    path.write_bytes(picture)
    path.with_suffix(".svg").write_text(accessible_svg(svg.getvalue(), alt), encoding="utf-8", newline="\n")
    # The text beside the picture is what a notebook check compares, which passes over pictures: numbers that change
    # in the figure change there too.
    display({"image/png": b64encode(picture).decode("ascii"), "text/plain": alt}, raw=True,
            metadata={"image/png": {"alt": alt, "width": round(fig.get_figwidth() * SCREEN_DPI)}})
    plt.close(fig)
