"""run_all.py on a small made-up collection: 01 reads a table, 02 and 03 read what 01 wrote."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from runner import accept, compare, environment, figures_page, graph, session, show, stored

ROOT = Path(__file__).resolve().parents[1]
HELPER = '''import csv, os
from pathlib import Path
FOLDER = Path(os.environ["META_ANALYSIS_BUILD"])
def read(name):
    return list(csv.DictReader(open(FOLDER / "data" / name, encoding="utf-8", newline="")))
def write(rows, name):
    with open(FOLDER / "data" / "derived" / name, "w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\\n")
        writer.writeheader()
        writer.writerows(rows)
'''
NOTEBOOKS = {
    "01_first": [
        "# First\n\n**Reads:** `data/extracted/trials.csv`\n**Writes:** `data/derived/01_sizes.csv`",
        ["from helper import read, write", "rows = read('extracted/trials.csv')"],
        "## 1. Sizes",
        ["write([{'trial': r['trial'], 'n': r['n'], 'half': int(r['n']) / 2} for r in rows], '01_sizes.csv')",
         "print('people:', sum(int(r['n']) for r in rows))"],
    ],
    "02_figure": [
        "# Figure\n\n**Reads:** `data/derived/01_sizes.csv`\n\n"
        "**Writes:** `data/derived/02_figures.csv`,\n`figures/02_sizes.png`",
        ["from helper import FOLDER, read, write"],
        "## 1. Draw",
        ["total = sum(float(r['half']) for r in read('derived/01_sizes.csv'))",
         "for end in ('png', 'svg'):",
         "    (FOLDER / 'figures' / f'02_sizes.{end}').write_text(f'{end} {total}')",
         "write([{'figure': '02_sizes', 'title': 'Sizes', 'alt': f'Half of all is {total}'}], '02_figures.csv')"],
    ],
    "03_headline": [
        "# Headline\n\n**Reads:** `data/derived/01_sizes.csv`\n\n**Writes:** `data/derived/03_headline.csv`",
        ["from helper import read, write", "print('one', end=' ', flush=True)", "print('two')"],
        "## 1. Result",
        ["mean = sum(float(r['n']) for r in read('derived/01_sizes.csv')) / 3",
         "write([{'analysis_id': 'size.mean', 'estimate': mean}], '03_headline.csv')", "round(mean, 2)"],
    ],
}


def notebook(cells):
    """A notebook as JSON: text is a Markdown cell, a list of lines a code cell."""
    made = []
    for position, cell in enumerate(cells):
        new = {"id": f"c{position}", "metadata": {}, "source": cell if isinstance(cell, str) else "\n".join(cell)}
        made.append(new | ({"cell_type": "markdown"} if isinstance(cell, str) else
                           {"cell_type": "code", "outputs": [], "execution_count": None}))
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}


def save(root, name, cells):
    (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps(notebook(cells)), encoding="utf-8")


def edit(root, name, old, new):
    """Change the source of a notebook without touching its outputs."""
    path = root / "notebooks" / f"{name}.ipynb"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def run(root, **options):
    """Run the collection; give the exit code and all that was printed."""
    lines = []
    code = session.run(root, validate=options.pop("validate", lambda folder: []), say=lines.append, **options)
    return SimpleNamespace(code=code, text="\n".join(lines))


def contents(root):
    """Every file of the repository, build/ aside."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*"))
            if path.is_file() and "build" not in path.relative_to(root).parts}


@pytest.fixture(scope="module")
def accepted(tmp_path_factory):
    """The collection after one accepted run; tests work on copies of it."""
    root = tmp_path_factory.mktemp("accepted")
    for folder in ("data/extracted", "data/reference", "notebooks", "figures"):
        (root / folder).mkdir(parents=True)
    (root / "requirements.txt").write_text("# nothing\n", encoding="utf-8")
    (root / "data/datapackage.json").write_text("{}", encoding="utf-8")
    (root / "data/extracted/trials.csv").write_text("trial,n\nA,10\nB,20\nC,31\n", encoding="utf-8")
    (root / "notebooks/helper.py").write_text(HELPER, encoding="utf-8")
    for name, cells in NOTEBOOKS.items():
        save(root, name, cells)
    fonts = ROOT / "build" / "matplotlib"
    shutil.copytree(fonts, root / "build" / "matplotlib")  # making the list of fonts again takes seconds
    first = run(root)
    assert first.code == session.DRIFT, first.text
    assert "data/derived/03_headline.csv" in first.text and "new" in first.text  # nothing was stored yet
    assert not (root / "data/derived").exists()
    second = run(root, accept=True)
    assert second.code == session.IDENTICAL, second.text
    return root


