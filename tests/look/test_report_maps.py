"""What units hear, on the report: parts that play, a picture, a sentence; and what stands in the way, said once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from and_nnsight import AudioModel, Dissection, MapError, hear, keep_exemplars
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.look import Report, write_report
from and_nnsight.look.map_view import faithfulness
from and_nnsight.look.spectrogram import part_png, spectrogram_png
from and_nnsight.maps import exemplar_maps
from and_nnsight.maps.listenable_map import ListenableMap, MapActivations
from tests.look.browser import Visit
from tests.look.hostile import hostile_dissection, units
from tests.look.node import node_package
from tests.look.test_report_in_a_browser import AUDIO, until
from tests.run.runs import quick
from tests.sounds_for_tests import RATE, noise

pytestmark = pytest.mark.slow

UNITS = [("blocks.2.mlp.hook_post", unit) for unit in (227, 150, 198)]


@pytest.fixture(scope="module", autouse=True)
def quickly() -> Iterator[None]:
    """Maps are found in three steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exemplar_maps, "hear", lambda unit, clip, model: hear(unit, clip, model=model, steps=3, masks=3))
        yield


@pytest.fixture(scope="module")
def mapped(dissection: Dissection, tmp_path_factory: pytest.TempPathFactory) -> Report:
    out = tmp_path_factory.mktemp("maps") / "report.html"
    return write_report(dissection, out, UNITS, maps=2, data=list(make_sounds(per_class=4)), progress=False)


def test_the_first_units_are_shown_with_what_they_hear(mapped: Report, dissection: Dissection, tmp_path: Path) -> None:
    text = mapped.path.read_text(encoding="utf-8")
    assert (mapped.maps, mapped.no_maps) == (2, None)
    cards = text.split('<article class="unit"')[1:]
    assert ['<section class="need">' in card for card in cards] == [True, True, False]
    assert "<dt>what it hears</dt>" in text
    again = write_report(dissection, tmp_path / "r.html", UNITS, maps=2, model="/nowhere", progress=False)
    assert again.path.read_bytes() == mapped.path.read_bytes(), "neither model nor data is needed again"
    without = write_report(dissection, tmp_path / "r.html", UNITS, progress=False)
    assert without.maps == 0 and "what it hears" not in without.path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="maps must be at least 0"):
        write_report(dissection, tmp_path / "r.html", maps=-1, progress=False)


def test_their_sounds_count_in_the_size(mapped: Report, dissection: Dissection, tmp_path: Path) -> None:
    without = write_report(dissection, tmp_path / "without.html", UNITS, progress=False)
    most = (without.bytes + mapped.bytes) / 2e6
    assert write_report(dissection, tmp_path / "r.html", UNITS, most_megabytes=most, progress=False).excerpt is None
    cut = write_report(dissection, tmp_path / "r.html", UNITS, maps=2, most_megabytes=most, progress=False)
    assert cut.excerpt is not None and cut.bytes < most * 1e6
    text = cut.path.read_text(encoding="utf-8")
    (seconds,) = set(re.findall(r'data-sound="k\d" data-from="[\d.]+" data-seconds="([\d.]+)"', text))
    assert float(seconds) == cut.excerpt


def test_both_parts_play_and_their_cursor_moves(browser: Any, mapped: Report) -> None:
    context = browser.new_context()
    context.add_init_script(AUDIO)
    page = context.new_page()
    page.goto(mapped.path.as_uri())
    need = page.locator(".need").first
    for button, other in ((0, 1), (1, 0)):
        need.locator("button").nth(button).click()
        until(page, "sounds[0] && sounds[0].currentTime > 0.1")
        assert need.locator("button").nth(button).get_attribute("aria-pressed") == "true"
        assert need.locator("button").nth(other).get_attribute("aria-pressed") in ("false", None)
        moved = "new DOMMatrix(getComputedStyle(document.querySelector('.need .cursor')).transform).m41"
        assert page.evaluate(moved) > 0
        assert page.evaluate("sounds[0].duration") == pytest.approx(2.0, abs=0.05)
    assert page.evaluate("sounds.length") == 1
    sources = [page.evaluate(f"document.getElementById('{key}').textContent.length") for key in ("k0", "r0")]
    assert sources[0] != sources[1]
    need.locator("button").nth(0).click()
    until(page, "sounds[0].ended")
    until(page, "!document.querySelector('.playing')")  # with the next picture
    page.keyboard.press("Escape")
    need.locator("button").nth(1).focus()
    page.keyboard.press("Enter")
    until(page, "!sounds[0].paused")
    context.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 340])
