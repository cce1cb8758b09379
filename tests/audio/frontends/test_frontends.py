"""Front ends against the extractors that they are to equal: every bit on the CPU, and gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor, WhisperFeatureExtractor

from and_nnsight.audio.frontends import FrontEnd, FrontEndError, front_end
from and_nnsight.demo import tiny_ast_path
from and_nnsight.model.features import load_extractor

EXTRACTORS: dict[str, Callable[[], Any]] = {
    "AST": ASTFeatureExtractor,
    "the embedded AST": lambda: load_extractor(str(tiny_ast_path())),
    "AST, as it is": lambda: ASTFeatureExtractor(num_mel_bins=23, max_length=97, do_normalize=False),
    "AST, other moments": lambda: ASTFeatureExtractor(num_mel_bins=64, max_length=50, mean=1.5, std=0.25),
    "AST at 32 kHz": lambda: ASTFeatureExtractor(sampling_rate=32_000, num_mel_bins=40, max_length=60),
    "Whisper": lambda: WhisperFeatureExtractor(chunk_length=5),
    "Whisper of 128 bins": lambda: WhisperFeatureExtractor(feature_size=128, chunk_length=2),
    "Whisper, other frames": lambda: WhisperFeatureExtractor(chunk_length=2, padding_value=0.3, hop_length=200, n_fft=512),
}  # fmt: skip


@pytest.fixture(params=EXTRACTORS)
def pair(request: pytest.FixtureRequest) -> tuple[Any, FrontEnd]:
    extractor = EXTRACTORS[request.param]()
    return extractor, front_end(extractor)


def sounds(front: FrontEnd, seed: int) -> list[np.ndarray]:
    """Noise of every kind of length: the least, about a frame more, any, just the window and more; loud, faint, none."""
    random = np.random.default_rng(seed)
    least, most = front.minimum_samples, front.window_samples
    lengths = [least, least + 1, least + 159, least + 160, least + 161, most - 1, most, most + 1, most + 4_000]
    lengths += random.integers(least, most, 5).tolist()
    clips = [level * random.standard_normal(n) for n, level in zip(lengths, (0.1, 1e-4, 3.0) * 5, strict=False)]
    clips = [np.clip(clip, -1, 1) if index % 2 else clip for index, clip in enumerate(clips)]
    clips += [np.zeros(lengths[-1]), np.ones(lengths[-1]), np.clip(1e6 * random.standard_normal(lengths[-2]), -1, 1)]
    return [clip.astype(np.float32) for clip in clips]


def own(extractor: Any, clips: list[np.ndarray], rate: int) -> dict[str, Any]:
    return dict(extractor(clips, sampling_rate=rate, return_tensors="pt"))


def test_a_batch_equals_the_extractors_own_in_every_bit(pair: tuple[Any, FrontEnd]) -> None:
    extractor, front = pair
    for seed in range(2):
        clips = sounds(front, seed)
        expected = own(extractor, clips, front.sampling_rate)
        features = front([torch.from_numpy(clip) for clip in clips], front.sampling_rate)
        assert features.keys() == expected.keys()
        for name, value in features.items():
            assert torch.equal(value, expected[name])


def test_a_clip_alone_equals_the_extractors_own_in_every_bit(pair: tuple[Any, FrontEnd]) -> None:
    extractor, front = pair
    for clip in sounds(front, 3)[::3]:
        (expected,) = own(extractor, [clip], front.sampling_rate).values()
        (features,) = front(torch.from_numpy(clip)[None], front.sampling_rate).values()
        assert torch.equal(features, expected)


def test_other_rates_too_short_clips_and_none_are_refused(pair: tuple[Any, FrontEnd]) -> None:
    _, front = pair
    with pytest.raises(ValueError, match="44100 Hz were given, and this front end hears"):
        front(torch.zeros(1, front.minimum_samples), 44_100)
    with pytest.raises(ValueError, match=f"need at least {front.minimum_samples}"):
        front([torch.zeros(front.minimum_samples - 1)], front.sampling_rate)
    with pytest.raises(ValueError, match="no waveform"):
        front([], front.sampling_rate)


@pytest.mark.parametrize("name", ["AST, as it is", "Whisper of 128 bins"])
def test_gradients_reach_the_waveform_and_the_linear_spectrum(name: str) -> None:
    front = front_end(EXTRACTORS[name]())
    generator = torch.Generator().manual_seed(0)
    waveform = 0.1 * torch.randn(1, 4_000, generator=generator, dtype=torch.float64)
    lengths = torch.tensor([4_000])
    spectra = front.spectra(waveform, lengths)

    def whole(sound: torch.Tensor) -> torch.Tensor:
        (features,) = front(sound, front.sampling_rate).values()
        return (features * weights(features)).sum()

    def half(spectrum: torch.Tensor) -> torch.Tensor:
        features = front.features(spectrum, lengths)
        return (features * weights(features)).sum()

    for function, start in ((whole, waveform), (half, spectra.detach())):
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