@pytest.fixture
def root(accepted, tmp_path):
    copy = tmp_path / "project"
    shutil.copytree(accepted, copy)
    return copy


# Order and declarations -----------------------------------------------------------------------------------------------


def collection(folder, **cells):
    folder.mkdir(parents=True)
    for name, text in cells.items():
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook([text])), encoding="utf-8")
    return folder


def test_order_and_needs_come_from_the_declarations(accepted):
    notebooks = graph.load(accepted / "notebooks")
    assert [n.name for n in notebooks] == list(NOTEBOOKS)
    assert [n.name for n in graph.needs(notebooks[2], notebooks)] == ["01_first"]  # 02 and 03 are independent
    assert notebooks[1].writes == ("data/derived/02_figures.csv", "figures/02_sizes.png", "figures/02_sizes.svg")
    assert [n.name for n in graph.select(notebooks, ["03"])] == ["01_first", "03_headline"]
    with pytest.raises(graph.CollectionError, match="no notebook is called 07"):
        graph.select(notebooks, ["07"])


WRITES = "**Writes:** `data/derived/02_a.csv`"


@pytest.mark.parametrize("text, problem", [
    (f"**Reads:** `data/derived/03_b.csv`\n\n{WRITES}", "reads only files with a smaller number"),
    (f"**Reads:** `data/derived/02_a.csv`\n\n{WRITES}", "reads only files with a smaller number"),
    (f"**Reads:** `data/derived/01_a.csv`\n\n{WRITES}", "which no notebook writes"),
    (f"**Reads:** `data/extracted/*.csv`\n\n{WRITES}", "not the name of one file"),
    ("**Reads:** `data/extracted/a.csv`\n\n**Writes:** `data/derived/03_a.csv`", "begins with 02_"),
    ("**Reads:** `data/extracted/a.csv`\n\n**Writes:** `data/extracted/02_a.csv`", "not a .csv of data/derived/"),
    ("**Reads:** `data/extracted/a.csv`", "does not say"),
])
def test_a_declaration_against_the_rules_is_refused(tmp_path, text, problem):
    folder = collection(tmp_path / "notebooks", **{"02_a": f"# A\n\n{text}"})
    with pytest.raises(graph.CollectionError, match=problem):
        graph.load(folder)


def test_two_notebooks_with_one_number_and_a_folder_without_notebooks_are_refused(tmp_path):
    text = "**Reads:** `data/extracted/a.csv`\n\n**Writes:** `data/derived/02_a.csv`"
    with pytest.raises(graph.CollectionError, match="two notebooks have the number 02"):
        graph.load(collection(tmp_path / "twice", **{"02_a": text, "02_b": text}))
    with pytest.raises(graph.CollectionError, match="no notebooks"):
        graph.load(collection(tmp_path / "empty"))


def test_a_declared_input_that_is_not_there_is_an_error_before_anything_runs(root):
    (root / "data/extracted/trials.csv").rename(root / "data/extracted/other.csv")
    result = run(root)
    assert result.code == session.ERROR
    assert "01_first.ipynb: reads `data/extracted/trials.csv`, which does not exist" in result.text


# Runs -----------------------------------------------------------------------------------------------------------------


def test_a_second_run_runs_nothing_and_says_identical(root):
    before = contents(root)
    result = run(root)
    assert result.code == session.IDENTICAL
    assert "identical" in result.text.splitlines()
    assert result.text.count("unchanged, kept") == 3
    assert "size.mean" in result.text and "20.3" in result.text  # the headline table
    assert contents(root) == before


