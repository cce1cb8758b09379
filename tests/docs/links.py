"""The links of pages. `python -m tests.docs.links` lists those that lead out, which no test follows: there is no network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import PAGES, ROOT

EVERY = (
    *PAGES,
    *(
        ROOT / f"{name}.md"
        for name in ("CHANGELOG", "CONTRIBUTING", "benchmarks/README", "benchmarks/real_ndif/README")
    ),
    *sorted(ROOT.glob("plugins/*/README.md")),
)
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)|<(https?:[^>\s]+)>")
_HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)


class Link(NamedTuple):
    """Where a page leads."""

    page: Path
    target: str

    @property
    def outside(self) -> bool:
        return ":" in self.target.split("/")[0]

    @property
    def file(self) -> Path:
        path = self.target.partition("#")[0]
        return (self.page.parent / path).resolve() if path else self.page

    @property
    def anchor(self) -> str:
        return self.target.partition("#")[2]


def links(page: Path) -> Iterator[Link]:
    """Those of a page's text, not of its blocks of code or of code in a line."""
    text = re.sub(r"`[^`\n]+`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))
    for met in _LINK.finditer(text):
        yield Link(page, met[1] or met[2])


def anchors(page: Path) -> set[str]:
    """What the web view of a repository, and the site, call a page's headings."""
    seen: Counter[str] = Counter()
    made = set()
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return made


if __name__ == "__main__":
    outside = {(link.target, link.page.relative_to(ROOT)) for page in EVERY for link in links(page) if link.outside}
    for target, linked_from in sorted(outside):
        print(target, linked_from, sep="\t")
