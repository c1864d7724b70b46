"""A folder of its own for every test session, so that nbval's notebooks rewrite nothing that is stored.

It stands here and not in tests/ because pytest reads it for `pytest notebooks/03_pooling.ipynb` too.
"""

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis

from runner.environment import REMOVED, kernel_variables, list_fonts

ROOT = Path(__file__).resolve().parent
_folder = None


def pytest_configure(config):
    """Before anything is collected: nbval's kernels inherit the variables set here."""
    global _folder
    _folder = Path(tempfile.mkdtemp(prefix="meta_analysis_"))
    for name in ("data", "figures"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, _folder / name)
    for name in REMOVED:
        os.environ.pop(name, None)
    (ROOT / "build").mkdir(exist_ok=True)
    os.environ.update(kernel_variables(_folder, ROOT / "build"))
    list_fonts(ROOT / "build")
    # The same examples in every run, and no folder of them beside the code.
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(ROOT / "build" / "hypothesis")
    hypothesis.settings.register_profile("project", derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("project")


def pytest_unconfigure(config):
    if _folder is not None:
        shutil.rmtree(_folder, ignore_errors=True)
