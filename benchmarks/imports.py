"""How long the helpers take to import, beyond libraries that a reader has imported anyway.

Every measurement is a fresh Python. It imports first what the helpers need of the libraries, and only then looks at
the clock, so that a part of scipy is not charged to the helper that happens to ask for it first.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Prints the modules (after the first argument) that can be imported without the libraries named in the first argument.
WITHOUT = """
import importlib, sys
sys.modules.update(dict.fromkeys(sys.argv[1].split()))
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
        print(name)
    except ImportError:
        pass
"""
# Prints which modules of the libraries are loaded once the helpers are.
NEEDED = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
libraries = sys.argv[1].split()
print(*(n for n, m in sys.modules.items() if n.split(".")[0] in libraries and n == getattr(m, "__name__", None)))
"""
# Prints the seconds that the helpers take after those.
SECONDS = """
import importlib, sys, time
for name in sys.argv[1].split():
    try:
        importlib.import_module(name)
    except ImportError:  # made by its parent, not found on disk
        pass
start = time.perf_counter()
for name in sys.argv[2:]:
    importlib.import_module(name)
print(time.perf_counter() - start)
"""


def fresh(code: str, first: str, modules: list[str], variables: dict[str, str]) -> str:
    """What a new Python prints that runs `code` with these arguments."""
    command = [sys.executable, "-c", code, first, *modules]
    return subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(helpers: Path, variables: dict[str, str], repetitions: int) -> list[dict]:
    """Import times of the numerical helpers and of all of them.

    Parameters
    ----------
    helpers : Path
        Folder of the package; its parent is to be on the PYTHONPATH in `variables`.
    variables : dict
        Environment of the processes.
    repetitions : int
        How often each time is taken.

    Returns
    -------
    list of dict
        ``modules``: which ones, in words; ``count``: how many; ``beyond``: libraries not counted; ``seconds``: times.
    """
    everything = sorted(f"{helpers.name}.{path.stem}" for path in helpers.glob("*.py") if path.stem != "__init__")
    numerical = fresh(WITHOUT, "pandas matplotlib", everything, variables).split()
    rows = []
    for words, modules, beyond in (
        ("those that need numpy and scipy only", numerical, ["numpy", "scipy"]),
        ("all, with tables and figures", everything, ["numpy", "scipy", "pandas", "matplotlib"]),
        ("all, with tables and figures", everything, ["numpy", "scipy"]),
    ):
        needed = fresh(NEEDED, " ".join(beyond), modules, variables)
        times = [float(fresh(SECONDS, needed, modules, variables)) for _ in range(repetitions)]
        rows.append({"modules": words, "count": len(modules), "beyond": beyond, "seconds": times})
    return rows
