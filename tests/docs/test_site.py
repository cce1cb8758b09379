"""The documentation site: built without a warning, opened from a file, whole without a network. Needs the extra `docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT
from tests.look.browser import Visit, chromium, playwright_driver
from tests.warm_python import WarmPython

for _name in ("sphinx", "furo", "myst_nb", "jupytext"):
    pytest.importorskip(_name, reason="the extra docs is not installed")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(warm_python: WarmPython, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    script = out / "build.py"
    script.write_text("import sys\nfrom sphinx.cmd.build import main\nsys.exit(main(sys.argv[1:]))\n", encoding="utf-8")
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", out / "trees"]
    warm_python.run(script, *options, "docs", out / "html", cwd=ROOT)
    return out / "html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_driver() as driver, chromium(driver) as opened:
        yield opened


def test_every_page_of_the_guides_is_in_the_side_bar(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        if page.stem not in ("README", "index"):
            assert f'href="{page.stem}.html"' in start, page.name
    for notebook in (ROOT / "docs" / "notebooks").glob("*.py"):
        assert f'href="notebooks/{notebook.stem}.html"' in start, notebook.name


def test_every_page_opens_without_asking_anything_of_a_network(site: Path, browser: Any) -> None:
    first, *others = sorted(site.rglob("*.html"))
    assert len(others) > 30
    with Visit(browser, first) as visit:
        for page in others:
            visit.page.goto(page.as_uri())
        assert not [url for url in visit.requests if not url.startswith((site.as_uri(), "data:"))]
        assert not visit.complaints


def test_no_page_names_a_script_or_a_style_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not [
            each for each in ('src="http', "src='http", 'rel="stylesheet" href="http', "@import") if each in text
        ]


def test_what_is_searched_for_is_found(site: Path, browser: Any) -> None:
    with Visit(browser, site / "index.html") as visit:
        visit.page.fill("input[name=q]", "TextGrid")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#search-results ul.search li a")
        found = visit.page.eval_on_selector_all("#search-results ul.search li a", "all => all.map(a => a.href)")
        assert any("speech.html" in address for address in found)
        assert not visit.complaints


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_is_dark_where_the_reader_wants_it_dark(site: Path, browser: Any, scheme: str, dark: bool) -> None:
    with Visit(browser, site / "concepts.html", color_scheme=scheme) as visit:
        shades = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
        assert (sum(visit.page.evaluate(shades)) < 200) is dark


def test_the_reference_has_rows_of_names(site: Path) -> None:
    page = (site / "reference" / "0_and_nnsight.html").read_text(encoding="utf-8")
    for name in ("keep_activations", "num_workers", "annotations"):
        assert f'<span class="pre">{name}</span></code></dt>' in page, name
    assert "::" not in page.split("<body", 1)[1].split("and_nnsight.dissect", 1)[1][:2000]
