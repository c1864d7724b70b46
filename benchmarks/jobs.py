"""What is timed on our side. `run.py` starts this file afresh for each measurement; R does the same jobs in metafor.R.

    python benchmarks/jobs.py live studies.csv seconds repetitions    times and answers of all jobs, as JSON
    python benchmarks/jobs.py growth subsets seconds repetitions      time and peak memory of so many subsets, as JSON
    python benchmarks/jobs.py profile studies.csv seconds repetitions where the time of GOSH goes, as JSON
"""

from __future__ import annotations

import cProfile
import csv
import json
import platform
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy

from meta_analysis.leave_out import gosh, leave_one_out
from meta_analysis.permutation import permutation_test
from meta_analysis.pooling import pool

# What metafor gives of a fit too, by the names of `pooling.Pool`.
FIT = ("estimate", "se", "ci_low", "ci_high", "p", "tau2", "i2", "q")
Answers = dict[str, np.ndarray]


def single(y: np.ndarray, v: np.ndarray) -> Answers:
    """One random-effects fit: REML, modified Hartung-Knapp."""
    return columns(pool(y, v), FIT)


def leave_one_out_job(y: np.ndarray, v: np.ndarray) -> Answers:
    """The pool without each study, in the order of the studies."""
    return columns(leave_one_out(y, v), FIT)


def subsets_hk(y: np.ndarray, v: np.ndarray) -> Answers:
    """All subsets with the Hartung-Knapp interval, in binary order, the first study being the lowest digit."""
    return columns(gosh(y, v, ci_method="HK"), FIT)


def permutation(y: np.ndarray, v: np.ndarray) -> Answers:
    """Exact permutation test of no effect: all 2^k flips of signs, in binary order, and the two-sided p value."""
    test = permutation_test(y, v)
    return {"t": test.statistic[:, 0], "p": test.p}


def gosh_job(y: np.ndarray, v: np.ndarray) -> Answers:
    """REML on all subsets with the normal interval, in binary order."""
    return columns(gosh(y, v, ci_method="Wald"), ("estimate", "tau2", "i2", "h2", "q"))


# By name: the studies, and the work. The same names stand in metafor.R.
JOBS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], Answers]]] = {
    "single": ("bcg", single),
    "leave_one_out": ("bcg", leave_one_out_job),
    "subsets_hk": ("severity", subsets_hk),
    "permutation": ("bcg", permutation),
    "gosh": ("bcg", gosh_job),
}

# Where the time goes: each part is the time within some functions, less that within others which they call.
PARTS = {
    "tau2: the likelihood on a grid": (["tau2._log_likelihood"], []),
    "tau2: Newton steps, and finding the peaks": (["tau2._maximise"], ["tau2._log_likelihood"]),
    "checks, and cutting the batch into pieces": (["studies.check", "studies.chunks"], []),
    "Q, I2, interval, p value": (["heterogeneity.describe", "heterogeneity.i2_h2_random", "weighted_mean.average",
                                  "weighted_mean.confidence"], []),
}


def columns(result: object, names: tuple[str, ...]) -> Answers:
    """The named fields of a result."""
    return {name: getattr(result, name) for name in names}


def synthetic(k: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Effects and variances of k made-up trials, the same in every run: true effects -0.5 with tau 0.3."""
    rng = np.random.default_rng(20)
    v = rng.uniform(0.02, 0.4, k)
    return rng.normal(-0.5, np.sqrt(0.3**2 + v)), v


def timed(work: Callable[[], object], seconds: float, repetitions: int) -> list[float]:
    """Seconds of each repetition: until `seconds` have passed, and at least so many."""
    times: list[float] = []
    while len(times) < repetitions or sum(times) < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def read(path: str, which: str) -> list[np.ndarray]:
    """Effects and variances of one set of studies, from a file with columns set, yi, vi."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["set"] == which]
    return [np.array([float(row[column]) for row in rows]) for column in ("yi", "vi")]


def live(path: str, seconds: float, repetitions: int) -> dict:
    """Times and answers of all jobs on the studies of a file."""
    results = {}
    for name, (which, work) in JOBS.items():
        y, v = read(path, which)
        answers = {column: np.atleast_1d(values).tolist() for column, values in work(y, v).items()}
        times = timed(lambda work=work, y=y, v=v: work(y, v), seconds, repetitions)
        results[name] = {"seconds": times, "answers": answers}
    versions = {"Python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
    return {"versions": versions, "jobs": results}


def growth(subsets: int, seconds: float, repetitions: int) -> dict:
    """Times of GOSH on so many subsets of 20 studies, and the largest memory this process ever had, in bytes."""
    import resource  # not on Windows, where the other jobs run all the same

    y, v = synthetic()
    gosh(y, v, subsets=2**8)
    times = timed(lambda: gosh(y, v, subsets=subsets), seconds, repetitions)
    unit = 1 if sys.platform == "darwin" else 1024
    return {"seconds": times, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


def profile(path: str, seconds: float, repetitions: int) -> dict[str, float]:
    """Share of each part in the time of GOSH, by Python's profiler; what no part claims is the rest."""
    y, v = read(path, JOBS["gosh"][0])
    gosh_job(y, v)
    profiler = cProfile.Profile()
    profiler.runcall(timed, lambda: gosh_job(y, v), seconds, repetitions)
    within: dict[str, float] = {}
    for (file, _, function), (_, _, _, cumulative, _) in pstats.Stats(profiler).stats.items():
        name = f"{Path(file).stem}.{function}"
        within[name] = within.get(name, 0.0) + cumulative
    whole = within["jobs.gosh_job"]
    shares = {part: (sum(within[n] for n in plus) - sum(within[n] for n in minus)) / whole
              for part, (plus, minus) in PARTS.items()}
    return shares | {"the rest": 1 - sum(shares.values())}


if __name__ == "__main__":
    kind, what, seconds, repetitions = sys.argv[1:]
    measure = {"live": live, "growth": lambda what, *rest: growth(int(what), *rest), "profile": profile}[kind]
    print(json.dumps(measure(what, float(seconds), int(repetitions))))
