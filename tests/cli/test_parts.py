"""`sites` and `dissect` on a model of several parts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from and_nnsight import Dissection
from tests.cli.commands import run_command
from tests.composites import qwen2_audio, saved, whisper_extractor


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(qwen2_audio(), whisper_extractor(), tmp_path_factory.mktemp("qwen2-audio"))


def test_sites_shows_the_parts_and_the_sites_of_one(checkpoint: str) -> None:
    code, out, _ = run_command("sites", checkpoint, "--sites", "default")
    assert code == 0
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]
    assert ["audio_tower", "hears", "12", "Qwen2AudioEncoder", "model.audio_tower"] in rows
    assert ["language_model", "reads", "14", "Qwen2Model", "model.language_model"] in rows
    assert "The sites of audio_tower" in out and "layers.1.fc2 (input)" in out and "2 sites, 128 units" in out


def test_a_part_that_is_not_there_ends_with_those_that_are(checkpoint: str) -> None:
    code, _, error = run_command("sites", checkpoint, "--part", "ear")
    assert code == 2
    assert error == "error: the model has no part 'ear'; it has audio_tower (hears); language_model (reads)\n"


def test_dissect_takes_a_part(checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    for index, samples in enumerate(np.random.default_rng(0).normal(0, 0.1, (2, 8_000)).astype(np.float32)):
        soundfile.write(tmp_path / "sounds" / f"{index}.wav", samples, 16_000)
    options = ("--part", "model.audio_tower", "--sites", "blocks.0.mlp.hook_post", "--quiet")
    code, out, _ = run_command("dissect", checkpoint, tmp_path / "sounds", "--out", tmp_path / "run", *options)
    assert code == 0 and "2 clips through 64 units of 1 site" in out
    assert Dissection.load(tmp_path / "run").manifest.model.part == "audio_tower"


def test_the_count_of_a_parts_sites_is_that_of_its_list(tmp_path: Path) -> None:
    from tests.families import FAMILIES

    family = FAMILIES["whisper-generate"]
    folder = saved(family.build(), family.extractor(), tmp_path)
    for part in ("encoder", "decoder"):
        listed = json.loads(run_command("sites", folder, "--part", part, "--json")[1])
        described = next(each for each in listed["parts"] if each["name"] == part)
        assert described["sites"] == [site["site"] for site in listed["sites"]] != []
