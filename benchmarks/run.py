"""Measure how fast the helpers pool, against R's metafor in the same run, and write the tables of README.md.

    .venv/bin/python benchmarks/run.py

It takes some minutes, nearly all of them metafor's. Without R or metafor the rest is measured and printed, and
README.md stays as it is. Every measurement runs in a process of its own; this one imports neither numpy nor the
helpers, because a child's peak memory starts from its parent's.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from benchmarks import imports, notebook_time, tables  # noqa: E402

README = HERE / "README.md"
SIZES = tuple(2**n for n in range(10, 21))
# How long each job is repeated, and how often at least.
SECONDS, REPETITIONS = 2.0, 3
# Answers further apart than this, with metafor's threshold at 1e-12, are wrong answers: times do not matter then.
AGREEMENT = 1e-8
# One core: the threads of every linear algebra library that numpy or R may use.
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")}
NO_METAFOR = 3  # exit code of metafor.R


def variables() -> dict[str, str]:
    """Environment of the measured processes."""
    return {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT / "notebooks")}


def processor() -> str:
    """Model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write_studies(path: Path) -> None:
    """Write the trials of the jobs, with all their digits, as columns set, yi, vi."""
    reference = json.loads((ROOT / "data" / "reference" / "metafor.json").read_text(encoding="utf-8"))
    bcg = reference["pooling"]["datasets"]["bcg"]
    rows = [("bcg", repr(y), repr(v)) for y, v in zip(bcg["yi"], bcg["vi"])]
    with open(ROOT / "data" / "derived" / "02_effects.csv", encoding="utf-8", newline="") as file:
        rows += [("severity", row["yi"], row["vi"]) for row in csv.DictReader(file)
                 if (row["effect_set"], row["measure"]) == ("ptsd_severity", "SMD")]
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("set", "yi", "vi"), *rows])


def measure_ours(*arguments: object) -> dict[str, Any]:
    """Run jobs.py in a new process and read what it prints."""
    command = [sys.executable, str(HERE / "jobs.py"), *map(str, arguments)]
    return json.loads(subprocess.run(command, env=variables(), check=True, stdout=subprocess.PIPE).stdout)


def measure_metafor(studies: Path, seconds: float, repetitions: int) -> dict[str, Any] | None:
    """Run metafor.R; None, and a word on why, where R or metafor is missing."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        print("metafor: skipped, Rscript was not found")
        return None
    answer = studies.with_name("metafor.json")
    command = [rscript, str(HERE / "metafor.R"), str(studies), str(answer), str(seconds), str(repetitions)]
    code = subprocess.run(command, env=variables()).returncode
    if code == NO_METAFOR:
        print("metafor: skipped, R was found but not its package metafor")
        return None
    if code:
        raise SystemExit(f"metafor.R failed with exit code {code}")
    return json.loads(answer.read_text(encoding="utf-8"))


def compare_live(seconds: float, repetitions: int) -> dict[str, Any]:
    """Times and answers of the jobs: ours, metafor's, and ours again, so that a busy minute does not decide."""
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies.csv"
        write_studies(studies)
        print("ours: the jobs", flush=True)
        before = measure_ours("live", studies, seconds, repetitions)
        print("metafor: the same jobs (minutes)", flush=True)
        metafor = measure_metafor(studies, seconds, repetitions)
        after = measure_ours("live", studies, seconds, repetitions) if metafor else before
        profile = measure_ours("profile", studies, seconds, repetitions)
    if metafor is None:
        return {"versions": before["versions"], "ours": before["jobs"], "metafor": None, "profile": profile}
    for name, job in before["jobs"].items():
        job["seconds"] += after["jobs"][name]["seconds"]
    versions = before["versions"] | metafor["versions"]
    return {"versions": versions, "ours": before["jobs"], "metafor": metafor["jobs"], "profile": profile}


def measure_growth(sizes: tuple[int, ...], seconds: float, repetitions: int) -> list[dict[str, Any]]:
    """Cost and memory by number of subsets: all sizes in turn, several times, so that a busy minute hits them all."""
    if sys.platform == "win32":
        raise SystemExit("peak memory cannot be read on Windows; run the benchmarks on Linux or macOS")
    rows = [{"subsets": subsets, "seconds": [], "bytes": 0} for subsets in sizes]
    for turn in range(repetitions):
        print(f"ours: growing numbers of subsets, turn {turn + 1} of {repetitions}", flush=True)
        for row in rows:
            once = measure_ours("growth", row["subsets"], seconds / repetitions, 1)
            row["seconds"] += once["seconds"]
            row["bytes"] = max(row["bytes"], once["bytes"])
    return rows


def measure_imports(repetitions: int) -> list[dict[str, Any]]:
    """Import times, each taken twice as often as a job: they are short, and the disk has its say too."""
    print("ours: import", flush=True)
    return imports.measure(ROOT / "notebooks" / "meta_analysis", variables(), 2 * repetitions)


def main(sizes: tuple[int, ...] = SIZES, seconds: float = SECONDS, repetitions: int = REPETITIONS) -> int:
    """Measure everything; the exit code is 1 if answers differ, whatever the speed."""
    loads = measure_imports(repetitions)
    print("ours: notebook 05 and its start", flush=True)
    notebook = notebook_time.measure(ROOT, 2 * repetitions)
    rows = measure_growth(sizes, seconds, repetitions)
    results = compare_live(seconds, repetitions)
    results |= {"processor": processor(), "growth": rows, "imports": loads, "notebook": notebook}
    for row, again in zip(loads, measure_imports(repetitions)):
        row["seconds"] += again["seconds"]
    page = tables.page(results)
    print(f"\n{page}\n")
    if results["metafor"] is None:
        print("README.md stays as it is: all its tables come from one run, with metafor.")
        return 0
    apart = {name: tables.largest_difference(results["ours"][name]["answers"], results["metafor"][name]["tight"])
             for name in tables.LABELS}
    wrong = {name: difference for name, difference in apart.items() if difference > AGREEMENT}
    if wrong:
        print(f"The answers differ, so README.md stays as it is: {wrong}", file=sys.stderr)
        return 1
    README.write_text(tables.insert(README.read_text(encoding="utf-8"), page), encoding="utf-8", newline="\n")
    print("README.md written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
