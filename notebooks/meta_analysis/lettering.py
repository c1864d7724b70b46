"""Many short texts set at once: how wide they are, and an artist that draws them together.

A figure of some hundred words takes matplotlib longer to set, one text at a time, than to draw all the rest. Here a
word is laid out once, however often it stands in figures, and all letters of a picture are filled as one shape. In
formats that keep letters (SVG, PDF) they stay text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox, IdentityTransform
from numpy.typing import NDArray

FAMILY = "DejaVu Sans"  # ships with matplotlib: the same letters on every machine
# Shares of the size: how far the line of a text reaches above and below its baseline, and the gap to the next line
# (typographic ascender, descender and line gap of DejaVu Sans, by which matplotlib goes). Of several lines, half a gap
# stands above the first and half below the last.
ABOVE, BELOW, BETWEEN = 1556 / 2048, 492 / 2048, 410 / 2048
PIECE = re.compile(r"[0-9]| |[^0-9 ]+")  # digits and blanks stand apart from what is beside them: no kerning


class Word(NamedTuple):
    """A line of text: its place, the point of it that stands there, and its look.

    `right` and `up` lead from the place to the beginning of the baseline (points).
    """

    text: str
    x: float
    y: float
    right: float
    up: float
    size: float
    bold: bool
    colour: str
    ha: str


class Shape(NamedTuple):
    """Outline of a piece of text that begins at the origin, and how far it moves the pen; in shares of the size."""

    vertices: NDArray
    codes: NDArray
    advance: float


def font_of(size: float, bold: bool = False) -> FontProperties:
    """The letters of all figures, `size` in points."""
    return FontProperties(family=FAMILY, size=size, weight="bold" if bold else "normal")


@lru_cache(maxsize=4096)
def shape(piece: str, bold: bool = False) -> Shape:
    """Outline of a piece of one line, laid out as matplotlib would."""
    font = get_font(findfont(font_of(1, bold)))
    font.set_size(text_to_path.FONT_SCALE, text_to_path.DPI)
    # The bar at the end begins where the piece has moved the pen to.
    (*placed, (_, advance, _, _)), glyphs, _ = text_to_path.get_glyphs_with_font(font, f"{piece}|")
    vertices = [glyphs[name][0] + [x, y] for name, x, y, _ in placed]
    codes = [glyphs[name][1] for name, *_ in placed]
    return Shape(np.concatenate(vertices) / text_to_path.FONT_SCALE, np.concatenate(codes),
                 advance / text_to_path.FONT_SCALE)


@lru_cache(maxsize=4096)
def line_width(line: str, bold: bool = False) -> float:
    """Width of a line of text as a share of its size."""
    return sum(shape(piece, bold).advance for piece in PIECE.findall(line))


@lru_cache(maxsize=1024)
def line_shape(line: str, bold: bool = False) -> Shape:
    """Outline of a line of text."""
    pieces = [shape(piece, bold) for piece in PIECE.findall(line)]
    starts = np.cumsum([0.0, *(piece.advance for piece in pieces)])
    return Shape(np.concatenate([piece.vertices + [start, 0.0] for piece, start in zip(pieces, starts)]),
                 np.concatenate([piece.codes for piece in pieces]), float(starts[-1]))


class Lettering(Artist):
    """Level texts on the coordinates of an axes, drawn together. `lettering` gives that of an axes."""

    zorder = 3  # that of matplotlib's own texts

    def __init__(self) -> None:
        super().__init__()
        self.set_clip_on(False)
        self.words: list[Word] = []

    def write(self, x: float, y: float, text: str, *, size: float, bold: bool = False, colour: str | None = None,
              ha: str = "left", va: str = "center") -> None:
        """Add a text, placed as `Axes.text` would: each of its lines is aligned as `ha` says.

        Parameters
        ----------
        x, y : float
            In the coordinates of the axes.
        size : float
            Points.
        colour : str, optional
            That of all texts (`text.color`) if none is given.
        ha : {"left", "center", "right"}
        va : {"top", "center", "bottom"}
            What of the text stands at (x, y).
        """
        lines, colour = text.split("\n"), colour or rcParams["text.color"]
        pitch, edge = ABOVE + BELOW + BETWEEN, BETWEEN / 2 if len(lines) > 1 else 0.0
        above, below = ABOVE + edge, (len(lines) - 1) * pitch + BELOW + edge  # of the first baseline
        first = {"top": -above, "center": (below - above) / 2, "bottom": below}[va]
        for place, line in enumerate(lines):
            if line:
                left = {"left": 0.0, "center": -0.5, "right": -1.0}[ha] * line_width(line, bold) * size
                self.words.append(Word(line, x, y, left, (first - place * pitch) * size, size, bold, colour, ha))

    def draw(self, renderer: Any) -> None:
        """Pixels get the letters of one colour as one filled shape, other formats get text."""
        if not self.get_visible() or not self.words:
            return
        gc = renderer.new_gc()
        gc.set_linewidth(0)
        gc.set_snap(False)  # letters stand where they belong, not on the nearest pixel
        (self._fill if isinstance(renderer, RendererAgg) else self._set)(renderer, gc)
        gc.restore()
        self.stale = False

    def _places(self) -> NDArray:
        return self.get_transform().transform([(word.x, word.y) for word in self.words])

    def _starts(self, renderer: Any) -> NDArray:
        """Beginnings of the baselines in pixels, shape (words, 2)."""
        ways = np.array([(word.right, word.up) for word in self.words])
        return self._places() + renderer.points_to_pixels(1.0) * ways

    def _fill(self, renderer: Any, gc: Any) -> None:
        starts, point = self._starts(renderer), renderer.points_to_pixels(1.0)
        for colour in dict.fromkeys(word.colour for word in self.words):
            mine = [(word, start) for word, start in zip(self.words, starts) if word.colour == colour]
            shapes = [line_shape(word.text, word.bold) for word, _ in mine]
            vertices = [point * word.size * drawn.vertices + start for (word, start), drawn in zip(mine, shapes)]
            outline = Path(np.concatenate(vertices), np.concatenate([drawn.codes for drawn in shapes]))
            renderer.draw_path(gc, outline, IdentityTransform(), to_rgba(colour))

    def _set(self, renderer: Any, gc: Any) -> None:
        height = renderer.get_canvas_width_height()[1]
        anchor = Text()  # tells the renderer which point of a word is to stay where it is
        for word, place, (x, y) in zip(self.words, self._places(), self._starts(renderer)):
            gc.set_foreground(word.colour)
            anchor.set(position=place, ha=word.ha)
            y = height - y if renderer.flipy() else y
            renderer.draw_text(gc, x, y, word.text, font_of(word.size, word.bold), 0.0, mtext=anchor)

    def boxes(self, renderer: Any) -> list[Bbox]:
        """Where each word stands, in pixels: as wide as its letters, as high as its line."""
        point = renderer.points_to_pixels(1.0)
        return [Bbox([[x, y - point * word.size * BELOW],
                      [x + point * word.size * line_width(word.text, word.bold), y + point * word.size * ABOVE]])
                for word, (x, y) in zip(self.words, self._starts(renderer))]

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        """The box round all words, in pixels."""
        if not self.words:
            return Bbox.null()
        return Bbox.union(self.boxes(renderer or self.get_figure(root=True).canvas.get_renderer()))


def lettering(ax: Axes) -> Lettering:
    """The lettering of an axes, on its data coordinates; made when first asked for."""
    for artist in ax.artists:
        if isinstance(artist, Lettering):
            return artist
    return ax.add_artist(Lettering())
