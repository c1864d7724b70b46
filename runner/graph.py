"""Which notebook reads and writes what, as its first cell declares, and the order that follows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

READABLE = re.compile(r"data/(extracted|published|reference|derived)/[\w.-]+\.(csv|json)|data/datapackage\.json")
WRITABLE = re.compile(r"data/derived/\d\d_[\w.-]+\.csv|figures/\d\d_[\w.-]+\.png")


class CollectionError(Exception):
    """The declarations of the notebooks contradict each other, the files or the rules; one problem a line."""


@dataclass(frozen=True)
class Notebook:
    """A notebook and the files it declares, relative to the repository; .svg beside each declared .png."""

    path: Path
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        return self.path.name[:2]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Declared files that people or other programs made, not notebooks."""
        return tuple(file for file in self.reads if not file.startswith("data/derived/"))

    @property
    def figures(self) -> tuple[str, ...]:
        """Declared figures without suffix: 03_forest_severity."""
        return tuple(Path(file).stem for file in self.writes if file.endswith(".png"))


def declared(text: str, word: str) -> list[str]:
    """Files in backticks in the paragraphs of `text` that begin with ``**word:**``."""
    paragraphs = re.findall(rf"^\*\*{word}:\*\*(.*?)(?=^\s*$|^\*\*|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return [name for paragraph in paragraphs for name in re.findall(r"`([^`]+)`", paragraph)]


def first_cell(content: dict) -> str:
    """Text of the first cell, which must be Markdown."""
    cells = content.get("cells") or [{}]
    return "".join(cells[0].get("source", "")) if cells[0].get("cell_type") == "markdown" else ""


def _problems(number: str, reads: list[str], writes: list[str]) -> Iterable[str]:
    for file in reads:
        if not READABLE.fullmatch(file):
            yield f"declares to read `{file}`, which is not the name of one file of data/"
        elif file.startswith("data/derived/") and file.split("/")[-1][:2] >= number:
            yield f"reads `{file}`; a notebook reads only files with a smaller number than its own"
    for file in writes:
        if not WRITABLE.fullmatch(file):
            yield f"declares to write `{file}`, which is not a .csv of data/derived/ or a .png of figures/"
        elif file.split("/")[-1][:3] != f"{number}_":
            yield f"writes `{file}`; what it writes begins with {number}_"


def load(folder: Path) -> list[Notebook]:
    """All notebooks of `folder` in the order of their numbers, which is an order in which they can be run.

    Raises
    ------
    CollectionError
        If a declaration is missing or breaks a rule, or a notebook reads what none writes.
    """
    notebooks, problems = [], []
    for path in sorted(folder.glob("*.ipynb")):
        try:
            text = first_cell(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            problems.append(f"{path.name}: is not a notebook: {error}")
            continue
        if not re.match(r"\d\d_", path.name):
            problems.append(f"{path.name}: the name of a notebook begins with two digits and an underscore")
            continue
        if "**Reads:**" not in text or "**Writes:**" not in text:
            problems.append(f"{path.name}: its first cell does not say what it **Reads:** and **Writes:**")
        reads, writes = declared(text, "Reads"), declared(text, "Writes")
        problems += [f"{path.name}: {problem}" for problem in _problems(path.name[:2], reads, writes)]
        writes += [f"{file[:-4]}.svg" for file in writes if file.endswith(".png")]
        notebooks.append(Notebook(path, tuple(dict.fromkeys(reads)), tuple(dict.fromkeys(writes))))
    numbers = [notebook.number for notebook in notebooks]
    problems += [f"two notebooks have the number {n}" for n in sorted(set(numbers)) if numbers.count(n) > 1]
    written = {file for notebook in notebooks for file in notebook.writes}
    problems += [f"{notebook.path.name}: reads `{file}`, which no notebook writes" for notebook in notebooks
                 for file in notebook.reads if file.startswith("data/derived/") and file not in written]
    if not notebooks and not problems:
        problems = ["there are no notebooks in notebooks/"]
    if problems:
        raise CollectionError("\n".join(problems))
    return notebooks


def needs(notebook: Notebook, notebooks: Iterable[Notebook]) -> list[Notebook]:
    """Notebooks that write a file which `notebook` reads."""
    return [other for other in notebooks if set(other.writes) & set(notebook.reads)]


def select(notebooks: Sequence[Notebook], wanted: Sequence[str]) -> list[Notebook]:
    """The `wanted` notebooks ("03", "03_pooling" or "03_pooling.ipynb") and all they need, in order; [] means all."""
    if not wanted:
        return list(notebooks)
    chosen: set[Notebook] = set()
    for word in wanted:
        stem = word.removesuffix(".ipynb").split("/")[-1]
        found = [notebook for notebook in notebooks if stem in (notebook.number, notebook.name)]
        if not found:
            names = ", ".join(notebook.name for notebook in notebooks)
            raise CollectionError(f"no notebook is called {word}; there are: {names}")
        chosen.update(found)
    for notebook in reversed(notebooks):  # what a notebook needs stands before it
        if notebook in chosen:
            chosen.update(needs(notebook, notebooks))
    return [notebook for notebook in notebooks if notebook in chosen]
