"""The form in which a notebook is stored: its author's cells with the outputs of a run, no traces of the run."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python"}  # the version of Python would differ between two computers


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook; cells without an id, or with one that stands twice, get one that is always the same."""
    content = json.loads(path.read_text(encoding="utf-8"))
    seen: set[str] = set()
    for position, cell in enumerate(content["cells"], start=1):
        if not cell.get("id") or cell["id"] in seen:
            cell["id"] = f"cell-{position}"
        seen.add(cell["id"])
    content |= {"nbformat": 4, "nbformat_minor": 5}
    return nbformat.reads(json.dumps(content), as_version=4)


def to_text(notebook: nbformat.NotebookNode) -> str:
    """A notebook as the text of its file."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def with_outputs(source: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The cells of `source` with the outputs of `executed`, counted 1 to n.

    Starting from the source, not from the executed copy, leaves papermill's times and paths behind.
    """
    metadata = {key: value for key, value in source.metadata.items() if key not in ("papermill", "widgets")}
    result = nbformat.v4.new_notebook(metadata=metadata | {"kernelspec": KERNELSPEC, "language_info": LANGUAGE})
    count = 0
    for cell, done in zip(source.cells, executed.cells, strict=True):
        new = nbformat.from_dict(dict(cell))
        new.metadata = {key: value for key, value in cell.metadata.items() if key not in ("papermill", "execution")}
        if cell.cell_type == "code":
            ran = bool(cell.source.strip())
            count += ran
            new.execution_count = count if ran else None
            new.outputs = _clean(done.outputs, new.execution_count)
        result.cells.append(new)
    return result


def without_outputs(path: Path) -> str:
    """All that an author put into a notebook, as text: what decides whether it must be run again."""
    notebook = read(path)
    bare = nbformat.from_dict(dict(notebook))
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    return to_text(with_outputs(notebook, bare))


def _clean(outputs: list[nbformat.NotebookNode], count: int | None) -> list[nbformat.NotebookNode]:
    """Join what was printed in several pieces (how many is chance) and set the counts."""
    cleaned: list[nbformat.NotebookNode] = []
    for output in outputs:
        output = nbformat.from_dict(dict(output))
        previous = cleaned[-1] if cleaned else {}
        if output.output_type == "stream" and previous.get("name") == output.name:
            previous["text"] += output.text
            continue
        if "execution_count" in output:
            output.execution_count = count
        cleaned.append(output)
    return cleaned


def heading_above(cells: list, position: int) -> str:
    """The nearest heading above the cell at `position`, without its marks; "" if there is none."""
    for cell in reversed(cells[: position + 1]):
        if cell["cell_type"] == "markdown":
            lines = [line for line in "".join(cell["source"]).splitlines() if line.startswith("#")]
            if lines:
                return lines[-1].lstrip("#").strip()
    return ""
