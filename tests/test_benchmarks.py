"""The benchmarks do the jobs they name, write the same tables from the same numbers, and say so where R is missing.

No time is asserted here: speed is measured by benchmarks/run.py, as ratios within one run.
"""

import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import imports, jobs, notebook_time, run, tables
from meta_analysis.pooling import pool

ROOT = Path(__file__).resolve().parents[1]
Y, V = np.array([-1.2, -0.3, 0.4, -0.8, -2.0]), np.array([0.10, 0.05, 0.20, 0.15, 0.08])
# A batch adds up in another order than a single pool does.
BATCH = 1e-12


def subsets():
    """All subsets of the five studies as lists of indices, in binary order, the first study being the lowest digit."""
    return [[i for i in range(5) if number >> i & 1] for number in range(1, 2**5)]


def assert_fits(answers, fits):
    """The answers of a job are those of fits made one by one."""
    for name, values in answers.items():
        expected = [getattr(fit, name) for fit in fits]
        np.testing.assert_allclose(np.atleast_1d(values), expected, rtol=BATCH, atol=BATCH, err_msg=name)


def test_single_fit_and_leave_one_out_are_plain_pools():
    assert_fits(jobs.single(Y, V), [pool(Y, V)])
    assert_fits(jobs.leave_one_out_job(Y, V), [pool(np.delete(Y, i), np.delete(V, i)) for i in range(5)])


@pytest.mark.parametrize(("job", "ci_method"), [(jobs.subsets_hk, "HK"), (jobs.gosh_job, "Wald")])
def test_jobs_on_all_subsets_are_a_loop_of_pools(job, ci_method):
    fits = [pool(Y[s], V[s], ci_method=ci_method) if len(s) > 1 else pool(Y[s], V[s], model="common")
            for s in subsets()]
    assert_fits(job(Y, V), fits)


def test_permutation_job_is_a_loop_over_signs():
    t = []
    for signs in itertools.product((1, -1), repeat=5):
        fit = pool(np.array(signs[::-1]) * Y, V)  # the first study changes fastest
        t.append(fit.estimate / fit.se)
    answers = jobs.permutation(Y, V)
    np.testing.assert_allclose(answers["t"], t, rtol=BATCH)
    np.testing.assert_allclose(answers["p"], np.mean(np.abs(t) >= abs(t[0]) * (1 - 1e-9)))


def test_growth_pools_as_many_subsets_as_it_says(monkeypatch):
    counts = []
    monkeypatch.setattr(jobs, "gosh", lambda y, v, subsets: counts.append((len(y), subsets)))
    result = jobs.growth(2**10, 0.0, 3)
    assert counts[1:] == [(20, 2**10)] * 3 and len(result["seconds"]) == 3 and result["bytes"] > 2**20


def test_both_sides_have_the_same_jobs_on_the_same_studies():
    script = (ROOT / "benchmarks" / "metafor.R").read_text(encoding="utf-8")
    in_r = re.findall(r"^   (\w+) = list\(\n      set = \"(\w+)\"", script, flags=re.MULTILINE)
    assert dict(in_r) == {name: which for name, (which, _) in jobs.JOBS.items()}
    assert list(tables.LABELS) == list(jobs.JOBS)


def test_studies_are_written_with_all_digits(tmp_path):
    run.write_studies(tmp_path / "studies.csv")
    results = jobs.live(str(tmp_path / "studies.csv"), 0.0, 1)["jobs"]
    for name, (_, pools) in tables.LABELS.items():  # the label says how many pools there are
        assert max(map(len, results[name]["answers"].values())) == pools
    reference = run.json.loads((ROOT / "data" / "reference" / "metafor.json").read_text(encoding="utf-8"))
    bcg = reference["pooling"]["datasets"]["bcg"]
    assert results["single"]["answers"]["estimate"] == [pool(bcg["yi"], bcg["vi"]).estimate]


def test_profile_knows_its_functions(tmp_path):
    run.write_studies(tmp_path / "studies.csv")
    shares = jobs.profile(str(tmp_path / "studies.csv"), 0.0, 1)
    assert list(shares) == [*jobs.PARTS, "the rest"]
    assert all(0 < share < 1 for share in shares.values()) and sum(shares.values()) == pytest.approx(1)


