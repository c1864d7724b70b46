"""What is stored replaced by a run, all of it or nothing.

The new files are first written beside the old ones, then each is swapped in by one os.replace. A journal in build/ says
what is to be undone; it is read after an error and, if the computer stopped half-way, at the start of the next run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from runner import figures_page, inputs
from runner.compare import managed_files
from runner.graph import Notebook

JOURNAL = "build/accept.json"


def changes(root: Path, workspace: Path, notebooks: Iterable[Notebook]) -> dict[str, bytes | None]:
    """Files to be stored (their new bytes) and to be removed (None), relative to the repository."""
    notebooks = list(notebooks)
    files = [file for notebook in notebooks for file in (*notebook.writes, f"notebooks/{notebook.path.name}")]
    files += [file for file in (inputs.TABLE, figures_page.PAGE) if (workspace / file).is_file()]
    found: dict[str, bytes | None] = {file: (workspace / file).read_bytes() for file in files}
    found = {file: content for file, content in found.items()
             if not (root / file).is_file() or (root / file).read_bytes() != content}
    return found | {file: None for file in managed_files(root) if file not in files}


def _beside(root: Path, file: str, ending: str) -> Path:
    path = root / file
    return path.with_name(f".{path.name}.{ending}")


def store(root: Path, wanted: dict[str, bytes | None]) -> None:
    """Make the `wanted` changes; after any error everything is as it was, and the error is raised again."""
    entries = [{"file": file, "existed": (root / file).is_file()} for file in wanted]
    _note(root, done=False, entries=entries)
    try:
        for file, content in wanted.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                _beside(root, file, "new").write_bytes(content)
        for file, content in wanted.items():
            if (root / file).is_file():
                os.replace(root / file, _beside(root, file, "old"))
            if content is not None:
                os.replace(_beside(root, file, "new"), root / file)
        _note(root, done=True, entries=entries)  # from here on the new state counts
    finally:
        recover(root)


def recover(root: Path) -> bool:
    """Clear up after `store`: put back what an unfinished one had changed.

    Returns
    -------
    bool
        Whether anything had to be put back.
    """
    file = root / JOURNAL
    if not file.is_file():
        return False
    journal = json.loads(file.read_text(encoding="utf-8"))
    for entry in journal["entries"]:
        path, old = root / entry["file"], _beside(root, entry["file"], "old")
        if not journal["done"] and old.is_file():
            os.replace(old, path)
        elif not journal["done"] and not entry["existed"]:
            path.unlink(missing_ok=True)
        old.unlink(missing_ok=True)
        _beside(root, entry["file"], "new").unlink(missing_ok=True)
    file.unlink()
    return not journal["done"]


def _note(root: Path, *, done: bool, entries: list[dict]) -> None:
    """Write the journal in one step, so that half a journal cannot exist."""
    journal = root / JOURNAL
    journal.parent.mkdir(parents=True, exist_ok=True)
    temporary = journal.with_suffix(".tmp")
    temporary.write_text(json.dumps({"done": done, "entries": entries}, indent=1), encoding="utf-8")
    os.replace(temporary, journal)
