"""What stands written in a figure, and whether it can be read: shared by the tests of figures."""

import itertools
from typing import NamedTuple

import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from meta_analysis.lettering import Lettering

DPI = 200
# Boxes of texts lie on fractions of pixels; letters are drawn on whole ones.
PIXELS = 1.0
SMALLEST_TEXT = 7.0  # points, at the printed width of the figure


class Written(NamedTuple):
    """A text as drawn, or a line of a lettering: its size in points, and its box in pixels."""

    text: str
    size: float
    box: Bbox


def drawn_texts(fig):
    """All texts of a figure as drawn, whoever drew them."""
    found = []
    draw_text, draw_lettering = Text.draw, Lettering.draw

    def note_text(self, renderer, *arguments, **options):
        if self.get_visible() and self.get_text().strip():
            found.append(Written(self.get_text(), self.get_fontsize(), self.get_window_extent(renderer)))
        return draw_text(self, renderer, *arguments, **options)

    def note_lettering(self, renderer):
        if self.get_visible():
            found.extend(Written(word.text, word.size, box) for word, box in zip(self.words, self.boxes(renderer)))
        return draw_lettering(self, renderer)

    fig.set_dpi(DPI)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", note_text)
        patch.setattr(Lettering, "draw", note_lettering)
        fig.canvas.draw()
    return found


def words_of(fig):
    """The texts of a figure; a lettering gives its lines."""
    return [written.text for written in drawn_texts(fig)]


def assert_readable(fig, least, smallest=SMALLEST_TEXT):
    """At least `least` texts, none smaller than `smallest`, none outside the figure, none touching another."""
    texts = drawn_texts(fig)
    assert len(texts) >= least
    for text, size, box in texts:
        assert size >= smallest, text
        assert box.x0 >= -PIXELS and box.x1 <= fig.bbox.width + PIXELS, f"{text!r} leaves sideways"
        assert box.y0 >= -PIXELS and box.y1 <= fig.bbox.height + PIXELS, f"{text!r} leaves the figure"
    for one, other in itertools.combinations(texts, 2):
        across = min(one.box.x1, other.box.x1) - max(one.box.x0, other.box.x0)
        along = min(one.box.y1, other.box.y1) - max(one.box.y0, other.box.y0)
        assert across <= PIXELS or along <= PIXELS, f"{one.text!r} overlaps {other.text!r}"
