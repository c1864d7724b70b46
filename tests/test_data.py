"""Reading and writing of tables, their description, and what the tables promise to a reader."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meta_analysis import codebook, data
from meta_analysis.codebook import BEGIN, END, codebook_markdown, update_readme
from runner import inputs

DATA = Path(__file__).resolve().parents[1] / "data"
PACKAGE = json.loads((DATA / "datapackage.json").read_text(encoding="utf-8"))
INPUTS = [resource for resource in PACKAGE["resources"] if not resource["path"].startswith("derived/")]
NAMES = {resource["name"]: resource for resource in INPUTS}


def small_package(**types: str) -> dict:
    """A package of one made-up table of each folder with these columns."""
    fields = [
        {"name": name, "type": kind, "title": name, "description": f"About {name}."} for name, kind in types.items()
    ]
    schema = {"fields": fields, "primaryKey": ["key"]}
    paths = ("extracted/trees.csv", "published/songs.csv", "derived/01_leaves.csv")
    resources = [{"name": path, "title": path, "description": path, "path": path, "schema": schema} for path in paths]
    return {"name": "made-up", "resources": resources}


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build folder with a made-up package, as the runner makes one."""
    monkeypatch.setenv("META_ANALYSIS_BUILD", str(tmp_path))
    types = {"key": "string", "height": "number", "age": "integer", "tall": "boolean", "felled": "date"}
    rows = "key,height,age,tall,felled\noak,12.25,300,true,2024-08-10\nNA,,,false,\n"
    for folder in ("extracted", "published", "reference", "derived"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    (tmp_path / "data" / "datapackage.json").write_text(json.dumps(small_package(**types)), encoding="utf-8")
    for name in ("extracted/trees.csv", "published/songs.csv", "derived/01_leaves.csv"):
        (tmp_path / "data" / name).write_text(rows, encoding="utf-8")
    (tmp_path / "data" / "reference" / "metafor.json").write_text('{"tau2": [0.1]}', encoding="utf-8")
    return tmp_path


# --- Reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "name"),
    [(data.read_extracted, "trees"), (data.read_published, "songs"), (data.read_derived, "01_leaves.csv")],
)
def test_a_described_table_has_the_types_of_its_description(build, reader, name):
    frame = reader(name)
    assert list(frame.columns) == ["key", "height", "age", "tall", "felled"]
    assert list(frame.key) == ["oak", "NA"], "NA is a word like any other: only an empty cell is blank"
    assert list(frame.felled) == ["2024-08-10", ""]
    assert frame.height.dtype == "float64"
    assert frame.height[0] == 12.25 and np.isnan(frame.height[1])
    assert frame.age.dtype == "Int64"
    assert frame.age[0] == 300 and frame.age[1] is pd.NA
    assert frame.tall.dtype == bool
    assert list(frame.tall) == [True, False]


def test_a_reference_file_is_read_as_it_is(build):
    assert data.read_reference("metafor.json") == {"tau2": [0.1]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.read_extracted("songs"), "no table 'songs' in data/extracted; there are: trees"),
        (lambda: data.read_published("trees"), "no table 'trees' in data/published; there are: songs"),
        (lambda: data.read_extracted("trees.csv"), "no table 'trees.csv' in data/extracted; there are: trees"),
        (lambda: data.read_reference("lme4.json"), "data/reference/lme4.json is missing; there are: metafor.json"),
        (
            lambda: data.read_derived("02_effects.csv"),
            "data/derived/02_effects.csv has not been computed yet: run notebook 02 first; there are: 01_leaves.csv",
        ),
        (lambda: data.read_derived("02_effects"), "'02_effects' is not the plain name of a .csv file"),
        (lambda: data.read_derived("../02.csv"), "'../02.csv' is not the plain name of a .csv file"),
        (lambda: data.write_derived(pd.DataFrame(), "a/b.csv"), "'a/b.csv' is not the plain name of a .csv file"),
        (lambda: data.figure_path("03_forest"), "'03_forest' is not the plain name of a .png or .svg file"),
    ],
)
def test_a_wrong_name_is_told_in_one_line(build, call, message):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        call()
    assert str(caught.value) == message


