"""What a notebook shows: executed in a kernel, opened in a browser, and of hostile data nothing but text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from and_nnsight import Dissection, plugins
from and_nnsight.explain import card, explain, label, search
from and_nnsight.look import notebook
from tests.look.browser import Visit
from tests.look.hostile_clips import SITE, hostile_clips

pytestmark = pytest.mark.slow

CELLS = (
    "import and_nnsight\nfrom and_nnsight.explain import card, label, read_table, search\n"
    "dissection = and_nnsight.Dissection.load({folder!r})\ndissection",
    "unit = dissection.unit({site!r}, 0)\nunit",
    "unit.top[0]",
    "card(dissection, {site!r}, 0)",
    "label(dissection, 'labels', method='db')",
    "unit.plot();",
    "unit.to_pandas()",
)


@pytest.fixture(scope="module")
def dissection(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    made = hostile_clips(tmp_path_factory.mktemp("hostile") / "run")
    explain(made, units=range(3), progress=False)
    label(made, "labels", method="db", progress=False)
    return made


@pytest.fixture(scope="module")
def executed(dissection: Dissection) -> list[Any]:
    """The outputs of each cell of a notebook that a kernel ran."""
    cells = [cell.format(folder=str(dissection.folder), site=SITE) for cell in CELLS]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=600, kernel_name="python3").execute()
    return [cell.outputs for cell in book.cells]


def shown(outputs: list[Any]) -> Any:
    (result,) = [output for output in outputs if output.output_type == "execute_result"]
    return result.data


def test_every_object_shows_itself_as_html_and_as_a_few_lines(executed: list[Any]) -> None:
    for outputs in executed[:5]:
        data = shown(outputs)
        assert data["text/html"].startswith('<div class="and-nnsight">')
        assert "<script" not in data["text/html"].replace("&lt;script", "")
        assert len(data["text/plain"]) <= 420 and data["text/plain"].count("\n") < 5
    for outputs in executed:
        assert not [output for output in outputs if output.output_type in ("error", "stream")]
    (figure,) = executed[5]
    assert "image/png" in figure.data
    card_of_unit = shown(executed[3])["text/html"]
    assert card_of_unit.count("<audio controls") == card_of_unit.count("data:image/png;base64,") == 6
    assert card_of_unit.count('class="curve"') == 6
    assert shown(executed[1])["text/html"] == card_of_unit


def test_each_bar_in_a_notebook_is_one_output_that_ends_full(executed: list[Any]) -> None:
    bars = [output.data["text/html"] for output in executed[4] if output.output_type == "display_data"]
    assert [re.findall(r"monospace\">([\w ]+?) <", bar) for bar in bars][-1] == ["labelling"]
    for bar in bars:
        ((value, most),) = re.findall(r'<progress value="(\d+)" max="(\d+)"', bar)
        assert value == most and f"{most}/{most}" in bar


@pytest.fixture
def page(browser: Any, dissection: Dissection, tmp_path: Path) -> Iterator[Visit]:
    unit = dissection.unit(SITE, 0)
    labels = label(dissection, "labels", method="db", progress=False)
    objects = (dissection, unit, unit.top[0], card(dissection, SITE, 1), labels, search(dissection, "script"))
    html = [str(each._repr_html_()) for each in objects]
    # As notebooks keep what they show: in UTF-8, on a page of their own.
    text = "<!DOCTYPE html><meta charset=utf-8><body><h2 id=outside>notebook</h2>" + "\n".join(html)
    file = tmp_path / "page.html"
    file.write_text(text, encoding="utf-8")
    with Visit(browser, file) as visit:
        yield visit


def test_nothing_of_hostile_text_is_run_and_nothing_is_asked_of_a_network(page: Visit) -> None:
    page.page.wait_for_timeout(300)
    page.page.evaluate("for (const each of document.querySelectorAll('*')) each.dispatchEvent(new Event('mouseover'))")
    assert page.page.evaluate("window.hacked") is None
    assert not page.outside and not page.complaints
    assert page.page.locator("script").count() == 0
    assert page.page.locator("img:not([src^='data:image/png'])").count() == 0
    text = page.page.content()
    assert "&lt;script&gt;" in text and "{{ 7 * 191 }}" in text
    assert "\u202e" not in text and "\x1b" not in text and "w" * 1000 not in text


def test_players_have_sound_pictures_are_drawn_and_styles_stay_inside(page: Visit) -> None:
    page.page.wait_for_function("[...document.querySelectorAll('audio')].every((each) => each.readyState >= 1)")
    seconds = page.page.evaluate("[...document.querySelectorAll('audio')].map((each) => each.duration)")
    assert len(seconds) >= 13 and all(0.2 < each <= 3.0 for each in seconds)
    assert page.page.evaluate("[...document.querySelectorAll('img')].every((each) => each.naturalWidth > 20)")
    inside, outside = (
        page.page.evaluate(f"getComputedStyle(document.querySelector('{place}')).fontSize")
        for place in (".and-nnsight h2", "#outside")
    )
    assert inside != outside == "24px"


def test_what_was_not_kept_says_how_to_have_it(dissection: Dissection) -> None:
    html = str(dissection.unit(SITE, 40)._repr_html_())
    assert "keep_exemplars(dissection, [(&#39;blocks.1.mlp.hook_post&#39;, 40)])" in html


def test_where_a_package_is_lacking_the_text_is_shown_and_a_warning_says_which(
    dissection: Dissection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: Any, **__: Any) -> str:
        raise ModuleNotFoundError("No module named 'jinja2'", name="jinja2")

    monkeypatch.setattr(notebook, "render", without)
    with pytest.warns(UserWarning, match=r"pip install 'and-nnsight\[look\]' \(there is no jinja2\)"):
        assert dissection._repr_html_() is None


def test_every_view_is_of_a_class_that_asks_for_it() -> None:
    views = plugins._own(plugins.VIEWS)
    classes: set[str] = set()
    kinds = [plugins.Viewed]
    while kinds:
        kind = kinds.pop()
        classes.add(kind.__name__)
        kinds += kind.__subclasses__()
    assert set(views) == classes - {"Viewed"}
    assert all(callable(entry.load()) for entry in views.values())
