"""Figures shown in a notebook and saved beside it: the same figure always gives the same bytes."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from meta_analysis.data import figure_path
from meta_analysis.lettering import FAMILY
from meta_analysis.plots import style

PNG_DPI = 200  # 7 inches become 1400 pixels: sharp in print at that width and on a dense screen
COLOURS = 64
COMPRESSION = 5  # of 9: the usual 6 saves 5 % of the bytes and takes 30 % more time
STAND_IN = "Verdana, sans-serif"  # as wide as DejaVu Sans or narrower, and on every Windows and Mac
SCREEN_DPI = 100  # pixels of the page per inch of figure, when shown in a notebook


def figures_table(figures: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """Names, titles and alternative texts of figures as a table with columns figure, title, alt.

    Raises
    ------
    ValueError
        If an entry is blank or missing, or a figure stands twice.
    """
    figures = list(figures)
    for entry in figures:
        if blank := [key for key in ("figure", "title", "alt") if not str(entry.get(key, "")).strip()]:
            raise ValueError(f"figure {entry.get('figure', '?')!r} has no {' and no '.join(blank)}")
    table = pd.DataFrame(figures, columns=["figure", "title", "alt"])
    if twice := sorted(set(table.loc[table["figure"].duplicated(), "figure"])):
        raise ValueError(f"figure given twice: {', '.join(twice)}")
    return table


def accessible_svg(svg: str, alt: str) -> str:
    """An SVG document with `alt` as its description, and the first sentence of `alt` as its title.

    A screen reader then announces the picture as one image and reads the numbers in it (WAI-ARIA Graphics, role img).
    Letters of `FAMILY` get others to stand in for them where it is not installed.
    """
    title = re.split(r"(?<=[.:]) ", alt, maxsplit=1)[0]
    words = f'<title id="title">{escape(title)}</title>\n <desc id="desc">{escape(alt)}</desc>'
    svg = svg.replace(f"font-family: '{FAMILY}'", f"font-family: '{FAMILY}', {STAND_IN}")
    return re.sub(r"<svg\b[^>]*>", lambda tag: f'{tag[0][:-1]} role="img" aria-labelledby="title desc">\n {words}',
                  svg, count=1)


def png(fig: Any) -> bytes:
    """The figure as a PNG in 64 colours: a third of the bytes, no difference that an eye could see in line drawings.

    The pixels go straight from the canvas to a palette. The paper stays quite white; all that is drawn on it is
    gathered into the other colours by an octree, which takes an eighth of the time of a median cut.
    """
    fig.set_dpi(PNG_DPI)
    canvas, small = FigureCanvasAgg(fig), io.BytesIO()
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba()).view(np.uint32)[..., 0]  # the four bytes of a pixel as one number
    flat = pixels.ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))  # of runs of one colour
    colours, lengths = flat[starts], np.diff(starts, append=flat.size)
    drawn = colours != 0xFFFFFFFF
    indices = np.full(starts.size, COLOURS - 1, dtype=np.uint8)
    palette: list[int] = []
    if drawn.any():
        ink = np.repeat(colours[drawn], lengths[drawn])  # each colour counts as often as it is seen
        row = Image.frombuffer("RGBA", (ink.size, 1), ink.tobytes(), "raw", "RGBA", 0, 1).convert("RGB")
        few = row.quantize(COLOURS - 1, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        indices[drawn], palette = np.asarray(few)[0][np.cumsum(lengths[drawn]) - 1], few.getpalette()
    picture = Image.fromarray(np.repeat(indices, lengths).reshape(pixels.shape))
    picture.putpalette(palette + [255] * (3 * COLOURS - len(palette)))
    picture.save(small, "PNG", compress_level=COMPRESSION)
    return small.getvalue()


def show_figure(fig: Any, name: str, alt: str) -> None:
    """Save a figure as NAME.png and NAME.svg, show the saved PNG with its alternative text, and close the figure.

    What is shown in a notebook is the saved PNG with `alt` as its alternative text and as its plain-text form.
    The same figure always gives the same bytes: no date, no program version, ids from a fixed salt. Letters stay
    text in the SVG: they can be searched for, copied and edited.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        The figure, at its printed size.
    name : str
        File name without suffix, beginning with the number of its notebook: "03_forest_severity".
    alt : str
        What the figure shows, in words and numbers.

    Raises
    ------
    ValueError
        If the name has another form, or the alternative text is blank.
    """
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        raise ValueError(f"a figure name is like '03_forest_severity', got {name!r}")
    if not alt.strip():
        raise ValueError(f"figure {name} needs an alternative text")
    from IPython.display import display  # there in every notebook; elsewhere it takes its time

    svg = io.StringIO()
    settings = {"svg.hashsalt": "meta_analysis", "svg.fonttype": "none", "savefig.bbox": None}
    with style(), matplotlib.rc_context(settings):
        picture = png(fig)
        fig.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    path = figure_path(f"{name}.png")
    path.write_bytes(picture)
    path.with_suffix(".svg").write_text(accessible_svg(svg.getvalue(), alt), encoding="utf-8", newline="\n")
    # The text beside the picture is what a notebook check compares, which passes over pictures: numbers that change
    # in the figure change there too.
    display({"image/png": b64encode(picture).decode("ascii"), "text/plain": alt}, raw=True,
            metadata={"image/png": {"alt": alt, "width": round(fig.get_figwidth() * SCREEN_DPI)}})
    plt.close(fig)
