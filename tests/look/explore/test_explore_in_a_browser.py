"""The live page as its user has it: a browser, a server of its own, and a sound file as its microphone."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import soundfile

from and_nnsight import Dissection
from and_nnsight.demo import Sound, tiny_ast_path
from tests.look.browser import chromium
from tests.look.node import node_package
from tests.warm_python import Script, WarmPython

pytestmark = pytest.mark.slow

SITE = "blocks.2.mlp.hook_post"
PLAYING = "!![...document.querySelectorAll('.exemplar.playing')].length"


@dataclass
class Served:
    """A server, and the address that it printed."""

    process: Script
    address: str


def serve(python: WarmPython, place: Path, *words: object) -> Served:
    """`and-nnsight explore WORDS`, in a process of its own."""
    place.mkdir(exist_ok=True)
    script = place / "command.py"
    script.write_text("from and_nnsight.cli import main\nmain()\n", encoding="utf-8")
    process = python.start(script, "explore", *words, before="sys.stdout.reconfigure(line_buffering=True)")
    process.wait_for_output()
    first = process.stdout.read_text(encoding="utf-8").splitlines()[0]
    return Served(process, first.split(": ")[1].strip())


@dataclass
class Page:
    """A page of it, and what it asked for and complained of."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def folder(dissection: Dissection, sounds: list[Sound]) -> Path:
    """The dissection, with the sounds of the unit that the tests look at."""
    from and_nnsight import keep_exemplars

    keep_exemplars(dissection, [(SITE, 7)], str(tiny_ast_path()), sounds, progress=False)
    return dissection.folder


