"""Figures as saved: the same bytes each time, with words for those who cannot see them."""

import base64
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import IPython.display
import matplotlib
import matplotlib.pyplot as plt
import pytest
from PIL import Image

from meta_analysis import figure_files

matplotlib.use("Agg")

ALT = "A line <rising> & falling. It has 2 points."
DRAW = f"""
import matplotlib; matplotlib.use("Agg")
import matplotlib.pyplot as plt
from meta_analysis import figure_files
fig, ax = plt.subplots(figsize=(3, 2))
ax.plot([0, 1], [1, 2], label="rise")
ax.fill_between([0, 1], 1, 2)
ax.legend()
figure_files.show_figure(fig, "03_line", {ALT!r})
"""


def test_figures_table():
    entry = {"figure": "03_forest_severity", "title": "Severity", "alt": "Forest plot."}
    assert figure_files.figures_table([entry]).to_dict("records") == [entry]
    with pytest.raises(ValueError, match="figure given twice: 03_forest_severity"):
        figure_files.figures_table([entry, entry])
    with pytest.raises(ValueError, match="'03_forest_severity' has no alt"):
        figure_files.figures_table([entry | {"alt": " "}])


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
    assert int.from_bytes(png[16:20], "big") == 3 * figure_files.PNG_DPI
    assert plt.get_fignums() == before, "the figure is closed, so that it is not shown a second time"


def test_the_picture_has_few_colours_and_keeps_paper_white_ink_dark_and_colours_apart(shown, tmp_path):
    more = "ax.plot([0, 1], [2, 1], color='#D55E00'); ax.axhspan(2, 3, color='#f0f0f0')"
    exec(DRAW.replace("ax.legend()", more), {})
    picture = Image.open(tmp_path / "figures" / "03_line.png")
    assert picture.mode == "P" and len(picture.getcolors()) <= 64
    colours = {colour for _, colour in picture.convert("RGB").getcolors()}
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    for wanted in ((213, 94, 0), (26, 26, 26), (240, 240, 240)):
        assert min(max(abs(a - b) for a, b in zip(wanted, colour)) for colour in colours) <= 8


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


def test_letters_of_the_svg_are_text_with_others_to_stand_in_where_theirs_are_missing(shown, tmp_path):
    exec(DRAW, {})
    root = ElementTree.parse(tmp_path / "figures" / "03_line.svg").getroot()
    texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
    assert "rise" in [text.text for text in texts]
    assert all("font-family: 'DejaVu Sans', Verdana, sans-serif" in text.get("style") for text in texts)


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
        figure_files.show_figure(fig, "03_x", " ")
    with pytest.raises(ValueError, match="like '03_forest_severity', got 'forest.png'"):
        figure_files.show_figure(fig, "forest.png", ALT)
    plt.close(fig)
    assert shown == []
