"""What was run before and need not be run again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from functools import cache
from pathlib import Path

from runner import stored
from runner.graph import Notebook

MEMORY = "kept.json"


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def helper_files(folder: Path) -> list[Path]:
    """Files of notebooks/ other than notebooks: the package they import, and whatever lies beside it."""
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and path.suffix != ".ipynb" and not any(p.startswith((".", "__pycache__")) for p in parts):
            found.append(path)
    return found


@cache
def environment_hash() -> str:
    """Hash of the Python version and of everything installed, which also covers --here, and of this runner."""
    installed = sorted({f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions()})
    runner = [file_hash(path) for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256("\n".join([platform.python_version(), *installed, *runner]).encode()).hexdigest()


def key(root: Path, notebook: Notebook, data: Path) -> str:
    """Hash of all that a notebook's results depend on: its cells (not their outputs), inputs, helpers, environment.

    Parameters
    ----------
    root : Path
        The repository.
    data : Path
        The folder that holds data/, with the inputs of this run and the derived tables of earlier notebooks.
    """
    files = {file: data / file for file in (*notebook.reads, "data/datapackage.json")}
    files |= {f"notebooks/{path.relative_to(root / 'notebooks').as_posix()}": path
              for path in helper_files(root / "notebooks")}
    files["requirements.txt"] = root / "requirements.txt"
    hashes = {name: file_hash(path) if path.is_file() else None for name, path in sorted(files.items())}
    everything = [stored.without_outputs(notebook.path), hashes, environment_hash()]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()


class Memory:
    """What a workspace holds from earlier runs: per notebook its key and the hashes of what it wrote."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._file = workspace / MEMORY
        try:
            self._entries = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._entries = {}

    def holds(self, name: str, key: str) -> bool:
        """Whether the results of notebook `name` are there, made under this key, and nobody changed them."""
        entry = self._entries.get(name, {})
        return entry.get("key") == key and all(
            (self._workspace / file).is_file() and file_hash(self._workspace / file) == digest
            for file, digest in entry["files"].items()
        )

    def remember(self, name: str, key: str, files: list[str]) -> None:
        self._entries[name] = {"key": key, "files": {file: file_hash(self._workspace / file) for file in files}}
        self.save()

    def forget(self, name: str) -> list[str]:
        """Forget notebook `name`; return the files it had left, relative to the workspace."""
        entry = self._entries.pop(name, {"files": {}})
        self.save()
        return list(entry["files"])

    def names(self) -> list[str]:
        return list(self._entries)

    def save(self) -> None:
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._entries, indent=1, sort_keys=True), encoding="utf-8")
        os.replace(temporary, self._file)
