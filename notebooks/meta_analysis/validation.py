"""Check the data tables: one run lists every violation, in plain words, with file, row and column.

The types, ranges and keys stand in ``data/datapackage.json`` and are checked by frictionless; what a schema cannot say
stands in :mod:`meta_analysis.rules`. A table that is damaged in one place is still checked everywhere else.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from meta_analysis.rules import RULES
from meta_analysis.table_file import Table, Violation, read_table

FOLDERS = ("extracted/", "published/")  # what people typed in; derived tables are checked by the run that writes them
WORDS = {
    "number": "is not a number",
    "integer": "is not a whole number",
    "boolean": "is not true or false",
    "date": "is not a date (YYYY-MM-DD)",
}


# --- Types, ranges and keys: frictionless, in plain words -----------------------------------------------------------


def _keys(tables: Sequence[Table]) -> dict[str, dict]:
    """For every foreign key the cells it may point to, as a resource "table.column" of frictionless.

    A table that is missing, has lost rows or has lost the column is left out: its loss is reported once, and not again
    in every row that refers to it.
    """
    wanted = {
        (key["reference"]["resource"], key["reference"]["fields"][0])
        for table in tables
        for key in table.resource["schema"].get("foreignKeys", [])
    }
    keys = {}
    for table in tables:
        for name, column in sorted(wanted):
            if name == table.resource["name"] and table.whole and column in table.columns:
                place = table.columns.index(column)
                cells = [[cells[place]] for cells in table.rows if len(cells) > place]
                schema = {"fields": [{"name": column, "type": "string"}]}
                keys[f"{name}.{column}"] = {"name": f"{name}.{column}", "schema": schema, "data": [[column], *cells]}
    return keys


def _descriptor(table: Table, keys: dict[str, dict]) -> dict:
    """The table for frictionless: its cells, and its schema cut to the columns that are there."""
    seen: Counter[str] = Counter()
    fields = []
    for name in table.columns:
        seen[name] += 1
        known = name in table.fields and seen[name] == 1
        fields.append(table.fields[name] if known else {"name": f"{name} ({len(fields)})", "type": "string"})
    names = [described["name"] for described in fields]
    schema = table.resource["schema"] | {"fields": fields, "foreignKeys": []}
    if not set(schema.get("primaryKey", [])) <= set(names):
        del schema["primaryKey"]
    for key in table.resource["schema"].get("foreignKeys", []):
        column = key["reference"]["fields"][0]
        target = f"{key['reference']['resource']}.{column}"
        if target in keys and key["fields"][0] in names:
            schema["foreignKeys"].append(
                {"fields": key["fields"], "reference": {"resource": target, "fields": [column]}}
            )
    return {"name": table.resource["name"], "schema": schema, "data": [names, *table.rows]}


def _constraint_in_words(name: str, limit: object) -> str:
    return {
        "required": "must not be blank",
        "minimum": f"must be {limit} or more",
        "exclusiveMinimum": f"must be above {limit}",
        "maximum": f"must be {limit} or less",
        "exclusiveMaximum": f"must be below {limit}",
        "enum": f"is not one of {', '.join(map(str, limit))}" if isinstance(limit, list) else "",
        "unique": "stands there twice",
        "pattern": f"does not have the form {limit}",
    }.get(name) or f"breaks the constraint {name} {limit}"


def _in_words(error: object, table: Table) -> Iterator[tuple[str, str]]:
    """(column, message) pairs for one error of frictionless; none where another error says the same."""
    if error.type == "type-error":
        yield error.field_name, WORDS.get(table.fields[error.field_name]["type"], "has the wrong type")
    elif error.type == "constraint-error":
        name = re.match(r'constraint "(\w+)"', error.note)[1]
        yield error.field_name, _constraint_in_words(name, table.fields[error.field_name]["constraints"][name])
    elif error.type == "primary-key":
        same = re.search(r"position (\d+)", error.note)
        if same:  # a blank key breaks the constraint "required" as well
            column = table.resource["schema"]["primaryKey"][0]
            yield column, f"the same {column} as in row {table.lines[int(same[1]) - 2]}"
    elif error.type == "foreign-key":
        name, column = error.reference_name.split(".")
        yield error.field_names[0], f"no such {column.removesuffix('_id').replace('_', ' ')} in {name}.csv"
    else:
        yield "", " ".join(error.message.split())


def check_cells(tables: Sequence[Table], package: dict) -> None:
    """Let frictionless check types, constraints, primary and foreign keys, and note what it finds."""
    import frictionless

    readable = {table.resource["name"]: table for table in tables if table.rows}
    if not readable:
        return
    keys = _keys(tables)
    resources = [_descriptor(table, keys) for table in readable.values()] + list(keys.values())
    descriptor = {key: value for key, value in package.items() if key == "$schema"} | {"resources": resources}
    report = frictionless.Package.from_descriptor(descriptor).validate(limit_errors=10**6)
    for task in report.tasks:
        table = readable.get(task.name)
        for error in task.errors if table else []:
            row = table.lines[error.row_number - 2] if getattr(error, "row_number", None) else 0
            if row not in table.misshapen:
                for column, message in _in_words(error, table):
                    table.report(row, column, message)


def check_numbers(table: Table) -> None:
    """Note what frictionless takes for a number and pandas does not, such as 1_000, NaN and INF."""
    texts, frame = table.texts(), table.frame()
    for name, described in table.fields.items():
        if name in frame and described["type"] in ("number", "integer"):
            for line in frame.index[(texts[name] != "") & frame[name].isna()]:
                table.report(line, name, WORDS[described["type"]])


# --- All of it ------------------------------------------------------------------------------------------------------


def check_rules(tables: dict[str, Table]) -> None:
    """Apply each rule between cells to the tables that have its columns; errors found are noted, not raised."""
    frames = {name: table.frame() for name, table in tables.items() if table.whole}
    blamed = {(table.file, at.row, at.column) for table in tables.values() for at in table.violations}
    for rule in RULES:
        if all(name in frames and set(columns) <= set(frames[name]) for name, columns in rule.columns.items()):
            table = tables[next(iter(rule.columns))]
            for row, column, message in rule.check(*(frames[name][columns] for name, columns in rule.columns.items())):
                if (table.file, row, column) not in blamed:  # what cannot be read is not blamed a second time
                    table.report(row, column, message)


def _read_package(data_dir: Path) -> dict:
    """Read datapackage.json; raise ValueError with one line if it is missing or not a proper description."""
    import frictionless  # here and above: it takes a while to load, and notebooks import this module

    try:
        package = json.loads((data_dir / "datapackage.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError("the file is missing") from None
    except ValueError as error:  # of json, and of text that is not UTF-8
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(package, dict) or not package.get("resources"):
        raise ValueError("is not a description of tables: it has no resources")
    try:
        frictionless.Package.from_descriptor(package, basepath=str(data_dir))
    except frictionless.FrictionlessException as error:
        raise ValueError(" ".join([error.error.note, *(reason.note for reason in error.reasons)])) from None
    for resource in package["resources"]:
        if "fields" not in resource.get("schema", {}):
            raise ValueError(f"the table {resource['name']} has no schema with fields")
    return package


def validate(data_dir: Path) -> list[str]:
    """List everything that is wrong with the tables of ``extracted/`` and ``published/`` in `data_dir`.

    Parameters
    ----------
    data_dir : Path
        A folder like ``data/``: it holds ``datapackage.json`` and the tables described there.

    Returns
    -------
    list of str
        One line a violation, sorted by file and row; empty if all is well. Paths begin with the name of `data_dir`.
        Errors in the tables, or in their description, are listed and not raised.
    """
    data_dir = Path(data_dir).resolve()
    try:
        package = _read_package(data_dir)
    except ValueError as error:
        return [f"{data_dir.name}/datapackage.json: {error}"]
    resources = [resource for resource in package["resources"] if resource.get("path", "").startswith(FOLDERS)]
    tables = {resource["name"]: read_table(data_dir, resource) for resource in resources}
    for table in tables.values():
        check_numbers(table)
    check_cells(list(tables.values()), package)
    check_rules(tables)
    found = {violation for table in tables.values() for violation in table.violations}
    described = {table.file for table in tables.values()}
    there = {f"{data_dir.name}/{folder}{path.name}" for folder in FOLDERS for path in (data_dir / folder).glob("*.csv")}
    found |= {Violation(file, 0, "", "", "is not described in datapackage.json") for file in there - described}
    return [str(violation) for violation in sorted(found)]


# --- The table that the analyses start from -------------------------------------------------------------------------


def check_analysis_table(frame: pd.DataFrame, *, by: Sequence[str] = ("outcome",)) -> None:
    """Make sure that nobody enters an analysis twice and that every row is a randomised comparison.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row an arm (column ``arm_id``) or one row a comparison (columns ``active_arm_id`` and ``control_arm_id``);
        arms that were combined stand in one cell, joined by ``" + "``. Column ``post_crossover`` is boolean.
    by : sequence of str
        The columns that name an outcome: within one of their combinations an arm may appear once.

    Raises
    ------
    ValueError
        With one line, if a column is missing, a row lies after the crossover, or an arm (a control arm that is
        compared with several doses, say) enters one outcome twice.
    """
    arms = [name for name in ("arm_id", "active_arm_id", "control_arm_id") if name in frame.columns]
    missing = [name for name in (*by, "post_crossover") if name not in frame.columns] + ([] if arms else ["arm_id"])
    if missing:
        raise ValueError(f"the analysis table has no column {missing[0]}")
    seen: dict[tuple, int] = {}
    for number, row in enumerate(frame.to_dict("records")):
        outcome = " ".join(str(row[name]) for name in by)
        if row["post_crossover"]:
            raise ValueError(
                f"row {number} ({row[arms[0]]}, {outcome}) is after the crossover: no randomised comparison"
            )
        for arm in (arm for name in arms for arm in str(row[name]).split(" + ")):
            first = seen.setdefault((outcome, arm), number)
            if first != number or sum(str(row[name]).split(" + ").count(arm) for name in arms) > 1:
                raise ValueError(f"{arm} enters the outcome {outcome} twice (rows {first} and {number})")
