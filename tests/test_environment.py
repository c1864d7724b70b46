"""The files that describe the environment agree with each other, and README gives the two commands."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ["python3 run_all.py", "python3 run_all.py --test"]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def ranges(lines):
    """{name: specifier} of requirement lines."""
    return {r.name.lower(): str(r.specifier) for r in map(Requirement, lines)}


def pinned(text):
    """(requirement, hashes) of each entry of a requirements file; comments and blank lines aside."""
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    entries = [line.split(" --hash=") for line in text.splitlines() if line.strip()]
    return [(Requirement(first.strip()), [h.strip() for h in hashes]) for first, *hashes in entries]


def unpinned(text):
    """Names in a requirements file which are not pinned by == with a sha256 hash."""
    return [requirement.name for requirement, hashes in pinned(text)
            if not re.fullmatch(r"==[^,*]+", str(requirement.specifier)) or not hashes
            or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes)]


def addresses(text):
    """Download addresses, options that name an index, and names of package hosts."""
    pattern = (r"https?://\S+|\bgit\+\S+|--?(?:extra-)?index\S*|--find-links|--trusted-host|^\s*-[fi]\s"
               r"|[\w.-]*(?:pypi|pythonhosted|anaconda|conda\.io)[\w.-]*\.\w+|\b\w+ @ \S+")
    return re.findall(pattern, text, flags=re.MULTILINE | re.IGNORECASE)


PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
CONDA = yaml.safe_load(read("environment.yml"))


def test_conda_and_pip_have_the_same_direct_dependencies():
    conda = ranges(line for line in CONDA["dependencies"] if isinstance(line, str))
    assert conda.pop("python") == PROJECT["requires-python"] == ">=3.11"
    assert conda == ranges(PROJECT["dependencies"])
    assert CONDA["channels"] == ["conda-forge"]
    assert all(isinstance(line, str) for line in CONDA["dependencies"])  # nothing that only pip could bring


def test_every_direct_dependency_is_pinned_within_its_range():
    exact = {requirement.name.lower(): requirement for requirement, _ in pinned(read("requirements.txt"))}
    for line in PROJECT["dependencies"]:
        wanted = Requirement(line)
        version = str(exact[wanted.name.lower()].specifier).removeprefix("==")
        assert wanted.specifier.contains(version), f"{wanted} is pinned to {version}"


def test_every_requirement_is_pinned_with_hashes():
    assert len(pinned(read("requirements.txt"))) >= len(PROJECT["dependencies"])
    assert unpinned(read("requirements.txt")) == []


@pytest.mark.parametrize("name", ["requirements.txt", "environment.yml", "pyproject.toml"])
def test_no_download_addresses(name):
    assert addresses(read(name)) == []


def test_the_guards_of_this_file_can_fail():
    digest = "0" * 64
    good = f"a==1.0 ; python_version < '4' \\\n    --hash=sha256:{digest} \\\n    --hash=sha256:{digest}\n    # via b\n"
    assert unpinned(good) == [] and addresses(good) == []
    for bad in ("a==1.0\n", f"a>=1.0 --hash=sha256:{digest}\n", f"a==1.* --hash=sha256:{digest}\n",
                "a==1.0 --hash=md5:0123\n"):
        assert unpinned(bad) == ["a"], bad
    for bad in ("--index-url x", "-i x", "--extra-index-url x", "--find-links x", "a @ file:x", "https://x.org/a.whl",
                "# from pypi.org", "files.pythonhosted.org", "git+ssh://x"):
        assert addresses(bad), bad


def test_the_first_block_of_readme_is_the_two_commands():
    block = re.search(r"^```[^\n]*\n(.*?)^```", read("README.md"), flags=re.MULTILINE | re.DOTALL)
    assert block and block[1].splitlines() == COMMANDS
