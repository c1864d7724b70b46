"""Run one notebook by papermill, in a process of its own: one_notebook.py NOTEBOOK EXECUTED FOLDER.

Writes the executed (or, after an error, partly executed) copy to EXECUTED. An error ends with exit code 1 and one line
of JSON on standard output: the name of the error and its message.
"""

import json
import sys
from typing import Any

import papermill
from papermill.engines import NBClientEngine, papermill_engines


class SavesAtTheEnd(NBClientEngine):
    """Papermill's own engine, which saves the notebook before and after every cell, saving it when all is over instead.

    Otherwise the whole copy with all its pictures is written more than a hundred times. However the cells end, with an
    error or a dead kernel, papermill goes on to save the copy once.
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        path, nb_man.output_path = nb_man.output_path, None
        try:
            return super().execute_managed_notebook(nb_man, kernel_name, **options)
        finally:
            nb_man.output_path = path


def main(notebook: str, executed: str, folder: str) -> int:
    papermill_engines.register("saves_at_the_end", SavesAtTheEnd)
    try:
        papermill.execute_notebook(notebook, executed, cwd=folder, kernel_name="python3", progress_bar=False,
                                   engine_name="saves_at_the_end")
    except papermill.PapermillExecutionError as error:
        print(json.dumps([error.ename, error.evalue]))
        return 1
    except Exception as error:  # a killed kernel, a full disk: whatever it was, the runner says so
        print(json.dumps([type(error).__name__, str(error)]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
