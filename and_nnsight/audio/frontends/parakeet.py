"""The Parakeet family: log mel energies of the whole clip after pre-emphasis, each bin normalised over its frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from .interface import ANY, Features, SpectralFrontEnd
from .tensors import constant, on_device, within, working_dtype

_ABOVE_ZERO = 2**-24
_LEAST_SPREAD = 1e-5
_SILENCE = 1e-38  # of no effect beside the above, and a root has a gradient there


@dataclass(frozen=True, eq=False)
class ParakeetFrontEnd(SpectralFrontEnd):
    """transformers' ParakeetFeatureExtractor: `input_features` [clip, frame, mel bin], and `attention_mask`.

    sampling_rate      samples a second
    fft_size, hop      samples of a transform, and from one frame to the next
    frame              samples of a frame
    preemphasis        of each sample, the share of the one before it that is taken off; None: as they are
    mel_filters        float32 [mel bin, bin]
    """

    kind: ClassVar[str] = "ParakeetFeatureExtractor"
    feature_name: ClassVar[str] = "input_features"
    pays_on_cpu: ClassVar[bool] = False
    options: ClassVar[Mapping[str, Any]] = {"padding": True}
    settings: ClassVar[Mapping[str, Any]] = {
        "sampling_rate": ANY, "hop_length": ANY, "n_fft": ANY, "win_length": ANY, "preemphasis": ANY,
        "mel_filters": ANY, "padding_value": 0.0, "padding_side": "right",
        # Of no effect once the extractor is made, or in this class.
        "feature_size": ANY, "return_attention_mask": ANY,
    }  # fmt: skip

    sampling_rate: int
    fft_size: int
    hop: int
    frame: int
    preemphasis: float | None
    mel_filters: Float[Tensor, "mel bin"]
    window_samples: None = None

    @classmethod
    def of(cls, extractor: Any) -> ParakeetFrontEnd:
        """The front end with a ParakeetFeatureExtractor's settings."""
        return cls(
            sampling_rate=int(extractor.sampling_rate),
            fft_size=int(extractor.n_fft),
            hop=int(extractor.hop_length),
            frame=int(extractor.win_length),
            preemphasis=extractor.preemphasis,
            mel_filters=torch.as_tensor(extractor.mel_filters),
        )

    @property
    def minimum_samples(self) -> int:  # type: ignore[override]  # a clip's variance is that of two frames at least
        """Two frames."""
        return 2 * self.hop

    def spectra(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Float[Tensor, "clip frame bin"]:
        """Power spectra of frames around every `hop` samples, with pre-emphasis, under a Hann window."""
        waveforms = waveforms.to(working_dtype(waveforms))
        if self.preemphasis is not None:
            after = waveforms[:, 1:] - self.preemphasis * waveforms[:, :-1]
            waveforms = torch.cat([waveforms[:, :1], after], 1)
            if min(lengths) < waveforms.shape[1]:
                beyond = ~within(lengths, waveforms.shape[1], waveforms.device)
                waveforms = waveforms.masked_fill(beyond, 0.0)
        spectrum = torch.stft(
            waveforms,
            self.fft_size,
            hop_length=self.hop,
            win_length=self.frame,
            window=constant(self, "window", waveforms, lambda: torch.hann_window(self.frame, periodic=False)),
            return_complex=True,
            pad_mode="constant",
        )
        squares = torch.view_as_real(spectrum).pow(2).sum(-1)
        return squares.clamp(min=_SILENCE).sqrt().pow(2).mT

    def features(
        self, spectra: Float[Tensor, "clip frame bin"], lengths: Sequence[int]
    ) -> Float[Tensor, "clip frame mel"]:
        """Log mel energies, normalised bin by bin over a clip's own frames; zeros past them."""
        energies = constant(self, "filters", spectra, lambda: self.mel_filters) @ spectra.mT
        logarithms = (energies + _ABOVE_ZERO).log().permute(0, 2, 1)
        count = on_device(self._frames(lengths), spectra.device)[:, None]
        there = self._there(logarithms, lengths)[:, :, None]
        own = logarithms * there
        mean = (own.sum(1) / count)[:, None]
        variance = ((own - mean) ** 2 * there).sum(1) / (count - 1)
        return (logarithms - mean) / (variance.sqrt()[:, None] + _LEAST_SPREAD) * there

    def inputs(self, features: Float[Tensor, "clip frame mel"], lengths: Sequence[int]) -> Features:
        """The features, and which frames are a clip's own."""
        return {self.feature_name: features, "attention_mask": self._there(features, lengths)}

    def _frames(self, lengths: Sequence[int]) -> list[int]:
        return [(length + self.fft_size // 2 * 2 - self.fft_size) // self.hop for length in lengths]

    def _there(self, frames: Float[Tensor, "clip frame mel"], lengths: Sequence[int]) -> Tensor:
        return within(self._frames(lengths), frames.shape[1], frames.device)
