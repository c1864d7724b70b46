"""The two parts of README.md that the results write: the answer, and the page in plain language."""

from __future__ import annotations

from meta_analysis.answer import answer
from meta_analysis.data import REPOSITORY, read_derived, read_published
from meta_analysis.generated_text import between_markers
from meta_analysis.plain_language import plain_language

ANSWER = ("<!-- answer: generated from data/derived -->", "<!-- end of answer -->")
PLAIN = ("<!-- plain language: generated from data/derived -->", "<!-- end of plain language -->")


def update(page: str) -> str:
    """Bring both parts of the README into step with the stored results; ValueError if a marker line is missing."""
    results = read_derived("03_results.csv")
    page = between_markers(page, *ANSWER, answer(results, read_published("claims")))
    words = plain_language(results, read_derived("03_absolute.csv"), read_derived("06_allowances.csv"))
    return between_markers(page, *PLAIN, words)


def main() -> None:
    """Rewrite both parts of README.md."""
    readme = REPOSITORY / "README.md"
    readme.write_text(update(readme.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
