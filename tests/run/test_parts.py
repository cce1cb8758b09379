"""Dissections of parts of composite models: equal to hooks on the whole, and never mixed with those of another part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from and_nnsight import AudioModel, Dissection, dissect
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.model.checkpoint import ModelError
from and_nnsight.sites.parts import PartError
from tests.composites import AUDIO_TOKEN, qwen2_audio, saved, whisper_extractor

RATE = 16_000
SITES = "*.mlp.hook_post"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(qwen2_audio(), whisper_extractor(), tmp_path_factory.mktemp("qwen2-audio"))


def _clips() -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.normal(0, 0.1, length).astype(np.float32) for length in (RATE, 2 * RATE, RATE // 2)]


def _run(model: object, out: Path, **options: Any) -> Dissection:
    data = [{"audio": {"array": clip, "sampling_rate": RATE}, "label": str(i)} for i, clip in enumerate(_clips())]
    return dissect(model, data, sites=SITES, k=2, out=out, progress=False, resume="trust", **options)


def _heard_in_the_whole() -> dict[str, Tensor]:
    """The highest value of each unit in each clip, by plain hooks on a Qwen2-Audio that is asked about the clip."""
    whole, extractor = qwen2_audio(), whisper_extractor()
    seen: dict[str, list[Tensor]] = {}
    for clip in _clips():
        features = extractor([clip], sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
        frames = -(-len(clip) * 50 // RATE)
        tokens = torch.full((1, frames // 2), AUDIO_TOKEN)
        hooks = [
            layer.fc2.register_forward_pre_hook(
                lambda _, args, name=f"blocks.{index}.mlp.hook_post", frames=frames: seen.setdefault(name, []).append(
                    args[0][0, :frames].amax(0)
                )
            )
            for index, layer in enumerate(whole.model.audio_tower.layers)
        ]
        with torch.no_grad():
            whole(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                input_features=features["input_features"],
                feature_attention_mask=features["attention_mask"],
            )
        for hook in hooks:
            hook.remove()
    return {name: torch.stack(values) for name, values in seen.items()}


def test_the_same_lists_by_folder_by_module_and_by_hooks_on_the_whole(checkpoint: str, tmp_path: Path) -> None:
    runs = [
        _run(checkpoint, tmp_path / "folder"),
        _run(AudioModel(qwen2_audio(), feature_extractor=whisper_extractor()), tmp_path / "module"),
    ]
    expected = _heard_in_the_whole()
    for run in runs:
        assert run.manifest.model.part == "audio_tower"
        for name, values in expected.items():
            order = torch.argsort(values, dim=0, descending=True, stable=True)[:2]
            exemplars = [run.unit(name, unit).top for unit in range(values.shape[1])]
            clips = torch.tensor([[each.clip for each in top] for top in exemplars]).T
            activations = torch.tensor([[each.activation for each in top] for top in exemplars]).T
            assert torch.equal(clips, order)
            torch.testing.assert_close(activations, values.gather(0, order), rtol=1e-5, atol=1e-6)


def test_runs_of_two_parts_are_not_mixed(checkpoint: str, tmp_path: Path) -> None:
    run = _run(checkpoint, tmp_path / "run")
    manifest = tmp_path / "run" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"part": "audio_tower"', '"part": "other_tower"'))
    with pytest.raises(DissectionError, match="part is other_tower there, audio_tower here"):
        _run(checkpoint, tmp_path / "run")
    assert run.manifest.model.class_name == "Qwen2AudioEncoder"


def test_an_open_model_keeps_its_part(checkpoint: str, tmp_path: Path) -> None:
    model = AudioModel(checkpoint)
    assert _run(model, tmp_path / "same", part="audio_tower").manifest.clips == 3
    with pytest.raises(PartError, match="was opened by its part 'audio_tower': open it with part='language_model'"):
        _run(model, tmp_path / "other", part="language_model")


@pytest.mark.slow
def test_what_a_server_runs_for_the_part_that_hears_is_what_it_gives_here(checkpoint: str, tmp_path: Path) -> None:
    here, there = _run(checkpoint, tmp_path / "here"), _run(checkpoint, tmp_path / "there", remote="local")
    assert here.sites == there.sites
    for site in here.sites:
        assert torch.equal(here[site].top.clips, there[site].top.clips)
        assert torch.equal(here[site].top.values, there[site].top.values)


def test_a_server_has_no_part_that_reads(checkpoint: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="server"):
        _run(checkpoint, tmp_path / "remote", remote="local", part="language_model")
