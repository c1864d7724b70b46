"""Rows of the results tables."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from meta_analysis import results

POOL = {"k": 6, "estimate": -0.7, "se": 0.15, "ci_low": -1.1, "ci_high": -0.3, "p": 0.004, "pi_low": -1.3,
        "pi_high": -0.1, "tau2": 0.01, "tau2_low": 0.0, "tau2_high": 0.6, "i2": 8.0, "q": 5.4, "q_df": 5, "q_p": 0.37}
ABOUT = {"outcome": "severity", "study_set": "primary", "arms": "all high doses", "scale_kind": "endpoint",
         "model": "random", "tau2_method": "REML", "ci_method": "mHK", "n_active": 130, "n_control": 108}


def row(analysis_id="severity.primary", measure="SMD", **changes):
    return results.result_row(analysis_id, SimpleNamespace(**(POOL | changes)), measure=measure, **ABOUT)


def test_a_difference_is_kept_as_pooled():
    made = row()
    assert list(made) == results.RESULT_COLUMNS
    assert {name: made[name] for name in POOL} == POOL
    assert made["note"] == ""


@pytest.mark.parametrize("measure", ["RR", "OR"])
def test_a_ratio_stands_on_its_natural_scale_and_its_standard_error_on_the_log_scale(measure):
    made = row(measure=measure)
    for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high"):
        assert math.log(made[name]) == pytest.approx(POOL[name], rel=1e-15)
    for name in ("se", "p", "tau2", "tau2_high", "i2", "q"):
        assert made[name] == POOL[name]


def test_arrays_of_one_value_are_one_result_and_larger_ones_are_refused():
    arrays = {name: np.array([value]) for name, value in POOL.items()}
    assert row(**arrays) == row()
    with pytest.raises(ValueError, match="severity.primary: one pooled result wanted"):
        row(estimate=np.array([-0.7, -0.6]))


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="unknown measure 'HR': use one of SMD, MD, RR, OR, RD"):
        row(measure="HR")
    with pytest.raises(ValueError, match="unknown measure"):
        results.results_table([row() | {"measure": "smd"}])


def test_results_table_has_the_columns_in_order_and_whole_counts():
    table = results.results_table([row(), row("severity.rr", measure="RR", pi_low=math.nan, pi_high=math.nan)])
    assert list(table.columns) == results.RESULT_COLUMNS
    assert {str(table[name].dtype) for name in ("k", "n_active", "n_control", "q_df")} == {"Int64"}
    assert table["estimate"].dtype == float
    assert "q_p,note\nseverity.primary,severity,SMD,primary,all high doses,endpoint,random,REML,mHK,6,130,108,-0.7," \
        in table.to_csv(index=False)


def test_results_table_refuses_repeated_names_and_strange_columns():
    with pytest.raises(ValueError, match=r"^analysis_id given twice: severity\.primary$"):
        results.results_table([row(), row()])
    short = row()
    del short["se"]
    with pytest.raises(ValueError, match="'severity.primary': missing or unknown columns extra, se"):
        results.results_table([short | {"extra": 1}])


def test_one_finds_a_row_and_names_near_ones_in_one_line():
    table = results.results_table([row(), row("response.mh", measure="RR")])
    assert results.one(table, "response.mh")["measure"] == "RR"
    with pytest.raises(KeyError, match="0 results named severity.prim among 2; near: severity.primary") as error:
        results.one(table, "severity.prim")
    assert "\n" not in str(error.value)
