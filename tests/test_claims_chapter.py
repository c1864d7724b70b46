"""Chapter 08 run on changed results: another stored result gives another verdict, sentence and figure.

The code cells themselves are run, in a folder of their own with a changed copy of the stored tables.
"""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from meta_analysis import data

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = json.loads((ROOT / "notebooks" / "08_published_claims.ipynb").read_text(encoding="utf-8"))
POOLING = {"pool", "pooled_row", "mantel_haenszel", "mantel_haenszel_row", "estimate_tau2", "choose", "implied_tau2"}


def code_cells():
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def change(folder, table, values):
    """Give rows of a stored table other numbers: analysis_id -> (estimate, ci_low, ci_high)."""
    file = folder / "data" / "derived" / table
    rows = pd.read_csv(file).set_index("analysis_id")
    for name, numbers in values.items():
        assert name in rows.index
        rows.loc[name, ["estimate", "ci_low", "ci_high"]] = numbers
    rows.reset_index().to_csv(file, index=False)


@pytest.fixture
def chapter(tmp_path, monkeypatch, capsys):
    """Runs all code cells on changed tables; gives back what they wrote, what they printed, and the stored verdicts."""
    stored = data.read_derived("08_verdicts.csv")
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.setenv("META_ANALYSIS_BUILD", str(tmp_path))

    def run(changes):
        for table, values in changes.items():
            change(tmp_path, table, values)
        names = {"__name__": "__main__"}
        for cell in code_cells():
            exec(compile(cell, "08_published_claims", "exec"), names)
        written = {name: data.read_derived(f"08_{name}.csv") for name in ("verdicts", "figures", "plotted")}
        return written, capsys.readouterr().out, stored

    return run


def test_the_chapter_pools_nothing():
    text = "\n".join(code_cells())
    assert not [name for name in POOLING if f"{name}(" in text]
    assert "02_effects" not in text


def test_changed_results_change_verdict_sentence_and_figure(chapter):
    claimed, other = (-1.10, -1.62, -0.59), (1.20, 0.80, 1.80)
    written, printed, stored = chapter({
        "03_other_methods.csv": {"C03.severity_review_manager": claimed, "C04.response": other},
        "03_results.csv": {"severity.dl_wald": claimed, "response.dl_wald": other,
                           "severity.primary": (-0.55, -0.90, -0.20)},
        "06_results.csv": {"severe.rr": (3.0, 1.2, 8.0)},
    })
    verdicts, stored = written["verdicts"].set_index("claim_id"), stored.set_index("claim_id")
    assert stored.loc[["C03", "C04"], "verdict"].tolist() == ["same conclusion, different size"] * 2
    assert verdicts.loc[["C03", "C04", "C07"], "verdict"].tolist() == ["reproduced"] + ["not reproduced"] * 2
    assert verdicts.loc["C03", "why"].startswith("nearest of 4 natural codings is 0.00 away")
    assert verdicts.loc["C07", "why"] == "risk ratios up to 8.00 are not ruled out"
    untouched = verdicts.index.difference(["C03", "C04", "C07"])
    pd.testing.assert_frame_equal(verdicts.loc[untouched], stored.loc[untouched])

    assert "Severity (SMD): 50% of the claimed effect" in printed
    assert "not reproduced: 2 of 15 claims (C04, C07)" in printed

    plotted = written["plotted"]
    ours = plotted.query("figure == '08_published' and panel == 'severity' and kind == 'ours'").iloc[0]
    assert (ours["estimate"], ours["low"], ours["high"]) == (-0.55, -0.90, -0.20)
    share = plotted.query("figure == '08_claims' and claim == 'Severity (SMD)'").set_index("label")["share"]
    assert share["its own method, our coding"] == pytest.approx(1.0)
    assert share["our primary analysis"] == pytest.approx(0.5)
    words = written["figures"].set_index("figure")["alt"]
    assert "This analysis -0.55 (-0.90 to -0.20)" in words["08_published"]
    assert "our primary analysis: -0.55 (95% CI -0.90 to -0.20), share 0.50" in words["08_claims"]
