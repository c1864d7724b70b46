"""The tables of README.md, from the numbers of one run: pure text, the same numbers give the same bytes."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

START = "<!-- tables: written by run.py -->"
END = "<!-- end of tables -->"

# Job: what it is, number of pools (gosh() and permutest() of metafor do as many).
LABELS = {
    "single": ("one fit of dat.bcg (13 trials)", 1),
    "leave_one_out": ("leave-one-out, dat.bcg", 13),
    "subsets_hk": ("all subsets with HK, our 6 trials (severity)", 63),
    "permutation": ("exact permutation test, dat.bcg", 8192),
    "gosh": ("GOSH with REML, dat.bcg", 8191),
}

GOSH_RATIO = 1000
GROWTH_RATIO = 1.5
PEAK_BYTES = 2**30
IMPORT_SECONDS = 0.5
NOTEBOOK_RATIO = 2.0


def largest_difference(ours: dict[str, list], theirs: dict[str, list]) -> float:
    """Largest difference between two sets of answers: absolute up to 1, relative beyond; I2 as a share of 1.

    Raises a ValueError on answers that do not correspond one to one or are not finite. A missing answer of metafor
    (None: the fit did not converge) is passed over here; `missing` counts them.
    """
    if ours.keys() != theirs.keys():
        raise ValueError(f"different answers: {', '.join(sorted(ours.keys() ^ theirs.keys()))}")
    largest = 0.0
    for name in ours:
        if len(ours[name]) != len(theirs[name]):
            raise ValueError(f"{name}: {len(ours[name])} answers of ours, {len(theirs[name])} of metafor")
        unit = 100.0 if name == "i2" else 1.0  # it stands in percent
        for a, b in zip(ours[name], theirs[name]):
            if b is not None:
                difference = abs(a - b) / max(unit, abs(b))
                if not math.isfinite(difference):
                    raise ValueError(f"{name}: ours {a}, metafor {b}")
                largest = max(largest, difference)
    return largest


def missing(answers: dict[str, list]) -> int:
    """Fits for which there is no answer."""
    return max(sum(value is None for value in values) for values in answers.values())


def duration(seconds: float) -> str:
    """Three digits with the unit that suits: ``"22.1 ms"``."""
    unit, size = next((u for u in (("s", 1.0), ("ms", 1e-3)) if seconds >= 0.9995 * u[1]), ("µs", 1e-6))
    return f"{digits(seconds / size)} {unit}"


def digits(number: float) -> str:
    """Three significant digits, with thousands separated and no exponent."""
    rounded = float(f"{number:.3g}")
    places = max(0, 2 - math.floor(math.log10(rounded))) if rounded > 0 else 0
    return f"{rounded:,.{places}f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def times(seconds: list[float]) -> list[str]:
    """The two cells of a series of times: minimum and median."""
    return [duration(min(seconds)), duration(median(seconds))]


def speed(ours: list[float], theirs: list[float]) -> float:
    """How many times faster ours is, by the shortest time of each."""
    return min(theirs) / min(ours)


def live(ours: dict[str, Any], metafor: dict[str, Any]) -> str:
    """Table of the jobs, ours and metafor's, with their ratio and how far the answers are apart."""
    rows = []
    for name, (label, pools) in LABELS.items():
        a, b = ours[name], metafor[name]
        apart = [largest_difference(a["answers"], b[kind]) for kind in ("answers", "tight")]
        rows.append([label, f"{pools:,}", *times(a["seconds"]), *times(b["seconds"]),
                     digits(speed(a["seconds"], b["seconds"])), *(f"{difference:.0e}" for difference in apart)])
    header = ["job", "pools", "ours, shortest", "median", "metafor, shortest", "median", "times faster",
              "answers apart", "and at 1e-12"]
    return table(header, rows)


def profile(shares: dict[str, float]) -> str:
    """Table of the parts of a GOSH."""
    rows = [[part, f"{share:.0%}"] for part, share in shares.items()]
    return table(["where the time of our GOSH goes", "share"], rows)


