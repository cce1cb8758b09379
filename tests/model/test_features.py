"""Features of another model's feature extractor are refused before the model's first layer sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from and_nnsight import AudioModel, dissect
from tests.families import FAMILIES
from tests.sounds_for_tests import noise

WRONG = [
    ("whisper", lambda: tf.WhisperFeatureExtractor(feature_size=80, chunk_length=2), "80 mel bins, .* hears 20"),
    ("whisper-classify", lambda: tf.WhisperFeatureExtractor(feature_size=20), "3000 frames, .* hears 200"),
    ("ast", lambda: tf.ASTFeatureExtractor(num_mel_bins=128, max_length=208), "128 mel bins, .* hears 64"),
    ("ast", lambda: tf.ASTFeatureExtractor(num_mel_bins=64, max_length=1024), "1024 frames, .* hears 208"),
    (
        "clap-audio",
        lambda: tf.ClapFeatureExtractor(feature_size=64, max_length_s=2, truncation="rand_trunc"),
        "64 mel bins, .* hears 16",
    ),
    (
        "clap",
        lambda: tf.ClapFeatureExtractor(feature_size=16, max_length_s=10, truncation="rand_trunc"),
        "1001 frames, .* hears at most 256",
    ),
    (
        "wav2vec2-bert",
        lambda: tf.SeamlessM4TFeatureExtractor(feature_size=80, num_mel_bins=80),
        "160 values a frame, .* hears 32",
    ),
]


@pytest.mark.parametrize(("name", "extractor", "said"), WRONG)
def test_another_models_feature_extractor(name: str, extractor: Any, said: str, tmp_path: Path) -> None:
    module = FAMILIES[name].build()
    ran: list[int] = []
    for child in module.modules():
        child.register_forward_pre_hook(lambda *_: ran.append(1))
    model = AudioModel(module, feature_extractor=extractor())
    with pytest.raises(ValueError, match=said):
        dissect(model, [noise(1.0)], out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=said):  # noqa: SIM117  # nnsight reads the block by its lines
        with model.trace(noise(1.0)):
            model.output.save()
    assert not ran


@pytest.mark.parametrize("name", FAMILIES)
def test_the_models_own_fit(name: str) -> None:
    family = FAMILIES[name]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    rate = model.sampling_rate
    model.model_inputs(model.features(noise(1.0), rate))


def test_features_as_arrays_by_name_and_by_place() -> None:
    model = AudioModel(FAMILIES["ast"].build(), feature_extractor=FAMILIES["ast"].extractor())
    features = model.features([noise(1.0), noise(1.2, seed=1)])["input_values"]

    def logits(*given: Any, **named: Any) -> torch.Tensor:
        with torch.no_grad(), model.trace(*given, **named):
            out = model.output.logits.save()
        return out

    expected = logits(features)
    assert torch.equal(logits(features.numpy()), expected)
    assert torch.equal(logits(input_values=features.numpy()), expected)
    assert torch.equal(logits(input_values=features.numpy().astype(np.float64)), expected)
    assert torch.equal(logits({"input_values": features.numpy()}), expected)
    assert torch.equal(logits(tf.BatchFeature({"input_values": features.numpy()})), expected)
    with pytest.raises(ValueError, match="32 mel bins"):
        logits(features.numpy()[..., :32])


@pytest.mark.parametrize("name", ["ast", "wav2vec2-post", "wav2vec2-pre"])
def test_a_tensor_of_clips_by_time_is_clips(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    clips = torch.from_numpy(np.stack([noise(1.0, seed=seed) for seed in range(3)]))
    pcm = (clips * 32767).to(torch.int16)

    def read(audio: Any) -> torch.Tensor:
        with torch.no_grad(), model.trace(audio):
            post = model.site("blocks.1.mlp.hook_post").save()
        return post

    assert torch.equal(read(clips), read([clip.numpy() for clip in clips]))
    assert len(read(pcm)) == 3
    assert torch.equal(read(clips[:1]), read(clips[0]))
    with torch.no_grad(), model.trace() as tracer:
        with tracer.invoke(clips[:2]):
            first = model.site("blocks.1.mlp.hook_post").save()
        with tracer.invoke(clips[2]):
            second = model.site("blocks.1.mlp.hook_post").save()
    assert (len(first), len(second)) == (2, 1)
    found = dissect(model, clips, k=3, out=tmp_path / "tensor", progress=False)
    listed = dissect(model, list(clips.numpy()), k=3, out=tmp_path / "list", progress=False)
    assert len(found.clips) == 3
    assert torch.equal(found["blocks.1.mlp.hook_post"].top.values, listed["blocks.1.mlp.hook_post"].top.values)


def test_names_of_a_call_are_features_too() -> None:
    family = FAMILIES["wav2vec2-pre"]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    features = model.features([noise(1.0), noise(0.6, seed=1)])
    assert set(features) == {"input_values", "attention_mask"}

    def read(**named: Any) -> torch.Tensor:
        with torch.no_grad(), model.trace(**named):
            post = model.site("blocks.1.mlp.hook_post").save()
        return post

    assert torch.equal(read(**{name: value.numpy() for name, value in features.items()}), read(**features))
