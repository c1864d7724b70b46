"""figures/README.md, made from the tables data/derived/NN_figures.csv (columns figure, title, alt)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from runner.graph import Notebook

PAGE = "figures/README.md"

HEAD = """# Figures

Made by the notebooks; this page is made by `python3 run_all.py --accept`. The number in a file's name is the number of
its notebook. Each figure stands here as PNG and as SVG.

| Figure | Notebook | What it shows | Alternative text |
|---|---|---|---|
"""


def rows(workspace: Path, notebook: Notebook) -> list[dict[str, str]]:
    """The rows of the notebook's figures table; [] if it has none."""
    file = workspace / "data" / "derived" / f"{notebook.number}_figures.csv"
    if not file.is_file():
        return []
    with open(file, encoding="utf-8", newline="") as text:
        return [{key: (value or "").strip() for key, value in row.items() if key} for row in csv.DictReader(text)]


def problems(workspace: Path, notebooks: Iterable[Notebook]) -> list[str]:
    """Declared figures without a row or without a text, and rows of figures that are not declared."""
    found = []
    for notebook in notebooks:
        table = {Path(row.get("figure", "")).stem: row for row in rows(workspace, notebook)}
        where = f"data/derived/{notebook.number}_figures.csv"
        for name in notebook.figures:
            blank = [column for column in ("title", "alt") if not table.get(name, {}).get(column)]
            if blank:
                found.append(f"{notebook.path.name}: {where} gives no {' and no '.join(blank)} for figure {name}")
        found += [f"{notebook.path.name}: {where} lists {name or 'a figure without a name'}, which is not declared"
                  for name in table if name not in notebook.figures]
    return found


def page(workspace: Path, notebooks: Sequence[Notebook]) -> str:
    """The text of figures/README.md."""
    lines = []
    for notebook in notebooks:
        for row in rows(workspace, notebook):
            name = Path(row["figure"]).stem
            cells = [f"[{name}.png]({name}.png), [svg]({name}.svg)",
                     f"[{notebook.path.name}](../notebooks/{notebook.path.name})", row["title"], row["alt"]]
            lines.append("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |\n")
    return HEAD + "".join(lines)
