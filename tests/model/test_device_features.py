"""Features made where the model is, of samples that travel there; on a GPU where there is one (`pytest -m gpu`)."""

from __future__ import annotations

import pickle
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel, DissectionError, dissect
from and_nnsight.audio.frontends import FittedFrontEnd
from and_nnsight.model import adapter, device_features, trace_model
from and_nnsight.model.device_features import DeviceFeaturiser, featuriser_on
from and_nnsight.model.features import Featuriser, Samples
from and_nnsight.run import local
from tests.families import FAMILIES
from tests.sounds_for_tests import noise

pytestmark = pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])]
WITH_FRONT_END = ["ast", "whisper", "clap-audio", "wav2vec2-post", "wav2vec2-pre", "wav2vec2-bert", "hubert-post"]
CLIPS = [noise(1.0, seed=1), noise(0.5, seed=2), noise(1.0, seed=3)]


def featuriser_of(name: str) -> Featuriser:
    family = FAMILIES[name]
    return AudioModel(family.build(), feature_extractor=family.extractor()).featuriser


def there(featuriser: Featuriser, device: str) -> DeviceFeaturiser:
    """What `featuriser_on` gives on a GPU, on any device."""
    fitted = FittedFrontEnd.tried(featuriser.extractor, featuriser.options, torch.device(device))
    assert fitted is not None
    own = {field.name: getattr(featuriser, field.name) for field in fields(Featuriser)}
    return DeviceFeaturiser(**own, there=fitted)


def pcm(clip: np.ndarray) -> np.ndarray:
    return (np.rint(clip * 32_767) / 32_768).astype(np.float32)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", WITH_FRONT_END)
def test_a_group_of_samples_becomes_the_features_of_the_cpu(name: str, device: str) -> None:
    featuriser = featuriser_of(name)
    moved = there(featuriser, device)
    for clips, dtype in ((CLIPS, torch.float32), ([pcm(clip) for clip in CLIPS], torch.int16)):
        groups, expected = moved.groups(clips), featuriser.groups(clips)
        assert [group.rows for group in groups] == [group.rows for group in expected]
        for group, own in zip(groups, expected, strict=True):
            assert isinstance(group.content, Samples) and group.content.samples.dtype == dtype
            features = moved.ready(group)
            assert all(value.device.type == device for value in features.values())
            for feature, value in featuriser.ready(own).items():
                assert torch.allclose(features[feature].cpu().double(), value.double(), rtol=1e-6, atol=3e-5)


@pytest.mark.gpu
@NO_GPU
@pytest.mark.parametrize("name", WITH_FRONT_END)
def test_nothing_waits_for_the_gpu(name: str) -> None:
    moved = there(featuriser_of(name), "cuda")
    groups = moved.groups(CLIPS)
    for group in groups:
        moved.ready(group)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for group in groups:
            moved.ready(group)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@NO_GPU