def test_a_described_file_that_is_not_there_is_named(build):
    (build / "data" / "extracted" / "trees.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"^data/extracted/trees\.csv is missing; there are: none$"):
        data.read_extracted("trees")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("12.25", "twelve", "row 2, column height, value 'twelve': is not a number"),
        ("300", "300.5", "row 2, column age, value '300.5': is not a whole number"),
        ("false", "", "row 3, column tall, value '': is not true or false"),
        ("tall,", "small,", "column tall is missing"),
    ],
)
def test_a_cell_that_is_not_as_described_is_named(build, old, new, message):
    file = build / "data" / "extracted" / "trees.csv"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        data.read_extracted("trees")
    assert str(caught.value).startswith("data/extracted/trees.csv")
    assert str(caught.value).endswith(message)


# --- Writing ---------------------------------------------------------------------------------------------------------


def test_a_derived_table_comes_back_as_it_was_written(build):
    frame = pd.DataFrame(
        {
            "analysis_id": ["severity.primary", "résumé, with a comma"],
            "estimate": [-0.123456789012, np.nan],
            "limit": [np.inf, -np.inf],
            "k": [6, 5],
            "randomised": [True, False],
            "note": ["", "NA"],
        }
    )
    data.write_derived(frame, "03_pooled_results.csv")
    pd.testing.assert_frame_equal(data.read_derived("03_pooled_results.csv"), frame)


def test_the_bytes_of_a_derived_table_are_fixed(build):
    frame = pd.DataFrame(
        {"x": [1 / 3, -0.0, 2e-7], "whole": pd.array([1, None, 3]), "yes": [True, False, True]}, index=[7, 8, 9]
    )
    data.write_derived(frame, "02_x.csv")
    written = (build / "data" / "derived" / "02_x.csv").read_bytes()
    assert written == b"x,whole,yes\n0.333333333333,1,true\n0,,false\n2e-07,3,true\n"
    assert np.signbit(frame.x[8]), "the caller's frame stays as it was"


def test_without_a_build_folder_nothing_stored_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.delenv("META_ANALYSIS_BUILD", raising=False)
    monkeypatch.setattr(data, "REPOSITORY", tmp_path)
    (tmp_path / "data" / "derived").mkdir(parents=True)
    (tmp_path / "data" / "datapackage.json").write_text(json.dumps(small_package(key="string")), encoding="utf-8")
    stored = tmp_path / "data" / "derived" / "02_x.csv"
    stored.write_text("x\n1\n", encoding="utf-8")
    assert data.read_derived("02_x.csv").x[0] == 1

    data.write_derived(pd.DataFrame({"x": [2]}), "02_x.csv")
    mine = tmp_path / "build" / "lab" / "data" / "derived" / "02_x.csv"
    assert stored.read_text(encoding="utf-8") == "x\n1\n"
    assert mine.read_text(encoding="utf-8") == "x\n2\n"
    for newer, older, value in ((mine, stored, 2), (stored, mine, 1)):
        os.utime(older, (1_000_000, 1_000_000))
        os.utime(newer, (2_000_000, 2_000_000))
        assert data.read_derived("02_x.csv").x[0] == value
    assert data.figure_path("03_forest.png") == tmp_path / "build" / "lab" / "figures" / "03_forest.png"


def test_a_build_folder_takes_everything(build):
    assert data.figure_path("03_forest.svg") == build / "figures" / "03_forest.svg"
    assert (build / "figures").is_dir()
    data.write_derived(pd.DataFrame({"x": [1]}), "02_x.csv")
    assert (build / "data" / "derived" / "02_x.csv").is_file()


# --- The description -------------------------------------------------------------------------------------------------


