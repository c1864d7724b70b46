"""The file of all specifications: one row each, whole, and any row runs again by its id."""

import sys

import pandas as pd
import pytest
from specification_families import curve, family

from meta_analysis import specification_families
from meta_analysis.specification import run_specification


def test_every_specification_is_a_row_that_can_be_run_again(tmp_path):
    count = specification_families.write_curves([curve("response"), curve("remission")], tmp_path / "all.csv")
    rows = pd.read_csv(tmp_path / "all.csv")
    assert count == len(rows) == curve("response").estimate.size + curve("remission").estimate.size
    assert rows["id"].is_unique and (rows["id"].str.partition("/")[0] == rows["family"]).all()
    assert rows.groupby("family")["estimate"].apply(lambda x: (x.round(9).diff().dropna() >= 0).all()).all()
    for row in rows.sample(20, random_state=1).itertuples():
        again = run_specification(family(row.family), row.id)
        assert [row.estimate, row.ci_low, row.ci_high] == pytest.approx(
            [again["estimate"], again["ci_low"], again["ci_high"]], rel=1e-9)


def test_the_command_wants_a_file(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["specification_families"])
    with pytest.raises(SystemExit, match="usage: .* FILE.csv"):
        specification_families.main()
