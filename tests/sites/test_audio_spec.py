"""A model outside transformers says itself how it hears, and needs no special case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

from and_nnsight import AudioError, AudioModel, ModelError
from and_nnsight.sites.audio_spec import AudioSpec, declared_spec, reads_instead
from and_nnsight.sites.geometry import Regular
from and_nnsight.sites.site import find_sites
from tests.families import FAMILIES
from tests.sounds_for_tests import RATE, noise

HOP = 320


@dataclass(frozen=True)
class Frames:
    """A feature extractor: raw samples in frames."""

    sampling_rate: int = RATE
    minimum_samples: int = HOP
    window_samples: int = 50 * HOP
    asked: list[int] = field(default_factory=list)

    def __call__(self, waveforms: Sequence[np.ndarray], sampling_rate: int, return_tensors: str) -> dict[str, Tensor]:
        self.asked.append(sampling_rate)
        padded = np.stack([np.pad(wave, (0, self.window_samples - len(wave))) for wave in waveforms])
        return {"sound": torch.from_numpy(padded).unflatten(1, (-1, HOP))}


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.down = nn.Linear(8, 12), nn.Linear(12, 8)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.attention(hidden, hidden, hidden)[0]
        return hidden + self.down(torch.relu(self.up(hidden)))


class Foreign(nn.Module):
    """A small transformer that no config describes."""

    main_input_name = "sound"

    def __init__(self, **said: Any) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_labels=3)
        self.embed = nn.Linear(HOP, 8)
        self.layers = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(8, 3)
        self.said = said

    def forward(self, sound: Tensor) -> Tensor:
        hidden = self.embed(sound)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.head(hidden.mean(1))

    def audio_spec(self) -> AudioSpec:
        return AudioSpec(Regular(hop=HOP / RATE, span=HOP / RATE), Frames(), **self.said)


@pytest.fixture
def model() -> AudioModel:
    torch.manual_seed(0)
    return AudioModel(Foreign())


def test_its_frames_and_its_features_are_what_it_says(model: AudioModel) -> None:
    assert {site.geometry.kind for site in model.sites("blocks.*")} == {"regular"}
    assert model.sites("unembed.hook_out")[0].width == 3
    assert (model.sampling_rate, model.main_input) == (RATE, "sound")
    with torch.no_grad(), model.trace(noise(0.5, level=0.3)):
        post = model.site("blocks.1.mlp.hook_post").save()
        out = model.site("unembed.hook_out").save()
    assert post.shape == (1, 50, 12)
    assert out.shape == (1, 3)


def test_its_extractor_bounds_what_it_hears(model: AudioModel) -> None:
    assert model.featuriser.window_seconds == 1.0
    with pytest.raises(AudioError, match=f"needs at least {HOP}"):
        model.features(noise(0.01))
    assert len(model.featuriser.groups([noise(0.5), noise(0.7)])) == 1, "a window: lengths may share a batch"


def test_its_paper_preset_is_the_common_one_unless_it_says_another(model: AudioModel) -> None:
    common = [f"blocks.{i}.{part}" for i in range(2) for part in ("hook_attn_out", "mlp.hook_pre", "hook_mlp_out")]
    assert [site.name for site in model.sites("paper")] == [*common, "unembed.hook_out"]
    other = AudioModel(Foreign(paper=("*.mlp.hook_pre",)))
    assert [site.name for site in other.sites("paper")] == ["blocks.0.mlp.hook_pre", "blocks.1.mlp.hook_pre"]
    assert other.sites("default", "all") == other.sites()


def test_a_given_extractor_comes_before_its_own() -> None:
    mine = Frames()
    AudioModel(Foreign(), feature_extractor=mine).features(noise(0.5))
    assert mine.asked == [RATE]


def test_models_that_say_nothing_are_left_alone() -> None:
    family = FAMILIES["ast"]
    assert declared_spec(family.build()) is None
    mounted = nn.ModuleDict({"audio_spec": nn.Linear(2, 2)})
    assert declared_spec(mounted) is None, "a submodule of that name is no statement"
    assert find_sites(transformers.ASTModel(transformers.ASTConfig(num_hidden_layers=1, hidden_size=12))) != ()


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
NO_SOUND = [
    (lambda: transformers.BertModel(transformers.BertConfig(**SMALL)), r"text \(input_ids\)"),
    (lambda: transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL)), r"text \(input_ids\)"),
    (lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2)), "text"),
    (lambda: transformers.ViTModel(transformers.ViTConfig(**SMALL)), r"images \(pixel_values\)"),
    (
        lambda: transformers.CLIPModel(
            transformers.CLIPConfig(text_config=SMALL, vision_config={**SMALL, "image_size": 32, "patch_size": 8})
        ),
        r"text \(input_ids\) and images \(pixel_values\)",
    ),
    (lambda: transformers.ClapTextModelWithProjection(transformers.ClapTextConfig(**SMALL)), "text"),
    (lambda: transformers.PatchTSTModel(transformers.PatchTSTConfig(d_model=32, num_hidden_layers=2)), "time series"),
]


@pytest.mark.parametrize(("build", "what"), NO_SOUND)
def test_a_model_of_something_else_is_refused(build: Any, what: str, tmp_path: Path) -> None:
    module = build()
    with pytest.raises(ModelError, match=f"{type(module).__name__} is not a model of sound: it reads {what}"):
        AudioModel(module)
    module.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is not a model of sound"):
        AudioModel(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_no_model_of_sound_is_taken_for_one_of_something_else(name: str) -> None:
    assert reads_instead(type(FAMILIES[name].build())) is None


@pytest.mark.parametrize(
    "name",
    ["Qwen2AudioForConditionalGeneration", "Speech2TextModel", "SpeechT5ForSpeechToText", "EncodecModel", "DacModel",
     "SeamlessM4TModel", "Gemma3nForConditionalGeneration", "MoonshineModel", "Pop2PianoForConditionalGeneration"],
)  # fmt: skip
def test_nor_is_one_that_reads_text_beside_sound(name: str) -> None:
    assert reads_instead(getattr(transformers, name)) is None


def test_a_model_that_nothing_is_known_of_says_what_to_pass() -> None:
    layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2)
    with pytest.raises(ValueError, match="if it is a model of sound, pass feature_extractor="):
        AudioModel(layers).features(noise(1.0))
