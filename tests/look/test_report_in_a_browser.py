"""The report as its reader has it: opened from a file in a real browser, played, searched, sorted, asked of nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from and_nnsight import Dissection
from and_nnsight.look import Report
from tests.look.browser import Visit
from tests.look.conftest import SITES, UNITS
from tests.look.node import node_package

pytestmark = pytest.mark.slow

# What the page was like whenever a sound was begun: read at that moment, since a busy machine may look again much later.
AUDIO = """
  window.sounds = []; window.begun = [];
  const Old = Audio;
  window.Audio = function () {
    const audio = new Old(), play = audio.play;
    audio.play = function () {
      const cursor = new DOMMatrix(getComputedStyle(document.querySelector('.exemplar .cursor')).transform).m41;
      begun.push({time: audio.currentTime, pressed: document.querySelectorAll('[aria-pressed=true]').length, cursor});
      return play.call(audio);
    };
    sounds.push(audio);
    return audio;
  }
"""


# Where all cards were looked at once: in other colours and widths they are styled by one sheet.
ONLY_FIRST_UNITS = "[...document.querySelectorAll('.unit')].slice(2).forEach(each => each.remove())"


@pytest.fixture
def listening(browser: Any, written: Report):
    """A visit whose audio elements can be looked at."""
    context = browser.new_context()
    context.add_init_script(AUDIO)
    page = context.new_page()
    page.goto(written.path.as_uri())
    yield page
    context.close()


def shown(visit: Visit) -> list[str]:
    return visit.page.locator(".unit:visible").evaluate_all("units => units.map(unit => unit.id)")


def time_of(page: Any) -> float:
    return page.evaluate("sounds[0].currentTime")


def until(page: Any, condition: str, argument: Any = None) -> None:
    """Wait for something. (playwright's own `wait_for_function` evaluates text, which the page's policy forbids.)"""
    for _ in range(200):
        if page.evaluate(condition, argument):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {condition}")


def cursor_of(page: Any, exemplar: int) -> float:
    return page.evaluate(
        "at => new DOMMatrix(getComputedStyle(document.querySelectorAll('.exemplar .cursor')[at]).transform).m41",
        exemplar,
    )


def test_it_asks_for_nothing_and_complains_of_nothing(visit: Visit) -> None:
    visit.page.locator("[data-play]").first.click()
    visit.page.locator("#search").fill("noise")
    visit.page.wait_for_timeout(300)
    assert visit.outside == []
    assert visit.complaints == []


def test_it_shows_the_units_with_what_is_known_of_them(visit: Visit, written: Report) -> None:
    assert shown(visit) == [f"{site}:{unit}" for site, unit in written.units]
    assert len(written.units) == UNITS
    first = visit.page.locator(".unit").first
    assert first.locator(".words").inner_text()
    assert first.locator(".top .exemplar").count() == 4
    assert first.locator(".picture .curve").count() == first.locator(".picture").count() > 4


def test_a_moment_is_played_and_its_cursor_moves(listening: Any) -> None:
    button = listening.locator("[data-play=moment]").first
    exemplar = listening.locator(".exemplar").first
    start = float(exemplar.get_attribute("data-start"))
    button.click()
    (begun,) = listening.evaluate("begun")
    assert max(0.0, start - 0.5) <= begun["time"] <= start
    assert begun["pressed"] == 1
    until(listening, "from => sounds[0].currentTime > from + 0.1", begun["time"])
    width = listening.locator(".picture").first.bounding_box()["width"]
    until(
        listening,
        f"document.querySelector('.exemplar .cursor').style.transform !== 'translateX({begun['cursor']:.1f}px)'",
    )
    assert cursor_of(listening, 0) > begun["cursor"]
    seconds = float(exemplar.get_attribute("data-seconds"))
    assert cursor_of(listening, 0) == pytest.approx(time_of(listening) / seconds * width, abs=0.1 * width)
    until(listening, "sounds[0].paused")
    assert time_of(listening) <= float(exemplar.get_attribute("data-end")) + 1.5
    assert button.get_attribute("aria-pressed") == "false"


def test_a_whole_clip_is_played_to_its_end(listening: Any) -> None:
    listening.locator("[data-play=all]").first.click()
    until(listening, "sounds[0] && sounds[0].ended")
    assert time_of(listening) == pytest.approx(2.0, abs=0.1)


def test_one_sound_at_a_time_and_a_second_press_stops(listening: Any) -> None:
    buttons = listening.locator("[data-play=all]")
    listening.evaluate("sounds[0].defaultPlaybackRate = 0.1")  # so that no sound ends before it is looked at
    buttons.nth(0).click()
    until(listening, "sounds[0].currentTime > 0")
    buttons.nth(1).click()
    until(listening, "!sounds[0].paused")
    assert listening.evaluate("sounds.length") == 1
    assert [one["pressed"] for one in listening.evaluate("begun")] == [1, 1]
    assert buttons.nth(1).get_attribute("aria-pressed") == "true"
    buttons.nth(1).click()
    assert listening.evaluate("sounds[0].paused")
    assert listening.locator("[aria-pressed=true]").count() == 0


def test_a_click_on_a_picture_plays_from_there(listening: Any) -> None:
    picture = listening.locator(".picture").nth(2)
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] * 0.75, "y": 10})
    until(listening, "sounds[0] && sounds[0].currentTime > 1.45")
    assert time_of(listening) < 2.01


def test_search_site_and_verdict_filter(visit: Visit) -> None:
    page = visit.page
    label = page.locator(".exemplar .label").first.inner_text()
    page.locator("#search").fill(label.upper())
    matching = shown(visit)
    assert 0 < len(matching) < UNITS
    assert page.locator("#count").inner_text() == f"{len(matching)} of {UNITS} units"
    for unit in page.locator(".unit:visible").all():
        assert any(label in text.lower() for text in unit.locator("bdi").all_text_contents())
    page.locator("#search").fill("responds")
    assert shown(visit) == [], "the page's own words are not searched"
    page.locator("#search").fill("no such thing")
    assert shown(visit) == []
    page.locator("#reset").click()
    assert len(shown(visit)) == UNITS
    page.locator("#site").select_option(SITES[1])
    of_site = shown(visit)
    assert 0 < len(of_site) < UNITS and all(unit.startswith(SITES[1]) for unit in of_site)
    page.locator(f"[data-choose-site='{SITES[0]}']").click()
    assert sorted(shown(visit) + of_site) == sorted(page.locator(".unit").evaluate_all("u => u.map(each => each.id)"))
    page.locator("#site").select_option("")
    page.locator("#standing").select_option("untested")
    assert len(shown(visit)) == UNITS


def test_units_are_sorted(visit: Visit, dissection: Dissection) -> None:
    from and_nnsight.dissection.selectivity import selectivity

    def value(unit: str) -> float:
        site, _, index = unit.rpartition(":")
        return float(selectivity(dissection, site)[int(index)])

    values = [value(unit) for unit in shown(visit)]
    assert values == sorted(values, reverse=True)
    visit.page.locator("#order").select_option("depth")
    places = [(SITES.index(unit.rpartition(":")[0]), int(unit.rpartition(":")[2])) for unit in shown(visit)]
    assert places == sorted(places)


def test_it_can_be_used_by_keys_alone(listening: Any) -> None:
    listening.keyboard.press("/")
    assert listening.evaluate("document.activeElement.id") == "search"
    listening.keyboard.press("j")
    assert listening.locator("#search").input_value() == "j", "a letter that is typed is no command"
    listening.locator("#search").fill("")
    listening.locator("h1").click()
    units = listening.locator(".unit").evaluate_all("units => units.map(unit => unit.id)")
    for key, expected in (("j", 0), ("j", 1), ("k", 0)):
        listening.keyboard.press(key)
        assert listening.evaluate("document.activeElement.id") == units[expected]
    listening.keyboard.press("p")
    until(listening, "!sounds[0].paused")
    listening.keyboard.press("Escape")
    assert listening.evaluate("sounds[0].paused")
    listening.locator("[data-play]").first.focus()
    listening.keyboard.press("Enter")
    until(listening, "!sounds[0].paused")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 380])
def test_axe_finds_no_fault(browser: Any, written: Report, colours: str, width: int) -> None:
    axe = (node_package("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    with Visit(browser, written.path, color_scheme=colours, viewport={"width": width, "height": 900}) as visit:
        visit.page.evaluate("document.querySelectorAll('details').forEach(each => (each.open = true))")
        if (width, colours) != (1280, "light"):
            visit.page.evaluate(ONLY_FIRST_UNITS)
        visit.page.evaluate(axe)
        found = visit.page.evaluate("axe.run({ resultTypes: ['violations'] })")
        faults = [
            (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"])
            for each in found["violations"]
        ]
        assert faults == []


def test_a_narrow_window_needs_no_scrolling_sideways(browser: Any, written: Report) -> None:
    with Visit(browser, written.path, viewport={"width": 340, "height": 700}) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 340


def test_pictures_and_curves_are_drawn(visit: Visit, tmp_path: Path) -> None:
    from PIL import Image

    shot = tmp_path / "picture.png"
    visit.page.locator(".picture").first.screenshot(path=shot)
    colours = Image.open(shot).convert("RGB").getcolors(100_000)
    assert len(colours) > 50
    assert any(red > 180 and green < 140 and blue < 90 for _, (red, green, blue) in colours), "the curve is orange"


def test_print_shows_every_unit_without_tools(browser: Any, written: Report) -> None:
    with Visit(browser, written.path) as visit:
        visit.page.emulate_media(media="print")
        assert not visit.page.locator(".tools").is_visible()
        assert not visit.page.locator("[data-play=all]").first.is_visible()
        assert visit.page.locator(".picture").last.is_visible()
        assert len(visit.page.pdf()) > 50_000
