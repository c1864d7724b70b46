"""What the README says is what the stored results give."""

from pathlib import Path

import pytest

from meta_analysis.answer import answer
from meta_analysis.data import read_derived, read_published
from meta_analysis.front_page import update
from meta_analysis.generated_text import between_markers
from meta_analysis.plain_language import plain_language

README = Path(__file__).resolve().parents[1] / "README.md"


def test_readme_is_in_step_with_the_stored_results():
    text = README.read_text(encoding="utf-8")
    assert text == update(text), "README.md is out of step: run `python -m meta_analysis.front_page` in notebooks/"


def test_another_result_gives_another_answer():
    results, claims = read_derived("03_results.csv"), read_published("claims")
    before = answer(results, claims)
    results.loc[results["analysis_id"] == "severity.primary", "estimate"] = -0.5
    assert "difference -0.50 " in answer(results, claims) != before


def test_another_result_gives_another_plain_page():
    tables = read_derived("03_results.csv"), read_derived("03_absolute.csv"), read_derived("06_allowances.csv")
    before = plain_language(*tables)
    chosen = tables[1]["analysis_id"] == "response.primary"
    tables[1].loc[chosen, ["control_risk", "risk", "risk_low", "risk_high"]] = [0.21, 0.43, 0.32, 0.54]
    after = plain_language(*tables)
    assert "about 21 of 100 got clearly better; with it about 43 (32 to 54)" in after != before
    harm = tables[2]["analysis_id"] == "severe.rd"
    tables[2].loc[harm, ["events_active", "n_active", "high"]] = [30, 60, 44.4]
    assert "a severe unwanted event 50 and" in plain_language(*tables)
    assert "room for 44 more severe events" in plain_language(*tables)


@pytest.mark.parametrize("page", ["", "BEGIN", "END BEGIN", "BEGIN END BEGIN END"])
def test_a_page_without_its_markers_is_refused(page):
    with pytest.raises(ValueError, match="once each and in this order"):
        between_markers(page, "BEGIN", "END", "words")
