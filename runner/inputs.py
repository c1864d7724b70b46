"""Which data a run was made from: one line a file, so that any change is seen, also of what nothing reads yet."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

TABLE = "data/derived/00_inputs.csv"
FOLDERS = ("extracted", "published")


def checksums(data: Path) -> list[dict[str, str]]:
    """File (relative to the repository) and SHA-256 of every input table in `data`, sorted by file."""
    files = sorted(file for name in FOLDERS for file in (data / name).glob("*.csv"))
    return [{"file": f"data/{file.relative_to(data).as_posix()}",
             "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
            for file in files]


def write(workspace: Path) -> None:
    """Write the table of the inputs in `workspace`."""
    target = workspace / TABLE
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, ["file", "sha256"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(checksums(workspace / "data"))