def test_axe_finds_no_fault_and_nothing_is_asked(browser: Any, mapped: Report, colours: str, width: int) -> None:
    axe = (node_package("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    with Visit(browser, mapped.path, color_scheme=colours, viewport={"width": width, "height": 900}) as visit:
        visit.page.locator(".need button").first.click()
        visit.page.evaluate("document.querySelectorAll('details').forEach(each => (each.open = true))")
        visit.page.evaluate(axe)
        found = visit.page.evaluate("axe.run({ resultTypes: ['violations'] })")
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        assert visit.outside == [] and visit.complaints == []


def test_in_print_the_picture_and_the_sentence_stay(browser: Any, mapped: Report) -> None:
    with Visit(browser, mapped.path) as visit:
        visit.page.emulate_media(media="print")
        need = visit.page.locator(".need").first
        assert need.locator(".picture").is_visible() and need.locator("p").last.is_visible()
        assert not need.locator("button").first.is_visible()


def test_what_is_said_of_hostile_clips_stays_text(browser: Any, tmp_path: Path) -> None:
    dissection = hostile_dissection(tmp_path)
    made = write_report(dissection, tmp_path / "r.html", units(), maps=4, progress=False)
    assert made.maps > 0
    with Visit(browser, made.path) as visit:
        for button in visit.page.locator(".need button").all():
            button.click()
        visit.page.wait_for_timeout(200)
        assert visit.page.evaluate("window.hacked") is None
        assert visit.page.locator(".need script, .need img, .need iframe").count() == 0
        assert visit.outside == [] and visit.complaints == []


def test_a_map_that_cannot_be_made_is_said_on_its_card_and_a_model_without_any_once(
    dissection: Dissection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds = list(make_sounds(per_class=4))
    others = [("blocks.1.mlp.hook_post", unit) for unit in range(4)]

    def refused(unit: Any, clip: Any, model: Any) -> ListenableMap:
        raise MapError("<b>no part</b> of the sound is needed")

    with monkeypatch.context() as patch:
        patch.setattr(exemplar_maps, "hear", refused)
        made = write_report(dissection, tmp_path / "r.html", others, maps=2, data=sounds, progress=False)
    text = made.path.read_text(encoding="utf-8")
    assert (made.maps, made.no_maps) == (0, None)
    assert text.count("Nothing to hear: &lt;b&gt;no part&lt;/b&gt; of the sound is needed.") == 2
    gone = write_report(dissection, tmp_path / "r.html", others, maps=2, model="/nowhere/at/all", progress=False)
    text = gone.path.read_text(encoding="utf-8")
    assert gone.no_maps is not None and "/nowhere/at/all" in gone.no_maps
    assert text.count("What units hear could not be made: ") == 1 and "Nothing to hear" not in text


def test_the_best_clip_whose_sound_is_there_is_mapped(tmp_path: Path) -> None:
    site, model = UNITS[0][0], AudioModel(str(tiny_ast_path()))
    (tmp_path / "sounds").mkdir()
    for number, sound in enumerate(make_sounds(per_class=1)):
        soundfile.write(tmp_path / "sounds" / f"{number}.wav", sound.waveform, sound.sampling_rate)
    made = quick(model, tmp_path / "sounds", tmp_path / "run", sites=site)
    first, second = made.unit(site, UNITS[0][1]).top[:2]
    assert first.telling and second.telling and first.path is not None
    Path(first.path).unlink()
    with pytest.warns(UserWarning, match="could not be kept"):
        report = write_report(made, tmp_path / "r.html", UNITS[:1], maps=1, model=model, progress=False)
    assert (report.maps, report.silent) == (1, (first.clip,))
    (named,) = re.findall(r"<h3>What it hears <small>of clip <bdi>(\d+)", report.path.read_text(encoding="utf-8"))
    assert int(named) == second.clip


def test_units_without_evidence_are_passed_over(tmp_path: Path) -> None:
    """Three silent clips tell nothing apart."""
    model = AudioModel(str(tiny_ast_path()))
    clips = [{"audio": 0 * noise(0.5), "sampling_rate": RATE, "label": "a"}] * 3
    with pytest.warns(UserWarning, match="silent"):
        made = quick(model, clips, tmp_path / "run", sites=UNITS[0][0], k=2)
    keep_exemplars(made, UNITS[:1], model, clips, progress=False)
    assert not any(each.telling for each in made.unit(*UNITS[0]).top)
    report = write_report(made, tmp_path / "r.html", UNITS[:1], maps=1, model="/nowhere", progress=False)
    assert (report.maps, report.no_maps) == (0, None), "no model is opened for nothing"


@pytest.mark.parametrize(
    ("activations", "lead"),
    [
        (MapActivations(2.0, 1.9, 0.1, 0.0, (0.2,) * 20), "The kept part is enough for it, and the rest is not"),
        (MapActivations(2.0, 1.9, 1.5, 0.0, (0.2,) * 20), "The rest excites it, too"),
        (MapActivations(2.0, 0.9, 0.1, 0.0, (0.2,) * 20), "The kept part is not enough for it"),
        (MapActivations(2.0, 1.9, 0.1, 0.0, (2.2,) * 20), "Other parts may do as well"),
        (MapActivations(2.0, 1.9, 0.1, 0.0, ()), "so much is kept that there is nothing to compare it with"),
        (
            MapActivations(-0.1, -0.1, -0.17, -0.17, (-0.17,) * 20),
            "The kept part is enough for it, and the rest is not",
        ),
    ],
)
def test_the_sentence_says_what_the_numbers_come_to(activations: MapActivations, lead: str) -> None:
    ones = np.ones((3, 4), np.float32)
    row, times, hz = ones[0], ones[0], ones[:, 0]
    made = ListenableMap(
        "s", 0, RATE, row, row, 0 * row, 0.25 * ones, ones, times, hz, 0, None, None, activations, 1
    )  # fmt: skip
    sentence = faithfulness(made)
    assert lead in sentence and "25 % of the spectrogram" in sentence
    if activations.original == 2.0 and activations.moved:
        assert "2.00 on the clip" in sentence and f"(p\N{NO-BREAK SPACE}{made.p:.2f})" in sentence
    fewer = replace(made, activations=replace(activations, moved=()))
    assert "other places" not in faithfulness(fewer)


def test_what_is_removed_is_faded_and_what_is_kept_is_not() -> None:
    from io import BytesIO

    from PIL import Image

    def pixels(png: bytes) -> np.ndarray:
        return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)

    clip = noise(1.0)
    kept = np.where(np.arange(len(clip)) < len(clip) // 2, clip, 0).astype(np.float32)
    plain, half, none = (pixels(each) for each in (
        spectrogram_png(clip, RATE), part_png(clip, kept, RATE), part_png(clip, 0 * clip, RATE)
    ))  # fmt: skip
    assert np.array_equal(pixels(part_png(clip, clip, RATE)), plain)
    left, right = slice(0, 80), slice(120, 200)
    assert np.array_equal(half[:, left], plain[:, left])
    assert np.array_equal(half[:, right], none[:, right])
    assert (none.sum(-1) > plain.sum(-1)).mean() > 0.9, "lighter"
    assert np.ptp(none, axis=-1).max() == 0, "grey"
