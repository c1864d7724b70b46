"""The data tables pass the check, and every way of breaking them is found: alone, by its place, and with the others."""

from __future__ import annotations

import csv
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from meta_analysis.rules import RULES
from meta_analysis.validation import check_analysis_table, validate

DATA = Path(__file__).resolve().parents[1] / "data"

#: changes the tables in a folder and returns the lines to expect: "file, row 3, column x" and a piece of the message
Change = Callable[[Path], list[tuple[str, str]]]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A copy of the real tables, to be broken."""
    for folder in ("extracted", "published"):
        shutil.copytree(DATA / folder, tmp_path / "data" / folder)
    shutil.copy(DATA / "datapackage.json", tmp_path / "data")
    return tmp_path / "data"


@functools.cache
def known() -> frozenset[str]:
    """What is wrong with the real tables (nothing, says the first test below; if not, the others still speak)."""
    return frozenset(validate(DATA))


def new_violations(data_dir: Path) -> list[str]:
    return [line for line in validate(data_dir) if line not in known()]


def path_of(data_dir: Path, table: str) -> Path:
    return next(data_dir.glob(f"*/{table}.csv"))


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    header, *rows = csv.reader(path.read_text(encoding="utf-8").split("\n")[:-1])
    return header, rows


def write(path: Path, header: list[str], rows: list[list[str]], **how) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n", **how).writerows([header, *rows])


def find(header: list[str], rows: list[list[str]], where: dict[str, object]) -> int:
    """Index of the first row that has these cells; a cell may also be given as a condition."""
    for index, row in enumerate(rows):
        cells = dict(zip(header, row))
        if all(wanted(cells[name]) if callable(wanted) else cells[name] == wanted for name, wanted in where.items()):
            return index
    raise AssertionError(f"the tables hold no row with {where}; choose another row to break")


def set_cells(table: str, where: dict[str, object], message: str, **cells: str) -> Change:
    """Write `cells` into the first row with `where`; the first of them is the one to be blamed."""

    def change(data_dir: Path) -> list[tuple[str, str]]:
        path = path_of(data_dir, table)
        header, rows = read(path)
        index = find(header, rows, where)
        for name, cell in cells.items():
            rows[index][header.index(name)] = cell
        write(path, header, rows)
        column = next(iter(cells))
        place = f"data/{path.parent.name}/{path.name}, row {index + 2}, column {column}, value {cells[column]!r}"
        return [(place, message)]

    return change


def repeat(table: str, where: dict[str, object], column: str, message: str, **cells: str) -> Change:
    """Add a copy of the first row with `where` at the end, with `cells` changed; `column` is to be blamed."""

    def change(data_dir: Path) -> list[tuple[str, str]]:
        path = path_of(data_dir, table)
        header, rows = read(path)
        index = find(header, rows, where)
        copy = [cells.get(name, cell) for name, cell in zip(header, rows[index])]
        write(path, header, [*rows, copy])
        place = f"data/{path.parent.name}/{path.name}, row {len(rows) + 2}, column {column}"
        return [(place, message.format(first=index + 2))]

    return change


def unjudged(trial: str, domain: str) -> Change:
    """Take out one judgement; the row of the trial is to be blamed."""

    def change(data_dir: Path) -> list[tuple[str, str]]:
        path = path_of(data_dir, "risk_of_bias")
        header, rows = read(path)
        del rows[find(header, rows, {"trial_id": trial, "domain": domain})]
        write(path, header, rows)
        header, rows = read(path_of(data_dir, "trials"))
        line = find(header, rows, {"trial_id": trial}) + 2
        place = f"data/extracted/trials.csv, row {line}, column in_primary, value 'true'"
        return [(place, f"risk_of_bias.csv has no judgement of {domain}")]

    return change


def both(*changes: Change) -> Change:
    return lambda data_dir: [line for change in changes for line in change(data_dir)]


def agrees(found: list[str], expected: list[tuple[str, str]]) -> bool:
    """Every expected line is found, and no other."""
    left = list(found)
    for place, message in expected:
        match = next((line for line in left if line.startswith(place) and message in line), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def test_the_tables_are_in_order():
    assert validate(DATA) == []


# --- Rules between cells: each is broken once for every table it looks at ------------------------------------------

USED = {"use": "used"}
CHECK = {"use": "check", "conflict_id": ""}
PEOPLE = {"unit": "participants", "n": lambda n: n != "", "use": "used"}
SECOND = {"statistic": "sd_change", "trial_id": "MP-8", **CHECK}  # a second reading, of which nothing else is made
OF_MP8 = {"trial_id": "MP-8", "conflict_id": ""}

RULE_BREAKERS: dict[tuple[str, str], Change] = {
    ("events_within_n", "event_outcomes"): set_cells("event_outcomes", CHECK, "more events than the", events="99"),
    ("harmed_within_n", "harms"): both(
        set_cells("harms", PEOPLE, "participants counted", events="99"),
        set_cells("harms", {"fact_id": "h001"}, "more events than the 24 sessions counted", events="99"),
    ),
    ("n_within_the_arm", "continuous_outcomes"): set_cells(
        "continuous_outcomes", {"statistic": "sd"}, "more people than the", n="999"
    ),
    ("n_within_the_arm", "event_outcomes"): set_cells("event_outcomes", {}, "more people than the", n="999"),
    ("people_at_risk_within_the_arm", "harms"): set_cells("harms", PEOPLE, "more people than the", n="999"),
    ("sd_above_zero", "continuous_outcomes"): set_cells(
        "continuous_outcomes", {"statistic": "sd_change"}, "an SD must be above 0", value="0"
    ),
    ("change_is_endpoint_minus_baseline", "continuous_outcomes"): set_cells(
        "continuous_outcomes",
        {"arm_id": "MP-1:125mg", "timepoint_id": "MP-1:month_2", "statistic": "mean_change", "instrument": "CAPS-IV"},
        "is -53.7: such a difference needs a conflict_id",
        value="-50.0",
    ),
    ("primary_is_before_the_crossover", "timepoints"): set_cells(
        "timepoints",
        {"trial_id": "MP-9", "is_primary": "true"},  # a trial without printed contrasts
        "a time point after the crossover cannot be primary",
        is_primary="true",
        post_crossover="true",
    ),
    ("one_primary_timepoint", "timepoints"): repeat(
        "timepoints",
        {"is_primary": "true"},
        "is_primary",
        "its primary time point in row {first}",
        timepoint_id="MP-1:x",
    ),
    ("no_session_before_baseline", "timepoints"): set_cells(
        "timepoints", {"timepoint_id": "MP-8:baseline"}, "must be 0 at baseline", sessions_so_far=""
    ),
    ("one_control_arm", "arms"): repeat(
        "arms", {"role": "control"}, "role", "the trial has its control arm in row {first}", arm_id="MP-1:other"
    ),
    ("two_different_arms", "contrasts"): both(  # which the roles then contradict as well
        set_cells("contrasts", {"active_arm_id": "MP-8:75mg"}, "the same arm", control_arm_id="MP-8:75mg"),
        set_cells("contrasts", {"active_arm_id": "MP-8:75mg"}, "has the role active", control_arm_id="MP-8:75mg"),
    ),
    ("active_arm_first", "contrasts"): set_cells(
        "contrasts", {"trial_id": "MP-8"}, "has the role whole_trial where active is expected", active_arm_id="MP-8:all"
    ),
    ("no_randomised_comparison_after_the_crossover", "contrasts"): set_cells(
        "contrasts", {"randomised_comparison": "false"}, "nothing is randomised after", randomised_comparison="true"
    ),
    ("no_randomised_comparison_in_open_label", "harms"): set_cells(
        "harms",
        {"arm_id": "MP-2:150mg_open", **USED},
        "an open-label arm is not randomised",
        randomised_comparison="true",
    ),
    ("arm_of_the_trial", "continuous_outcomes"): set_cells(
        "continuous_outcomes", SECOND, "belongs to MAPP2, the row to MP-8", arm_id="MAPP2:all"
    ),
    ("arm_of_the_trial", "event_outcomes"): set_cells(
        "event_outcomes", {"trial_id": "MP-8", **CHECK}, "belongs to MAPP2, the row to MP-8", arm_id="MAPP2:mdma"
    ),
    ("arm_of_the_trial", "harms"): set_cells(
        "harms", {"trial_id": "MP-8"}, "belongs to MAPP2, the row to MP-8", arm_id="MAPP2:mdma"
    ),
    ("arm_of_the_trial", "participants"): set_cells(
        "participants",
        {"trial_id": "MP-9", "stage": "planned"},
        "belongs to MAPP2, the row to MP-9",
        arm_id="MAPP2:all",
    ),
    ("arm_of_the_trial", "characteristics"): set_cells(
        "characteristics", {"trial_id": "MP-8"}, "belongs to MAPP2, the row to MP-8", arm_id="MAPP2:mdma"
    ),
    ("arms_of_the_trial", "contrasts"): set_cells(
        "contrasts", {"trial_id": "MP-8"}, "belongs to MAPP2, the row to MP-8", control_arm_id="MAPP2:placebo"
    ),
    ("timepoint_of_the_trial", "continuous_outcomes"): set_cells(
        "continuous_outcomes", SECOND, "belongs to MAPP2, the row", timepoint_id="MAPP2:week_4"
    ),
    ("timepoint_of_the_trial", "event_outcomes"): set_cells(
        "event_outcomes", {"trial_id": "MP-8", **CHECK}, "belongs to MAPP2, the row", timepoint_id="MAPP2:week_4"
    ),
    ("timepoint_of_the_trial", "contrasts"): set_cells(
        "contrasts", {"trial_id": "MP-8"}, "belongs to MAPP2, the row to MP-8", timepoint_id="MAPP2:week_4"
    ),
    ("definition_of_the_trial", "event_outcomes"): set_cells(
        "event_outcomes",
        {"trial_id": "MP-8", "outcome": "response"},
        "belongs to MAPP2, the row to MP-8",
        definition_id="mapp2_response",
    ),
    ("definition_of_the_outcome", "event_outcomes"): set_cells(
        "event_outcomes",
        {"trial_id": "MP-8", "outcome": "response"},
        "defines loss_of_diagnosis, not response",
        definition_id="mp8_loss",
    ),
    **{
        ("conflict_of_the_trial", table): set_cells(
            table, OF_MP8, "belongs to MP-1, the row to MP-8", conflict_id="mp1_enrolment"
        )
        for table in ("continuous_outcomes", "event_outcomes", "participants", "characteristics", "contrasts", "harms")
    },
    **{
        (rule, table): repeat(table, USED, "use", "counted twice: row {first} is used for the same fact", fact_id="new")
        for rule, table in (
            ("measured_once", "continuous_outcomes"),
            ("counted_once", "event_outcomes"),
            ("harmed_once", "harms"),
            ("in_the_flow_once", "participants"),
        )
    },
    **{
        ("set_aside_for_a_reason", table): repeat(
            table,
            {},
            "conflict_id",
            "a row set aside needs a conflict_id",
            fact_id="new",
            use="set_aside",
            conflict_id="",
        )
        for table in ("continuous_outcomes", "event_outcomes", "harms", "participants", "characteristics", "contrasts")
    },
    **{
        ("seen_somewhere", table): set_cells(
            table, {"level": "SEEN"}, "a SEEN row must say where in the source", locator=""
        )
        for table in (
            "trials arms timepoints definitions continuous_outcomes event_outcomes harms participants "
            "characteristics contrasts risk_of_bias pooled_reports"
        ).split()
    },
    ("every_domain_judged", "trials"): unjudged("MP-2", "D2"),
    ("full_evidence_for_the_primary_analysis", "trials"): set_cells(
        "trials",
        {"in_primary": "true"},
        "takes trials with full evidence only",
        in_primary="true",
        evidence="flow_only",
    ),
    ("both_arms_at_the_primary_timepoint", "trials"): lambda data_dir: (
        set_cells(
            "continuous_outcomes",
            {"arm_id": "MP-1:placebo", "timepoint_id": "MP-1:month_2", "instrument": "CAPS-IV", "statistic": "sd"},
            "",
            use="check",
        )(data_dir)
        and [("data/extracted/trials.csv, row 2, column in_primary", "no control arm has a mean and an sd of CAPS-IV")]
    ),
    ("n_at_the_primary_timepoint", "continuous_outcomes"): set_cells(
        "continuous_outcomes",
        {"timepoint_id": "MP-1:month_2", "statistic": "mean", **USED},
        "a mean or SD at the primary time point needs its n",
        n="",
    ),
}


@pytest.mark.parametrize("rule", sorted({rule for rule, table in RULE_BREAKERS}))
def test_a_broken_rule_is_the_only_violation(rule, data_dir):
    """One row is broken in every table that the rule looks at; these rows are blamed once, and nothing else is."""
    breakers = [change for (name, table), change in RULE_BREAKERS.items() if name == rule]
    expected = both(*breakers)(data_dir)
    found = new_violations(data_dir)
    assert agrees(found, expected), found


def test_every_rule_is_broken_above():
    assert set(RULE_BREAKERS) == {(rule.check.__name__, next(iter(rule.columns))) for rule in RULES}


CHANGE = {"fact_id": "c021"}  # prints -53.7, which is 25.5 - 79.2


@pytest.mark.parametrize(
    ("where", "cells"),
    [
        # Three numbers rounded to one decimal may be 0.15 apart, and a named conflict excuses any distance.
        (CHANGE, {"value": "-53.55"}),
        (CHANGE, {"value": "-53.85"}),
        (CHANGE, {"value": "9.9", "conflict_id": "mp1_model_sd"}),
        # Other people at the endpoint than in the change: the means need not fit.
        (CHANGE, {"value": "-50", "n": "11"}),
        (CHANGE, {"value": "-50", "n": ""}),
        # A second reading is compared elsewhere.
        (CHANGE, {"value": "-50", "use": "check"}),
        # Sessions may have more events than the arm has people, and what is not known breaks no limit.
        ({"unit": "sessions", "use": "used"}, {"n": "999"}),
        ({"trial_id": "MP-9"}, {"n": "999"}),
        (
            {"arm_id": "MP-2:150mg_open"},
            {"randomised_comparison": "true", "use": "set_aside", "conflict_id": "session_counts"},
        ),
        # A conflict without a trial touches several.
        ({"trial_id": "MP-8", "conflict_id": ""}, {"conflict_id": "phase3_secondary_n"}),
    ],
)
def test_what_is_allowed_is_not_blamed(where, cells, data_dir):
    table = "continuous_outcomes" if where is CHANGE or "conflict_id" in where else "harms"
    set_cells(table, where, "", **cells)(data_dir)
    assert new_violations(data_dir) == []


def test_a_change_just_beyond_rounding_is_blamed(data_dir):
    set_cells("continuous_outcomes", CHANGE, "", value="-53.86")(data_dir)
    assert [line.partition(": ")[2][:23] for line in new_violations(data_dir)] == ["endpoint minus baseline"]


# --- Damage to cells, rows and files ---------------------------------------------------------------------------------


def rewrite(table: str, change: Callable[[bytes], bytes], *expected: str) -> Change:
    """Change the file as a whole; `expected` is what is said of it, from behind its path."""

    def damage(data_dir: Path) -> list[tuple[str, str]]:
        path = path_of(data_dir, table)
        path.write_bytes(change(path.read_bytes()))
        return [(f"data/{path.parent.name}/{path.name}{message}", "") for message in expected]

    return damage


def drop_column(table: str, column: str) -> Change:
    def damage(data_dir: Path) -> list[tuple[str, str]]:
        path = path_of(data_dir, table)
        header, rows = read(path)
        place = header.index(column)
        write(path, header[:place] + header[place + 1 :], [row[:place] + row[place + 1 :] for row in rows])
        return [(f"data/{path.parent.name}/{path.name}: column {column} is missing", "")]

    return damage


def turn_around(table: str) -> Change:
    def damage(data_dir: Path) -> list[tuple[str, str]]:
        path = path_of(data_dir, table)
        header, rows = read(path)
        write(path, header[::-1], [row[::-1] for row in rows])
        message = "the columns are not in the order of datapackage.json"
        return [(f"data/{path.parent.name}/{path.name}: {message}", "")]

    return damage


def remove(table: str) -> Change:
    def damage(data_dir: Path) -> list[tuple[str, str]]:
        path = path_of(data_dir, table)
        path.unlink()
        return [(f"data/{path.parent.name}/{path.name}: the file is missing", "")]

    return damage


def with_delimiter(table: str, delimiter: str) -> Change:
    def damage(data_dir: Path) -> list[tuple[str, str]]:
        path = path_of(data_dir, table)
        write(path, *read(path), delimiter=delimiter)
        message = f"the columns are separated by {delimiter!r} where ',' is expected"
        return [(f"data/{path.parent.name}/{path.name}: {message}", "")]

    return damage


def replace(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        assert old in raw, f"nothing to break: {old!r} is not in the table"
        return raw.replace(old, new, 1)

    return change


# The ten broken copies.
DAMAGE: dict[str, Change] = {
    "a word for a number": set_cells("continuous_outcomes", {"instrument": "PTGI"}, "is not a number", value="twelve"),
    "more events than people": RULE_BREAKERS["events_within_n", "event_outcomes"],
    "an unknown trial": set_cells(
        "continuous_outcomes", {"use": "used"}, "no such trial in trials.csv", trial_id="MP-99"
    ),
    "a key twice": repeat("continuous_outcomes", CHECK, "fact_id, value", "the same fact_id as in row {first}"),
    "no column": drop_column("arms", "role"),
    "an empty file": rewrite("trials", lambda raw: b"", ": the file is empty"),
    "a negative SD": set_cells("continuous_outcomes", {"statistic": "sd"}, "an SD must be above 0", value="-3"),
    "an unknown source": set_cells("harms", {}, "no such source in sources.csv", source_id="hearsay"),
    "another delimiter": with_delimiter("continuous_outcomes", ";"),
    "a primary time point after the crossover": both(
        set_cells("timepoints", {"timepoint_id": "MP-8:month_12"}, "cannot be primary", is_primary="true"),
        set_cells("timepoints", {"timepoint_id": "MP-8:month_12"}, "its primary time point in row", is_primary="true"),
    ),
}

# And others that happen to people who edit tables in a spreadsheet.
DAMAGE |= {
    "a missing file": remove("conflicts"),
    "a header alone": rewrite("conflicts", lambda raw: raw.split(b"\n")[0] + b"\n", ": the table has no rows"),
    "blanks alone": rewrite("conflicts", lambda raw: b" \n\n", ": the file is empty"),
    "a spreadsheet's own format": rewrite("harms", lambda raw: b"PK\x03\x04\0\0" + raw, ": is not a text file"),
    "semicolons in a small table": with_delimiter("retractions", ";"),
    "tabs": with_delimiter("risk_of_bias", "\t"),
    "a key column lost": drop_column("arms", "arm_id"),
    "a foreign key lost": drop_column("harms", "source_id"),
    "a column too many": rewrite(
        "claims", lambda raw: raw.replace(b"\n", b",x\n"), ": column x is not described in datapackage.json"
    ),
    "a column twice": rewrite(
        "claims", lambda raw: raw.replace(b"\n", b",note\n"), ": column note stands there 2 times"
    ),
    "columns in another order": turn_around("claims"),
    "a quotation mark too many": rewrite(
        "trials", replace(b"\nMP-2,", b'\nMP-2,"'), ", row 3: the row has fewer cells than the header"
    ),
    "a cell too many": rewrite(
        "retractions", lambda raw: raw[:-1] + b",x\n", ", row 4: the row has more cells than the header"
    ),
    "an empty row": rewrite("retractions", lambda raw: raw + b",,,,,,,,\n", ", row 5: the row is empty"),
    "a line without cells": rewrite("retractions", lambda raw: raw + b"\n", ", row 5: the row is empty"),
    "another encoding": rewrite(
        "sources", replace(b"Sypres collab", b"Sypr\xe9s collab"), ", row 2: the text is not UTF-8"
    ),
    "an unknown word": set_cells("risk_of_bias", {}, "is not one of Low, Some concerns, High", judgement="low"),
    "a negative count": set_cells("event_outcomes", {}, "must be 0 or more", events="-1"),
    "a share above 1": set_cells("harms", PEOPLE, "must be 1 or less", proportion="58"),
    "half a person": set_cells("participants", {}, "is not a whole number", n="12.5"),
    "a decimal comma": set_cells("continuous_outcomes", {"statistic": "sd"}, "is not a number", value="22,86"),
    "a number with a mark": set_cells("characteristics", {"statistic": "mean"}, "is not a number", value="1_000"),
    "NA for a blank": set_cells("reviews", {"tau2": ""}, "is not a number", tau2="NA"),
    "no number": set_cells("reviews", {}, "is not a number", estimate="NaN"),
    "an infinite number": set_cells("reviews", {}, "is not a number", ci_high="INF"),
    "a spreadsheet's TRUE": set_cells("reviews", {"usable": "true"}, "is not true or false", usable="TRUE"),
    "another date": set_cells("retractions", {}, "is not a date (YYYY-MM-DD)", retracted="10/08/2024"),
    "a number without its form": set_cells("trials", {}, "does not have the form", registry_id="NCT-00090064"),
    "a key without its form": repeat("arms", {"role": "whole_trial"}, "arm_id", "the form", arm_id="MP-1 whole"),
    "a blank where none may be": set_cells("claims", {}, "must not be blank", claim=""),
    "a blank key": set_cells("claims", {}, "must not be blank", claim_id=""),
    "a stray blank": set_cells("sources", {"version": ""}, "begins or ends with a blank", version="2021 "),
    "a word for n": set_cells(
        "continuous_outcomes",
        {"timepoint_id": "MP-1:month_2", "statistic": "mean", **USED},
        "is not a whole number",  # and not also "needs its n"
        n="twelve",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_once(name, data_dir):
    expected = DAMAGE[name](data_dir)
    found = new_violations(data_dir)
    assert agrees(found, expected), found


def test_a_line_break_in_a_cell_moves_the_rows_below_it(data_dir):
    rewrite("retractions", replace(b"The notice was read second-hand.", b'"The notice was\nread second-hand."'))(
        data_dir
    )
    rewrite("retractions", replace(b"Feduccia 2021", b""))(data_dir)
    first, second = new_violations(data_dir)
    assert first.startswith("data/published/retractions.csv, row 2, column note,")
    assert first.endswith(": holds a line break")
    assert second == "data/published/retractions.csv, row 5, column report, value '': must not be blank"


def test_rows_that_an_open_quotation_mark_swallows_are_not_missed_elsewhere(data_dir):
    def leave_open(raw: bytes) -> bytes:
        return replace(b"\nMP-2:25mg,", b'\nMP-2:25mg,"')(raw.replace(b'"', b""))

    rewrite("arms", leave_open)(data_dir)
    found = new_violations(data_dir)
    assert any(line.startswith("data/extracted/arms.csv, row 6: ") and "is left open" in line for line in found), found
    assert all(line.startswith("data/extracted/arms.csv, row ") for line in found), found


@pytest.mark.parametrize("change", [lambda raw: b"\xef\xbb\xbf" + raw, lambda raw: raw.replace(b"\n", b"\r\n")])
def test_what_windows_adds_to_a_text_file_is_accepted(change, data_dir):
    rewrite("trials", change)(data_dir)
    assert new_violations(data_dir) == []


def test_one_run_lists_every_violation(data_dir):
    together = [
        change
        for name, change in DAMAGE.items()
        if name
        in (
            "a word for a number",
            "a number without its form",
            "no column",
            "a negative count",
            "a share above 1",
            "half a person",
            "semicolons in a small table",
            "NA for a blank",
            "a blank key",
            "an unknown word",
            "another encoding",
        )
    ]
    together += [
        RULE_BREAKERS[rule]
        for rule in (
            ("sd_above_zero", "continuous_outcomes"),
            ("change_is_endpoint_minus_baseline", "continuous_outcomes"),
            ("primary_is_before_the_crossover", "timepoints"),
            ("no_randomised_comparison_after_the_crossover", "contrasts"),
            ("counted_once", "event_outcomes"),
            ("in_the_flow_once", "participants"),
        )
    ]
    expected = [line for change in together for line in change(data_dir)]
    found = new_violations(data_dir)
    missing = [line for line in expected if not agrees([f for f in found if f.startswith(line[0])], [line])]
    assert not missing, (missing, found)
    assert new_violations(data_dir) == found, "the list must not depend on the run"
    files = [line.partition(":")[0].partition(",")[0] for line in found]
    assert files == sorted(files)
    for file in set(files):
        rows = [
            int(line.split("row ")[1].split(",")[0].split(":")[0]) for line in found if line.startswith(f"{file}, row")
        ]
        assert rows == sorted(rows)
    assert not [line for line in found if "\n" in line or str(data_dir) in line]


def test_a_table_that_nobody_described_is_named(data_dir):
    shutil.copy(data_dir / "extracted" / "harms.csv", data_dir / "extracted" / "harms_old.csv")
    assert new_violations(data_dir) == ["data/extracted/harms_old.csv: is not described in datapackage.json"]


def break_package(change: Callable[[dict], object]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        package = json.loads(path.read_text(encoding="utf-8"))
        change(package)
        path.write_text(json.dumps(package), encoding="utf-8")

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "the file is missing"),
        (lambda path: path.write_text("{", encoding="utf-8"), "is not JSON"),
        (lambda path: path.write_text("[]", encoding="utf-8"), "is not a description of tables"),
        (break_package(lambda package: package.pop("resources")), "is not a description of tables"),
        (break_package(lambda package: package["resources"][0].pop("schema")), "the table sources has no schema"),
        (
            break_package(lambda package: package["resources"][0]["schema"]["fields"][0].update(type="word")),
            'field type "word" is not supported',
        ),
    ],
)
def test_a_faulty_description_is_told_in_one_line(damage, message, data_dir):
    damage(data_dir / "datapackage.json")
    found = new_violations(data_dir)
    assert len(found) == 1
    assert found[0].startswith("data/datapackage.json: ")
    assert message in found[0]


# --- The table that the analyses start from --------------------------------------------------------------------------

ANALYSIS = pd.DataFrame(
    {
        "outcome": ["severity", "severity", "response"],
        "active_arm_id": ["MP-8:125mg + MP-8:75mg", "MP-12:125mg", "MP-8:125mg"],
        "control_arm_id": ["MP-8:30mg", "MP-12:40mg", "MP-8:30mg"],
        "post_crossover": [False, False, False],
    }
)


def test_an_arm_may_enter_two_outcomes():
    check_analysis_table(ANALYSIS)
    check_analysis_table(ANALYSIS.drop(columns="control_arm_id").rename(columns={"active_arm_id": "arm_id"}))


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (1, "post_crossover", True, r"^row 1 \(MP-12:125mg, severity\) is after the crossover"),
        (1, "control_arm_id", "MP-8:30mg", r"^MP-8:30mg enters the outcome severity twice \(rows 0 and 1\)$"),
        (1, "active_arm_id", "MP-8:75mg", r"^MP-8:75mg enters the outcome severity twice \(rows 0 and 1\)$"),
        (2, "outcome", "severity", r"^MP-8:125mg enters the outcome severity twice \(rows 0 and 2\)$"),
        (1, "control_arm_id", "MP-12:125mg", r"^MP-12:125mg enters the outcome severity twice \(rows 1 and 1\)$"),
    ],
)
def test_nobody_enters_an_analysis_twice(row, column, value, message):
    frame = ANALYSIS.copy()
    frame.loc[row, column] = value
    with pytest.raises(ValueError, match=message):
        check_analysis_table(frame)


def test_the_columns_that_name_an_outcome_can_be_chosen():
    frame = pd.concat([ANALYSIS.assign(scale_kind=kind) for kind in ("endpoint", "change")])
    check_analysis_table(frame, by=("outcome", "scale_kind"))
    with pytest.raises(ValueError, match="enters the outcome severity twice"):
        check_analysis_table(frame)


@pytest.mark.parametrize("column", ["post_crossover", "outcome"])
def test_an_analysis_table_without_its_columns_is_refused(column):
    with pytest.raises(ValueError, match=f"^the analysis table has no column {column}$"):
        check_analysis_table(ANALYSIS.drop(columns=column))


def test_an_analysis_table_without_arms_is_refused():
    with pytest.raises(ValueError, match="^the analysis table has no column arm_id$"):
        check_analysis_table(ANALYSIS[["outcome", "post_crossover"]])
