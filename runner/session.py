"""One run, from the data to the last printed line."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from runner import accept as acceptance
from runner import compare, execute, figures_page, inputs, show
from runner.environment import list_fonts
from runner.graph import CollectionError, Notebook, load, select
from runner.kept import MEMORY, Memory, key

IDENTICAL, DRIFT, ERROR = 0, 1, 2
INPUTS = ("extracted", "published", "reference")
HEADLINE = "data/derived/03_headline.csv"


def run(root: Path, *, data: Path | None = None, out: Path | None = None, only: Sequence[str] = (), fresh: bool = False,
        jobs: int = 2, accept: bool = False, validate: Callable[[Path], list[str]] | None = None,
        say: Callable[[str], None] = print) -> int:
    """Check the data, run the notebooks, compare with what is stored and, if asked and all is well, store the results.

    Parameters
    ----------
    root : Path
        The repository.
    data, out : Path, optional
        Another copy of the data tables, and where its results go.
    only : sequence of str
        Notebooks to run, with what they need; all by default.
    fresh, jobs, accept
        As on the command line.
    validate : callable, optional
        Returns one line for each rule a folder of data breaks; ``meta_analysis.validation.validate`` by default.
    say : callable
        Prints one text.

    Returns
    -------
    int
        Exit code: 0 identical (or accepted), 1 drift, 2 error.
    """
    if accept and (only or data):
        return _fail(say, ["--accept stores a complete run of the repository's own data: not with --only or --data"])
    if acceptance.recover(root):
        say("An earlier --accept was interrupted; what it had changed was put back.")
    try:
        workspace = _workspace(root, data, out)
        collection = load(root / "notebooks")
        notebooks = select(collection, only)
        broken = _bring_data(root, workspace, data, validate or _package_validate(root), collection)
    except (CollectionError, OSError) as error:
        return _fail(say, str(error).splitlines())
    if broken:
        say("\n".join(broken))
        return _fail(say, [f"the data break the rules in {len(broken)} place(s); no notebook was run"])
    say("Data: no rule is broken.")

    if any(notebook.figures for notebook in notebooks):
        list_fonts(root / "build")
    outcome = _execute(root, workspace, notebooks, collection, fresh, jobs, say)
    finished = [notebook for notebook in notebooks if notebook.name in outcome.keys]
    changed = [f"{notebook.path.name} or what it uses was changed during the run; run again" for notebook in finished
               if key(root, notebook, workspace) != outcome.keys[notebook.name]]
    if changed:
        return _fail(say, outcome.failures + changed)

    problems = outcome.failures + figures_page.problems(workspace, finished)
    complete = not problems and not only
    if complete:
        page = figures_page.page(workspace, notebooks)
        (workspace / figures_page.PAGE).parent.mkdir(exist_ok=True)
        (workspace / figures_page.PAGE).write_text(page, encoding="utf-8", newline="\n")
    if any(HEADLINE in notebook.writes for notebook in finished):
        say(f"\nHeadline results ({HEADLINE})\n\n{show.headline(workspace / HEADLINE)}\n")
    differences, redrawn = compare.compare_run(root, workspace, finished, complete)
    _report_drift(workspace, differences, redrawn, "identical, as far as it ran" if problems else "identical", say)
    if data:
        say(f"Tables, figures and executed notebooks of this run: {show.path(workspace)}")
    if problems:
        return _fail(say, problems)
    if accept:
        wanted = acceptance.changes(root, workspace, notebooks)
        try:
            acceptance.store(root, wanted)
        except OSError as error:
            undone = not (root / acceptance.JOURNAL).is_file()
            rest = "nothing was changed" if undone else "the next run puts back what was changed"
            return _fail(say, [f"the results could not be stored, {rest}: {error}"])
        say(f"Accepted: {len(wanted)} file(s) stored or removed.")
        return IDENTICAL
    return DRIFT if differences else IDENTICAL


def _fail(say: Callable[[str], None], problems: Sequence[str]) -> int:
    say("\n".join(f"error: {problem}" for problem in problems))
    return ERROR


def _workspace(root: Path, data: Path | None, out: Path | None) -> Path:
    """Where this run works: build/run, or for other data a folder that holds nothing but an earlier such run."""
    if data is None:
        return root / "build" / "run"
    out, data = (out or root / "build" / "other").resolve(), data.resolve()
    if out.is_relative_to(root) and not out.is_relative_to(root / "build") or root.is_relative_to(out):
        raise CollectionError(f"--out {out}: choose a folder outside the repository, or inside its build/")
    if out.is_relative_to(data) or data.is_relative_to(out):
        raise CollectionError(f"--out {out} and --data {data} lie inside each other")
    if out.exists() and not (out / MEMORY).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise CollectionError(f"--out {out} is not empty and was not made by an earlier run")
    return out


def _bring_data(root: Path, workspace: Path, data: Path | None, validate: Callable[[Path], list[str]],
                collection: Sequence[Notebook]) -> list[str]:
    """Collect the inputs, check them and only then put them into the workspace; return the rules they break."""
    extracted, rest = root / "data" / "extracted", root / "data"
    if data is not None:
        if not data.is_dir():
            raise CollectionError(f"--data {data}: there is no such folder")
        whole = (data / "extracted").is_dir()
        extracted, rest = (data / "extracted", data) if whole else (data, root / "data")
        if not any(extracted.glob("*.csv")):
            raise CollectionError(f"--data {data}: neither a copy of data/ nor of data/extracted")
    collected = workspace / "copies" / "data"
    shutil.rmtree(workspace / "copies", ignore_errors=True)
    collected.mkdir(parents=True)
    Memory(workspace).save()
    ignore = shutil.ignore_patterns(".*", "__pycache__")
    for name in INPUTS:
        source = extracted if name == "extracted" else next(
            (folder / name for folder in (rest, root / "data") if (folder / name).is_dir()), None)
        if source is not None and source.is_dir():
            shutil.copytree(source, collected / name, ignore=ignore)
    package = next((folder / "datapackage.json" for folder in (rest, root / "data")
                    if (folder / "datapackage.json").is_file()), None)
    if package is not None:
        shutil.copyfile(package, collected / "datapackage.json")
    if broken := validate(collected):
        return broken
    absent = [f"{notebook.path.name}: reads `{file}`, which does not exist" for notebook in collection
              for file in notebook.inputs if not (workspace / "copies" / file).is_file()]
    if absent:
        raise CollectionError("\n".join(absent))
    for name in (*INPUTS, "datapackage.json"):
        target = workspace / "data" / name
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        if (collected / name).exists():
            (collected / name).rename(target)
    inputs.write(workspace)
    return []


def _package_validate(root: Path) -> Callable[[Path], list[str]]:
    def validate(folder: Path) -> list[str]:
        sys.path.insert(0, str(root / "notebooks"))
        try:
            from meta_analysis import validation  # imported late: it needs pandas
        finally:
            sys.path.remove(str(root / "notebooks"))
        return validation.validate(folder)

    return validate


def _execute(root: Path, workspace: Path, notebooks: Sequence[Notebook], collection: Sequence[Notebook], fresh: bool,
             jobs: int, say: Callable[[str], None]) -> execute.Outcome:
    """Run the notebooks: with a progress bar on a terminal, a plain line for each elsewhere."""
    memory = Memory(workspace)
    for name in set(memory.names()) - {notebook.name for notebook in collection}:  # a notebook that is no more
        for file in memory.forget(name):
            (workspace / file).unlink(missing_ok=True)
    if not (say is print and sys.stdout.isatty()):
        return execute.run_all(root, workspace, notebooks, jobs=jobs, fresh=fresh, report=say)
    from tqdm import tqdm

    with tqdm(total=len(notebooks), unit="notebook", leave=False, file=sys.stdout) as bar:
        def report(line: str) -> None:
            bar.write(line, file=sys.stdout)
            bar.update()

        return execute.run_all(root, workspace, notebooks, jobs=jobs, fresh=fresh, report=report)


def _report_drift(workspace: Path, differences: Sequence[compare.Difference], redrawn: Sequence[str],
                  identical: str, say: Callable[[str], None]) -> None:
    if redrawn:
        names = ", ".join(redrawn[:3]) + (f" and {len(redrawn) - 3} more" if len(redrawn) > 3 else "")
        say(f"note: pictures with other bytes than the stored ones (numbers decide, not these): {names}")
    full = workspace / "drift.csv"
    full.unlink(missing_ok=True)
    if not differences:
        say(identical)
        return
    with open(full, "w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "row", "column", "stored", "now"])
        writer.writerows([d.file, d.row, d.column, d.stored, d.now] for d in differences)
    say(f"drift: {len(differences)} difference(s) from what is stored\n\n{show.drift_table(differences)}\n\n"
        f"The whole list: {show.path(full)}")
