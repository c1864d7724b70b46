"""The stored reference results: one script makes all of them, and no part, call, version or model is missing."""

from __future__ import annotations

import re

import pytest

from tests.reference import FOLDER, stored

SCRIPT = (FOLDER / "make_reference.R").read_text(encoding="utf-8")
PACKAGES = {
    "metafor.json": {"metafor", "metadat", "clubSandwich"},
    "harms.json": {"metafor", "metadat"},
    "specifications.json": {"metafor"},
}
BLOCKS = {"pooling", "diagnostics", "multilevel"}
RHO = ("0.0", "0.2", "0.6", "0.8")
MODELS = {
    *(f"{data} rho {rho}" for data in ("assink2016", "konstantopoulos2011", "knapp2017", "begg1989") for rho in RHO),
    "assink2016 averaged rho 0.6",
    "assink2016 moderators rho 0.6",
    "konstantopoulos2011 year rho 0.6",
    "knapp2017 year rho 0.8",
    "berkey1998 whole V",
    "baker2009 whole V",
}


def test_the_one_script_writes_every_file_and_runs_every_part():
    assert set(re.findall(r'write\("([\w.]+)"', SCRIPT)) == set(PACKAGES)
    assert {path.name for path in FOLDER.glob("*.json")} == set(PACKAGES)
    assert [path.name for path in FOLDER.glob("*.R")] == ["make_reference.R"]
    parts = {path.stem for path in (FOLDER / "parts").iterdir()}
    assert parts == {*re.findall(r'part\("(\w+)"\)', SCRIPT), "common"}


@pytest.mark.parametrize("file", PACKAGES)
def test_files_say_what_made_them(file):
    content = stored(file)
    assert content["made_by"] == "Rscript data/reference/make_reference.R"
    assert set(content["versions"]) == {"R", *PACKAGES[file]}
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in content["versions"].values())
    blocks = [content[name] for name in BLOCKS] if file == "metafor.json" else [content]
    assert all(block["calls"] and all(block["calls"].values()) for block in blocks)


def test_the_blocks_are_whole():
    assert set(stored("metafor.json")) == {"made_by", "versions", *BLOCKS}
    for block in ("pooling", "diagnostics"):
        assert all(dataset["call"] for dataset in stored("metafor.json")[block]["datasets"].values())
    multilevel = stored("metafor.json")["multilevel"]
    assert set(multilevel["models"]) == MODELS
    for name, model in multilevel["models"].items():
        effects = multilevel["data"][model["data"]]["yi"]
        assert len(model["design"]) == len(effects), name
        assert {"held", "wald", "t_residual", "cr1", "cr2", "beta", "sigma2"} <= set(model), name


def test_the_files_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.json")) < 1.5e6