def test_what_is_stored_is_clean(root):
    for path in (root / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        nbformat.validate(nbformat.from_dict(content))
        assert "papermill" not in text and text.endswith("}\n") and str(root) not in text
        assert [c["execution_count"] for c in content["cells"] if c["cell_type"] == "code"] == [1, 2]
        assert [c["id"] for c in content["cells"]] == ["c0", "c1", "c2", "c3"]
        assert content["metadata"] == {"kernelspec": stored.KERNELSPEC, "language_info": {"name": "python"}}
    printed = json.loads((root / "notebooks/03_headline.ipynb").read_text(encoding="utf-8"))["cells"][1]["outputs"]
    assert printed == [{"name": "stdout", "output_type": "stream", "text": ["one two\n"]}]  # one piece, always
    page = (root / "figures/README.md").read_text(encoding="utf-8")
    assert "[02_sizes.png](02_sizes.png)" in page and "Half of all is 30.5" in page


def test_two_runs_give_the_same_bytes(root):
    before = contents(root)
    result = run(root, fresh=True, accept=True)
    assert result.code == session.IDENTICAL and result.text.count(": ran, ") == 3
    assert "Accepted: 0 file(s)" in result.text
    assert contents(root) == before


def test_drift_is_found_and_named_and_nothing_is_overwritten(root):
    trials = root / "data/extracted/trials.csv"
    trials.write_text(trials.read_text(encoding="utf-8").replace("C,31", "C,34"), encoding="utf-8")
    before = contents(root)
    result = run(root)
    assert result.code == session.DRIFT and "identical" not in result.text
    with open(root / "build/run/drift.csv", encoding="utf-8", newline="") as text:
        drift = [tuple(row.values()) for row in csv.DictReader(text)]
    assert ("data/derived/01_sizes.csv", "C", "n", "31", "34") in drift
    assert ("data/derived/01_sizes.csv", "C", "half", "15.5", "17.0") in drift
    assert ("notebooks/01_first.ipynb", "[2] 1. Sizes", "stdout", "people: 61", "people: 64") in drift
    assert ("notebooks/03_headline.ipynb", "[2] 1. Result", "text/plain", "20.33", "21.33") in drift
    assert "figures/02_sizes.png" in result.text  # drawn differently: a note, not a difference
    assert not any(row[0].endswith(".png") for row in drift)
    assert contents(root) == before


def test_only_what_depends_on_a_change_runs_again(root):
    edit(root, "03_headline", "/ 3", "/ 3.0")  # another text, the same result
    result = run(root)
    assert result.code == session.IDENTICAL
    assert "01_first: unchanged" in result.text and "02_figure: unchanged" in result.text
    assert "03_headline: ran" in result.text
    (root / "build/run/data/derived/03_headline.csv").write_text("spoilt\n", encoding="utf-8")
    assert "03_headline: ran" in run(root).text  # kept results are verified, not trusted


def test_a_partial_run_runs_what_it_needs_and_cannot_be_accepted(root):
    edit(root, "03_headline", "/ 3", "/ 3.0")
    before = contents(root)
    result = run(root, only=["03"])
    assert result.code == session.IDENTICAL and "02_figure" not in result.text
    assert "01_first: unchanged" in result.text and "03_headline: ran" in result.text
    refused = run(root, only=["03"], accept=True)
    assert refused.code == session.ERROR and "--accept stores a complete run" in refused.text
    assert contents(root) == before


def test_a_failure_is_located_and_the_others_finish(root):
    edit(root, "02_figure", "total = sum(", "total = 1 / 0 * sum(")
    edit(root, "03_headline", "/ 3", "/ 4")
    before = contents(root)
    result = run(root, accept=True)
    assert result.code == session.ERROR
    assert ('02_figure.ipynb, section "1. Draw", cell [2] (position 4 of 4): ZeroDivisionError: division by zero'
            in result.text)
    copy = root / "build/run/copies/02_figure/02_figure.ipynb"
    assert f"partial copy: {copy}" in result.text and "ZeroDivisionError" in copy.read_text(encoding="utf-8")
    assert "03_headline: ran" in result.text
    assert contents(root) == before


def add_to_last_cell(root, name, lines, more_cells=0):
    path = root / "notebooks" / f"{name}.ipynb"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"][-1]["source"] += [f"\n{line}" for line in lines]
    content["cells"] += [content["cells"][1] | {"id": f"more{n}"} for n in range(more_cells)]
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("lines, problems", [
    (["open(FOLDER / 'data' / 'derived' / '02_extra.csv', 'w').close()", "open('stray.txt', 'w').close()",
      "(FOLDER / 'data' / 'derived' / '01_sizes.csv').write_text('spoilt')",
      "(FOLDER / 'figures' / '02_sizes.svg').unlink()"],
     ["wrote or changed `data/derived/02_extra.csv`", "wrote or changed `notebooks/stray.txt`",
      "wrote or changed `data/derived/01_sizes.csv`", "did not write `figures/02_sizes.svg`"]),
    (["open(FOLDER / 'data' / 'extracted' / 'trials.csv')"], ["FileNotFoundError"]),  # only 01 declares to read it
    (["import os; os.kill(os.getpid(), 9)"], ['section "1. Draw", cell [2] (position 4 of 5)']),
    (["import sys; sys.exit()"], ["a cell ended the notebook before its end"]),
], ids=["writes", "reads", "killed", "exit"])
def test_a_notebook_that_does_not_keep_to_its_declarations_fails(root, lines, problems):
    add_to_last_cell(root, "02_figure", lines, more_cells=1)
    before = contents(root)
    result = run(root, only=["02"])
    assert result.code == session.ERROR and "identical" not in result.text.splitlines()
    assert [problem for problem in problems if problem not in result.text] == []
    assert contents(root) == before


def test_bad_data_are_refused_and_nothing_runs(root):
    edit(root, "01_first", "print('people", "print('persons")
    violation = "extracted/trials.csv, row 2, column n, value '-1': below 0"
    before = contents(root)
    result = run(root, accept=True, validate=lambda folder: [violation])
    assert result.code == session.ERROR
    assert violation in result.text.splitlines() and ": ran" not in result.text
    assert contents(root) == before


def test_other_data_run_elsewhere_and_leave_the_repository_alone(root, tmp_path):
    other, out = tmp_path / "extracted", tmp_path / "out"
    other.mkdir()
    (other / "trials.csv").write_text("trial,n\nA,10\nB,20\nC,31\nD,8\n", encoding="utf-8")
    before = contents(root)
    seen = []
    result = run(root, data=other, out=out, only=["01"],
                 validate=lambda folder: seen.append((folder / "extracted/trials.csv").read_text("utf-8")) or [])
    assert result.code == session.DRIFT and "D,8" in seen[0]
    with open(out / "drift.csv", encoding="utf-8", newline="") as text:
        assert ["data/derived/01_sizes.csv", "D", "", "(missing)", "row"] in list(csv.reader(text))
    assert "D,8,4.0" in (out / "data/derived/01_sizes.csv").read_text(encoding="utf-8")
    assert contents(root) == before


def test_a_number_that_nothing_reads_is_drift_too(root, tmp_path):
    (root / "data/extracted/unread.csv").write_text("id,value\nx,1\n", encoding="utf-8")
    in_place = run(root)
    assert in_place.code == session.DRIFT and "data/extracted/unread.csv" in in_place.text
    assert run(root, accept=True).code == session.IDENTICAL and run(root).code == session.IDENTICAL
    shutil.copytree(root / "data", tmp_path / "other")
    (tmp_path / "other/extracted/unread.csv").write_text("id,value\nx,2\n", encoding="utf-8")
    result = run(root, data=tmp_path / "other")
    assert result.code == session.DRIFT
    assert [line.split() for line in result.text.splitlines() if line.startswith("data/extracted/unread.csv")] == [
        ["data/extracted/unread.csv", "x", "value", "1", "2"]]


@pytest.mark.parametrize("out", [".", "data/new", "../other", "full"])
def test_an_unfit_folder_for_results_is_refused(root, tmp_path, out):
    other = tmp_path / "other"
    shutil.copytree(root / "data", other)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine", encoding="utf-8")
    before = contents(root)
    result = run(root, data=other, out=tmp_path / "full" if out == "full" else root / out)
    assert result.code == session.ERROR and "--out" in result.text and contents(root) == before


def test_a_stopped_run_leaves_what_is_stored_and_ends_its_processes(root):
    edit(root, "01_first", "rows = read", "import time; time.sleep(60); rows = read")
    before = contents(root)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" \
           "from pathlib import Path; from runner import session\n" \
           f"session.run(Path({str(root)!r}), accept=True, validate=lambda folder: [])"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", code], **quiet) as process:
        partial = root / "build/run/copies/01_first/01_first.ipynb"
        deadline = time.monotonic() + 20
        while not partial.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
    assert partial.exists() and contents(root) == before