@pytest.fixture(scope="module")
def served(warm_python: WarmPython, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    there = serve(warm_python, tmp_path_factory.mktemp("served"), folder, "--model", tiny_ast_path())
    yield there
    there.process.send_signal(signal.SIGKILL)
    there.process.wait()


@pytest.fixture(scope="module")
def opened_browser(
    driver: Any, dissection: Dissection, sounds: list[Sound], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A browser whose microphone hears the clip that the unit answers to most, again and again."""
    clip = sounds[dissection.unit(SITE, 7).top[0].clip]
    wav = tmp_path_factory.mktemp("microphone") / "clip.wav"
    soundfile.write(wav, clip.waveform, clip.sampling_rate, subtype="PCM_16")
    with chromium(
        driver, "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={wav}", "--autoplay-policy=no-user-gesture-required",
    ) as browser:  # fmt: skip
        yield browser


@pytest.fixture
def shown(opened_browser: Any, served: Served) -> Iterator[Page]:
    context = opened_browser.new_context()
    there = Page(context.new_page())
    there.page.on("request", lambda request: there.requests.append(request.url))
    there.page.on("console", lambda message: there.complaints.append(message.text))
    there.page.on("pageerror", lambda error: there.complaints.append(str(error)))
    there.page.goto(served.address)
    there.page.wait_for_selector("html[data-ready=yes]")
    there.page.wait_for_selector(".unit-line")
    yield there
    context.close()


def open_unit(shown: Page, unit: int = 7) -> None:
    shown.page.evaluate("at => { location.hash = at; location.reload() }", f"{SITE}:{unit}")
    shown.page.wait_for_selector("#card .unit")


def until(page: Any, condition: str, argument: Any = None) -> None:
    for _ in range(600):
        if page.evaluate(f"(argument) => {condition}", argument):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {condition}")


def test_it_asks_nobody_else_and_the_token_leaves_the_address(shown: Page, served: Served) -> None:
    open_unit(shown)
    base = served.address.split("/?")[0]
    outside = [
        url for url in shown.requests if not url.startswith((base, base.replace("http", "ws"), "data:", "blob:"))
    ]
    assert outside == []
    assert "token" not in shown.page.url
    assert shown.complaints == []


def test_units_are_filtered_and_opened(shown: Page) -> None:
    text = shown.page.locator("#list .words").first.inner_text()
    word = max(text.split(), key=len).strip(".,")
    shown.page.locator("#text").fill(word)
    until(shown.page, "!document.querySelector('#count').textContent.startsWith('0')")
    until(
        shown.page,
        "[...document.querySelectorAll('#list .unit-line')].every(e => e.textContent.toLowerCase().includes(argument.toLowerCase()))",
        word,
    )  # one expression
    shown.page.locator("#list .unit-line").first.click()
    shown.page.wait_for_selector("#card .unit")
    shown.page.wait_for_selector(".neighbours")


def test_an_exemplar_is_played(shown: Page) -> None:
    open_unit(shown)
    shown.page.locator("#card [data-play=all]").first.click()
    until(shown.page, PLAYING)
    assert (
        shown.page.locator("#card .image")
        .first.evaluate("e => e.style.backgroundImage")
        .startswith('url("data:image/png')
    )


def test_the_right_unit_rises_when_its_clip_is_sung_to_it(shown: Page) -> None:
    open_unit(shown)
    shown.page.locator("#add-unit").click()
    shown.page.locator("#start").click()
    shown.page.wait_for_selector("#now .followed")
    until(
        shown.page,
        "Number.parseFloat((document.querySelector('#now .followed .measure')?.textContent ?? '0').replace('over ', '')) > 1.5",
    )
    shown.page.locator("#keep").click()
    shown.page.wait_for_selector("#sound .answers .unit-line")
    shown.page.locator("#play-sound").click()
    until(shown.page, "document.querySelector('#play-sound').textContent === 'Pause'")
    shown.page.locator("#start").click()
    until(shown.page, "document.querySelector('#start').textContent.startsWith('Start')")
    assert shown.complaints == []


def test_a_sound_that_is_opened_is_answered_and_units_are_silenced_on_it(
    shown: Page, sounds: list[Sound], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", sounds[1].waveform, sounds[1].sampling_rate)
    shown.page.set_input_files("#file", tmp_path / "a.wav")
    shown.page.wait_for_selector("#sound .answers .curve")
    shown.page.locator("#sound .unit-line").first.click()
    shown.page.wait_for_selector("#card .unit")
    shown.page.locator("#add-unit").click()
    shown.page.locator("#compare").click()
    shown.page.wait_for_selector("#said table tbody tr")


def test_what_is_no_sound_is_said(shown: Page, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    shown.page.set_input_files("#file", tmp_path / "a.wav")
    shown.page.wait_for_selector("#problem:visible")
    assert "this sound" in shown.page.locator("#problem").inner_text()


def test_without_a_microphone_the_page_says_what_to_do(shown: Page) -> None:
    shown.page.evaluate(
        "() => {navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))}"
    )
    shown.page.locator("#start").click()
    shown.page.wait_for_selector("#problem:visible")
    assert "allow it" in shown.page.locator("#problem").inner_text()
    assert shown.page.locator("#start").get_attribute("disabled") is None


def test_the_way_back_leads_to_the_unit_before(shown: Page) -> None:
    open_unit(shown)
    first = shown.page.locator("#card h2").inner_text()
    shown.page.get_by_role("button", name="next unit").click()
    until(shown.page, "document.querySelector('#card h2').innerText !== argument", first)
    shown.page.go_back()
    until(shown.page, "document.querySelector('#card h2').innerText === argument", first)


def test_hostile_words_are_only_words(shown: Page) -> None:
    hostile = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\u202e"
    shown.page.route(
        "**/api/units*",
        lambda route: route.fulfill(
            json={
                "total": 1,
                "units": [
                    {
                        "site": hostile,
                        "unit": 1,
                        "text": hostile,
                        "label": hostile,
                        "standing": "x",
                        "word": hostile,
                        "selectivity": 1,
                    }
                ],
            }  # one answer
        ),
    )
    shown.page.locator("#text").fill("anything")
    until(shown.page, "document.querySelector('#list .words').textContent.includes('onerror')")
    assert shown.page.locator("#list img, #list script").count() == 0
    assert not [each for each in shown.complaints if "alert" in each]


def test_it_is_usable_without_a_pointer_or_eyes(shown: Page) -> None:
    open_unit(shown)
    # The lines of the list are of one template: a rule that one breaks, all break.
    shown.page.evaluate("[...document.querySelectorAll('#list .unit-line')].slice(20).forEach(each => each.remove())")
    axe = (node_package("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    shown.page.evaluate(axe)
    violations = shown.page.evaluate(
        "axe.run().then(result => result.violations.map(each => each.id + ' ' + each.nodes[0].html))"
    )
    assert violations == []


def test_closing_the_server_frees_its_port_and_the_page_says_so(
    warm_python: WarmPython, folder: Path, opened_browser: Any, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = serve(warm_python, tmp_path, folder, "--no-model", "--port", port)
    assert f":{port}/" in there.address
    page = opened_browser.new_page()
    page.goto(there.address)
    page.wait_for_selector("html[data-ready=yes]")
    there.process.send_signal(signal.SIGINT)
    assert there.process.wait(60) in (0, 130)
    page.locator("#text").fill("voice")
    page.wait_for_selector("#problem:visible")
    assert "it was stopped" in page.locator("#problem").inner_text()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