def test_difference_of_answers():
    assert tables.largest_difference({"a": [1.0, 2.0], "i2": [50.0]}, {"a": [1.0, 2.5], "i2": [49.0]}) == 0.5 / 2.5
    assert tables.largest_difference({"i2": [50.0]}, {"i2": [49.0]}) == 0.01  # of 100 percent
    assert tables.largest_difference({"a": [1.0, 7.0]}, {"a": [1.0, None]}) == 0.0
    assert tables.missing({"a": [1.0, None], "b": [None, None]}) == 2
    for ours, theirs, message in (({"a": [1.0]}, {"b": [1.0]}, "different answers: a, b"),
                                  ({"a": [1.0]}, {"a": [1.0, 2.0]}, "a: 1 answers of ours, 2 of metafor"),
                                  ({"a": [float("nan")]}, {"a": [1.0]}, "a: ours nan")):
        with pytest.raises(ValueError, match=message):
            tables.largest_difference(ours, theirs)


@pytest.mark.parametrize(("seconds", "words"), [
    (12.345, "12.3 s"), (0.9999, "1.00 s"), (0.9994, "999 ms"), (0.0221, "22.1 ms"), (2.334e-6, "2.33 µs"),
    (1234.0, "1,230 s"), (9.996e-6, "10.0 µs"),
])
def test_durations(seconds, words):
    assert tables.duration(seconds) == words


def made_up(gosh_seconds=0.02, apart=0.0):
    """Numbers of a run that never was."""
    fit = {"estimate": [-0.5], "tau2": [0.1]}
    other = {"estimate": [-0.5 + apart], "tau2": [0.1]}
    ours = {name: {"seconds": [0.03, gosh_seconds, 0.04], "answers": fit} for name in tables.LABELS}
    theirs = {name: {"seconds": [25.0, 24.0, 30.0], "answers": other, "tight": other} for name in tables.LABELS}
    sizes = [{"subsets": 2**n, "seconds": [2e-6 * 2**n, 3e-6 * 2**n], "bytes": 2**n * 200} for n in (10, 13, 20)]
    loads = [{"modules": "all", "count": 40, "beyond": ["numpy", "scipy"], "seconds": [0.6, 0.4]}]
    return {"ours": ours, "metafor": theirs, "growth": sizes, "imports": loads, "processor": "A Processor",
            "notebook": {"whole": [7.0, 6.0, 5.5], "start": [2.5, 3.0, 2.5]},
            "profile": {"tau2": 0.75, "the rest": 0.25}, "versions": {"Python": "3.11.0", "metafor": "3.8.1"}}


def test_tables_of_given_numbers():
    page = tables.page(made_up(apart=2e-6))
    assert page == tables.page(made_up(apart=2e-6))
    assert page.splitlines()[0] == "Python 3.11.0, metafor 3.8.1; A Processor"
    for line in (
        "| GOSH against metafor, one core | at least 1,000 times | 1,200 times | met |",
        "| cost of a pool at 2^20, as a multiple of 2^13 | at most 1.5 | 1.00 | met |",
        "| peak memory at 2^20 | below 1 GiB | 200 MiB | met |",
        "| import, all | below 0.5 s | 400 ms | met |",
        "| notebook 05, as a multiple of a start with its imports | below 2.0 | 2.20 | missed |",
        "| GOSH with REML, dat.bcg | 8,191 | 20.0 ms | 30.0 ms | 24.0 s | 25.0 s | 1,200 | 2e-06 | 2e-06 |",
        "| tau2 | 75% |",
        "| 2^13 | 2.00 µs | 2.50 µs | 2 MiB |",
        "| all (40) | numpy, scipy | 400 ms | 500 ms |",
    ):
        assert line in page.splitlines(), line
    assert "| 960 times | missed |" in tables.page(made_up(gosh_seconds=0.025))


def test_tables_replace_what_stands_between_the_markers():
    text = f"before\n{tables.START}\nold\n{tables.END}\nafter\n"
    once = tables.insert(text, "new")
    assert once == f"before\n{tables.START}\nnew\n{tables.END}\nafter\n" == tables.insert(once, "new")
    for bad in ("no markers", text + tables.END, f"{tables.END}\n{tables.START}"):
        with pytest.raises(ValueError, match="once each"):
            tables.insert(bad, "new")


