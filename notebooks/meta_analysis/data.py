"""Where the tables are, and how they are read and written.

Everything a notebook reads or writes goes through this module, so that one environment variable,
``META_ANALYSIS_BUILD``, can send a whole run to another folder. That folder then holds ``data/`` and ``figures/``.
Without it (somebody working in JupyterLab) the inputs come from the repository and what is written goes to
``build/lab/``, which git ignores: an exploratory run never overwrites a stored result.
"""

from __future__ import annotations

import json
import os
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[2]

#: What the types of datapackage.json become in pandas. Dates stay text (YYYY-MM-DD, which sorts as it should).
DTYPES = {"string": "str", "date": "str", "number": "float64", "integer": "Int64", "boolean": "bool"}


def _build() -> Path | None:
    folder = os.environ.get("META_ANALYSIS_BUILD")
    return Path(folder) if folder else None


def _input_root() -> Path:
    return _build() or REPOSITORY


def _output_root() -> Path:
    return _build() or REPOSITORY / "build" / "lab"


def _plain_name(name: str, suffix: str) -> str:
    if Path(name).name != name or not name.endswith(suffix) or name == suffix:
        raise ValueError(f"{name!r} is not the plain name of a {suffix} file")
    return name


def _names_in(*folders: Path) -> str:
    names = sorted({path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_file()})
    return ", ".join(names) or "none"


def read_package() -> dict:
    """Read ``data/datapackage.json``, the description of every table, as a dictionary."""
    return json.loads((_input_root() / "data" / "datapackage.json").read_text(encoding="utf-8"))


def _fields(package: dict, path: str) -> list[dict] | None:
    """Fields of the table at `path` (relative to data/), or None if the package does not describe it."""
    for resource in package["resources"]:
        if resource["path"] == path:
            return resource["schema"]["fields"]
    return None


def _convert(column: pd.Series, kind: str, where: str) -> pd.Series:
    """Turn a column of text into the type `kind` of datapackage.json; raise ValueError at the first bad cell."""
    if DTYPES[kind] == "str":
        return column
    if kind in ("number", "integer"):
        numbers = pd.to_numeric(column, errors="coerce")
        bad = numbers.isna()
        if kind == "integer":
            bad |= numbers % 1 != 0
        bad &= column != ""
        wanted = "a number" if kind == "number" else "a whole number"
    else:
        numbers = column.map({"true": True, "false": False})
        bad = numbers.isna()
        wanted = "true or false"
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise ValueError(f"{where}, row {row + 2}, column {column.name}, value {column.iloc[row]!r}: is not {wanted}")
    return numbers.astype(DTYPES[kind])


def _read_described(path: Path, fields: list[dict], where: str) -> pd.DataFrame:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    missing = [field["name"] for field in fields if field["name"] not in frame.columns]
    if missing:
        raise ValueError(f"{where}: column {missing[0]} is missing")
    columns = {field["name"]: _convert(frame[field["name"]], field["type"], where) for field in fields}
    return pd.concat(columns, axis=1)


def _read_input(folder: str, name: str) -> pd.DataFrame:
    package = read_package()
    path = f"{folder}/{name}.csv"
    fields = _fields(package, path)
    if fields is None:
        known = sorted(Path(r["path"]).stem for r in package["resources"] if r["path"].startswith(f"{folder}/"))
        raise ValueError(f"no table {name!r} in data/{folder}; there are: {', '.join(known)}")
    file = _input_root() / "data" / path
    if not file.is_file():
        raise FileNotFoundError(f"data/{path} is missing; there are: {_names_in(file.parent)}")
    return _read_described(file, fields, f"data/{path}")


def read_extracted(name: str) -> pd.DataFrame:
    """Read a table of ``data/extracted``.

    Parameters
    ----------
    name : str
        The table's name without suffix, such as ``"continuous_outcomes"``.

    Returns
    -------
    pandas.DataFrame
        Columns and types as in ``data/datapackage.json``. Blank text is ``""``, a blank number NaN (``<NA>`` where
        the numbers are whole), a boolean is a plain bool.

    Raises
    ------
    ValueError
        If there is no such table (the message says which there are), or a cell or column is not as described.
    """
    return _read_input("extracted", name)