def test_every_real_table_can_be_read(monkeypatch):
    monkeypatch.delenv("META_ANALYSIS_BUILD", raising=False)
    for resource in INPUTS:
        folder, file = resource["path"].split("/")
        reader = data.read_extracted if folder == "extracted" else data.read_published
        frame = reader(file.removesuffix(".csv"))
        assert list(frame.columns) == [field["name"] for field in resource["schema"]["fields"]]
        assert len(frame) > 0


def test_the_package_is_valid_by_itself():
    """Anybody's frictionless says so, without our rules."""
    import frictionless

    report = frictionless.Package(str(DATA / "datapackage.json")).validate()
    assert report.valid, report.flatten(["title", "rowNumber", "fieldName", "note"])[:5]
    assert PACKAGE["$schema"] == "https://datapackage.org/profiles/2.0/datapackage.json"


def test_the_description_leaves_nothing_out():
    assert {resource["path"] for resource in INPUTS} == {
        f"{folder}/{path.name}" for folder in ("extracted", "published") for path in (DATA / folder).glob("*.csv")
    }
    for resource in PACKAGE["resources"]:
        assert resource["dialect"]["delimiter"] == ",", "without it frictionless guesses, and accepts a semicolon"
        assert resource["encoding"] == "utf-8"
        assert resource["description"].endswith(".")
        fields = {field["name"]: field for field in resource["schema"]["fields"]}
        for key in resource["schema"].get("primaryKey", []):
            assert fields[key]["constraints"]["required"], f"{resource['name']}: a key may not be blank"
        for name, field in fields.items():
            where = f"{resource['name']}.{name}"
            assert field["title"] and field["description"].endswith("."), where
            if field["type"] in ("number", "integer"):
                assert field["unit"], f"{where}: a number without a unit"
            if field["type"] == "boolean":
                assert (field["trueValues"], field["falseValues"]) == (["true"], ["false"]), where
                assert field["constraints"]["required"], f"{where}: a boolean is never blank"
            points = {key["fields"][0] for key in resource["schema"].get("foreignKeys", [])}
            if name.endswith("_id") and name not in resource["schema"]["primaryKey"] and name != "registry_id":
                assert name in points, f"{where} points nowhere"


def test_the_numbers_of_the_open_dataset_carry_its_licence():
    assert {licence["name"] for licence in PACKAGE["licenses"]} == {"CC-BY-4.0", "ODC-By-1.0"}
    sources = data.read_extracted("sources").set_index("source_id")
    named = re.findall(r"metapsy_\w+", " ".join(licence["title"] for licence in PACKAGE["licenses"]))
    assert sorted(named) == sorted(sources.index[sources.licence == "ODC-By 1.0"])


# --- The tables ------------------------------------------------------------------------------------------------------


def texts(name: str) -> pd.DataFrame:
    return pd.read_csv(DATA / NAMES[name]["path"], dtype=str, keep_default_na=False)


def mentioned(column: str) -> set[str]:
    tables = (texts(name) for name in NAMES if name not in ("sources", "conflicts"))
    return {cell for table in tables if column in table for cell in table[column] if cell}


@pytest.mark.parametrize(("table", "column"), [("sources", "source_id"), ("conflicts", "conflict_id")])
def test_every_source_and_conflict_is_used(table, column):
    assert set(texts(table)[column]) == mentioned(column)


@pytest.mark.parametrize("name", NAMES)
def test_every_seen_row_says_where(name):
    table = texts(name)
    if "locator" in table and "level" in table:
        assert (table.locator[table.level == "SEEN"] != "").all()
    elif "level" in table:
        assert (table.address[table.level == "SEEN"] != "").all()
    else:
        assert name in ("sources", "conflicts", "retractions"), f"{name} does not say where its rows were read"


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_plain_text(name):
    raw = (DATA / NAMES[name]["path"]).read_bytes()
    assert raw.endswith(b"\n") and b"\r" not in raw and not raw.startswith(b"\xef\xbb\xbf")
    for row in csv.reader(raw.decode("utf-8").splitlines()):
        assert [cell.strip() for cell in row] == row


