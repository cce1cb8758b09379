"""The SeamlessM4T family (Wav2Vec2-BERT): Kaldi's mel energies, each bin with zero mean and unit variance in a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .interface import ANY, Features, SpectralFrontEnd
from .spectrograms import PREEMPHASIS, mel_energies
from .tensors import constant, on_device, power, within, working_dtype

_FRAME, _HOP, _FFT = 400, 160, 512
_FULL_SCALE = 2**15
_FLOOR = 1.192092955078125e-07
_LEAST_VARIANCE = 1e-7
_FRAMES_OF = 2  # features are padded to a multiple of so many frames


@dataclass(frozen=True, eq=False)
class SeamlessFrontEnd(SpectralFrontEnd):
    """transformers' SeamlessM4TFeatureExtractor: `input_features` [clip, frame, stride · mel bin], `attention_mask`.

    sampling_rate  samples a second
    stride         frames of 10 ms that are one of the model's
    padding_value  what follows a clip's features
    window         float64 [sample] of a frame
    mel_filters    float64 [bin, mel bin]
    """

    kind: ClassVar[str] = "SeamlessM4TFeatureExtractor"
    feature_name: ClassVar[str] = "input_features"
    pays_on_cpu: ClassVar[bool] = True
    tolerance: ClassVar[float] = 3e-5  # means of logarithms around 20, which the extractor takes in float32
    options: ClassVar[Mapping[str, Any]] = {"padding": True}
    settings: ClassVar[Mapping[str, Any]] = {
        "sampling_rate": ANY, "stride": ANY, "padding_value": ANY, "mel_filters": ANY, "window": ANY,
        "padding_side": "right", "return_attention_mask": True,
        # Of no effect once the extractor is made.
        "feature_size": ANY, "num_mel_bins": ANY,
    }  # fmt: skip

    sampling_rate: int
    stride: int
    padding_value: float
    window: Float[Tensor, " sample"]
    mel_filters: Float[Tensor, "bin mel"]
    window_samples: None = None

    @classmethod
    def of(cls, extractor: Any) -> SeamlessFrontEnd:
        """The front end with a SeamlessM4TFeatureExtractor's settings."""
        return cls(
            sampling_rate=int(extractor.sampling_rate),
            stride=int(extractor.stride),
            padding_value=float(extractor.padding_value),
            window=torch.as_tensor(extractor.window).double(),
            mel_filters=torch.as_tensor(extractor.mel_filters).double(),
        )

    @property
    def minimum_samples(self) -> int:  # type: ignore[override]  # a clip's variance is that of two frames at least
        """Two frames, and one of the model's."""
        return _FRAME + _HOP * (max(2, self.stride) - 1)

    def exact(self, clips: Sequence[np.ndarray]) -> Features:
        """Of float32 waveforms on the CPU, in the extractor's bits."""
        rows = [torch.from_numpy(self._of_clip(clip)) for clip in clips]
        features = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.padding_value)
        return self.inputs(features, [len(clip) for clip in clips])

    def _of_clip(self, clip: np.ndarray) -> np.ndarray:
        window, filters = self.window.numpy(), self.mel_filters.numpy()
        energies = mel_energies(clip * _FULL_SCALE, window, _HOP, _FFT, filters, _FLOOR, kaldi=True)
        logarithms = np.log(energies).astype(np.float32).T
        mean, variance = logarithms.mean(0), logarithms.var(0, ddof=1)
        return (logarithms - mean[None]) / np.sqrt(variance[None] + _LEAST_VARIANCE)

    def spectra(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Float[Tensor, "clip frame bin"]:
        """Power spectra of frames without their mean, with pre-emphasis, under the extractor's window."""
        waveforms = waveforms.to(working_dtype(waveforms, torch.float64)) * _FULL_SCALE
        frames = waveforms.unfold(1, _FRAME, _HOP)
        frames = frames - frames.mean(-1, keepdim=True)
        first = frames[..., :1] * (1 - PREEMPHASIS)
        frames = torch.cat([first, frames[..., 1:] - PREEMPHASIS * frames[..., :-1]], -1)
        return power(torch.fft.rfft(frames * constant(self, "window", frames, lambda: self.window), _FFT))

    def features(
        self, spectra: Float[Tensor, "clip frame bin"], lengths: Sequence[int]
    ) -> Float[Tensor, "clip frame mel"]:
        """Log mel energies, normalised bin by bin over a clip's own frames; `padding_value` past them."""
        energies = spectra @ constant(self, "filters", spectra, lambda: self.mel_filters)
        logarithms = energies.clamp(min=_FLOOR).log()
        whole = list(map(_frames, lengths))
        count = on_device(whole, spectra.device)[:, None, None]
        there = within(whole, logarithms.shape[1], spectra.device)[:, :, None]
        mean = torch.where(there, logarithms, 0.0).sum(1, keepdim=True) / count
        apart = torch.where(there, logarithms - mean, 0.0)
        variance = apart.square().sum(1, keepdim=True) / (count - 1)
        return torch.where(there, apart / (variance + _LEAST_VARIANCE).sqrt(), self.padding_value)

    def inputs(self, features: Float[Tensor, "clip frame mel"], lengths: Sequence[int]) -> Features:
        """The features, so many frames side by side as are one of the model's, and which of them are a clip's own."""
        missing = -features.shape[1] % _FRAMES_OF
        features = torch.nn.functional.pad(features, (0, 0, 0, missing), value=self.padding_value)
        frames = features.shape[1] // self.stride
        joined = features[:, : frames * self.stride].reshape(len(features), frames, -1)
        own = [max(0, (_frames(length) - 2) // self.stride + 1) for length in lengths]  # the second of each is its own
        return {self.feature_name: joined, "attention_mask": within(own, frames, features.device).int()}


def _frames(samples: int) -> int:
    return (samples - _FRAME) // _HOP + 1