def read_published(name: str) -> pd.DataFrame:
    """Read a table of ``data/published`` (what others printed); result and errors as :func:`read_extracted`."""
    return _read_input("published", name)


def read_reference(name: str) -> dict:
    """Read a file of ``data/reference``, such as ``"metafor.json"``; FileNotFoundError if it is missing."""
    file = _input_root() / "data" / "reference" / _plain_name(name, ".json")
    if not file.is_file():
        raise FileNotFoundError(f"data/reference/{name} is missing; there are: {_names_in(file.parent)}")
    return json.loads(file.read_text(encoding="utf-8"))


def read_derived(name: str) -> pd.DataFrame:
    """Read a table which an earlier notebook computed.

    Parameters
    ----------
    name : str
        File name with suffix, such as ``"01_analysis_table.csv"``.

    Returns
    -------
    pandas.DataFrame
        Types as in ``data/datapackage.json`` if the table is described there; otherwise as pandas finds them, with
        blank text as ``""``. Outside a run the newer of the stored file and the one in ``build/lab`` is read.

    Raises
    ------
    FileNotFoundError
        If the table has not been computed yet.
    """
    _plain_name(name, ".csv")
    roots = [_output_root()] if _build() else [REPOSITORY, _output_root()]
    folders = [root / "data" / "derived" for root in roots]
    files = [folder / name for folder in folders if (folder / name).is_file()]
    if not files:
        raise FileNotFoundError(
            f"data/derived/{name} has not been computed yet: run notebook {name[:2]} first; "
            f"there are: {_names_in(*folders)}"
        )
    file = max(files, key=lambda path: path.stat().st_mtime_ns)
    fields = _fields(read_package(), f"derived/{name}")
    if fields is not None:
        return _read_described(file, fields, f"data/derived/{name}")
    # Only the empty cell is a blank: by default pandas would also swallow words such as "None" and "NA".
    frame = pd.read_csv(file, keep_default_na=False, na_values=[""], encoding="utf-8")
    text = frame.select_dtypes(exclude=["number", "bool"]).columns
    return frame.assign(**{column: frame[column].fillna("") for column in text})


def write_derived(frame: pd.DataFrame, name: str) -> None:
    """Write a computed table as CSV: UTF-8, ``\\n``, 12 significant digits, booleans as true/false, no index.

    Twelve digits are more than any reader needs, and leave out the last ones, in which two machines may differ.

    Parameters
    ----------
    frame : pandas.DataFrame
        Any table; its index is not written.
    name : str
        File name with suffix, such as ``"01_analysis_table.csv"``; its prefix is the number of the notebook.

    Raises
    ------
    ValueError
        If the name is no plain file name.
    """
    file = _output_root() / "data" / "derived" / _plain_name(name, ".csv")
    file.parent.mkdir(parents=True, exist_ok=True)
    frame = frame.copy()
    for column in frame.select_dtypes("bool"):
        frame[column] = frame[column].map({True: "true", False: "false"})
    for column in frame.select_dtypes("floating"):
        numbers = frame[column].to_numpy(dtype=float, na_value=np.nan) + 0.0  # minus zero becomes zero
        frame[column] = ["" if isnan(number) else f"{number:.12g}" for number in numbers.tolist()]
    frame.to_csv(file, index=False, encoding="utf-8", lineterminator="\n")


def figure_path(name: str) -> Path:
    """Where the figure `name` ("03_forest.png") is to be written; makes the folder; ValueError on odd names."""
    if Path(name).name != name or Path(name).suffix not in (".png", ".svg"):
        raise ValueError(f"{name!r} is not the plain name of a .png or .svg file")
    file = _output_root() / "figures" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