# Storing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fail_at", [1, 2, 3, 4, 5])
def test_accepting_is_all_or_nothing(tmp_path, monkeypatch, fail_at):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/old.csv").write_bytes(b"old")
    (tmp_path / "data/gone.csv").write_bytes(b"gone")
    before = contents(tmp_path)
    calls, replace = [], os.replace

    def broken_replace(source, target):
        if Path(target).name != "accept.json":  # the journal aside
            calls.append(target)
            if len(calls) == fail_at:
                raise OSError("the disk is full")
        replace(source, target)

    monkeypatch.setattr(accept.os, "replace", broken_replace)
    wanted = {"data/old.csv": b"new", "data/gone.csv": None, "data/more.csv": b"more", "figures/x.png": b"x"}
    with pytest.raises(OSError, match="full"):
        accept.store(tmp_path, wanted)
    assert contents(tmp_path) == before and not accept.recover(tmp_path)
    monkeypatch.undo()
    accept.store(tmp_path, wanted)
    assert contents(tmp_path) == {file: content for file, content in wanted.items() if content is not None}


def test_an_accept_cut_off_by_a_power_failure_is_put_back_by_the_next_run(root, monkeypatch):
    before = contents(root)
    replace, files = os.replace, ["data/derived/01_sizes.csv", "data/derived/03_headline.csv"]

    def power_failure(source, target):
        if Path(target).name == "03_headline.csv":
            monkeypatch.setattr(accept, "recover", lambda root: False)  # a dead process cleans nothing up
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(accept.os, "replace", power_failure)
    with pytest.raises(KeyboardInterrupt):
        accept.store(root, {file: b"half\n" for file in files})
    monkeypatch.undo()
    assert contents(root) != before
    result = run(root)
    assert "was put back" in result.text and result.code == session.IDENTICAL
    assert contents(root) == before


