"""Links within the repository lead to a file and a heading that are there; those that lead out are whole addresses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.links import EVERY, anchors, links
from tests.docs.pages import ROOT


@pytest.mark.parametrize("page", EVERY, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.outside:
            address = urlsplit(link.target)
            assert address.scheme == "https", link.target
            assert "." in (address.hostname or ""), link.target
        else:
            assert link.file.exists(), link.target
            assert not link.anchor or link.anchor in anchors(link.file), link.target


def test_links_are_found_and_headings_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# What `it` is: a *page*?\n## [Twice](x.md)\n## Twice\n[a](b.md#c) `[no](d.md)` <https://e.org/f>\n"
        "```sh\n# no heading\n[no](g.md)\n```\n",
        encoding="utf-8",
    )
    assert anchors(page) == {"what-it-is-a-page", "twice", "twice-1"}
    assert [(link.target, link.outside) for link in links(page)] == [
        ("x.md", False),
        ("b.md#c", False),
        ("https://e.org/f", True),
    ]
