"""Run notebooks side by side, each in a folder of its own.

That folder, build/run/copies/NAME, is a small copy of the repository: of the data only the files the notebook declares
to read, and notebooks/ with the helpers. So a notebook that reads something else fails, whatever it writes is seen, and
nothing stored can be touched. What it declared to write moves to the workspace (build/run) when it has finished.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner import show, stored
from runner.environment import kernel_environment
from runner.graph import Notebook, needs
from runner.kept import Memory, file_hash, helper_files, key

ONE_NOTEBOOK = Path(__file__).with_name("one_notebook.py")


@dataclass
class Outcome:
    """What became of each notebook: `keys` of the finished ones by name, and one text for each that failed."""

    keys: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass
class Running:
    """A notebook being run: its folder, the hashes of what lay there before, its process."""

    notebook: Notebook
    key: str
    folder: Path
    before: dict[str, str]
    process: subprocess.Popen
    started: float


def run_all(root: Path, workspace: Path, notebooks: Sequence[Notebook], *, jobs: int, fresh: bool,
            report: Callable[[str], None]) -> Outcome:
    """Run `notebooks` (in order, with all they need) unless their results are kept.

    Parameters
    ----------
    root : Path
        The repository.
    workspace : Path
        Holds data/ with the inputs, and receives data/derived, figures and notebooks.
    jobs : int
        How many notebooks run at a time.
    fresh : bool
        Run also what is unchanged.
    report : callable
        Is given one line for each notebook that is finished.
    """
    memory, outcome = Memory(workspace), Outcome()
    waiting, running, lost = list(notebooks), [], set()
    try:
        while waiting or running:
            for notebook in list(waiting):
                needed = {other.name for other in needs(notebook, notebooks)}
                if needed & lost:
                    waiting.remove(notebook)
                    lost.add(notebook.name)
                    _discard(workspace, memory, notebook.name)
                    outcome.failures.append(f"{notebook.path.name} was not run: it needs {min(needed & lost)}")
                elif needed <= outcome.keys.keys():
                    wanted = key(root, notebook, workspace)
                    if not fresh and memory.holds(notebook.name, wanted):
                        waiting.remove(notebook)
                        outcome.keys[notebook.name] = wanted
                        report(f"{notebook.name}: unchanged, kept")
                    elif len(running) < jobs:
                        waiting.remove(notebook)
                        _discard(workspace, memory, notebook.name)
                        running.append(_start(root, workspace, notebook, wanted))
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                failure = _finish(workspace, memory, job)
                seconds = time.monotonic() - job.started
                if failure:
                    lost.add(job.notebook.name)
                    outcome.failures.append(failure)
                    report(f"{job.notebook.name}: FAILED, {seconds:.1f} s")
                else:
                    outcome.keys[job.notebook.name] = job.key
                    outcome.ran.append(job.notebook.name)
                    report(f"{job.notebook.name}: ran, {seconds:.1f} s")
            if running:
                time.sleep(0.05)
    finally:
        _stop(running)
    return outcome


def _stop(running: list[Running]) -> None:
    """End what still runs (after Ctrl-C); a kernel ends itself when the process that started it is gone."""
    for job in running:
        job.process.terminate()
    for job in running:
        try:
            job.process.wait(10)
        except subprocess.TimeoutExpired:
            job.process.kill()


def _discard(workspace: Path, memory: Memory, name: str) -> None:
    """Remove what an earlier run of this notebook left."""
    for file in memory.forget(name):
        (workspace / file).unlink(missing_ok=True)


def _files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: file_hash(path) for name, path in names.items()
            if "__pycache__/" not in name and not name.startswith(".ipython/")}


def _start(root: Path, workspace: Path, notebook: Notebook, wanted: str) -> Running:
    folder = workspace / "copies" / notebook.name
    shutil.rmtree(folder, ignore_errors=True)
    copies = {file: workspace / file for file in (*notebook.reads, "data/datapackage.json")}
    copies |= {path.relative_to(root).as_posix(): path for path in [*helper_files(root / "notebooks"), notebook.path]}
    for file, path in copies.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            shutil.copyfile(path, folder / file)
    (folder / "data" / "derived").mkdir(parents=True, exist_ok=True)
    (folder / "figures").mkdir()
    before = _files(folder)
    source = folder / "notebooks" / notebook.path.name
    command = [sys.executable, "-P", str(ONE_NOTEBOOK), str(source), str(folder / notebook.path.name),
               str(source.parent)]
    with open(folder / "answer.txt", "wb") as answer, open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=answer, stderr=log, cwd=folder,
                                   env=kernel_environment(folder, root / "build"))
    return Running(notebook, wanted, folder, before, process, time.monotonic())


def _finish(workspace: Path, memory: Memory, job: Running) -> str:
    """Take over the results of a finished notebook; return what is wrong with it, "" if nothing."""
    notebook, folder = job.notebook, job.folder
    executed = folder / notebook.path.name
    if job.process.returncode != 0:
        return _failure(job)
    result = stored.with_outputs(stored.read(folder / "notebooks" / notebook.path.name), stored.read(executed))
    # papermill takes sys.exit() for a regular end.
    if any(cell.cell_type == "code" and cell.source.strip() and done.execution_count is None
           for cell, done in zip(result.cells, stored.read(executed).cells, strict=True)):
        return f"{notebook.path.name}: a cell ended the notebook before its end\n  partial copy: {show.path(executed)}"
    after = _files(folder)
    own = {executed.name, "answer.txt", "log.txt"}
    changed = {file for file in after if after[file] != job.before.get(file)} - own
    changed |= job.before.keys() - after.keys()
    undeclared = sorted(changed - set(notebook.writes))
    problems = [f"wrote or changed `{file}`, which it does not declare" for file in undeclared]
    problems += [f"did not write `{file}`, which it declares" for file in notebook.writes if file not in after]
    if problems:
        return f"{notebook.path.name} {'; '.join(problems)}\n  its folder: {show.path(folder)}"
    for file in notebook.writes:
        (workspace / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / file, workspace / file)
    copy = f"notebooks/{notebook.path.name}"
    (workspace / "notebooks").mkdir(exist_ok=True)
    (workspace / copy).write_text(stored.to_text(result), encoding="utf-8", newline="\n")
    memory.remember(notebook.name, job.key, [*notebook.writes, copy])
    shutil.rmtree(folder, ignore_errors=True)
    return ""


def _failure(job: Running) -> str:
    """Notebook, section, cell and last line of the error, and where the partial copy lies."""
    executed = job.folder / job.notebook.path.name
    try:
        name, message = json.loads((job.folder / "answer.txt").read_text(encoding="utf-8").splitlines()[-1])
    except (IndexError, ValueError):
        log = (job.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        name, message = "papermill ended", log[-1] if log else f"exit code {job.process.returncode}"
    lines = [line for line in message.splitlines() if line.strip()]
    error = f"{name}: {lines[-1].strip()}" if lines else name
    if not executed.is_file():
        return f"{job.notebook.path.name}: {error}"
    cells = [cell for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]
             if "papermill-error-cell-tag" not in cell["metadata"].get("tags", [])]
    where = ""
    for position, cell in enumerate(cells):
        state = cell["metadata"].get("papermill", {})
        # A cell whose kernel died stands there as completed, but the kernel never answered.
        unanswered = cell["cell_type"] == "code" and "".join(cell["source"]).strip() and (
            "shell.execute_reply" not in cell["metadata"].get("execution", {}))
        if unanswered or state.get("exception") or state.get("status") in ("failed", "running"):
            heading = stored.heading_above(cells, position)
            count = sum(other["cell_type"] == "code" for other in cells[: position + 1])
            where = (f', section "{heading}", cell [{cell.get("execution_count") or count}]'
                     f" (position {position + 1} of {len(cells)})")
            break
    return f"{job.notebook.path.name}{where}: {error}\n  partial copy: {show.path(executed)}"
