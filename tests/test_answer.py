"""The README's answer is the one that the stored results give."""

from pathlib import Path

import pytest

from meta_analysis.answer import answer, update_readme
from meta_analysis.data import read_derived, read_published

README = Path(__file__).resolve().parents[1] / "README.md"


def test_readme_holds_the_answer_of_the_stored_results():
    text = README.read_text(encoding="utf-8")
    expected = update_readme(text, answer(read_derived("03_results.csv"), read_published("claims")))
    assert text == expected, "README.md is out of step; its answer should be:\n" + expected.split("-->")[1]


def test_another_result_gives_another_answer():
    results, claims = read_derived("03_results.csv"), read_published("claims")
    before = answer(results, claims)
    results.loc[results["analysis_id"] == "severity.primary", "estimate"] = -0.5
    assert "difference -0.50 " in answer(results, claims) != before


def test_a_readme_without_markers_is_refused():
    with pytest.raises(ValueError, match="lacks the marker"):
        update_readme("no markers here", "answer")
