"""What datasets and language models write is shown as text, whatever it is: nothing of it runs, asks, or floods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from and_nnsight.look import write_report
from tests.look.browser import Visit
from tests.look.hostile import hostile_dissection, units

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    dissection = hostile_dissection(folder)
    return write_report(dissection, folder / "report.html", units(), progress=False).path


def test_nothing_of_it_floods_the_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "w" * 2000 not in text
    assert "secret-word" not in text, "passwords in addresses are not shown"
    assert "\u202e" not in text and "\u2066" not in text, "text is not turned about"
    assert text.count("<script>") == 1 and text.count("<style>") == 1
    assert text.rstrip().endswith("</html>") and text.count("</html>") == 1


def test_nothing_of_it_runs_or_asks(browser: Any, page: Path) -> None:
    with Visit(browser, page) as visit:
        for unit in visit.page.locator(".unit").all():
            unit.locator("summary").click()
            unit.hover()
        for sort in ("depth", "standing", "selectivity"):
            visit.page.locator("#order").select_option(sort)
        visit.page.locator("#search").fill("<script>")
        assert visit.page.locator(".unit:visible").count() > 0
        visit.page.locator("#search").fill("")
        visit.page.locator("[data-play]").first.click()
        visit.page.wait_for_timeout(300)
        assert visit.page.evaluate("window.hacked") is None
        assert visit.page.locator("script").count() == 1 + visit.page.locator("script[type='text/plain']").count()
        assert visit.page.locator("iframe, base, link, .unit img, .unit b > b").count() == 0
        assert visit.outside == []
        assert visit.complaints == []


def test_it_is_shown_as_it_stands(browser: Any, page: Path) -> None:
    with Visit(browser, page) as visit:
        text = visit.page.locator("main").inner_text()
        for shown in ("<script>window.hacked", "{{ 7 * 191 }}", "onmouseover=", "&lt;script&gt;"):
            assert shown in text, shown
        assert "1337" not in text
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "long words are broken"


def test_a_policy_forbids_what_is_not_ours(browser: Any, page: Path) -> None:
    """Were something to slip through, the browser would not run it."""
    with Visit(browser, page) as visit:
        visit.page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.hacked = 1";
                document.body.append(script);
                document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.hacked = 1'>");
            }"""
        )
        visit.page.wait_for_timeout(300)
        assert visit.page.evaluate("window.hacked") is None
        assert any("Content Security Policy" in complaint for complaint in visit.complaints)
