"""Figures of sensitivity, dose and time: what they say they draw is what was computed, and bad input is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from specification_families import curve

from meta_analysis import (
    course_plots,
    curve_summary,
    dose_time,
    leave_out,
    priors,
    sensitivity_figures,
    sensitivity_plots,
)
from meta_analysis.analyses import choose
from meta_analysis.bayes import random_effects_posterior
from meta_analysis.data import read_derived, read_extracted
from meta_analysis.funnel import funnel_plot
from meta_analysis.plots import WIDTH
from meta_analysis.pooling import pool
from meta_analysis.results import one, results_table
from meta_analysis.sensitivity_tables import counts_with_lost, one_at_a_time
from meta_analysis.small_study import trim_and_fill
from meta_analysis.specification_plot import (
    DARKEST,
    LEVEL_SIZE,
    Mark,
    specification_alt_text,
    specification_figure,
)
from meta_analysis.tau2 import METHODS
from tests.readable import assert_readable, words_of

SEVERITY = choose(read_derived("02_effects.csv"), "ptsd_severity", "SMD")
RESPONSE = choose(read_derived("02_effects.csv"), "response", "RR")
TWO = {"Severity": SEVERITY, "Response": RESPONSE}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().add_subplot()


def test_one_trial_at_a_time_has_a_panel_for_each_outcome_on_shared_rows():
    results = {title: results_table(one_at_a_time(own, title.lower())) for title, own in TWO.items()}
    results["Response"] = results["Response"].query("not study_set.str.contains('Oehen')", engine="python")
    full = {title: one(read_derived("03_results.csv"), f"{title.lower()}.primary") for title in TWO}
    fig, marks, alt = sensitivity_figures.one_at_a_time_figure(results, full)
    left, right = fig.axes
    assert left.get_ylim() == right.get_ylim() and right.get_xscale() == "log"
    places = dict(zip([label.get_text() for label in left.get_yticklabels()], left.get_yticks()))
    assert list(places) == results["Severity"]["study_set"].tolist()
    for ax, found in zip(fig.axes, results.values()):
        [dots] = [line.get_xydata() for line in ax.lines if line.get_marker() == "o"]
        np.testing.assert_array_equal(dots[:, 0], found["estimate"])
        assert dots[:, 1].tolist() == [places[label] for label in found["study_set"]]
    assert len(marks) == 12 + 10 and f"Severity, all trials {full['Severity']['estimate']:.2f} (dashed line)" in alt
    first = results["Severity"].iloc[0]
    assert f"{first['study_set']} {first['estimate']:.2f} ({first['ci_low']:.2f} to {first['ci_high']:.2f})" in alt


def test_the_trace_begins_at_the_common_effect_and_meets_the_estimators(ax):
    back, drawn = sensitivity_plots.tau_trace_plot(ax, RESPONSE["yi"], RESPONSE["vi"], measure="RR", event="good")
    assert back is ax and ax.get_yscale() == "log"
    common = pool(RESPONSE["yi"], RESPONSE["vi"], model="common")
    np.testing.assert_allclose(drawn.loc[0, ["estimate", "low", "high"]].astype(float),
                               np.exp([common.estimate, common.ci_low, common.ci_high]), rtol=1e-9)
    at = drawn.set_index("method").loc["DL"]
    result = pool(RESPONSE["yi"], RESPONSE["vi"], tau2_method="DL", ci_method="Wald")
    np.testing.assert_allclose([at["tau"] ** 2, at["estimate"]], [result.tau2, np.exp(result.estimate)], rtol=1e-9)
    assert set(drawn["method"]) == {"", *METHODS}


def test_the_cloud_holds_every_subset_of_two_or_more(ax):
    found = leave_out.gosh(SEVERITY["yi"], SEVERITY["vi"])
    _, drawn = sensitivity_plots.gosh_plot(ax, found, 3, "MP-12", measure="SMD")
    assert len(drawn) == 2**6 - 1 - 6 and drawn["with_it"].sum() == 2**5 - 1
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["with MP-12", "without MP-12"]


def test_contours_show_where_significance_ends(ax):
    grid = np.array([0.1, 1.0, 10.0])
    p = np.array([[0.01, 0.02, 0.2], [0.01, 0.02, 0.03], [0.01, 0.02, 0.03]])
    _, drawn = sensitivity_plots.imor_plot(ax, grid, np.exp(p), p)
    assert drawn.query("imor_active == 0.1 and imor_control == 10")["p"].item() == 0.2
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert "p above 0.05" in [text.get_text() for text in ax.texts]


def test_probabilities_fall_with_the_threshold(ax):
    posterior = random_effects_posterior(SEVERITY["yi"], SEVERITY["vi"], priors.half_normal(0.5))
    _, drawn = sensitivity_plots.exceedance_plot(ax, {"a": posterior}, [0.0, 0.5, 1.0], marked={"here": 0.7})
    assert drawn["probability"].is_monotonic_decreasing
    assert drawn["probability"].iloc[1] == pytest.approx(float(posterior.mu.cdf(-0.5)))
    _, new = sensitivity_plots.exceedance_plot(ax, {"a": posterior}, [0.0, 1.0], marked={}, new_trial=True)
    assert new["probability"].iloc[0] < drawn["probability"].iloc[0]


def test_funnel_puts_precise_trials_on_top(ax):
    filled = pd.DataFrame({"yi": [0.1], "vi": [0.2]})
    _, drawn = funnel_plot(ax, SEVERITY.assign(label=SEVERITY["trial_id"]), measure="SMD", estimate=-0.7, filled=filled)
    assert ax.get_ylim()[1] == 0 < ax.get_ylim()[0]
    assert (drawn["kind"] == "filled").sum() == 1 and len(drawn) == 7
    low, high = ax.get_xlim()
    assert drawn["estimate"].between(low, high).all()
    with pytest.raises(ValueError, match="variances above zero"):
        funnel_plot(ax, SEVERITY.assign(label="", vi=0.0), measure="SMD", estimate=0.0)


@pytest.mark.parametrize(("effects", "measure"), [(SEVERITY, "SMD"), (RESPONSE, "RR")])
def test_no_label_of_a_funnel_stands_on_a_line_a_mark_or_another_label(effects, measure):
    fig, [ax, _] = sensitivity_plots.panels(2, 3.2, foot=0.86)
    centre = float(pool(effects["yi"], effects["vi"]).estimate)
    event = "good" if measure == "RR" else None
    funnel_plot(ax, effects.assign(label=effects["trial_id"]), measure=measure, event=event, estimate=centre)
    fig.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == len(effects)
    lines = [line for line in ax.lines if line.get_transform() == ax.transData]
    assert len(lines) == 4 + 2  # no effect, the result and its funnel; the marks, of which none is filled
    for line in lines:
        points = ax.transData.transform(line.get_xydata())
        if line.get_marker() == "None":
            share = np.linspace(0, 1, 100)[:, None]
            points = np.concatenate([a + share * (b - a) for a, b in zip(points[:-1], points[1:])])
        assert not any(box.contains(*point) for box in boxes for point in points)
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])
    assert all(ax.bbox.containsx(box.x0) and ax.bbox.containsx(box.x1) for box in boxes)


def test_figures_of_the_notebook_say_their_numbers():
    fig, marks, alt = sensitivity_figures.all_subsets_figure(TWO)
    assert fig.get_figwidth() == WIDTH and set(marks["group"]) == set(TWO) and "Response: MAPP2" in alt
    _, _, alt = sensitivity_figures.tau_figure(TWO)
    assert "Severity, SJ: tau 0.25" in alt
    mirrored = {title: trim_and_fill(own["yi"], own["vi"]) for title, own in TWO.items()}
    _, marks, alt = sensitivity_figures.funnel_figure(TWO, mirrored)
    assert f"trim-and-fill adds {mirrored['Response'].k0}" in alt
    assert (marks["kind"] == "filled").sum() == sum(found.k0 for found in mirrored.values())
    posterior = random_effects_posterior(SEVERITY["yi"], SEVERITY["vi"], priors.half_normal(0.5))
    _, _, alt = sensitivity_figures.thresholds_figure({"half": posterior}, {"mark": 0.5})
    assert f"half {100 * float(posterior.mu.cdf(-0.5)):.0f}%" in alt


def test_the_square_of_missing_outcomes_is_part_of_its_map():
    counts = counts_with_lost(RESPONSE, read_derived("01_trial_flow.csv"))
    _, marks, alt = sensitivity_figures.missing_figure({"Response": counts})
    square = sensitivity_figures.missing_square(counts)
    inside = marks[marks["imor_active"].between(0.2, 5) & marks["imor_control"].between(0.2, 5)]
    assert inside["p"].max() <= square.p.max() + 1e-12 < marks["p"].max()
    middle = marks[np.isclose(marks["imor_active"], 1) & np.isclose(marks["imor_control"], 1)]
    primary = one(read_derived("03_results.csv"), "response.primary")
    assert middle["estimate"].item() == pytest.approx(primary["estimate"])
    assert f"the largest p {square.p.max():.3f}" in alt


def test_the_specification_figure_holds_the_whole_curve():
    found = curve("remission")
    levels, shares = curve_summary.level_summary(found), curve_summary.variance_shares(found)
    marks = [Mark("Under test", 2.32, "--")]
    fig, bins = specification_figure(found, levels, shares, event="good", marks=marks, note="A last line.")
    assert fig.get_figwidth() == WIDTH and fig.get_figheight() < 10  # a page of a journal
    assert bins["first"].iloc[0] == 0 and bins["last"].iloc[-1] == found.estimate.size - 1
    assert (bins["first"].iloc[1:].to_numpy() == bins["last"].iloc[:-1].to_numpy() + 1).all()
    assert (np.diff(bins["estimate"]) > -1e-9).all()
    assert ((bins["low"] <= bins["estimate"]) & (bins["estimate"] <= bins["high"])).all()
    texts = words_of(fig)
    assert_readable(fig, 100, smallest=LEVEL_SIZE)
    assert f"{found.estimate.size:,} specifications" in texts and "Under test 2.32" in texts
    shown = levels[levels["specifications"] > 0]
    assert set(shown["meaning"]) <= set(texts) and "nothing: left out of a ratio" not in texts
    assert "above 1: favours MDMA-AT" in texts
    [picture] = [image.get_array() for image in fig.axes[0].images]
    rows = picture[picture[..., 3].any(axis=1)]  # between two choices the paper is seen
    np.testing.assert_array_equal(rows[::5], rows[4::5])  # a level is five rows of the picture
    darkest = plt.get_cmap("Greys")(1 / DARKEST, bytes=True)
    assert len(rows) == 5 * len(shown) and (rows.min(axis=1) == darkest).all()
    whole = np.quantile(found.estimate[found.by_estimate[bins["first"][0] : bins["last"][0] + 1]], 0.5)
    assert bins["estimate"][0] == pytest.approx(whole, rel=1e-12)
    alt = specification_alt_text(found, shares, subject="remission", event="good", marks=marks)
    assert "Under test: 2.32" in alt and f"Definition {shares['share'].iloc[0]:.0f} percent" in alt


def test_courses_of_all_trials():
    courses = dose_time.courses(read_derived("01_analysis_table.csv"))
    fig, drawn, alt = course_plots.courses_figure(courses)
    assert len(drawn) == len(courses) and drawn["group"].nunique() == 6
    assert "MAPP1:mdma 19.6 after 3 sessions" in alt
    limits = {ax.get_title(loc="left"): ax.get_ylim() for ax in fig.axes}
    assert limits["MAPP1, CAPS-5"] == limits["MAPP2, CAPS-5"] != limits["MP-1, CAPS-IV"]
    with pytest.raises(ValueError, match="one trial at a time"):
        course_plots.course_plot(fig.axes[0], courses, limits=(0, 100))


def test_the_band_figure_names_both_intervals():
    effects = dose_time.all_time_effects(read_derived("01_analysis_table.csv"), read_extracted("characteristics"))
    band = dose_time.band(effects, "sessions", [1, 3])
    fig, drawn, alt = course_plots.band_figure(effects, band, "sessions", label="sessions so far")
    assert len(drawn) == 15 and f"At 3: {band['estimate'].iloc[1]:.2f}" in alt
    words = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert words == ["95% interval, robust (CR2)", "95% interval of the model"]
    assert "favours MDMA-AT" in fig.axes[0].get_ylabel()


def test_no_name_in_the_band_figure_lies_on_a_line_or_on_another_name():
    effects = dose_time.all_time_effects(read_derived("01_analysis_table.csv"), read_extracted("characteristics"))
    band = dose_time.band(effects, "sessions", [1, 3])
    fig, _, _ = course_plots.band_figure(effects, band, "sessions", label="sessions so far")
    fig.draw_without_rendering()
    ax = fig.axes[0]
    boxes = {text.get_text(): text.get_window_extent() for text in ax.texts}
    assert {"MP-1", "MP-8, 75 mg", "MP-12, 125 mg", "MAPP2"} < set(boxes) and len(boxes) == 8
    lines = [line.get_path().transformed(line.get_transform()) for line in ax.lines]
    for name, box in boxes.items():
        assert not any(line.intersects_bbox(box, filled=False) for line in lines), name
        assert box.count_overlaps(boxes.values()) == 1, f"{name} touches another name"
        assert ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1, name
