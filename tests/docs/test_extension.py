"""What the site makes of docstrings and of the table of contents; Sphinx itself is not needed for it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def extension() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        yield lambda name: importlib.import_module(f"_extension.{name}")
        for name in [name for name in sys.modules if name.split(".")[0] == "_extension"]:
            del sys.modules[name]


def test_rows_become_a_list_of_names(extension: Any) -> None:
    lines = """Do it.

model        what hears, as `name:argument`
             or a module
sites, units which units (globs `*`)
keep_activations  also keep |these| and under_scores

Raises ValueError for `*`.""".splitlines()
    assert extension("docstrings").converted(lines) == [
        "Do it.",
        "",
        "``model``",
        "   what hears, as ``name:argument``\\  or a module",
        "``sites, units``",
        "   which units (globs ``*``\\ )",
        "``keep_activations``",
        "   also keep \\|these\\| and under\\_scores",
        "",
        "Raises ValueError for ``*``\\ .",
        "",
    ]


def test_columns_of_another_kind_stay_as_they_are(extension: Any) -> None:
    lines = ["settings  where to     payloads   what", "shapes    frames       on_server  where"]
    assert extension("docstrings").converted(lines)[0] != "``settings``"


def test_prose_is_prose(extension: Any) -> None:
    docstrings = extension("docstrings")
    prose = ["A sentence that is no row.", "It goes on."]
    assert docstrings.rows(prose) == ([], prose)
    told, rest = docstrings.rows(["`name`  what it is", "        and more", "Everything else is as there."])
    assert [row.meaning for row in told] == [["what it is", "and more"]]
    assert rest == ["Everything else is as there."]


def test_the_side_bar_is_the_table_of_contents(extension: Any) -> None:
    contents = extension("contents")
    readme = (
        "# Guides\n## One\n| guide | what |\n|---|---|\n| [A](a.md) | [b](b.md) |\n| [C](c.md) | x |\n## None\ntext\n"
    )
    assert contents.sections(readme) == {"One": ["a", "c"]}
    every = [page for pages in contents.sections((ROOT / "docs" / "README.md").read_text()).values() for page in pages]
    assert len(every) == len(set(every))
    assert {f"{page}.md" for page in every} | {"README.md", "index.md"} == {
        path.name for path in (ROOT / "docs").glob("*.md")
    }


def test_links_out_of_the_guides_lead_to_the_repository(extension: Any) -> None:
    text = "[a](../x/README.md#y) [b](c.md)\n```sh\n[d](../e)\n```\n[f](g/h.py)\n"
    web = f"{extension('contents').REPOSITORY}/blob/main"
    assert extension("contents").to_the_repository(text) == (
        f"[a]({web}/x/README.md#y) [b](c.md)\n```sh\n[d](../e)\n```\n[f]({web}/docs/g/h.py)\n"
    )
