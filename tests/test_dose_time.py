"""All time points and doses: which comparisons there are, their covariance, the models, the table of participants."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from meta_analysis import dose_time
from meta_analysis.analyses import choose
from meta_analysis.course_rows import contrast_row, course_rows, participants_table
from meta_analysis.data import read_derived, read_extracted
from meta_analysis.results import results_table
from meta_analysis.sampling_covariance import shared_control_smd

TABLE, CHARACTERISTICS = read_derived("01_analysis_table.csv"), read_extracted("characteristics")
EFFECTS = dose_time.all_time_effects(TABLE, CHARACTERISTICS)


def place(trial):
    return np.flatnonzero(EFFECTS["trial_id"] == trial)


def test_every_comparison_is_randomised_and_before_crossover():
    assert len(EFFECTS) == 15 and EFFECTS["trial_id"].nunique() == 6
    assert not EFFECTS.duplicated(["arm", "timepoint_id"]).any()
    after = read_extracted("timepoints").query("post_crossover")["timepoint_id"]
    assert not EFFECTS["timepoint_id"].isin(after).any()


def test_effects_at_the_primary_time_are_those_of_notebook_02():
    stored = choose(read_derived("02_effects.csv"), "severity_high_dose", "SMD").set_index("timepoint_id")
    ours = EFFECTS[EFFECTS["high_dose"]].set_index("timepoint_id").loc[stored.index]
    np.testing.assert_allclose(ours[["yi", "vi"]], stored[["yi", "vi"]], rtol=1e-9)


def test_dose_is_what_the_control_arm_did_not_have():
    by_arm = EFFECTS.set_index(["arm", "timepoint_id"])["dose"]
    assert by_arm["MP-8:75mg", "MP-8:month_1"] == pytest.approx((150 - 60) / 100)
    assert by_arm["MAPP2:mdma", "MAPP2:week_18"] == pytest.approx(3.2)
    assert EFFECTS["dose"].notna().all()


def test_covariance_within_and_between_trials():
    v = EFFECTS["vi"].to_numpy()
    covariance = dose_time.sampling_covariance(EFFECTS, 0.5)
    np.testing.assert_allclose(covariance.diagonal(), v)
    i, j = place("MAPP1")[:2]
    assert covariance[i, j] == pytest.approx(0.5 * np.sqrt(v[i] * v[j]))
    assert covariance[i, place("MAPP2")[0]] == 0
    first, second = place("MP-8")
    pair = EFFECTS.iloc[[first, second]]
    exact = shared_control_smd(pair["yi"], pair["n_active"], 7)
    np.testing.assert_allclose(covariance[first, second], exact[0, 1], rtol=1e-6)
    by_rho = dose_time.sampling_covariance(EFFECTS, 0.5, shared="rho")
    assert by_rho[first, second] == pytest.approx(0.5 * np.sqrt(v[first] * v[second]))
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_the_covariance_does_not_depend_on_the_order():
    order = np.random.default_rng(0).permutation(len(EFFECTS))
    shuffled = dose_time.sampling_covariance(EFFECTS.iloc[order], 0.6)
    np.testing.assert_allclose(shuffled, dose_time.sampling_covariance(EFFECTS, 0.6)[np.ix_(order, order)])


@pytest.mark.parametrize("rho, shared", [(1.1, "exact"), (-0.1, "exact"), (0.5, "none")])
def test_bad_correlations_are_refused(rho, shared):
    with pytest.raises(ValueError, match="rho must lie from 0"):
        dose_time.sampling_covariance(EFFECTS, rho, shared=shared)


def by_dense_matrices(covariance, design):
    """Coefficients, their errors and the components at the maximum of the restricted likelihood, by another route.

    A simplex over the logarithms of the components; a component that goes to 0 stops as a tiny number.
    """
    y, trial = EFFECTS["yi"].to_numpy(), EFFECTS["trial_id"].to_numpy()
    same = (trial[:, None] == trial).astype(float)

    def solved(logs):
        marginal = covariance + np.exp(logs[0]) * same + np.exp(logs[1]) * np.eye(y.size)
        weights = np.linalg.inv(marginal)
        information = design.T @ weights @ design
        beta = np.linalg.solve(information, design.T @ weights @ y)
        rest = y - design @ beta
        cost = np.linalg.slogdet(marginal)[1] + np.linalg.slogdet(information)[1] + rest @ weights @ rest
        return cost, beta, np.sqrt(np.diag(np.linalg.inv(information)))

    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
    found = min((optimize.minimize(lambda logs: solved(logs)[0], start, method="Nelder-Mead", options=options)
                 for start in ((-3.0, -3.0), (-8.0, -2.0))), key=lambda result: result.fun)
    return *solved(found.x)[1:], np.exp(found.x)


@pytest.mark.parametrize("rho", [0.6, 0.99, 1.0])
@pytest.mark.parametrize("shared", ["exact", "rho"])
@pytest.mark.parametrize("moderators", [(), ("sessions",)])
def test_the_model_up_to_a_correlation_of_one(rho, shared, moderators):
    fit, _ = dose_time.fit_course(EFFECTS, moderators, rho=rho, shared=shared)
    covariance = dose_time.sampling_covariance(EFFECTS, rho, shared=shared)
    beta, se, components = by_dense_matrices(covariance, fit.design)
    np.testing.assert_allclose(fit.coefficients, beta, atol=1e-6)
    np.testing.assert_allclose(fit.se, se, atol=1e-6)
    np.testing.assert_allclose([fit.sigma2_between, fit.sigma2_within], components, atol=1e-6)


def test_a_correlation_of_one_is_the_limit_and_has_no_q():
    at_one, robust = dose_time.fit_course(EFFECTS, rho=1.0)
    nearly, nearly_robust = dose_time.fit_course(EFFECTS, rho=0.99999)
    np.testing.assert_allclose(at_one.coefficients, nearly.coefficients, atol=1e-5)
    np.testing.assert_allclose(at_one.sigma2_within, nearly.sigma2_within, rtol=1e-3)
    np.testing.assert_allclose([robust.se, robust.df], [nearly_robust.se, nearly_robust.df], rtol=1e-4)
    assert np.isnan([at_one.q, at_one.q_p, at_one.i2_between, at_one.i2_within]).all()
    assert abs(np.linalg.eigvalsh(at_one.sampling_covariance)[0]) < 1e-12, "singular"
    assert np.linalg.eigvalsh(at_one.marginal_covariance)[0] > 0.9 * at_one.sigma2_within
    row = course_rows("x", at_one, robust, 0, EFFECTS)[0]
    assert np.isnan(row["q"]) and np.isnan(row["i2"]) and row["estimate"] == at_one.coefficients[0]


def test_a_correlation_of_one_needs_variance_within_trials():
    same = EFFECTS[EFFECTS["trial_id"].isin(["MAPP1", "MAPP2", "MP-1"])].reset_index(drop=True)
    same = same.assign(yi=same.groupby("trial_id")["yi"].transform("first"))  # nothing changes over time
    with pytest.raises(ValueError, match="no variance within trials: the likelihood has no maximum"):
        dose_time.fit_course(same, rho=1.0)


def test_the_band_is_the_fitted_line_and_its_errors():
    fit, robust = dose_time.fit_course(EFFECTS, ("sessions",))
    band = dose_time.band(EFFECTS, "sessions", [0.0, 2.0])
    np.testing.assert_allclose(band["estimate"], fit.coefficients[0] + fit.coefficients[1] * band["place"], atol=1e-8)
    np.testing.assert_allclose(band.loc[0, ["model_low", "robust_low", "df"]].astype(float),
                               [fit.ci_low[0], robust.ci_low[0], robust.df[0]], rtol=1e-6)
    # At 2 the variance is that of b0 + 2 b1.
    se = np.sqrt(robust.covariance[0, 0] + 4 * robust.covariance[0, 1] + 4 * robust.covariance[1, 1])
    half = (band.loc[1, "robust_high"] - band.loc[1, "robust_low"]) / 2
    np.testing.assert_allclose(half, stats.t.ppf(0.975, band.loc[1, "df"]) * se, rtol=1e-6)


def test_a_slope_without_enough_information_says_so():
    _, robust = dose_time.fit_course(EFFECTS, ("sessions",))
    assert robust.df[1] < 4  # nothing here can be trusted, and the text says so


def test_moderators_are_split_between_and_within():
    split = dose_time.between_and_within(EFFECTS, "sessions")
    np.testing.assert_allclose(split["sessions_between"] + split["sessions_within"], split["sessions"])
    np.testing.assert_allclose(split.groupby("trial_id")["sessions_within"].mean(), 0, atol=1e-12)


def test_dose_contrasts_compare_arms_of_one_trial():
    contrasts = dose_time.dose_contrasts(TABLE).set_index("trial_id")
    assert set(contrasts.index) == {"MP-8", "MP-12"}
    assert contrasts.loc["MP-8", ["higher", "lower", "n_active", "n_control"]].to_list() == [125, 75, 12, 7]
    assert contrasts.loc["MP-8", "yi"] > 0 > contrasts.loc["MP-12", "yi"]


def test_the_slope_through_independent_contrasts_is_a_weighted_regression():
    one_arm = EFFECTS[EFFECTS["trial_id"].isin(["MP-1", "MAPP1", "MAPP2"])].groupby("trial_id").tail(1)
    slope = dose_time.dose_slope(one_arm, [0, 0, 0])
    x, w = one_arm["dose_mg"] / 25, 1 / one_arm["vi"]
    np.testing.assert_allclose(slope["estimate"], (w * x * one_arm["yi"]).sum() / (w * x**2).sum())
    np.testing.assert_allclose(slope["se"], (w * x**2).sum() ** -0.5)
    assert slope["q_df"] == 2


def test_courses_begin_at_baseline_and_stay_before_crossover():
    courses = dose_time.courses(TABLE)
    first = courses.groupby("arm_id").first()
    assert (first["weeks"] == 0).all() and first.loc["MAPP1:mdma", "mean"] == 44.0
    assert len(courses) == len(EFFECTS) + len(EFFECTS.drop_duplicates("timepoint_id")) + courses["arm_id"].nunique()
    assert (courses["low"] < courses["mean"]).all() and (courses["mean"] < courses["high"]).all()


def test_rows_of_the_models():
    fit, robust = dose_time.fit_course(EFFECTS, ("sessions",))
    rows = results_table(course_rows("x", fit, robust, 1, EFFECTS, note="slope"))
    assert list(rows["analysis_id"]) == ["x.model", "x.cr2"] and rows["estimate"].nunique() == 1
    assert rows["k"].tolist() == [6, 6] and rows["n_control"].iloc[0] == 8 + 4 + 7 + 6 + 43 + 50
    assert rows["note"].iloc[1] == f"slope; 15 effects, {robust.df[1]:.1f} degrees of freedom"
    about = {"study_set": "s", "arms": "a", "n_active": 3, "n_control": 4, "k": 1, "note": ""}
    line = contrast_row("y", dose_time.normal_test(-1.0, 0.25), **about)
    assert line["p"] == pytest.approx(0.0455, abs=5e-4) and np.isnan(line["q"])


def test_participants_are_taken_from_the_whole_trial_or_weighted_over_arms():
    people = participants_table(CHARACTERISTICS, TABLE).set_index("trial_id")
    assert people.loc["MP-8", "veterans"] == pytest.approx(100 * 22 / 26)
    assert people.loc["MAPP2", "women"] == pytest.approx(100 * (32 + 42) / 104)
    assert people.loc["MAPP2", "age"] == pytest.approx((53 * 38.2 + 51 * 40.0) / 104)
    assert people.loc["MP-1", "prior_mdma"] == 43
    assert people[["prior_mdma", "veterans"]].isna().sum().tolist() == [3, 4]  # not printed, not filled in
    assert isinstance(people, pd.DataFrame) and people["age"].notna().all()
