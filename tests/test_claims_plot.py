"""The plotted numbers, their order, and the words of the alternative text."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from meta_analysis.claims_plot import share_alt_text, share_figure

TABLE = pd.DataFrame({
    "claim": ["Severity", "Severity", "Response"], "label": ["claimed", "its own method", "claimed"],
    "kind": ["claimed", "found", "claimed"], "share": [1.0, 0.66, 1.0], "low": [0.54, 0.43, 0.43],
    "high": [1.47, 0.9, 1.58], "text": ["-1.10", "-0.73", "1.59"],
})


def test_rows_stand_in_order_with_their_numbers_and_texts_do_not_overlap():
    fig, plotted = share_figure(TABLE)
    assert plotted["share"].tolist() == TABLE["share"].tolist()
    assert plotted["y"].is_monotonic_decreasing
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in fig.axes[0].texts]
    whole = fig.bbox
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1 for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1:])
    plt.close(fig)


def test_alternative_text_carries_the_numbers():
    fig, plotted = share_figure(TABLE)
    plt.close(fig)
    text = share_alt_text(plotted)
    assert "its own method: -0.73, share 0.66 (0.43 to 0.90)" in text and text.count("claimed:") == 2


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="not 'guessed'"):
        share_figure(TABLE.assign(kind="guessed"))
    plt.close("all")
