"""What can be checked of the docstrings of numerical functions: sections, type hints, and errors that are announced."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "notebooks" / "meta_analysis"
# The modules that implement formulas; what prepares tables, judges, writes or draws is held to the house style only.
NUMERICAL = tuple(
    "absolute_effects bayes bias_model blinding cluster_robust curve_summary distributions dose_time effect "
    "event_effects groups heterogeneity influence leave_out mantel_haenszel mean_differences meta_regression "
    "missing_outcomes multilevel multilevel_likelihood permutation pooling priors regression_design regression_tau2 "
    "sampling_covariance sensitivity small_study studies tau2 tau2_search tau_posterior two_by_two "
    "weighted_mean".split()
)
# Functions whose work is to refuse bad input: who calls one raises its errors.
CHECK = re.compile(r"((check|ensure|require|align|probabilities)(_\w+)?|broadcast)$")
# A function with the parameters of another may say so: "Parameters and errors as `risk_ratio`."
REFERENCE = re.compile(r"[Pp]arameters[^.]*\bas\b[^.]*`[\w.]+`")


def functions(source: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def called(function: ast.FunctionDef) -> set[str]:
    """Names of what a function calls, without the module before the dot."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}


def raises(function: ast.FunctionDef, others: dict[str, ast.FunctionDef]) -> bool:
    """Whether a function raises an error itself, by a check, or by a private function of its module."""
    if any(isinstance(node, ast.Raise) and node.exc for node in ast.walk(function)):
        return True
    names = called(function)
    private = [others[name] for name in names if name.startswith("_") and name in others and name != function.name]
    return any(CHECK.match(name) for name in names) or any(raises(helper, others) for helper in private)


def problems(source: str) -> list[str]:
    """What is wrong with the public functions of a module, one line each."""
    found = []
    defined = functions(source)
    for name, function in defined.items():
        if name.startswith("_"):
            continue
        text = ast.get_docstring(function) or ""
        arguments = function.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        if function.returns is None or any(argument and argument.annotation is None for argument in named):
            found.append(f"{name}: a type hint is missing")
        gives = ast.unparse(function.returns) if function.returns else ""
        sections = ["Parameters"] * any(named) + ["Returns|Yields"] * (gives != "None")
        whole = all(re.search(rf"^({section})\n---", text, flags=re.MULTILINE) for section in sections)
        if not text or not ("\n" not in text or whole or REFERENCE.search(text)):
            found.append(f"{name}: neither one line nor with the sections {', '.join(sections)}")
        if raises(function, defined) and not re.search(r"Raise|[Ee]rrors?\b|\w+Error\b|SystemExit", text):
            found.append(f"{name}: it raises an error that its docstring does not name")
    return found


@pytest.mark.parametrize("module", NUMERICAL)
def test_public_functions_say_what_they_take_give_and_refuse(module):
    assert problems((PACKAGE / f"{module}.py").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", sorted(path.stem for path in PACKAGE.glob("*.py")))
def test_all_modules_have_type_hints_and_name_their_errors(module):
    found = problems((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    assert [problem for problem in found if "neither one line" not in problem] == []


GOOD = '''def half(x: float) -> float:
    """x/2.

    Parameters
    ----------
    x : float
        At least 0.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        On a negative number.
    """
    _refuse(x)
    return x / 2


def quarter(x: float) -> float:
    """A half of a half.

    Parameters and errors as `half`.
    """
    return half(half(x))


def _refuse(x):
    if x < 0:
        raise ValueError(x)
'''

NO_SECTIONS = "neither one line nor with the sections Parameters, Returns|Yields"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("(x: float) -> float:\n    \"\"\"x/2", "(x) -> float:\n    \"\"\"x/2", "half: a type hint is missing"),
        ("half(x: float) -> float", "half(x: float)", "half: a type hint is missing"),
        ("Returns\n    -------\n    float\n", "", f"half: {NO_SECTIONS}"),
        ("Parameters and errors as `half`.", "As half.", f"quarter: {NO_SECTIONS}"),
        ("    Raises\n    ------\n    ValueError\n        On a negative number.\n", "",
         "half: it raises an error that its docstring does not name"),
    ],
)
def test_the_check_finds_what_is_missing(old, new, problem):
    assert problems(GOOD) == []
    assert GOOD.count(old) == 1
    assert problem in problems(GOOD.replace(old, new))
