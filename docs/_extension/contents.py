"""The side bar, out of the table of contents in docs/README.md, and links that leave the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

REPOSITORY = "https://github.com/and-nnsight/and_nnsight"
_SECTION = re.compile(r"^## (?P<title>.+?)\n(?P<text>.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_PAGE = re.compile(r"^\| \[[^\]]+\]\((\w+)\.md\)", re.MULTILINE)
_FENCE = re.compile(r"^(```.*?^```)$", re.DOTALL | re.MULTILINE)


def sections(readme: str) -> dict[str, list[str]]:
    """The names of the pages that each section of docs/README.md lists in its table, in order."""
    found = {one["title"]: _PAGE.findall(one["text"]) for one in _SECTION.finditer(readme)}
    return {title: pages for title, pages in found.items() if pages}


def tree(title: str, entries: list[str], *options: str) -> str:
    """A part of the side bar."""
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", *options, "", *entries, "```", ""])


def side_bar(docs: Path) -> str:
    """All its parts: the sections of README.md, the notebooks where there are any, and the reference."""
    parts = [tree(*section) for section in sections((docs / "README.md").read_text(encoding="utf-8")).items()]
    if any((docs / "notebooks").glob("*.py")):
        parts.append(tree("Notebooks", ["notebooks/*"], ":glob:"))
    parts.append(tree("Reference", ["reference/*"], ":glob:"))
    return "\n".join(parts)


def to_the_repository(text: str) -> str:
    """Links to what is no page lead to the repository on the web: its other folders, and scripts."""
    pieces = _FENCE.split(text)
    for place in range(0, len(pieces), 2):  # between the blocks of code
        outside = re.sub(r"\]\(\.\./([^)\s]+)\)", rf"]({REPOSITORY}/blob/main/\1)", pieces[place])
        pieces[place] = re.sub(r"\]\(([\w/]+\.py)\)", rf"]({REPOSITORY}/blob/main/docs/\1)", outside)
    return "".join(pieces)


def complete(app: Any, page: str, source: list[str]) -> None:
    """Sphinx's `source-read`: the first page gets the side bar, each page of text its links."""
    if Path(app.env.doc2path(page)).suffix == ".md":
        source[0] = to_the_repository(source[0])
    if page == app.config.root_doc:
        source[0] += "\n\n" + side_bar(Path(app.srcdir))
