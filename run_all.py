#!/usr/bin/env python3
"""Run all notebooks and compare what they give with what is stored.

    python3 run_all.py                    run, compare, print the headline results; nothing stored is changed
    python3 run_all.py --test             run the tests instead (arguments that follow go to pytest)
    python3 run_all.py --accept           run, then store the results, all of them or none
    python3 run_all.py --data DIR         run another copy of the data tables; the repository stays as it is
    python3 run_all.py --only 03          run one notebook and what it needs

The first run makes the environment (.venv) from requirements.txt; later runs need no network. A notebook whose text,
inputs and helpers are unchanged since the last run is not run again. Exit code: 0 identical, 1 drift, 2 error.
"""

import sys

if sys.version_info < (3, 11):
    sys.stderr.write("run_all.py needs Python 3.11 or newer; this is Python %d.%d.\n" % sys.version_info[:2])
    sys.exit(2)

import argparse
import signal
import subprocess
from pathlib import Path

from runner import environment

ROOT = Path(__file__).resolve().parent


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", action="store_true", help="store the results of a complete run without errors")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a copy of data/, or of data/extracted alone")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where --data writes (default: build/other)")
    parser.add_argument("--only", nargs="+", metavar="NN", default=[], help="these notebooks and what they need")
    parser.add_argument("--fresh", action="store_true", help="run every notebook, also the unchanged ones")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="notebooks side by side (default: 2)")
    parser.add_argument("--here", action="store_true", help="use this Python (conda, Binder) instead of .venv")
    parser.add_argument("--test", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="run pytest; must come last")
    return parser


def main() -> int:
    parser = arguments()
    options = parser.parse_args()
    if options.accept and (options.only or options.data):
        parser.error("--accept stores a complete run of the repository's own data: not with --only or --data")
    if options.out and not options.data:
        parser.error("--out says where --data writes; it needs --data")
    if options.jobs < 1:
        parser.error("--jobs must be 1 or more")
    try:
        if not options.here:
            environment.enter(ROOT, sys.argv[1:])  # returns only inside .venv
        if options.test is not None:
            return subprocess.call([sys.executable, "-m", "pytest", *options.test], cwd=ROOT)

        from runner import session  # needs the packages

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # an ordinary kill stops the kernels, as Ctrl-C does
        return session.run(ROOT, data=options.data, out=options.out, only=options.only, fresh=options.fresh,
                           jobs=options.jobs, accept=options.accept)
    except environment.SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"error: {error}; the packages of environment.yml must be there for --here", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; nothing stored was changed", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
