"""Front ends against the extractors that they are to equal: every bit on the CPU, and gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from transformers import ASTFeatureExtractor, ClapFeatureExtractor, ParakeetFeatureExtractor, WhisperFeatureExtractor

from and_nnsight.audio.frontends import FrontEnd, FrontEndError, front_end
from and_nnsight.audio.frontends.interface import SpectralFrontEnd
from and_nnsight.audio.resampling import resample

from .extractors import EXTRACTORS, own, sounds


@pytest.fixture(params=EXTRACTORS)
def pair(request: pytest.FixtureRequest) -> tuple[Any, FrontEnd]:
    extractor = EXTRACTORS[request.param]()
    return extractor, front_end(extractor)


def tensors(clips: list[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(clip) for clip in clips]


def assert_same_bits(features: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert features.keys() == expected.keys()
    for name, value in features.items():
        assert value.dtype == expected[name].dtype
        assert torch.equal(value.nan_to_num(-7.0), expected[name].nan_to_num(-7.0))


def test_a_batch_equals_the_extractors_own_in_every_bit(pair: tuple[Any, FrontEnd]) -> None:
    extractor, front = pair
    for seed in range(2):
        clips = sounds(front, seed)
        assert_same_bits(front(tensors(clips), front.sampling_rate), own(extractor, front, clips))


def test_a_clip_alone_equals_the_extractors_own_in_every_bit(pair: tuple[Any, FrontEnd]) -> None:
    extractor, front = pair
    for clip in sounds(front, 3)[::3]:
        assert_same_bits(front(torch.from_numpy(clip)[None], front.sampling_rate), own(extractor, front, [clip]))


def test_it_is_as_equal_as_that_where_no_other_tolerance_is_asked_for(pair: tuple[Any, FrontEnd]) -> None:
    extractor, _ = pair
    assert front_end(extractor, tolerance=0.0).kind == type(extractor).__name__


def test_waveforms_at_another_rate_are_resampled(pair: tuple[Any, FrontEnd]) -> None:
    _, front = pair
    clip = np.random.default_rng(0).standard_normal(22_050).astype(np.float32)
    expected = front(torch.from_numpy(resample(clip, 44_100, front.sampling_rate))[None], front.sampling_rate)
    assert_same_bits(front(torch.from_numpy(clip)[None], 44_100), expected)


def test_too_short_clips_and_none_are_refused(pair: tuple[Any, FrontEnd]) -> None:
    _, front = pair
    with pytest.raises(ValueError, match=f"need at least {front.minimum_samples}"):
        front([torch.zeros(front.minimum_samples - 1)], front.sampling_rate)
    with pytest.raises(ValueError, match="no waveform"):
        front([], front.sampling_rate)


DIFFERENTIABLE = {
    "AST": lambda: tf.ASTFeatureExtractor(num_mel_bins=23, max_length=97, do_normalize=False),
    "Whisper": lambda: tf.WhisperFeatureExtractor(feature_size=128, chunk_length=2),
    "CLAP": lambda: tf.ClapFeatureExtractor(feature_size=16, max_length_s=1, truncation="rand_trunc"),
    "SeamlessM4T": tf.SeamlessM4TFeatureExtractor,
    "Wav2Vec2": tf.Wav2Vec2FeatureExtractor,
    "Wav2Vec2 with a mask": lambda: tf.Wav2Vec2FeatureExtractor(return_attention_mask=True),
    "Parakeet": tf.ParakeetFeatureExtractor,
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_reach_the_waveform_and_the_linear_spectrum(name: str) -> None:
    front = front_end(DIFFERENTIABLE[name]())
    generator = torch.Generator().manual_seed(0)
    waveforms = 0.1 * torch.randn(2, 4_000, generator=generator, dtype=torch.float64)
    lengths = [4_000, 3_000]
    waveforms[1, 3_000:] = 0

    def whole(sounds: torch.Tensor) -> torch.Tensor:
        features = front([sounds[0], sounds[1, :3_000]], front.sampling_rate)
        floats = [value for value in features.values() if value.is_floating_point()]
        return (floats[0] * weights(floats[0])).sum()

    assert_gradient(whole, waveforms)
    if isinstance(front, SpectralFrontEnd):

        def half(spectrum: torch.Tensor) -> torch.Tensor:
            features = front.features(spectrum, lengths)
            return (features * weights(features)).sum()

        assert_gradient(half, front.spectra(waveforms, lengths).detach())


def assert_gradient(function: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor) -> None:
    point = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(point), point)
    for seed in range(3):
        way = torch.randn(start.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        way = way * start.abs()
        step = 1e-6
        slope = (function(start + step * way) - function(start - step * way)) / (2 * step)
        assert float((gradient * way).sum()) == pytest.approx(float(slope), rel=1e-4, abs=1e-6)


def weights(features: torch.Tensor) -> torch.Tensor:
    """Some for each feature, so that no gradient hides in a sum."""
    return torch.linspace(-1, 2, features.numel(), dtype=features.dtype).reshape(features.shape)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_silence_has_a_gradient_that_is_finite(name: str) -> None:
    front = front_end(DIFFERENTIABLE[name]())
    silence = torch.zeros(1, 4_000, requires_grad=True)
    next(iter(front(silence, front.sampling_rate).values())).sum().backward()
    assert silence.grad is not None and silence.grad.isfinite().all()


class Subclass(ASTFeatureExtractor):
    """Another class than the one that is equalled."""


def changed(extractor: Any, **settings: Any) -> Any:
    for name, value in settings.items():
        setattr(extractor, name, value)
    return extractor


@pytest.mark.parametrize(
    ("extractor", "word"),
    [
        (Subclass(), "Subclass has no differentiable front end"),
        (WhisperFeatureExtractor(dither=1e-4), "dither=0.0001"),
        (WhisperFeatureExtractor(padding_side="left"), "padding_side='left'"),
        (WhisperFeatureExtractor(return_attention_mask=True), "return_attention_mask=True"),
        (changed(ASTFeatureExtractor(), window_type="povey"), "window_type='povey'"),
        (changed(ASTFeatureExtractor(max_length=50), normalize=lambda values: values), "normalize="),
        (ClapFeatureExtractor(padding="mirrored"), "padding='mirrored'"),
        (ParakeetFeatureExtractor(padding_value=1.0), "padding_value=1.0"),
        (tf.SeamlessM4TFeatureExtractor(stride=1), "makes other features"),
        (tf.Wav2Vec2FeatureExtractor(padding_side="left"), "padding_side='left'"),
        (object(), "builtins.object"),
    ],
)
def test_an_extractor_that_is_not_equalled_is_refused_and_it_is_said_why(extractor: Any, word: str) -> None:
    with pytest.raises(FrontEndError, match=word):
        front_end(extractor)


def test_an_extractor_whose_code_is_other_than_its_settings_say_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = ASTFeatureExtractor(max_length=50)
    normalize = ASTFeatureExtractor.normalize
    monkeypatch.setattr(ASTFeatureExtractor, "normalize", lambda self, values: normalize(self, values) + 1e-3)
    with pytest.raises(FrontEndError, match="makes other features"):
        front_end(extractor)


def test_options_of_the_call_are_refused() -> None:
    with pytest.raises(FrontEndError, match="do_normalize"):
        front_end(WhisperFeatureExtractor(chunk_length=1), {"do_normalize": True})


def test_a_window_cut_short_gives_the_beginning_of_the_same_features() -> None:
    front = front_end(WhisperFeatureExtractor(chunk_length=5))
    short = front.shortened(200 * 160)
    assert short is not None
    sound = 0.1 * torch.randn(1, 20_000, generator=torch.Generator().manual_seed(0))
    whole = front(sound, 16_000)["input_features"]
    assert torch.equal(short(sound, 16_000)["input_features"][..., :199], whole[..., :199])
    assert front_end(ASTFeatureExtractor(max_length=50)).shortened(10_000) is None