def test_the_stored_tables_have_the_form_that_the_command_writes():
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert tables.insert(text, "")  # both markers
    stored = text.split(tables.START)[1].split(tables.END)[0]
    for label, _ in tables.LABELS.values():
        assert f"| {label} |" in stored
    for size in run.SIZES:
        assert f"| 2^{size.bit_length() - 1} |" in stored


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """A README of its own, and no measuring of imports and notebooks."""
    readme = tmp_path / "README.md"
    readme.write_text(f"{tables.START}\nold\n{tables.END}\n", encoding="utf-8")
    monkeypatch.setattr(run, "README", readme)
    monkeypatch.setattr(imports, "measure", lambda *_: made_up()["imports"])
    monkeypatch.setattr(notebook_time, "measure", lambda *_: made_up()["notebook"])
    return readme


def test_without_rscript_the_rest_is_measured(quick, monkeypatch, capsys):
    monkeypatch.setattr(run.shutil, "which", lambda _: None)
    assert run.main(sizes=(2**4,), seconds=0.0, repetitions=1) == 0
    out = capsys.readouterr().out
    assert "metafor: skipped, Rscript was not found" in out and "| 2^4 |" in out and "GOSH against" not in out
    assert "old" in quick.read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Rscript is a shell script")
def test_r_without_metafor_and_a_script_that_fails(monkeypatch, tmp_path, capsys):
    rscript = tmp_path / "Rscript"
    monkeypatch.setattr(run.shutil, "which", lambda _: str(rscript))
    for code in (run.NO_METAFOR, 1):
        rscript.write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
        rscript.chmod(0o755)
        if code == 1:
            with pytest.raises(SystemExit, match="exit code 1"):
                run.measure_metafor(tmp_path / "studies.csv", 0.0, 1)
        else:
            assert run.measure_metafor(tmp_path / "studies.csv", 0.0, 1) is None
            assert "not its package metafor" in capsys.readouterr().out
    assert f"quit(status = {run.NO_METAFOR})" in (ROOT / "benchmarks" / "metafor.R").read_text(encoding="utf-8")


@pytest.mark.parametrize(("apart", "code", "left"), [(0.0, 0, "1,200 times"), (1e-6, 1, "old")])
def test_wrong_answers_are_an_error_and_leave_the_tables_alone(quick, monkeypatch, capsys, apart, code, left):
    results = made_up(apart=apart)
    growth = results.pop("growth")
    monkeypatch.setattr(run, "compare_live", lambda *_: results)
    monkeypatch.setattr(run, "measure_growth", lambda *_: growth)
    assert run.main() == code
    assert left in quick.read_text(encoding="utf-8")
    assert ("answers differ" in capsys.readouterr().err) == bool(code)


def test_import_time_does_not_count_the_libraries(tmp_path):
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    for name, text in {"__init__": "", "plain": "import numpy", "tables": "import pandas"}.items():
        (helpers / f"{name}.py").write_text(text, encoding="utf-8")
    variables = {**run.variables(), "PYTHONPATH": str(tmp_path)}
    names = ["helpers.plain", "helpers.tables"]
    assert imports.fresh(imports.WITHOUT, "pandas matplotlib", names, variables).split() == ["helpers.plain"]
    needed = imports.fresh(imports.NEEDED, "numpy", names, variables).split()
    assert "numpy" in needed and not any(name.startswith(("pandas", "helpers")) for name in needed)
    assert float(imports.fresh(imports.SECONDS, " ".join(needed), names[:1], variables)) > 0


def test_the_start_of_a_notebook_is_its_imports_and_no_more():
    cells = [{"cell_type": "markdown", "source": ["# Title"]},
             {"cell_type": "code", "source": ["import numpy\n", "x = 1"]},
             {"cell_type": "code", "source": ["import numpy\n", "\n", "from a import b"]}]
    assert notebook_time.imports_only({"cells": cells, "nbformat": 4}) == {"cells": cells[2:], "nbformat": 4}
    stored = run.json.loads((ROOT / "notebooks" / notebook_time.NAME).read_text(encoding="utf-8"))
    assert 1 <= len(notebook_time.imports_only(stored)["cells"]) < len(stored["cells"])
