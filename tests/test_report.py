"""Numbers as text, results tables, and figures as saved: what a reader sees must not change from run to run."""

import base64
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import IPython.display
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_analysis import report

matplotlib.use("Agg")

# A printed number stands for all values within half a unit of its last digit.
HALF_UNIT = 0.5
# Powers of ten and the multiplication round once each.
FLOAT_SLACK = 1e-9


# Numbers as text


@pytest.mark.parametrize(("x", "digits", "text"), [
    (-0.001, 2, "0.00"), (-0.0, 2, "0.00"), (-0.4, 0, "0"), (-0.006, 2, "-0.01"), (np.float64(0.1), 2, "0.10"),
    (np.array(1.5), 1, "1.5"), (12, 0, "12"), (1234.5678, 2, "1234.57"), (math.inf, 2, "infinity"),
    (-math.inf, 2, "-infinity"),
])
def test_number_prints_plain_text(x, digits, text):
    assert report.number(x, digits) == text


@pytest.mark.parametrize("x", [math.nan, None, pd.NA, np.float64("nan")])
def test_a_missing_number_is_named(x):
    assert report.number(x) == "not estimable"
    assert report.number(x, missing="") == ""


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_number_is_ascii_within_half_a_unit_and_never_minus_zero(x, digits):
    text = report.number(x, digits)
    assert text.isascii() and "e" not in text
    assert abs(float(text) - x) <= HALF_UNIT * 10.0**-digits + FLOAT_SLACK * abs(x)
    assert not (text.startswith("-") and float(text) == 0)


def test_interval():
    assert report.interval(-1.054, -0.388) == "-1.05 to -0.39"
    assert report.interval(-0.001, math.inf, 1) == "0.0 to infinity"
    assert report.interval(math.nan, 1, missing="?") == "?"
    with pytest.raises(ValueError, match=r"got 2\.00 to 1\.00"):
        report.interval(2, 1)


@pytest.mark.parametrize(("p", "text"), [
    (0.0324, "p = 0.032"), (0.001, "p = 0.001"), (0.00099, "p < 0.001"), (0.0, "p < 0.001"), (0.9994, "p > 0.999"),
    (0.999, "p = 0.999"), (1.0, "p > 0.999"), (math.nan, "not estimable"),
])
def test_p_value(p, text):
    assert report.p_value(p) == text


def test_p_value_outside_zero_to_one_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        report.p_value(1.2)


def test_percent_takes_percent():
    assert report.percent(46.7) == "47%"
    assert report.percent(46.72, 1) == "46.7%"
    assert report.percent(math.nan, missing="") == ""


def test_estimate_with_interval_takes_a_row_or_three_numbers():
    text = "-0.72 (95% CI -1.05 to -0.39)"
    row = {"estimate": -0.7199, "ci_low": -1.0501, "ci_high": -0.3899}
    assert report.estimate_with_interval(row) == text
    assert report.estimate_with_interval(pd.Series(row)) == text
    assert report.estimate_with_interval(tuple(row.values())) == text
    assert report.estimate_with_interval((-0.7, math.nan, math.nan)) == "-0.70 (95% CI not estimable)"
    assert report.estimate_with_interval((math.nan, math.nan, math.nan)) == "not estimable"


# Rows of the results tables

POOL = {"k": 6, "estimate": -0.7, "se": 0.15, "ci_low": -1.1, "ci_high": -0.3, "p": 0.004, "pi_low": -1.3,
        "pi_high": -0.1, "tau2": 0.01, "tau2_low": 0.0, "tau2_high": 0.6, "i2": 8.0, "q": 5.4, "q_df": 5, "q_p": 0.37}
ABOUT = {"outcome": "severity", "study_set": "primary", "arms": "all high doses", "scale_kind": "endpoint",
         "model": "random", "tau2_method": "REML", "ci_method": "mHK", "n_active": 130, "n_control": 108}


def row(analysis_id="severity.primary", measure="SMD", **changes):
    return report.result_row(analysis_id, SimpleNamespace(**(POOL | changes)), measure=measure, **ABOUT)


def test_a_difference_is_kept_as_pooled():
    made = row()
    assert list(made) == report.RESULT_COLUMNS
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
        report.results_table([row() | {"measure": "smd"}])


def test_results_table_has_the_columns_in_order_and_whole_counts():
    table = report.results_table([row(), row("severity.rr", measure="RR", pi_low=math.nan, pi_high=math.nan)])
    assert list(table.columns) == report.RESULT_COLUMNS
    assert {str(table[name].dtype) for name in ("k", "n_active", "n_control", "q_df")} == {"Int64"}
    assert table["estimate"].dtype == float
    assert "q_p,note\nseverity.primary,severity,SMD,primary,all high doses,endpoint,random,REML,mHK,6,130,108,-0.7," \
        in table.to_csv(index=False)


def test_results_table_refuses_repeated_names_and_strange_columns():
    with pytest.raises(ValueError, match=r"^analysis_id given twice: severity\.primary$"):
        report.results_table([row(), row()])
    short = row()
    del short["se"]
    with pytest.raises(ValueError, match="'severity.primary': missing or unknown columns extra, se"):
        report.results_table([short | {"extra": 1}])


def test_one_finds_a_row_and_names_near_ones_in_one_line():
    table = report.results_table([row(), row("response.mh", measure="RR")])
    assert report.one(table, "response.mh")["measure"] == "RR"
    with pytest.raises(KeyError, match="0 results named severity.prim among 2; near: severity.primary") as error:
        report.one(table, "severity.prim")
    assert "\n" not in str(error.value)


