"""Words set together: as wide, and in the same places, as matplotlib sets them one at a time."""

import io
import itertools
import xml.etree.ElementTree as ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from meta_analysis import lettering, plots
from tests.readable import DPI, PIXELS

matplotlib.use("Agg")

WORDS = ["without Mithoefer 2011", "−0.73 [−1.07, −0.39]", "I² = 8%; τ² = 0.01", "Wave, To Te AV (first flight)",
         "¿Wie?"]
LOOKS = list(itertools.product(("left", "center", "right"), ("top", "center", "bottom"), (False, True)))


@pytest.fixture(autouse=True)
def _our_style():
    with plots.style():
        yield
    plt.close("all")


@pytest.fixture
def axes():
    """Two empty figures alike, each an axes in inches."""
    made = []
    for _ in range(2):
        ax = plt.figure(figsize=(4, 3), dpi=DPI).add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, 4), ylim=(0, 3))
        ax.axis("off")
        made.append(ax)
    return made


def write_both(axes, x, y, text, *, bold=False, ha="left", va="center", **look):
    mine, theirs = axes
    lettering.lettering(mine).write(x, y, text, bold=bold, ha=ha, va=va, **look)
    colour = {"color": look.pop("colour")} if "colour" in look else {}
    return theirs.text(x, y, text, weight="bold" if bold else "normal", ha=ha, va=va, multialignment=ha, **look,
                       **colour)


def pixels(ax):
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())[..., :3].astype(float)


@pytest.mark.parametrize("text", [*WORDS, f"{WORDS[0]}\nand a second line", "one\ntwo, which is longer\nthree"])
def test_a_text_stands_where_matplotlib_would_put_it(axes, text):
    letters, renderer = lettering.lettering(axes[0]), axes[1].figure.canvas.get_renderer()
    # Of several lines matplotlib's box takes in half a gap above, and half below.
    gap = 8 * DPI / 72 * lettering.BETWEEN / 2 * ("\n" in text)
    for ha, va, bold in LOOKS:
        expected = write_both(axes, 2, 1.5, text, size=8, ha=ha, va=va, bold=bold).get_window_extent(renderer)
        box = Bbox.union(letters.boxes(renderer)[-text.count("\n") - 1 :])
        np.testing.assert_allclose((box.x0, box.x1), (expected.x0, expected.x1), atol=PIXELS)
        np.testing.assert_allclose((box.y0 - gap, box.y1 + gap), (expected.y0, expected.y1), atol=PIXELS)


def test_the_heights_are_those_of_the_font():
    for bold in (False, True):
        font = get_font(findfont(lettering.font_of(8, bold)))
        table, em = font.get_sfnt_table("OS/2"), font.get_sfnt_table("head")["unitsPerEm"]
        heights = np.array([table["sTypoAscender"], -table["sTypoDescender"], table["sTypoLineGap"]]) / em
        np.testing.assert_array_equal(heights, [lettering.ABOVE, lettering.BELOW, lettering.BETWEEN])


def test_the_picture_looks_as_if_matplotlib_had_set_it(axes):
    for place, (text, bold) in enumerate(itertools.product(WORDS, (False, True))):
        write_both(axes, 0.1, 2.8 - 0.2 * place, text, size=7, bold=bold, colour=plots.GREY if place % 2 else plots.INK)
    mine, theirs = map(pixels, axes)
    paper = 255.0
    assert (paper - theirs).sum() > 0
    assert (paper - mine).sum() == pytest.approx((paper - theirs).sum(), rel=0.01)
    # A letter may lie a fraction of a pixel beside matplotlib's.
    assert np.abs(mine - theirs).max() < 90 and np.abs(mine - theirs).mean() < 0.01 * paper


def svg_texts(ax):
    kept = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        ax.figure.savefig(kept, format="svg")
    return list(ElementTree.fromstring(kept.getvalue()).iter("{http://www.w3.org/2000/svg}text"))


def test_letters_stay_text_in_an_svg_with_the_anchor_that_matplotlib_would_write(axes):
    for place, (ha, va, bold) in enumerate(LOOKS):
        write_both(axes, 2, 2.9 - 0.15 * place, WORDS[place % len(WORDS)], size=7, ha=ha, va=va, bold=bold)
    mine, theirs = map(svg_texts, axes)
    assert len(mine) == len(theirs) == len(LOOKS)
    for one, other in zip(mine, theirs):
        assert one.text == other.text and one.get("style") == other.get("style")
        assert float(one.get("x")) == pytest.approx(float(other.get("x")), abs=1e-5)
        assert float(one.get("y")) == pytest.approx(float(other.get("y")), abs=0.1)  # points


def test_an_axes_has_one_lettering_and_each_line_a_box(axes):
    ax, other = axes
    letters = lettering.lettering(ax)
    assert lettering.lettering(ax) is letters is not lettering.lettering(other)
    letters.write(1, 2, "one\n\nthree", size=10)
    letters.write(1, 1, "", size=10)
    assert [word.text for word in letters.words] == ["one", "three"]
    renderer = ax.figure.canvas.get_renderer()
    upper, lower = letters.boxes(renderer)
    assert upper.width == pytest.approx(DPI * plots.text_width("one", 10)) and upper.y0 > lower.y1
    assert letters.get_window_extent().extents.tolist() == [
        min(upper.x0, lower.x0), lower.y0, max(upper.x1, lower.x1), upper.y1]


def test_an_empty_or_hidden_lettering_leaves_the_paper_white(axes):
    ax, _ = axes
    letters = lettering.lettering(ax)
    assert (pixels(ax) == 255).all() and not np.isfinite(letters.get_window_extent().width)
    letters.write(1, 1, "word", size=10)
    assert not (pixels(ax) == 255).all()
    letters.set_visible(False)
    assert (pixels(ax) == 255).all()


def test_what_could_be_a_formula_is_written_as_it_stands(axes):
    theirs = Text(text="a $x$ b", parse_math=False)
    lettering.lettering(axes[0]).write(0, 0, theirs.get_text(), size=8)
    assert [text.text for text in svg_texts(axes[0])] == ["a $x$ b"]
