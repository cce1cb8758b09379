"""What the page asks is answered from the dissection, and what it would not ask is refused in a sentence."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import soundfile
from starlette.testclient import TestClient

from and_nnsight import Dissection
from and_nnsight.demo import Sound
from and_nnsight.explain import search
from and_nnsight.look.explore.hearing import CLEAR
from and_nnsight.look.explore.opened import OpenedDissection
from tests.look.explore.conftest import wav_of

pytestmark = pytest.mark.slow

SITE = "blocks.1.mlp.hook_post"


def test_the_overview_counts_what_there_is(client: TestClient, dissection: Dissection) -> None:
    (about,) = client.get("/api/overview").json()["dissections"]
    assert about["clips"] == dissection.manifest.clips
    assert about["units"] == sum(dissection.widths().values())
    assert [site["name"] for site in about["sites"]] == list(dissection.sites)
    assert sum(each["count"] for each in about["standings"]) == about["units"]
    assert about["live"] is not None and about["silent"] is None and about["unreadable"] is None


def test_units_are_listed_in_pages_most_selective_first(client: TestClient) -> None:
    first = client.get("/api/units").json()
    second = client.get("/api/units", params={"offset": 100}).json()
    units = first["units"] + second["units"]
    assert len({(each["site"], each["unit"]) for each in units}) == len(units)
    selectivity = [each["selectivity"] for each in units]
    assert selectivity == sorted(selectivity, reverse=True)
    assert first["total"] >= len(units)


def test_a_text_chooses_the_units_with_all_its_words(client: TestClient, opened: OpenedDissection) -> None:
    entry = next(each for each in opened.catalogue.entries.values() if each.text)
    words = (entry.text or "").split()[:3]
    found = client.get("/api/units", params={"text": " ".join(words).upper()}).json()["units"]
    assert found and all(all(word.casefold() in str(each).casefold() for word in words) for each in found)
    assert client.get("/api/units", params={"text": "xyzzy"}).json() == {"total": 0, "units": []}


def test_a_search_is_that_of_explain(client: TestClient, dissection: Dissection) -> None:
    expected = [(each.site, each.unit) for each in search(dissection, "a high tone", most=50)]
    units = client.get("/api/search", params={"text": "a high tone"}).json()["units"]
    assert [(each["site"], each["unit"]) for each in units] == expected


def test_a_card_has_the_sounds_of_its_exemplars(client: TestClient, dissection: Dissection) -> None:
    card = client.get("/card", params={"site": SITE, "unit": 3}).json()
    assert card["problem"] is None
    assert "<script" not in card["html"]
    assert set(card["sounds"]) == set(card["images"]) and card["sounds"]
    assert all(base64.b64decode(sound).startswith(b"fLaC") for sound in card["sounds"].values())
    shown = {each.clip for each in dissection.unit(SITE, 3).top if each.decided}
    assert {each["clip"] for each in card["clips"]} <= shown | {each.clip for each in dissection.unit(SITE, 3).bottom}


def test_a_sound_is_answered_by_the_units_that_it_moves(
    client: TestClient, dissection: Dissection, sounds: list[Sound], tmp_path: Path
) -> None:
    clip = dissection.unit(SITE, 3).top[0].clip
    answer = client.post("/api/sound", params={"explained": 0}, content=wav_of(sounds[clip], tmp_path / "a.wav")).json()
    assert answer["picture"].startswith("data:image/png;base64,")
    assert all(len(each["curve"]) == len(each["start"]) for each in answer["units"])
    ranks = [(min(each["deviation"], CLEAR), min(each["of_record"], 1)) for each in answer["units"]]
    assert ranks == sorted(ranks, reverse=True) and ranks[0][0] > 1
    played = client.get(f"/sound/{answer['key']}")
    (tmp_path / "b.flac").write_bytes(played.content)
    assert soundfile.info(tmp_path / "b.flac").duration == pytest.approx(answer["seconds"], abs=1e-3)


def test_what_a_unit_needs_of_a_clip_is_heard(client: TestClient, dissection: Dissection) -> None:
    client.get("/card", params={"site": SITE, "unit": 3})
    clip = dissection.unit(SITE, 3).top[0].clip
    need = client.post("/api/need", params={"site": SITE, "unit": 3, "clip": clip}).json()
    assert base64.b64decode(need["flac"]).startswith(b"fLaC") and need["picture"].startswith("data:image/png;base64,")
    assert (
        "of the spectrogram), " in need["text"]
        and "on what the same mask keeps in other places (p\N{NO-BREAK SPACE}" in need["text"]
    )
    assert client.post("/api/need", params={"site": SITE, "unit": 3, "clip": 10**8}).status_code == 400


def test_silenced_units_change_what_is_said(client: TestClient, dissection: Dissection) -> None:
    client.get("/card", params={"site": SITE, "unit": 3})
    clip = dissection.unit(SITE, 3).top[0].clip
    units = [[SITE, unit] for unit in range(64)]
    said = client.post("/api/change", json={"units": units, "how": "zero", "clip": clip}).json()
    assert said["kind"] == "classes" and any(each["before"] != each["after"] for each in said["classes"])
    same = client.post("/api/change", json={"units": units, "how": "amplify", "gain": 1, "clip": clip}).json()
    assert all(each["before"] == pytest.approx(each["after"], abs=1e-6) for each in same["classes"])


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/card", {"site": "nowhere", "unit": "0"}),
        ("/card", {"site": SITE, "unit": "99999"}),
        ("/card", {"site": SITE, "unit": "-1"}),
        ("/card", {"site": SITE, "unit": "½"}),
        ("/api/units", {"sort": "colour"}),
        ("/api/units", {"offset": "many"}),
        ("/api/units", {"d": "7"}),
        ("/api/units", {"offset": "9" * 5000}),
        ("/api/search", {"text": " "}),
        ("/api/neighbours", {"site": SITE, "unit": "0", "other": "3"}),
        ("/api/neighbours", {"site": "nowhere", "unit": "0"}),
        ("/sound/none", {}),
    ],
)
def test_what_there_is_not_is_said_in_a_sentence(client: TestClient, path: str, params: dict[str, str]) -> None:
    answer = client.get(path, params=params)
    assert answer.status_code == 400 and len(answer.json()["error"]) > 10


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"units": 3}', b'{"units": [["nowhere", 0]], "clip": 0}', b'{"units": [[{}, 0]], "clip": 0}',
     b'{"units": [], "how": "explode", "clip": 1}', b'{"units": [], "clip": "x"}', b'{"units": [], "gain": "x", "clip": 0}',
     b'{"units": [["blocks.1.mlp.hook_post", []]], "clip": 0}', b'{"units": [], "gain": 1e999, "clip": 0}', b"[" * 100_000,
     b'{"units": [], "clip": 123456789}', b'{"units": [], "sound": "gone"}'],
)  # fmt: skip
def test_changes_that_cannot_be_made_are_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/change", content=body)
    assert answer.status_code == 400 and len(answer.json()["error"]) > 10


def test_what_is_no_sound_is_refused(client: TestClient) -> None:
    for content in (b"", b"no sound at all", b"RIFF\0\0\0\0WAVE"):
        answer = client.post("/api/sound", content=content)
        assert answer.status_code == 400 and "this sound" in answer.json()["error"]


def test_what_fails_in_the_server_is_said(
    client: TestClient, opened: OpenedDissection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(opened.catalogue, "chosen", fails)
    answer = client.get("/api/units")
    assert answer.status_code == 500 and "out of memory" in answer.json()["error"]