# Tables for display


def test_show_table_prints_every_kind_of_value():
    frame = pd.DataFrame({"label": ["a", None], "x": [-0.001, math.nan], "n": pd.array([3, None], dtype="Int64"),
                          "ok": [True, False], "p": [0.0316, 0.5]})
    renames = {"label": "Trial", "p": "p", "x": "SMD", "n": "n", "ok": "ok"}
    shown = report.show_table(frame, digits={"p": 3}, columns=renames)
    assert list(shown.columns) == ["Trial", "p", "SMD", "n", "ok"]
    assert shown.to_numpy().tolist() == [["a", "0.032", "0.00", "3", "yes"], ["", "0.500", "", "", "no"]]
    assert list(shown.index) == ["", ""] and shown.index.name is None
    assert frame["x"].isna().sum() == 1, "the table itself is left alone"


def test_show_table_shows_counts_without_decimals():
    frame = pd.DataFrame({"n": [12.0, math.nan], "g": [-1.0, 0.5], "tau2": [0.0, 0.0]})
    assert report.show_table(frame).to_numpy().tolist() == [["12", "-1.00", "0.00"], ["", "0.50", "0.00"]]


def test_show_table_sets_words_left_and_numbers_right():
    html = report.show_table(pd.DataFrame({"trial_id": ["A & B"], "x": [0.5]}))._repr_html_()
    assert '<th style="text-align: left">trial id</th>' in html and '<td style="text-align: right">0.50</td>' in html
    assert "A &amp; B" in html


def test_show_table_keeps_a_named_index_as_columns_and_refuses_unknown_columns():
    frame = pd.DataFrame({"x": [1.0]}, index=pd.Index(["a"], name="trial"))
    assert list(report.show_table(frame).columns) == ["trial", "x"]
    with pytest.raises(ValueError, match="no such column: y; the table has trial, x"):
        report.show_table(frame, columns=["y"])


def test_figures_table():
    entry = {"figure": "03_forest_severity", "title": "Severity", "alt": "Forest plot."}
    assert report.figures_table([entry]).to_dict("records") == [entry]
    with pytest.raises(ValueError, match="figure given twice: 03_forest_severity"):
        report.figures_table([entry, entry])
    with pytest.raises(ValueError, match="'03_forest_severity' has no alt"):
        report.figures_table([entry | {"alt": " "}])


# Figures shown and saved

ALT = "A line <rising> & falling. It has 2 points."
DRAW = f"""
import matplotlib; matplotlib.use("Agg")
import matplotlib.pyplot as plt
from meta_analysis import report
fig, ax = plt.subplots(figsize=(3, 2))
ax.plot([0, 1], [1, 2], label="rise")
ax.fill_between([0, 1], 1, 2)
ax.legend()
report.show_figure(fig, "03_line", {ALT!r})
"""


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """What is displayed, with the figures going to a folder of their own."""
    displayed = []

    def display(data, *, raw, metadata):
        displayed.append((data, metadata))

    monkeypatch.setenv("META_ANALYSIS_BUILD", str(tmp_path))
    monkeypatch.setattr(IPython.display, "display", display)
    return displayed


def test_the_picture_shown_is_the_picture_saved_with_its_alternative_text(shown, tmp_path):
    before = plt.get_fignums()
    exec(DRAW, {})
    [(data, metadata)] = shown
    png = (tmp_path / "figures" / "03_line.png").read_bytes()
    assert base64.b64decode(data["image/png"]) == png
    assert data["text/plain"] == ALT and set(data) == {"image/png", "text/plain"}
    assert metadata == {"image/png": {"width": 300, "alt": ALT}}
    assert int.from_bytes(png[16:20], "big") == 3 * report.PNG_DPI
    assert plt.get_fignums() == before, "the figure is closed, so that it is not shown a second time"


def test_the_svg_tells_a_screen_reader_what_it_shows(shown, tmp_path):
    exec(DRAW, {})
    text = (tmp_path / "figures" / "03_line.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    title, description = root.find(f"{space}title"), root.find(f"{space}desc")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby").split() == [title.get("id"), description.get("id")]
    assert title.text == "A line <rising> & falling." and description.text == ALT
    assert list(root)[:2] == [title, description], "first children, where browsers look for them"
    assert "<dc:date>" not in text and "Matplotlib v" not in text


def test_the_same_figure_is_the_same_bytes_in_another_process(shown, tmp_path):
    exec(DRAW, {})
    exec(DRAW, {})
    other = tmp_path / "other"
    environment = os.environ | {"META_ANALYSIS_BUILD": str(other), "PYTHONPATH": os.pathsep.join(sys.path),
                                "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", DRAW], env=environment, check=True, capture_output=True)
    for name in ("03_line.png", "03_line.svg"):
        assert (other / "figures" / name).read_bytes() == (tmp_path / "figures" / name).read_bytes()


def test_a_figure_without_words_or_with_a_strange_name_is_refused(shown):
    fig = plt.figure()
    with pytest.raises(ValueError, match="03_x needs an alternative text"):
        report.show_figure(fig, "03_x", " ")
    with pytest.raises(ValueError, match="like '03_forest_severity', got 'forest.png'"):
        report.show_figure(fig, "forest.png", ALT)
    plt.close(fig)
    assert shown == []
