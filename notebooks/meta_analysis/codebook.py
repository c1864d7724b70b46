"""The codebook in data/README.md, written from data/datapackage.json so that the two cannot part.

After a change of datapackage.json, ``python -m meta_analysis.codebook`` in notebooks/ brings the page into step.
"""

from __future__ import annotations

import json

from meta_analysis.data import REPOSITORY
from meta_analysis.generated_text import between_markers

BEGIN = "<!-- tables: generated from datapackage.json -->"
END = "<!-- end of generated tables -->"


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", r"\|")


def constraints_in_words(field: dict, schema: dict) -> str:
    """What a cell of `field` must fulfil, in a few words."""
    constraints = field.get("constraints", {})
    words = []
    if field["name"] in schema.get("primaryKey", []):
        words.append("key")
    for key in schema.get("foreignKeys", []):
        if field["name"] in key["fields"]:
            words.append(f"one of `{key['reference']['resource']}`")
    if constraints.get("required"):
        words.append("never blank")
    if "enum" in constraints:
        words.append("one of " + ", ".join(f"`{value}`" for value in constraints["enum"]))
    if "minimum" in constraints:
        words.append(f"{constraints['minimum']} or more")
    if "maximum" in constraints:
        words.append(f"{constraints['maximum']} or less")
    if "pattern" in constraints:
        words.append(f"form `{constraints['pattern']}`")
    return "; ".join(words)


def _table(resource: dict) -> str:
    schema = resource["schema"]
    lines = [
        f"### `{resource['path']}`: {resource['title']}",
        "",
        resource["description"],
        "",
        "| field | type | unit | meaning | constraints |",
        "|---|---|---|---|---|",
    ]
    for field in schema["fields"]:
        limits = constraints_in_words(field, schema)
        cells = (f"`{field['name']}`", field["type"], field.get("unit", ""), field["description"], limits)
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def codebook_markdown(package: dict) -> str:
    """Describe every table of a data package: heading, description, and a table of its fields.

    Parameters
    ----------
    package : dict
        ``data/datapackage.json``, read.

    Returns
    -------
    str
        Markdown, without a newline at its end. The column "constraints" holds keys, ranges and allowed values.
    """
    return "\n\n".join(_table(resource) for resource in package["resources"])


def update_readme(readme_text: str, package: dict) -> str:
    """Replace what stands between the two marker lines of data/README.md by the codebook.

    Parameters
    ----------
    readme_text : str
        The page as it is.
    package : dict
        ``data/datapackage.json``, read.

    Returns
    -------
    str
        The page with its tables in step with `package`; all else is untouched.

    Raises
    ------
    ValueError
        If the two marker lines are not there, once each and in this order.
    """
    return between_markers(readme_text, BEGIN, END, codebook_markdown(package))


def main() -> None:
    """Bring the tables in the repository's data/README.md into step with its data/datapackage.json."""
    package = json.loads((REPOSITORY / "data" / "datapackage.json").read_text(encoding="utf-8"))
    readme = REPOSITORY / "data" / "README.md"
    readme.write_text(update_readme(readme.read_text(encoding="utf-8"), package), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
