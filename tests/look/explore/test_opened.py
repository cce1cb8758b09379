"""What the page says where a model, sounds or room are not there: the card is shown all the same, with what to do."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient
from transformers import ASTForAudioClassification

from and_nnsight import Dissection
from and_nnsight.demo import Sound, tiny_ast_path
from and_nnsight.look.explore.app import ExploreServer
from and_nnsight.look.explore.background import in_background, is_working
from and_nnsight.look.explore.guard import cookie_name
from and_nnsight.look.explore.opened import OpenedDissection
from and_nnsight.look.explore.serve import _one_each
from and_nnsight.model.audio_model import AudioModel
from tests.look.explore.conftest import ADDRESS, PORT, TOKEN

pytestmark = pytest.mark.slow

SITE = "blocks.1.mlp.hook_post"


@pytest.fixture
def copied(dissection: Dissection, tmp_path: Path) -> Dissection:
    """The dissection in a folder of its own, without sounds."""
    shutil.copytree(dissection.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("exemplars"))
    return Dissection.load(tmp_path / "copy")


def card(opened: OpenedDissection) -> dict[str, object]:
    app = ExploreServer([opened]).app(TOKEN, PORT)
    client = TestClient(app, base_url=ADDRESS, cookies={cookie_name(PORT): TOKEN}, headers={"origin": ADDRESS})
    answer = client.get("/card", params={"site": SITE, "unit": 3})
    assert answer.status_code == 200 and 'class="unit"' in answer.json()["html"]
    return answer.json()


def test_another_model_is_said_and_its_sounds_are_not_kept(copied: Dissection, sounds: list[Sound]) -> None:
    module = ASTForAudioClassification.from_pretrained(tiny_ast_path())
    with torch.no_grad():
        next(module.parameters()).add_(0.1)
    model = AudioModel(module, feature_extractor=str(tiny_ast_path()))
    opened = OpenedDissection(copied, model, sounds, seconds=2.0)
    assert opened.doubt is not None and "other model weights" in opened.doubt and "--model" in opened.doubt
    assert card(opened)["problem"] == opened.doubt
    assert not (copied.folder / "exemplars").exists()


def test_the_model_that_was_dissected_is_not_doubted(opened: OpenedDissection) -> None:
    assert opened.hearer is not None and opened.doubt is None


def test_a_damaged_sound_leaves_the_card(copied: Dissection, sounds: list[Sound]) -> None:
    opened = OpenedDissection(copied, str(tiny_ast_path()), sounds, seconds=2.0)
    assert card(opened)["problem"] is None
    clip = copied.unit(SITE, 3).top[0].clip
    (copied.folder / "exemplars" / "sounds" / f"{clip}.flac").write_bytes(b"fLaC")
    problem = str(card(opened)["problem"])
    assert f"{clip}.flac is damaged" in problem and "keep the exemplars again" in problem


def test_a_folder_without_room_leaves_the_card(
    copied: Dissection, sounds: list[Sound], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("and_nnsight.look.explore.opened.keep_exemplars", no_room)
    problem = str(card(OpenedDissection(copied, str(tiny_ast_path()), sounds, seconds=2.0))["problem"])
    assert "No space left" in problem and "writable" in problem


def test_nobody_waits_for_work_when_the_server_ends() -> None:
    go = threading.Event()

    async def abandoned() -> None:
        work = asyncio.create_task(in_background(go.wait))
        await asyncio.sleep(0.05)
        work.cancel()

    asker = threading.Thread(target=asyncio.run, args=[abandoned()])  # a browser's driver may run a loop in this one
    asker.start()
    asker.join(10.0)  # it does not wait for the work
    assert not asker.is_alive()
    assert is_working()
    go.set()


def test_those_that_wait_for_the_model_keep_nobody_else_waiting(client: TestClient, opened: OpenedDissection) -> None:
    assert opened.hearer is not None
    clip = client.get("/card", params={"site": SITE, "unit": 3}).json()["clips"][0]["clip"]
    answers: list[int] = []

    def change() -> None:
        answers.append(client.post("/api/change", json={"units": [[SITE, 3]], "clip": clip}).status_code)

    waiting = [threading.Thread(target=change, daemon=True) for _ in range(40)]  # more than asyncio has threads
    with client:
        with opened.hearer.lock:  # somebody has it run for long
            for thread in waiting:
                thread.start()
            assert client.get("/api/units").status_code == 200
            assert answers == []
        for thread in waiting:
            thread.join()
    assert answers == [200] * 40


def test_a_model_is_of_all_dissections_or_there_is_one_for_each() -> None:
    assert _one_each("one", 2) == _one_each(["one"], 2) == ["one", "one"]
    assert _one_each(["one", None], 2) == ["one", None]
    assert _one_each(False, 1) == [False]
    with pytest.raises(ValueError, match="3 models for 2 dissections"):
        _one_each(["a", "b", "c"], 2)
