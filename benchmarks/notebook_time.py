"""How long notebook 05 takes, against a notebook that only starts and imports what 05 imports.

Both are executed as run_all.py executes them: by papermill, in a process and a folder of their own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runner.environment import kernel_environment

NAME = "05_sensitivity.ipynb"


def imports_only(notebook: dict) -> dict:
    """The notebook with those cells alone that do nothing but import."""
    def imports(cell: dict) -> bool:
        lines = [line for line in "".join(cell["source"]).splitlines() if line.strip()]
        return cell["cell_type"] == "code" and all(line.startswith(("import ", "from ")) for line in lines)

    return notebook | {"cells": [cell for cell in notebook["cells"] if imports(cell)]}


def measure(root: Path, repetitions: int) -> dict[str, list[float]]:
    """Seconds of the whole notebook and of its start, taken in turns.

    Parameters
    ----------
    root : Path
        The repository; nothing in it is changed.
    repetitions : int
        How often each is run, after a first time that does not count.

    Returns
    -------
    dict
        ``whole`` and ``start``: times in seconds.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for part in ("notebooks", "data"):
            shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        whole, start = folder / "notebooks" / NAME, folder / "notebooks" / "start.ipynb"
        start.write_text(json.dumps(imports_only(json.loads(whole.read_text(encoding="utf-8")))), encoding="utf-8")

        def seconds(notebook: Path) -> float:
            command = [sys.executable, "-P", str(root / "runner" / "one_notebook.py"), str(notebook),
                       str(folder / "executed.ipynb"), str(notebook.parent)]
            began = time.perf_counter()
            subprocess.run(command, cwd=folder, env=kernel_environment(folder, folder / "cache"), check=True,
                           capture_output=True)
            return time.perf_counter() - began

        turns = [(seconds(whole), seconds(start)) for _ in range(repetitions + 1)][1:]
    return {"whole": [turn[0] for turn in turns], "start": [turn[1] for turn in turns]}
