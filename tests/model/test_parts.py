"""Parts of composite models: which are there, which is opened, and that it hears as it does in the whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from and_nnsight import AudioModel
from and_nnsight.model.checkpoint import ModelError
from and_nnsight.sites.parts import PartError
from tests.composites import AUDIO_TOKEN, qwen2_audio, saved, whisper_extractor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(qwen2_audio(), whisper_extractor(), tmp_path_factory.mktemp("qwen2-audio"))


def _clips() -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, generator=generator).numpy() for length in (32_000, 8_000)]


def test_the_part_that_hears_is_opened_alone(folder: str) -> None:
    model = AudioModel(folder)
    assert model.part is not None and model.part.name == "audio_tower"
    assert [(part.name, part.does) for part in model.parts()] == [("audio_tower", "hears"), ("language_model", "reads")]
    assert [len(part.sites) for part in model.parts()] == [12, 14]
    model.dispatch()
    tower = qwen2_audio().model.audio_tower
    assert {name for name, _ in model.wrapped.named_parameters()} == {name for name, _ in tower.named_parameters()}
    assert all(torch.equal(value, tower.state_dict()[name]) for name, value in model.wrapped.state_dict().items())


def test_it_hears_as_it_does_in_the_whole(folder: str) -> None:
    whole, clips = qwen2_audio(), _clips()
    features = whisper_extractor()(clips, sampling_rate=16_000, return_tensors="pt", return_attention_mask=True)
    seen: list[Tensor] = []
    hook = whole.model.audio_tower.layers[1].fc2.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    tokens = torch.tensor([[AUDIO_TOKEN] * 50, [AUDIO_TOKEN] * 12 + [3] * 38])  # 2 s and 0.5 s, 25 a second
    with torch.no_grad():
        whole(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            input_features=features["input_features"],
            feature_attention_mask=features["attention_mask"],
        )
    hook.remove()
    for model in (AudioModel(folder), AudioModel(whole, feature_extractor=whisper_extractor())):
        with torch.no_grad(), model.trace(clips, sampling_rate=16_000):
            post = model.site("blocks.1.mlp.hook_post").save()
        assert torch.equal(post, seen[0])


def test_the_other_parts_are_opened_in_the_whole(folder: str) -> None:
    model = AudioModel(folder, part="language_model")
    assert model.part is not None and model.part.path == "model.language_model"
    assert len(model.sites("*.mlp.hook_post")) == 2
    assert all(site.path.startswith("model.language_model.layers.") for site in model.sites())


def test_an_unknown_part_is_refused_with_those_that_there_are(folder: str) -> None:
    with pytest.raises(PartError, match=r"no part 'ear'; it has audio_tower \(hears\); language_model \(reads\)"):
        AudioModel(folder, part="ear")


@pytest.mark.slow
def test_only_the_weights_of_the_part_come_into_memory(folder: str, tmp_path: Path) -> None:
    whole = qwen2_audio(hidden_size=512, intermediate_size=2048, num_hidden_layers=12)
    size = sum(value.nbytes for value in whole.state_dict().values())
    sharded = saved(whole, whisper_extractor(), tmp_path, max_shard_size="50MB")
    assert size > 150e6 and len(list(tmp_path.glob("*.safetensors"))) > 2
    command = [sys.executable, "-m", "tests.model.peak_of_a_part", sharded, folder]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    assert grown < size / 10


@pytest.mark.parametrize("kind", ["BarkModel", "VitsModel", "DiaForConditionalGeneration", "SpeechT5ForTextToSpeech"])
def test_a_model_that_only_makes_sound_is_refused(kind: str) -> None:
    model_class = getattr(transformers, kind)
    with torch.device("meta"):
        module = model_class._from_config(model_class.config_class())
    with pytest.raises(ModelError, match=rf"^{kind} makes sound, but does not hear: it reads text \(input_ids\)"):
        AudioModel(module)


def test_a_model_whose_sound_goes_into_no_part_is_not_read_at_another(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    deaf = transformers.Gemma4Config(text_config={"model_type": "gemma4_text", **sizes}, vision_config=sizes)
    with torch.device("meta"):
        module = transformers.Gemma4ForConditionalGeneration(deaf)
    with pytest.raises(ModelError, match="takes sound, but no part of it hears by itself; part= opens what is in it"):
        AudioModel(module)