def cost(row: dict[str, Any]) -> float:
    """Shortest time per pool of a row of the growth table, in seconds."""
    return min(row["seconds"]) / row["subsets"]


def growth_ratio(rows: list[dict[str, Any]]) -> float | None:
    """Cost per pool at 2^20 as a multiple of that at 2^13; None if one of them was not measured."""
    costs = {row["subsets"]: cost(row) for row in rows}
    return costs[2**20] / costs[2**13] if {2**13, 2**20} <= costs.keys() else None


def growth(rows: list[dict[str, Any]]) -> str:
    """Table of cost per pool and peak memory by number of subsets."""
    cells = [[f"2^{row['subsets'].bit_length() - 1}", *times([s / row["subsets"] for s in row["seconds"]]),
              f"{row['bytes'] / 2**20:.0f} MiB"] for row in rows]
    return table(["subsets of 20 studies", "a pool, shortest", "median", "peak memory"], cells)


def imports(rows: list[dict[str, Any]]) -> str:
    """Table of import times."""
    cells = [[f"{row['modules']} ({row['count']})", ", ".join(row["beyond"]), *times(row["seconds"])] for row in rows]
    return table(["modules of meta_analysis", "beyond", "shortest", "median"], cells)


def targets(results: dict[str, Any]) -> str:
    """Table of what was wanted and what was measured; only what this run measured."""
    rows = []

    def add(what: str, wanted: str, measured: str, met: bool) -> None:
        rows.append([what, wanted, measured, "met" if met else "missed"])

    if results.get("metafor"):
        ratio = speed(results["ours"]["gosh"]["seconds"], results["metafor"]["gosh"]["seconds"])
        add("GOSH against metafor, one core", f"at least {GOSH_RATIO:,} times", f"{digits(ratio)} times",
            ratio >= GOSH_RATIO)
    ratio = growth_ratio(results["growth"])
    if ratio is not None:
        add("cost of a pool at 2^20, as a multiple of 2^13", f"at most {GROWTH_RATIO}", f"{ratio:.2f}",
            ratio <= GROWTH_RATIO)
        peak = max(row["bytes"] for row in results["growth"])
        add("peak memory at 2^20", "below 1 GiB", f"{peak / 2**20:.0f} MiB", peak < PEAK_BYTES)
    for row in results["imports"]:
        best = min(row["seconds"])
        if row["beyond"] == ["numpy", "scipy"]:
            add(f"import, {row['modules']}", f"below {IMPORT_SECONDS} s", duration(best), best < IMPORT_SECONDS)
    ratio = median(whole / start for whole, start in zip(results["notebook"]["whole"], results["notebook"]["start"]))
    add("notebook 05, as a multiple of a start with its imports", f"below {NOTEBOOK_RATIO}", f"{ratio:.2f}",
        ratio < NOTEBOOK_RATIO)
    return table(["target", "wanted", "measured", ""], rows)


def versions(results: dict[str, Any]) -> str:
    """One line: programs with their versions, and the processor."""
    return ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + f"; {results['processor']}"


def page(results: dict[str, Any]) -> str:
    """All tables, as they stand between the two marker lines."""
    parts = [versions(results), targets(results)]
    if results.get("metafor"):
        failed = {name: missing(results["metafor"][name][kind]) for name in LABELS for kind in ("answers", "tight")}
        parts.append(live(results["ours"], results["metafor"]))
        if any(failed.values()):
            parts.append("Fits that metafor did not finish, and which are not compared: "
                         + ", ".join(f"{name} {count}" for name, count in failed.items() if count) + ".")
    parts += [profile(results["profile"]), growth(results["growth"]), imports(results["imports"])]
    return "\n\n".join(parts)


def insert(text: str, tables: str) -> str:
    """The text with the lines between its two markers replaced."""
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise ValueError(f"README.md must hold the lines {START!r} and {END!r} once each, in this order")
    before, rest = text.split(START)
    return f"{before}{START}\n{tables}\n{END}{rest.split(END)[1]}"