def test_an_error_while_storing_is_reported(root, monkeypatch):
    edit(root, "03_headline", "/ 3", "/ 4")
    before = contents(root)
    replace = os.replace

    def broken_replace(source, target):
        if Path(source).name == ".03_headline.csv.new":
            raise OSError("the disk is full")
        replace(source, target)

    monkeypatch.setattr(accept.os, "replace", broken_replace)
    result = run(root, accept=True)
    assert result.code == session.ERROR and "nothing was changed: the disk is full" in result.text
    assert contents(root) == before


def test_a_result_no_longer_written_is_drift_and_goes_on_accept(root):
    (root / "data/derived/09_old.csv").write_text("a\n1\n", encoding="utf-8")
    assert "no longer written" in run(root).text
    assert run(root, accept=True).code == session.IDENTICAL
    assert not (root / "data/derived/09_old.csv").exists()


# Comparison -----------------------------------------------------------------------------------------------------------


def differences(tmp_path, old, new):
    (tmp_path / "old.csv").write_text(old, encoding="utf-8")
    (tmp_path / "new.csv").write_text(new, encoding="utf-8")
    found = compare.compare_tables(tmp_path / "old.csv", tmp_path / "new.csv", "t.csv")
    return [(d.row, d.column, d.stored, d.now) for d in found]


TABLE = "k,analysis_id,estimate\n6,a,-0.71\n5,b,0\n"


@pytest.mark.parametrize("new, expected", [
    (TABLE, []),
    (TABLE.replace("-0.71", "-0.71000000001"), []),
    (TABLE.replace(",0\n", ",1e-12\n"), []),
    (TABLE.replace("-0.71", "-0.71001"), [("a", "estimate", "-0.71", "-0.71001")]),
    (TABLE.replace("-0.71", "0.71"), [("a", "estimate", "-0.71", "0.71")]),
    (TABLE.replace("-0.71", ""), [("a", "estimate", "-0.71", "")]),
    (TABLE.replace("-0.71", "nan"), [("a", "estimate", "-0.71", "nan")]),
    (TABLE.replace("5,b,0\n", ""), [("b", "", "row", "(missing)")]),
    (TABLE + "4,c,1\n", [("c", "", "(missing)", "row")]),
    (TABLE.replace("estimate", "est"), [("", "estimate", "column", "(missing)"), ("", "est", "(missing)", "column")]),
    ("k,analysis_id,estimate\n5,b,0\n6,a,-0.71\n", [("", "order of rows", "", "changed")]),
])
def test_tables_are_compared_by_number_and_rows_by_name(tmp_path, new, expected):
    assert differences(tmp_path, TABLE, new) == expected


