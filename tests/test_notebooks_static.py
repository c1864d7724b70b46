"""What can be seen in a notebook without running it. Each guard is tried on a notebook that breaks its rule."""

import ast
import copy
import io
import json
import re
import tokenize
import tomllib
from pathlib import Path

import pytest

from runner import figures_page, graph

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ["01_data_extraction", "02_effect_sizes", "03_pooling", "04_risk_of_bias", "05_sensitivity"]

MAX_LINES = 15
MAX_EXCEPTIONS = 0  # cells whose output nbval does not compare
LAST_HEADINGS = ["What we found", "Checks", "Exercises", "Next"]

# Function, position of the argument that names the file, and the file it stands for.
READERS = {
    "read_extracted": (0, "data/extracted/{}.csv"),
    "read_published": (0, "data/published/{}.csv"),
    "read_reference": (0, "data/reference/{}"),
    "read_derived": (0, "data/derived/{}"),
}
WRITERS = {
    "write_derived": (1, "data/derived/{}"),
    "show_figure": (1, "figures/{}.png"),
    "figure_path": (0, "figures/{}"),
}
UNSTABLE = {
    "a bare numpy number": r"np\.(?:float|int|bool)\d*_?\(",
    "minus zero": r"(?<![\w.-])-0(?:\.0*)?(?![\d.]*\d)",
    "a Styler id": r"#?T_[0-9a-f]{5}",
    "an address in memory": r"\bat 0x[0-9a-f]+",
    "a statsmodels summary": r"Time:\s+\d\d:\d\d:\d\d",
}
STABLE_KINDS = ("text/plain", "text/html", "text/markdown", "text/latex", "image/png")
ROOTS = "home root tmp work Users usr var mnt opt private srv content".split()  # where an absolute path may begin


def source(cell):
    return "".join(cell["source"])


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell["outputs"]]


def shown_text(notebook):
    """All text in outputs, pictures aside."""
    found = []
    for output in outputs(notebook):
        found.append("".join(output.get("text", [])))
        found += ["".join(content) for kind, content in output.get("data", {}).items()
                  if not kind.startswith("image/") and isinstance(content, (str, list))]
    return "\n".join(found)


# Guards: each returns what is wrong, one line a problem ---------------------------------------------------------------


def counts(notebook):
    found = [cell["execution_count"] for cell in code_cells(notebook)]
    return [] if found and found == list(range(1, len(found) + 1)) else [f"execution counts are {found}"]


def errors_and_warnings(notebook):
    return [f"stored {output.get('name') or 'error'}" for output in outputs(notebook)
            if output["output_type"] == "error" or output.get("name") == "stderr"]


def kernel(notebook):
    name = notebook["metadata"].get("kernelspec", {}).get("name")
    return [] if name == "python3" else [f"the kernel is {name}"]


def papermill(notebook):
    places = [notebook["metadata"], *(cell["metadata"] for cell in notebook["cells"])]
    return [f"metadata of the run: {key}" for place in places for key in place if key in ("papermill", "execution")] + [
        f"tag {tag}" for place in places for tag in place.get("tags", [])
        if tag in ("parameters", "injected-parameters") or tag.startswith("papermill")]


def semicolons(notebook):
    found = []
    for cell in code_cells(notebook):
        tokens = list(tokenize.generate_tokens(io.StringIO(source(cell)).readline))
        ends = (tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER)
        found += [f"a line ends with ';': {token.line.strip()}" for token, after in zip(tokens, tokens[1:])
                  if token.string == ";" and after.type in ends]
    return found


def headings(notebook):
    text = "\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^# (.*)", text, flags=re.MULTILINE)
    second = re.findall(r"^## (.*)", text, flags=re.MULTILINE)
    numbered = second[2: -len(LAST_HEADINGS)]
    found = []
    if len(titles) != 1 or not source(notebook["cells"][0]).startswith("# "):
        found.append("the first cell begins with the one title")
    if second[:2] != ["Question", "Set-up"] or second[-len(LAST_HEADINGS):] != LAST_HEADINGS:
        found.append(f"headings are {second}")
    if not numbered or any(not re.match(rf"{n}\. \S", heading) for n, heading in enumerate(numbered, start=1)):
        found.append(f"the sections between are numbered from 1: {numbered}")
    return found


def absolute_paths(notebook):
    text = "\n".join([*(source(cell) for cell in notebook["cells"]), shown_text(notebook)])
    pattern = rf"(?<![\w.:/~-])(?:/(?:{'|'.join(ROOTS)})/[\w./-]*|[A-Z]:\\\w+)"
    return [f"absolute path {path}" for path in re.findall(pattern, text)]


def long_cells(notebook):
    return [f"a code cell of {len(source(cell).splitlines())} lines: {source(cell).splitlines()[0]}"
            for cell in code_cells(notebook) if len(source(cell).splitlines()) > MAX_LINES]


