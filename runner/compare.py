"""This run against what is stored: tables by number, notebooks by their text, figures by their bytes."""

from __future__ import annotations

import csv
import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner import figures_page, inputs, stored
from runner.graph import Notebook

# Estimates of tau2 are iterated and sums are taken by libraries built differently for each processor, so two correct
# runs agree to about 1e-10, not to the last bit. No result is printed with more than four digits.
RELATIVE_TOLERANCE = 1e-7
# A number this small is a rounded zero: nothing here (estimates, variances, p values) has a meaning below it.
ABSOLUTE_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Difference:
    file: str
    row: str
    column: str
    stored: str
    now: str


def same(old: str, new: str) -> bool:
    """Whether two cells of a table agree: text exactly, numbers within the tolerances."""
    if old == new:
        return True
    try:
        return math.isclose(float(old), float(new), rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    except ValueError:
        return False


def _read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    with open(path, encoding="utf-8-sig", newline="") as text:  # a mark of the byte order is no part of a name
        header, *lines = list(csv.reader(text)) or [[]]
    return header, [line + [""] * (len(header) - len(line)) for line in lines]


def is_number(text: str, kind: type) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _labels(header: list[str], lines: list[list[str]], columns: list[str]) -> list[str]:
    """A label for each row from `columns`; a bare number gets its column's name, a repeated label a count."""
    labels, seen = [], {}
    for position, line in enumerate(lines, start=1):
        row = dict(zip(header, line, strict=False))
        parts = [f"{name} {row[name]}" if is_number(row[name], float) else row[name] for name in columns]
        label = " / ".join(part for part in parts if part) or f"row {position}"
        seen[label] = seen.get(label, 0) + 1
        labels.append(label if seen[label] == 1 else f"{label} #{seen[label]}")
    return labels


def label_columns(header: list[str], tables: Sequence[list[list[str]]]) -> list[str]:
    """The columns that name a row: analysis_id, or the fewest of the first columns that tell all rows apart.

    A column of fractions holds results and names nothing; after the first of those, only text does.
    """
    def unique(names: list[str]) -> bool:
        places = [header.index(name) for name in names]
        return all(len({tuple(line[place] for place in places) for line in lines}) == len(lines) for lines in tables)

    chosen, results_began = [], False
    for name in sorted(header, key="analysis_id".__ne__):  # analysis_id first, the others as they stand
        numbers = [line[header.index(name)] for lines in tables for line in lines
                   if is_number(line[header.index(name)], float)]
        results_began = results_began or not all(is_number(number, int) for number in numbers)
        if numbers and results_began:
            continue
        chosen.append(name)
        if unique(chosen):
            break
    for name in reversed(chosen[1:]):
        if unique(rest := [other for other in chosen if other != name]):
            chosen = rest
    return chosen


def compare_tables(old: Path, new: Path, file: str) -> list[Difference]:
    """Differences between two CSV files: missing and extra columns and rows, and cells."""
    (old_header, old_lines), (new_header, new_lines) = _read_table(old), _read_table(new)
    common = [name for name in old_header if name in new_header]
    found = [Difference(file, "", name, "column", "(missing)") for name in old_header if name not in new_header]
    found += [Difference(file, "", name, "(missing)", "column") for name in new_header if name not in old_header]
    if not found and old_header != new_header:
        found.append(Difference(file, "", "order of columns", ", ".join(old_header), ", ".join(new_header)))

    def narrowed(header: list[str], lines: list[list[str]]) -> list[list[str]]:
        return [[line[header.index(name)] for name in common] for line in lines]

    old_lines, new_lines = narrowed(old_header, old_lines), narrowed(new_header, new_lines)
    columns = label_columns(common, [old_lines, new_lines])
    old_rows = dict(zip(_labels(common, old_lines, columns), old_lines, strict=True))
    new_rows = dict(zip(_labels(common, new_lines, columns), new_lines, strict=True))
    found += [Difference(file, label, "", "row", "(missing)") for label in old_rows if label not in new_rows]
    found += [Difference(file, label, "", "(missing)", "row") for label in new_rows if label not in old_rows]
    both = [label for label in old_rows if label in new_rows]
    if both != [label for label in new_rows if label in old_rows]:
        found.append(Difference(file, "", "order of rows", "", "changed"))
    for label in both:
        found += [Difference(file, label, name, before, now)
                  for name, before, now in zip(common, old_rows[label], new_rows[label], strict=True)
                  if not same(before, now)]
    return found


def text_outputs(cell: dict) -> dict[str, str]:
    """What a code cell shows as text, by kind: stdout, stderr, error, text/plain, text/html, ... No pictures."""
    found: dict[str, str] = {}
    for output in cell.get("outputs", []):
        if output["output_type"] == "stream":
            found[output["name"]] = found.get(output["name"], "") + output["text"]
        elif output["output_type"] == "error":
            found["error"] = f"{output['ename']}: {output['evalue']}"
        else:
            for kind, content in output["data"].items():
                if not kind.startswith("image/"):
                    found[kind] = found.get(kind, "") + str(content) + "\n"
    return found


def _pictures(cell: dict) -> list[tuple[str, str]]:
    return [(kind, content) for output in cell.get("outputs", []) for kind, content in output.get("data", {}).items()
            if kind.startswith("image/")]


def _first_difference(old: str, new: str) -> tuple[str, str]:
    """The first line in which two texts differ; of a table in HTML the words, not the marks."""
    old_lines, new_lines = [[re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", line))).strip()
                             for line in text.splitlines()] for text in (old, new)]
    for before, now in zip(old_lines, new_lines, strict=False):
        if before != now:
            return before, now
    return f"{len(old_lines)} lines", f"{len(new_lines)} lines"


def compare_notebooks(old: dict, new: dict, file: str) -> tuple[list[Difference], bool]:
    """Differences in what two runs of the same cells show as text, and whether a picture has other bytes."""
    pairs = [(position, before, now) for position, (before, now) in enumerate(zip(old.cells, new.cells, strict=True))
             if now.cell_type == "code"]
    if any(now.outputs for _, _, now in pairs) and not any(before.outputs for _, before, _ in pairs):
        return [Difference(file, "", "outputs", "(none)", f"outputs of {len(pairs)} cells")], False
    found, redrawn = [], False
    for position, before, now in pairs:
        row = f"[{now.execution_count}] {stored.heading_above(new.cells, position)}"
        old_text, new_text = text_outputs(before), text_outputs(now)
        changed = [kind for kind in dict.fromkeys([*old_text, *new_text]) if old_text.get(kind) != new_text.get(kind)]
        if "text/plain" in changed and "text/html" in changed:
            changed.remove("text/html")  # the same table once more
        for kind in changed:
            if kind not in old_text or kind not in new_text:
                found.append(Difference(file, row, kind, *("output" if kind in text else "(none)"
                                                           for text in (old_text, new_text))))
            else:
                found.append(Difference(file, row, kind, *_first_difference(old_text[kind], new_text[kind])))
        if len(_pictures(before)) != len(_pictures(now)):
            found.append(Difference(file, row, "pictures", str(len(_pictures(before))), str(len(_pictures(now)))))
        redrawn |= _pictures(before) != _pictures(now)
    return found, redrawn


def managed_files(root: Path) -> list[str]:
    """Stored results, notebooks aside: what a complete run must give again."""
    patterns = ("data/derived/*.csv", "figures/*.png", "figures/*.svg", figures_page.PAGE)
    return sorted(path.relative_to(root).as_posix() for pattern in patterns for path in root.glob(pattern))


def compare_run(root: Path, workspace: Path, notebooks: Sequence[Notebook],
                complete: bool) -> tuple[list[Difference], list[str]]:
    """Everything `notebooks` gave in `workspace` against what is stored in `root`.

    Returns
    -------
    list of Difference, list of str
        The drift, and the figures and notebooks in which only the bytes of pictures differ. In a complete run a stored
        file that nothing gave is drift as well.
    """
    found: list[Difference] = []
    redrawn: list[str] = []
    files = [inputs.TABLE, *(file for notebook in notebooks for file in notebook.writes)]
    # Of other data (--data) the changed cells themselves; the repository's own tables are what they are.
    files += [f"data/{file.relative_to(workspace / 'data').as_posix()}" for name in inputs.FOLDERS
              for file in (workspace / "data" / name).glob("*.csv")]
    if complete:
        files += [figures_page.PAGE] if (workspace / figures_page.PAGE).is_file() else []
        found += [Difference(file, "", "file", "file", "(no longer written)")
                  for file in managed_files(root) if file not in files]
    for file in sorted(files):
        old, new = root / file, workspace / file
        if not old.is_file():
            found.append(Difference(file, "", "file", "(none)", "new"))
        elif file.endswith(".csv"):
            found += compare_tables(old, new, file)
        elif old.read_bytes() != new.read_bytes():
            if file.endswith(".md"):
                lines = _first_difference(old.read_text(encoding="utf-8"), new.read_text(encoding="utf-8"))
                found.append(Difference(file, "", "text", *lines))
            else:
                redrawn.append(file)
    for notebook in notebooks:
        file = f"notebooks/{notebook.path.name}"
        differences, pictures = compare_notebooks(stored.read(root / file), stored.read(workspace / file), file)
        found += differences
        redrawn += [file] if pictures else []
    return found, redrawn
