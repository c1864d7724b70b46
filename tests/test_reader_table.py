"""Tables for the reader's eye."""

import math

import pandas as pd
import pytest

from meta_analysis import reader_table


def test_show_table_prints_every_kind_of_value():
    frame = pd.DataFrame({"label": ["a", None], "x": [-0.001, math.nan], "n": pd.array([3, None], dtype="Int64"),
                          "ok": [True, False], "p": [0.0316, 0.5]})
    renames = {"label": "Trial", "p": "p", "x": "SMD", "n": "n", "ok": "ok"}
    shown = reader_table.show_table(frame, digits={"p": 3}, columns=renames)
    assert list(shown.columns) == ["Trial", "p", "SMD", "n", "ok"]
    assert shown.to_numpy().tolist() == [["a", "0.032", "0.00", "3", "yes"], ["", "0.500", "", "", "no"]]
    assert list(shown.index) == ["", ""] and shown.index.name is None
    assert frame["x"].isna().sum() == 1, "the table itself is left alone"


def test_show_table_shows_counts_without_decimals():
    frame = pd.DataFrame({"n": [12.0, math.nan], "g": [-1.0, 0.5], "tau2": [0.0, 0.0]})
    assert reader_table.show_table(frame).to_numpy().tolist() == [["12", "-1.00", "0.00"], ["", "0.50", "0.00"]]


def test_show_table_sets_words_left_and_numbers_right():
    html = reader_table.show_table(pd.DataFrame({"trial_id": ["A & B"], "x": [0.5]}))._repr_html_()
    assert '<th style="text-align: left">trial id</th>' in html and '<td style="text-align: right">0.50</td>' in html
    assert "A &amp; B" in html


def test_show_table_keeps_a_named_index_as_columns_and_refuses_unknown_columns():
    frame = pd.DataFrame({"x": [1.0]}, index=pd.Index(["a"], name="trial"))
    assert list(reader_table.show_table(frame).columns) == ["trial", "x"]
    with pytest.raises(ValueError, match="no such column: y; the table has trial, x"):
        reader_table.show_table(frame, columns=["y"])