def exceptions(notebook):
    pattern = re.compile(r"nbval|pytest_validate|raises-exception", re.IGNORECASE)
    found = [tag for cell in notebook["cells"] for tag in cell["metadata"].get("tags", []) if pattern.search(tag)]
    found += [line for cell in code_cells(notebook) for line in source(cell).splitlines()
              if re.match(r"\s*#", line) and pattern.search(line)]
    return [f"{len(found)} exceptions from comparison: {found}"] if len(found) > MAX_EXCEPTIONS else []


def unstable_outputs(notebook):
    """Outputs that differ between runs, or that nbval cannot compare (pitfalls of nbval and of pandas)."""
    kinds = {kind for output in outputs(notebook) for kind in output.get("data", {})}
    found = [f"output of kind {kind}" for kind in sorted(kinds) if kind not in STABLE_KINDS]
    text = shown_text(notebook)
    return found + [f"{what}: {match[0]}" for what, pattern in UNSTABLE.items() for match in re.finditer(pattern, text)]


def used_files(notebook):
    """Files named in calls of the reading and writing functions, and calls whose file is not a plain literal."""
    reads, writes, unclear = set(), set(), []
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(source(cell))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in READERS and name not in WRITERS:
                continue
            position, pattern = (READERS | WRITERS)[name]
            keywords = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
            argument = node.args[position] if len(node.args) > position else (keywords or [None])[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                (reads if name in READERS else writes).add(pattern.format(argument.value))
            else:
                unclear.append(f"{name}: the file is not a plain text in quotation marks")
    return reads, {re.sub(r"\.svg$", ".png", file) for file in writes}, unclear


def declarations(notebook):
    text = graph.first_cell(notebook)
    reads, writes, found = used_files(notebook)
    for word, used in (("Reads", reads), ("Writes", writes)):
        declared = graph.declared(text, word)
        found += [f"**{word}:** does not name {file}, which the code uses" for file in sorted(used - set(declared))]
        found += [f"**{word}:** names {file}, which the code does not use"
                  for file in sorted(set(declared) - used - {"data/datapackage.json"})]
        found += [f"**{word}:** names {file} twice" for file in sorted(set(declared)) if declared.count(file) > 1]
    return found


GUARDS = [counts, errors_and_warnings, kernel, papermill, semicolons, headings, absolute_paths, long_cells, exceptions,
          unstable_outputs, declarations]


def figures(root, notebook_names):
    """Declared figures that are not in figures/ as PNG and SVG, or not in its README.md with a text."""
    page = root / figures_page.PAGE
    rows = {}
    for line in page.read_text(encoding="utf-8").splitlines() if page.is_file() else []:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4:
            rows[cells[0]] = cells
    found = []
    for name in notebook_names:
        found += [f"figures/{name}.{end} is missing" for end in ("png", "svg")
                  if not (root / "figures" / f"{name}.{end}").is_file()]
        row = next((cells for first, cells in rows.items() if f"[{name}.png]" in first), None)
        if row is None or not all(row):
            found.append(f"figures/README.md gives no text for {name}")
    return found


# The notebooks --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notebooks():
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in PATHS}


def test_the_five_names_never_change(notebooks):
    assert [name for name in notebooks if name < "06"] == NAMES


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
@pytest.mark.parametrize("name", [path.stem for path in PATHS])
def test_notebook(notebooks, name, guard):
    assert guard(notebooks[name]) == []


def test_every_declared_figure_stands_in_figures_with_its_text():
    declared = [name for notebook in graph.load(ROOT / "notebooks") for name in notebook.figures]
    assert figures(ROOT, declared) == []


def test_nothing_is_sanitised_and_the_comparison_is_strict():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert {"--nbval", "--nbval-current-env"} <= set(options["addopts"])
    assert not any(re.search("sanitize|lax|-n", option.replace("--nbval", "")) for option in options["addopts"])
    tracked = [path for folder in (ROOT, ROOT / "tests", ROOT / "notebooks", ROOT / ".ci") for path in folder.iterdir()]
    assert [path.name for path in tracked if re.search("sanit", path.name, re.IGNORECASE)] == []


# The guards -----------------------------------------------------------------------------------------------------------


def markdown(text):
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def code(text, count, *outs):
    return {"cell_type": "code", "metadata": {}, "source": text.splitlines(keepends=True), "execution_count": count,
            "outputs": list(outs)}