@pytest.mark.parametrize("name", WITH_FRONT_END)
def test_a_run_on_a_gpu_says_that_its_features_were_made_there_and_finds_the_same(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    here = dissect(model, CLIPS, k=2, out=tmp_path / "cpu", device="cpu", progress=False)
    made = dissect(model, CLIPS, k=2, out=tmp_path / "gpu", device="cuda", num_workers=1, progress=False)
    assert "features made on cuda" in (made.manifest.model.arithmetic or "")
    assert made.manifest.model.more["features_by"].startswith("a front end on cuda")
    for site in here.sites:
        assert torch.allclose(made[site].top.values, here[site].top.values, rtol=1e-3, atol=1e-3)


def test_samples_are_cut_to_the_window_and_padded_to_the_longest() -> None:
    moved = there(featuriser_of("ast"), "cpu")
    assert moved.window_samples is not None
    (group,) = moved.groups([noise(4.0), noise(0.5)])
    assert isinstance(group.content, Samples)
    assert group.content.samples.shape == (2, moved.window_samples)
    assert group.content.lengths == (moved.window_samples, 8_000)
    assert not group.content.samples[1, 8_000:].any()


def test_many_clips_are_made_in_parts_that_memory_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = there(featuriser_of("whisper"), "cpu")
    group = moved.groups(CLIPS)[0]
    whole = moved.ready(group)
    monkeypatch.setattr(device_features, "_SAMPLES_AT_ONCE", 1)
    parts = moved.ready(group)
    assert all(torch.allclose(parts[name], value, atol=1e-6) for name, value in whole.items())


def test_an_extractor_that_was_set_up_anew_makes_the_features_itself() -> None:
    for make in (lambda featuriser: featuriser, lambda featuriser: there(featuriser, "cpu")):
        featuriser = make(featuriser_of("ast"))
        before = featuriser.ready(featuriser.groups(CLIPS)[0])["input_values"]
        featuriser.extractor.mean = 1.0
        after = featuriser.ready(featuriser.groups(CLIPS)[0])["input_values"]
        own = featuriser.extractor(CLIPS, sampling_rate=16_000, return_tensors="pt")["input_values"]
        assert not torch.equal(before, after) and torch.equal(after, own)


def test_it_travels_to_workers() -> None:
    for featuriser in (featuriser_of("clap-audio"), there(featuriser_of("clap-audio"), "cpu")):
        clips = [noise(1.0, seed=1), noise(0.3, seed=2)]
        copy = pickle.loads(pickle.dumps(featuriser))
        (group,), (expected,) = copy.groups(clips), featuriser.groups(clips)
        own = featuriser.ready(expected)
        assert all(torch.equal(value, own[name]) for name, value in copy.ready(group).items())


@pytest.mark.parametrize("name", ["ast", "whisper", "clap-audio", "wav2vec2-bert"])
def test_on_the_cpu_front_ends_that_pay_make_the_extractors_features_in_every_bit(name: str) -> None:
    featuriser = featuriser_of(name)
    assert featuriser.front is not None and "in every bit" in featuriser.made_by
    features = featuriser(CLIPS)
    own = Featuriser(
        featuriser.extractor, featuriser.sampling_rate, featuriser.minimum_samples, featuriser.window_samples
    )
    assert all(torch.equal(features[name], value) for name, value in own(CLIPS).items())


@pytest.mark.parametrize("name", ["wav2vec2-post", "wav2vec2-pre"])
def test_on_the_cpu_the_extractor_itself_runs_where_nothing_is_saved(name: str) -> None:
    featuriser = featuriser_of(name)
    assert featuriser.front is None and featuriser.made_by == "Wav2Vec2FeatureExtractor"


def test_a_featuriser_stays_as_it_is_on_the_cpu_and_where_no_front_end_is() -> None:
    featuriser = featuriser_of("ast")
    assert featuriser_on(featuriser, torch.device("cpu")) is featuriser


def test_a_run_whose_features_are_made_elsewhere_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = FAMILIES["ast"]

    def model() -> AudioModel:
        return AudioModel(family.build(), feature_extractor=family.extractor())

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AudioModel, "run", stopped)
        dissect(model(), CLIPS, k=2, out=tmp_path / "run", progress=False)
    for place in (adapter, local, trace_model):  # as on a GPU
        monkeypatch.setattr(place, "featuriser_on", lambda featuriser, device: there(featuriser, "cpu"))
    with pytest.raises(DissectionError, match="arithmetic .* features made on cpu here"):
        dissect(model(), CLIPS, k=2, out=tmp_path / "run", progress=False)
    made = dissect(model(), CLIPS, k=2, out=tmp_path / "another", progress=False)
    assert made.manifest.model.more["features_by"].startswith("a front end on cpu that equals ASTFeatureExtractor")


def test_the_manifest_says_what_made_the_features(tmp_path: Path) -> None:
    for name, words in (
        ("ast", "a front end that equals ASTFeatureExtractor in every bit"),
        ("wav2vec2-post", "Wav2Vec2FeatureExtractor"),
    ):
        family = FAMILIES[name]
        model = AudioModel(family.build(), feature_extractor=family.extractor())
        made = dissect(model, CLIPS, k=2, out=tmp_path / name, progress=False)
        assert made.manifest.model.more["features_by"] == words


def test_transformers_successor_of_feature_extractors_loads_one_where_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from and_nnsight.model.extractors import load_extractor

    class AutoAudioProcessor:
        @staticmethod
        def from_pretrained(source: str, **options: Any) -> Any:
            return source, options

    monkeypatch.setitem(vars(sys.modules["transformers"]), "AutoAudioProcessor", AutoAudioProcessor)
    assert load_extractor("somebody/model", "main") == (
        "somebody/model",
        {"revision": "main", "trust_remote_code": False},
    )