def test_rows_without_an_analysis_id_are_named_by_their_first_columns(tmp_path):
    table = "trial,arm,x\nA,1,0.5\nA,2,0.6\nB,1,0.7\n"
    assert differences(tmp_path, table, table.replace("0.6", "0.9")) == [("A / arm 2", "x", "0.6", "0.9")]
    table = "dose,n\n25,3\n40,4\n"  # a bare number is told what it is
    assert differences(tmp_path, table, table.replace("4\n", "5\n")) == [("dose 40", "n", "4", "5")]
    table = "x,y\n0.25,1\n0.5,2\n"  # results name nothing
    assert differences(tmp_path, table, table.replace("2\n", "3\n")) == [("row 2", "y", "2", "3")]
    table = "set,trial,arm,y,unit,measure\na,A,1,0.5,mg,RR\na,B,1,0.6,mg,RR\nb,B,1,0.7,mg,RR\nb,B,1,0.7,mg,OR\n"
    assert differences(tmp_path, table, table.replace("0.6", "0.9")) == [("a / B / RR", "y", "0.6", "0.9")]
    table = "level,analysis_id,x\nlow,a,0.5\nhigh,a,0.6\n"  # one analysis, several rows
    assert differences(tmp_path, table, table.replace("0.6", "0.9")) == [("a / high", "x", "0.6", "0.9")]
    table = "trial,x\nA,0.5\nA,0.6\n"  # the same name twice
    assert differences(tmp_path, table, table.replace("0.6", "0.9")) == [("A #2", "x", "0.6", "0.9")]


def one_cell(*outputs):
    cell = nbformat.v4.new_code_cell("show()", execution_count=1, outputs=list(outputs))
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("## 1. Part"), cell])


def test_tables_shown_in_notebooks_are_compared_and_pictures_are_only_noted():
    def shown(number, picture):
        data = {"text/html": f"<table>\n<td>{number}</td>\n</table>", "text/plain": f"a {number}"}
        return one_cell(nbformat.v4.new_output("display_data", data),
                        nbformat.v4.new_output("display_data", {"image/png": picture, "text/plain": "<Figure>"}))

    assert compare.compare_notebooks(shown("1.0", "x"), shown("1.0", "x"), "f") == ([], False)
    assert compare.compare_notebooks(shown("1.0", "x"), shown("1.0", "y"), "f") == ([], True)
    found, _ = compare.compare_notebooks(shown("1.0", "x"), shown("1.1", "x"), "f")
    assert [(d.row, d.column, d.stored, d.now) for d in found] == [("[1] 1. Part", "text/plain", "a 1.0", "a 1.1")]
    html = [one_cell(nbformat.v4.new_output("display_data", {"text/html": f"<b>{n}</b>"})) for n in (1, 2)]
    assert compare.compare_notebooks(*html, "f")[0][0].now == "2"
    warning = nbformat.v4.new_output("stream", name="stderr", text="Warning")
    warned = one_cell(warning, *shown("1.0", "x").cells[1].outputs)
    assert [d.column for d in compare.compare_notebooks(shown("1.0", "x"), warned, "f")[0]] == ["stderr"]


def test_a_long_list_is_cut_with_a_count():
    many = [compare.Difference("a.csv", f"row {n}", "x", "1", "2") for n in range(100)]
    table = show.drift_table([*many, compare.Difference("b.csv", "r", "x", "1", "2")])
    shown = show.SHOWN_PER_FILE
    assert f"... and {100 - shown} more" in table and "b.csv" in table and len(table.splitlines()) == shown + 3