def printed(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": [text]}


GOOD = {
    "metadata": {"kernelspec": {"name": "python3"}},
    "cells": [
        markdown("# Title\n\n## Question\n\nWhat?\n\n**Reads:** `data/extracted/a.csv`, `data/reference/m.json`\n\n"
                 "**Writes:** `data/derived/03_b.csv`,\n`figures/03_c.png`\n"),
        markdown("## Set-up"),
        code("from meta_analysis import data\na = data.read_extracted('a')\nm = data.read_reference('m.json')", 1),
        markdown("## 1. First\n\n```\n# not a heading\n```\n"
                 f"See https://example.org/{ROOTS[0]}/page."),
        code("print('a; b')  # no end;\nshow_figure(fig, '03_c', alt)", 2, printed("a; b -0.05\n")),
        markdown("## 2. Second"),
        code("write_derived(a, '03_b.csv')", 3, {"output_type": "display_data", "data": {"text/plain": ["x  10.0"]}}),
        *(markdown(f"## {heading}") for heading in LAST_HEADINGS),
    ],
}


def broken(change):
    notebook = copy.deepcopy(GOOD)
    change(notebook["cells"], notebook["metadata"])
    return notebook


def set_source(position, text):
    return lambda cells, metadata: cells[position].update(source=text)


def add_output(output):
    return lambda cells, metadata: cells[2]["outputs"].append(output)


def show(kind, text):
    return add_output({"output_type": "display_data", "metadata": {}, "data": {kind: [text]}})


BROKEN = [
    (counts, lambda cells, metadata: cells[4].update(execution_count=None)),
    (counts, lambda cells, metadata: cells[4].update(execution_count=7)),
    (counts, lambda cells, metadata: cells.__delitem__(slice(2, None))),
    (errors_and_warnings, add_output(printed("Warning", "stderr"))),
    (errors_and_warnings, add_output({"output_type": "error", "ename": "E", "evalue": "", "traceback": []})),
    (kernel, lambda cells, metadata: metadata["kernelspec"].update(name="venv")),
    (kernel, lambda cells, metadata: metadata.clear()),
    (papermill, lambda cells, metadata: metadata.update(papermill={})),
    (papermill, lambda cells, metadata: cells[2]["metadata"].update(papermill={})),
    (papermill, lambda cells, metadata: cells[2]["metadata"].update(execution={})),
    (papermill, lambda cells, metadata: cells[2]["metadata"].update(tags=["injected-parameters"])),
    (semicolons, set_source(4, "plot();")),
    (semicolons, set_source(4, "plot();\nshow_figure(fig, '03_c', alt)")),
    (semicolons, set_source(4, "plot();  # quiet")),
    (headings, set_source(0, "## Question\n\n# Title")),
    (headings, set_source(1, "## Setup")),
    (headings, set_source(3, "## First")),
    (headings, set_source(5, "## 3. Second")),
    (headings, set_source(5, "# Second title")),
    (headings, lambda cells, metadata: cells.pop()),
    (headings, lambda cells, metadata: cells.reverse()),
    *((absolute_paths, set_source(4, f"open('/{root}/me/a.csv')")) for root in ROOTS),
    (absolute_paths, set_source(4, r"open('C:\\data\\a.csv')".replace("\\\\", "\\"))),
    (absolute_paths, add_output(printed(f"see /{ROOTS[-1]}/x/a.csv"))),
    (long_cells, set_source(4, "x = 1\n" * (MAX_LINES + 1))),
    (exceptions, lambda cells, metadata: cells[2]["metadata"].update(tags=["nbval-ignore-output"])),
    (exceptions, lambda cells, metadata: cells[2]["metadata"].update(tags=["raises-exception"])),
    (exceptions, set_source(4, "# NBVAL_IGNORE_OUTPUT\nx")),
    (unstable_outputs, show("text/plain", "np.float64(0.1)")),
    (unstable_outputs, show("text/plain", "-0.00")),
    (unstable_outputs, show("text/html", "<td>-0.0</td>")),
    (unstable_outputs, show("text/html", "<style>#T_1a2b3 td {}")),
    (unstable_outputs, show("text/plain", "<object at 0x7f00>")),
    (unstable_outputs, show("text/plain", "Time:    10:11:12")),
    (unstable_outputs, show("image/svg+xml", "<svg/>")),
    (declarations, set_source(2, "a = read_extracted('a')")),
    (declarations, set_source(4, "show_figure(fig, '03_other', alt)")),
    (declarations, set_source(4, "show_figure(fig, f'03_{c}', alt)")),
    (declarations, set_source(2, "for name in ['a']:\n    read_extracted(name)")),
    (declarations, set_source(6, "write_derived(a, '03_b.csv')\nread_derived('02_x.csv')")),
    (declarations, set_source(0, "# Title\n\n**Reads:** `data/extracted/a.csv`")),
]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_a_good_notebook_passes(guard):
    assert guard(GOOD) == []


@pytest.mark.parametrize("guard, change", BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_notebook_is_caught(guard, change):
    assert guard(broken(change))


def test_every_guard_is_tried():
    assert {guard for guard, _ in BROKEN} == set(GUARDS)


@pytest.mark.parametrize("spoil", [
    lambda root: (root / "figures/03_c.svg").unlink(),
    lambda root: (root / "figures/03_c.png").unlink(),
    lambda root: (root / "figures/README.md").unlink(),
    lambda root: (root / "figures/README.md").write_text("| [03_c.png](03_c.png) | 03 | Title | |\n"),
])
def test_a_missing_figure_or_text_is_caught(tmp_path, spoil):
    (tmp_path / "figures").mkdir()
    page = "| [03_c.png](x) | 03 | Title | a \\| b |\n"
    for name, text in [("03_c.png", "x"), ("03_c.svg", "x"), ("README.md", page)]:
        (tmp_path / "figures" / name).write_text(text)
    assert figures(tmp_path, ["03_c"]) == []
    spoil(tmp_path)
    assert figures(tmp_path, ["03_c"])
