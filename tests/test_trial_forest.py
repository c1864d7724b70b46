"""The forest plot of a set of trials: what it draws when a single trial is left."""

import matplotlib
import matplotlib.pyplot as plt
import pytest

from meta_analysis.analyses import choose, pooled_row
from meta_analysis.data import read_derived
from meta_analysis.trial_forest import trial_forest
from tests.readable import words_of

matplotlib.use("Agg")
EFFECTS = choose(read_derived("02_effects.csv"), "ptsd_severity", "SMD")
MODELS = {"common": "Common effect (Wald)", "random": "Random effects (REML, mHK)"}
INTERVALS = {"common": "Wald", "random": "mHK"}


@pytest.mark.parametrize("trials", (1, 2, 6))
def test_a_trial_alone_has_one_result_and_several_have_one_a_model(trials):
    own = EFFECTS.head(trials)
    results = [pooled_row(own, f"severity.{model}", model=model, ci_method=interval)
               for model, interval in INTERVALS.items()]
    fig, plotted, alt = trial_forest(own, results, outcome="severity")
    written = words_of(fig)
    plt.close(fig)
    assert [report for report in own["report"] if report in written] == list(own["report"])
    assert [written.count(words) for words in MODELS.values()] == ([1, 0] if trials == 1 else [1, 1])
    assert "95% prediction interval" in written or trials == 1
    assert alt.count("Common effect") == 1