@pytest.mark.parametrize("name", [name for name in NAMES if NAMES[name]["schema"]["fields"][0]["name"] == "fact_id"])
def test_facts_are_in_the_order_of_their_names(name):
    facts = list(texts(name).fact_id)
    assert facts == sorted(facts)


@pytest.mark.parametrize("name", ["arms", "timepoints"])
def test_arms_and_timepoints_stand_in_the_order_of_the_trials(name):
    trials = list(texts("trials").trial_id)
    order = [trials.index(trial) for trial in texts(name).trial_id]
    assert order == sorted(order)


# --- The codebook ----------------------------------------------------------------------------------------------------


def test_the_readme_is_in_step_with_the_description():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert readme == update_readme(readme, PACKAGE), (
        "data/README.md is behind data/datapackage.json: run python -m meta_analysis.codebook in notebooks/"
    )


def test_the_codebook_describes_every_field():
    lines = codebook_markdown(PACKAGE).splitlines()
    for resource in PACKAGE["resources"]:
        start = lines.index(f"### `{resource['path']}`: {resource['title']}")
        rows = [line for line in lines[start + 4 :] if line.startswith("| `") or line.startswith("### ")]
        for field, row in zip(resource["schema"]["fields"], rows):
            assert row.startswith(f"| `{field['name']}` | {field['type']} | {field.get('unit', '')} | ")
            assert row.replace(r"\|", "").count("|") == 6


def test_constraints_are_told_in_words():
    package = small_package(key="string", share="number")
    schema = package["resources"][0]["schema"]
    schema["fields"][1] |= {
        "unit": "a | b",
        "constraints": {"required": True, "minimum": 0, "maximum": 1, "enum": [0, 1], "pattern": "[01]"},
    }
    schema["foreignKeys"] = [{"fields": ["share"], "reference": {"resource": "shares", "fields": ["share"]}}]
    row = next(line for line in codebook_markdown(package).splitlines() if line.startswith("| `share`"))
    assert row == (
        r"| `share` | number | a \| b | About share. | one of `shares`; never blank; one of `0`, `1`; 0 or more; "
        "1 or less; form `[01]` |"
    )


def test_only_what_stands_between_the_markers_is_replaced():
    package = small_package(key="string")
    page = f"# Title\n\nprose\n\n{BEGIN}\nold\n{END}\n\nmore prose\n"
    new = update_readme(page, package)
    assert new.startswith(f"# Title\n\nprose\n\n{BEGIN}\n\n### ") and new.endswith(f" |\n\n{END}\n\nmore prose\n")
    assert "old" not in new
    assert update_readme(new, package) == new


def test_the_page_is_brought_into_step_by_one_command(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    package = small_package(key="string")
    (tmp_path / "data" / "datapackage.json").write_text(json.dumps(package), encoding="utf-8")
    (tmp_path / "data" / "README.md").write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    monkeypatch.setattr(codebook, "REPOSITORY", tmp_path)
    codebook.main()
    readme = (tmp_path / "data" / "README.md").read_text(encoding="utf-8")
    assert readme == f"{BEGIN}\n\n{codebook_markdown(package)}\n\n{END}\n"


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}\n{END}\n{BEGIN}\n{END}"])
def test_a_page_without_its_markers_is_refused(page):
    with pytest.raises(ValueError, match="once each and in this order"):
        update_readme(page, small_package(key="string"))


def test_the_tables_are_those_the_stored_results_were_made_from():
    """Any change to the data, also to a number that no notebook reads yet, is seen until a run has been accepted."""
    stored = pd.read_csv(data.REPOSITORY / inputs.TABLE).to_dict("records")
    assert inputs.checksums(data.REPOSITORY / "data") == stored
