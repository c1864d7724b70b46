"""The environment: .venv made from requirements.txt, and the variables a kernel starts with.

Standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

STAMP = "run_all.stamp"


class SetupError(Exception):
    """The environment could not be made; the message says why in one line."""


def venv_python(folder: Path) -> Path:
    """The interpreter of the virtual environment in `folder`."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def wanted_stamp(root: Path) -> str:
    """What the stamp of an up-to-date environment says: the Python version and a hash of requirements.txt."""
    digest = hashlib.sha256((root / "requirements.txt").read_bytes()).hexdigest()
    return f"{platform.python_implementation()} {platform.python_version()}\nrequirements.txt sha256 {digest}\n"


def is_ready(root: Path) -> bool:
    """Whether .venv is there and was made from this requirements.txt by this version of Python."""
    stamp = root / ".venv" / STAMP
    python = venv_python(root / ".venv")
    return python.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted_stamp(root)


def host_pip() -> list[str]:
    """The command of a pip that can install into another environment (`pip --python`, pip 22.3 or newer)."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    base = getattr(sys, "_base_executable", sys.executable)  # started from a virtual environment that has no pip
    probe = subprocess.run([base, "-m", "pip", "--version"], capture_output=True, check=False)
    if probe.returncode != 0:
        raise SetupError("this Python has no pip; install pip for it, or use --here in an environment of your own")
    return [base, "-m", "pip"]


def prepare(root: Path, *, call: Callable = subprocess.run, say: Callable[[str], None] = print) -> None:
    """Make .venv from requirements.txt unless it is up to date.

    The environment itself gets no pip: the one of the Python that runs this installs into it, so that neither
    ensurepip nor (on Debian) python3-venv is needed. The stamp is written last; whatever fails leaves none.

    Raises
    ------
    SetupError
        If there is no pip or it fails; its own message is printed first.
    """
    if is_ready(root):
        return
    folder = root / ".venv"
    say("Setting up .venv from requirements.txt (once; needs a network and takes a minute or two) ...")
    (folder / STAMP).unlink(missing_ok=True)
    command = [*host_pip(), "--python", str(venv_python(folder)), "install", "--quiet", "--no-input",
               "--disable-pip-version-check", "--require-hashes", "-r", str(root / "requirements.txt")]
    try:
        # An environment of another Python cannot be brought up to date, so it is emptied; so is a broken one.
        venv.EnvBuilder(clear=not _same_python(folder), symlinks=os.name != "nt", with_pip=False).create(folder)
        done = call(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                    errors="replace", check=False)
    except OSError as error:
        raise SetupError(f".venv could not be made: {error}") from None
    if done.returncode != 0:
        say("\n".join(done.stdout.strip().splitlines()[-15:]))
        raise SetupError(f"pip could not install requirements.txt (exit code {done.returncode}); what it said is above")
    (folder / STAMP).write_text(wanted_stamp(root), encoding="utf-8", newline="\n")
    say("Set-up finished.")


def _same_python(folder: Path) -> bool:
    if not venv_python(folder).exists():
        return False
    code = "import platform; print(platform.python_implementation(), platform.python_version())"
    try:
        answer = subprocess.run([str(venv_python(folder)), "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.stdout.split() == [platform.python_implementation(), platform.python_version()]


def enter(root: Path, argv: list[str]) -> None:
    """Make sure that run_all.py runs in an up-to-date .venv; start it again in there if it does not."""
    prepare(root)
    folder = root / ".venv"
    if Path(sys.prefix).resolve() == folder.resolve():
        return
    command = [str(venv_python(folder)), str(root / "run_all.py"), *argv]
    sys.stdout.flush()
    if os.name == "nt":  # there, execv would return to the prompt before the work is done
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)


# What a person's own settings could change in the notebooks' outputs is taken away from their kernels.
REMOVED = ("MPLBACKEND", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONPATH")


def kernel_variables(build: Path, cache: Path) -> dict[str, str]:
    """Environment variables under which two runs give the same bytes and nobody's settings matter.

    Parameters
    ----------
    build : Path
        The folder through which the notebooks read and write; it also gets IPython's profile and history.
    cache : Path
        Where Jupyter's connection files and matplotlib's list of fonts go.
    """
    return {
        "META_ANALYSIS_BUILD": str(build.resolve()),
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "SOURCE_DATE_EPOCH": "315532800",  # 1980-01-01: a date in a file is this one, not today
        "IPYTHONDIR": str(build.resolve() / ".ipython"),
        "JUPYTER_CONFIG_DIR": str(cache.resolve() / "jupyter" / "config"),
        "JUPYTER_DATA_DIR": str(cache.resolve() / "jupyter" / "data"),
        "JUPYTER_RUNTIME_DIR": str(cache.resolve() / "jupyter" / "runtime"),
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel called python3 is the one of this environment
        "JUPYTER_PLATFORM_DIRS": "1",
        "MPLCONFIGDIR": str(cache.resolve() / "matplotlib"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # otherwise a warning at every start of a kernel
        # One thread: sums are taken in the same order on every computer, and notebooks side by side do not compete.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def kernel_environment(build: Path, cache: Path) -> dict[str, str]:
    """The whole environment of a process that runs a notebook."""
    inherited = {name: value for name, value in os.environ.items() if name not in REMOVED}
    return inherited | kernel_variables(build, cache)


def list_fonts(cache: Path) -> None:
    """Let matplotlib make its list of fonts now; done in a notebook it may print a warning there."""
    if not any((cache / "matplotlib").glob("fontlist-*.json")):
        subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], capture_output=True, check=False,
                       env=kernel_environment(cache, cache))