def test_of_two_long_texts_the_piece_in_which_they_differ_is_shown():
    before = "The same words at the beginning of both of these texts, and then six trials and many more words after"
    table = show.drift_table([compare.Difference("a.csv", "r", "alt", before, before.replace("six", "five"))])
    assert "six trials" in table and "five trials" in table and "beginning" not in table


def test_a_figure_without_alternative_text_is_a_problem(tmp_path):
    made = graph.Notebook(Path("04_x.ipynb"), (), ("figures/04_a.png", "figures/04_b.png"))
    (tmp_path / "data/derived").mkdir(parents=True)
    table = tmp_path / "data/derived/04_figures.csv"
    assert len(figures_page.problems(tmp_path, [made])) == 2  # there is no table at all
    table.write_text("figure,title,alt\n04_a,A,text | more\n04_b,B,\n04_c,C,c\n", encoding="utf-8")
    assert [p.split(": ", 1)[1] for p in figures_page.problems(tmp_path, [made])] == [
        "data/derived/04_figures.csv gives no alt for figure 04_b",
        "data/derived/04_figures.csv lists 04_c, which is not declared"]
    assert "text \\| more" in figures_page.page(tmp_path, [made])


# Set-up ---------------------------------------------------------------------------------------------------------------


def fake_pip(calls, code):
    def call(command, **options):
        calls.append(command)
        return SimpleNamespace(returncode=code, stdout="no matching distribution")
    return call


def test_the_environment_is_made_once_and_again_when_requirements_change(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "host_pip", lambda: ["pip"])
    requirements, calls, said = tmp_path / "requirements.txt", [], []
    requirements.write_text("a==1\n", encoding="utf-8")
    with pytest.raises(environment.SetupError, match="pip could not install"):
        environment.prepare(tmp_path, call=fake_pip(calls, 1), say=said.append)
    assert "no matching distribution" in said and not (tmp_path / ".venv" / environment.STAMP).exists()
    said.clear()
    for _ in range(2):
        environment.prepare(tmp_path, call=fake_pip(calls, 0), say=said.append)
    assert len(calls) == 2 and len(said) == 2  # one failure, one success; a line before and a line after
    python = environment.venv_python(tmp_path / ".venv")
    assert calls[1][:4] == ["pip", "--python", str(python), "install"] and "--require-hashes" in calls[1]
    assert subprocess.run([str(python), "-c", "pass"], check=False).returncode == 0
    requirements.write_text("a==2\n", encoding="utf-8")
    environment.prepare(tmp_path, call=fake_pip(calls, 0), say=said.append)
    assert len(calls) == 3


def test_help_needs_no_environment_and_an_old_python_is_told_so(tmp_path):
    shutil.copy(ROOT / "run_all.py", tmp_path)
    shutil.copytree(ROOT / "runner", tmp_path / "runner")
    shown = subprocess.run([sys.executable, "-E", "-S", str(tmp_path / "run_all.py"), "--help"], capture_output=True,
                           text=True, check=False)
    assert shown.returncode == 0 and "--accept" in shown.stdout and not (tmp_path / ".venv").exists()
    code = f"import sys; sys.version_info = (3, 9, 2); exec(open({str(tmp_path / 'run_all.py')!r}).read())"
    old = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert old.returncode == 2 and old.stderr == "run_all.py needs Python 3.11 or newer; this is Python 3.9.\n"


@pytest.mark.parametrize("arguments", [["--accept", "--only", "03"], ["--accept", "--data", "x"], ["--out", "x"],
                                       ["--jobs", "0"]])
def test_arguments_that_contradict_each_other_are_refused(arguments):
    refused = subprocess.run([sys.executable, str(ROOT / "run_all.py"), *arguments], capture_output=True, text=True,
                             check=False)
    assert refused.returncode == 2 and "error:" in refused.stderr


def test_kernels_do_not_see_a_persons_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    made = environment.kernel_environment(tmp_path / "run", tmp_path)
    assert "MPLBACKEND" not in made and made["PYTHONHASHSEED"] == "0"
    assert made["META_ANALYSIS_BUILD"] == str(tmp_path / "run")


def test_paths_are_shown_from_where_one_stands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert show.path(tmp_path / "build" / "x") == str(Path("build/x"))
    assert show.path(Path("/elsewhere/x")) == str(Path("/elsewhere/x"))
