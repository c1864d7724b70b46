"""From stored results to verdicts, reasons and shares: made-up rows turn each of them."""

import pandas as pd
import pytest

from meta_analysis.claims import (
    NEEDS,
    as_estimate,
    estimates,
    finding_on_estimate,
    finding_on_harm,
    share_of_claim,
    share_rows,
    specification_in_words,
    stored_codings,
    verdict_table,
)
from meta_analysis.claims_plot import share_alt_text, share_figure
from meta_analysis.data import read_derived, read_published
from meta_analysis.natural_codings import OUTCOMES
from meta_analysis.verdicts import (
    DIFFERENT_SIZE,
    MISLEADING,
    NOT_CHECKABLE,
    NOT_REPRODUCED,
    REPRODUCED,
    Estimate,
)

PRINTED = Estimate(-1.10, -1.62, -0.59)


def codings(*results, measure="SMD"):
    """Made-up rows of a results table."""
    return pd.DataFrame([{"analysis_id": f"C03.{place}", "measure": measure, "estimate": result[0], "ci_low": result[1],
                          "ci_high": result[2], "k": 6, "n_active": 100, "n_control": 50}
                         for place, result in enumerate(results)])


def test_every_claim_says_what_it_needs():
    assert set(NEEDS) == set(read_published("claims")["claim_id"])


@pytest.mark.parametrize("claim_id", OUTCOMES)
def test_the_codings_of_a_claim_are_found_by_their_names(claim_id):
    rows = stored_codings(read_derived("03_other_methods.csv"), claim_id)
    assert rows["analysis_id"].str.startswith(f"{claim_id}.").all() and rows["analysis_id"].is_unique
    assert len(estimates(rows)) == len(rows) and estimates(rows)[0] == as_estimate(rows.iloc[0])


def test_a_claim_without_codings_is_named():
    with pytest.raises(KeyError, match="no stored result of a coding of C99"):
        stored_codings(read_derived("03_other_methods.csv"), "C99")


@pytest.mark.parametrize(("first", "second", "verdict", "distance"), [
    ((-0.73, -0.99, -0.47), (-0.87, -1.18, -0.55), DIFFERENT_SIZE, "0.44"),
    ((-0.73, -0.99, -0.47), (-1.10, -1.62, -0.59), REPRODUCED, "0.00"),
    ((-0.73, -1.60, 0.10), (-0.87, -1.18, -0.55), NOT_REPRODUCED, "0.44"),
    ((0.73, 0.47, 0.99), (0.87, 0.55, 1.18), NOT_REPRODUCED, "2.09"),
])
def test_another_stored_result_gives_another_verdict_and_reason(first, second, verdict, distance):
    finding = finding_on_estimate(PRINTED, codings(first, second))
    assert finding["verdict"] == verdict
    assert finding["why"] == f"nearest of 2 natural codings is {distance} away"
    assert (finding["analysis_id"], finding["estimate"], finding["people"]) == ("C03.0", first[0], 150)


@pytest.mark.parametrize(("harm", "verdict"), [
    ((0.82, 0.50, 1.36), REPRODUCED), ((2.41, 0.56, 10.52), MISLEADING), ((3.0, 1.2, 8.0), NOT_REPRODUCED)
])
def test_another_harm_gives_another_verdict_and_reason(harm, verdict):
    finding = finding_on_harm(codings(harm, (0.9, 0.6, 1.3), measure="RR"))
    assert finding["verdict"] == verdict
    assert finding["why"] == f"risk ratios up to {max(harm[2], 1.3):.2f} are not ruled out"


def test_another_result_gives_another_row_of_the_figure_and_of_its_words():
    def drawn(estimate):
        found = {"our primary analysis": Estimate(estimate, estimate - 0.3, estimate + 0.3)}
        _, plotted = share_figure(pd.DataFrame(share_rows("Severity (SMD)", PRINTED, found, "SMD")))
        return plotted["share"].iloc[1], share_alt_text(plotted)

    (share, words), (other_share, other_words) = drawn(-0.55), drawn(-1.10)
    assert (share, other_share) == (pytest.approx(0.5), pytest.approx(1.0))
    assert "-0.55 (95% CI -0.85 to -0.25), share 0.50" in words and "share 0.50" not in other_words


def test_the_share_of_a_claim():
    assert share_of_claim(Estimate(-1.0, -2, -0.5), Estimate(-0.5, -1.0, 0.25), 0.0) == Estimate(0.5, -0.25, 1.0)
    share = share_of_claim(Estimate(4.0, 2, 8), Estimate(2.0, 1.0, 4.0), 1.0)
    assert share == pytest.approx((0.5, 0.0, 1.0))


def test_a_specification_in_words():
    levels = pd.DataFrame({"family": "severity", "choice": ["trials", "trials", "arms"],
                           "level": ["all", "none", "all"], "meaning": ["all trials", "no trial", "all arms"]})
    assert specification_in_words("severity/none/all", levels) == "no trial; all arms"
    with pytest.raises(ValueError, match="names 1 choices, its family has 2"):
        specification_in_words("severity/none", levels)


def test_every_stored_specification_can_be_said_in_words():
    levels = read_derived("05_levels.csv")
    for specification in read_derived("05_reached.csv")["id"]:
        assert specification_in_words(specification, levels).count(";") == specification.count("/") - 1


def test_the_verdict_table_follows_its_findings():
    claims = pd.DataFrame({"claim_id": ["C01", "C02"], "claim": ["a", "b"]})
    findings = {"C01": {"verdict": NOT_CHECKABLE, "why": "no list"},
                "C02": {"verdict": REPRODUCED, "why": "it adds up", "estimate": 297.0}}
    table = verdict_table(claims, findings).set_index("claim_id")
    assert table.loc["C01", "verdict"] == NOT_CHECKABLE and table.loc["C01", "analysis_id"] == ""
    assert table.loc["C02", "estimate"] == 297 and table.loc["C02", "needs"] == NEEDS["C02"]
    with pytest.raises(ValueError, match="do not match: C02"):
        verdict_table(claims, {"C01": findings["C01"]})
    with pytest.raises(ValueError, match="unknown verdict 'fine'"):
        verdict_table(claims, findings | {"C02": {"verdict": "fine", "why": ""}})
