"""Run one notebook by papermill, in a process of its own: one_notebook.py NOTEBOOK EXECUTED FOLDER.

Writes the executed (or, after an error, partly executed) copy to EXECUTED. An error ends with exit code 1 and one line
of JSON on standard output: the name of the error and its message.
"""

import json
import sys

import papermill


def main(notebook: str, executed: str, folder: str) -> int:
    try:
        papermill.execute_notebook(notebook, executed, cwd=folder, kernel_name="python3", progress_bar=False)
    except papermill.PapermillExecutionError as error:
        print(json.dumps([error.ename, error.evalue]))
        return 1
    except Exception as error:  # a killed kernel, a full disk: whatever it was, the runner says so
        print(json.dumps([type(error).__name__, str(error)]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
