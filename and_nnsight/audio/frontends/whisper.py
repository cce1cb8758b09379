"""The Whisper family: a log mel spectrogram of a window of fixed length, no deeper than eight decades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .interface import ANY, Features, SpectralFrontEnd
from .tensors import constant, within, working_dtype

_FLOOR, _DECADES = 1e-10, 8.0


@dataclass(frozen=True, eq=False)
class WhisperFrontEnd(SpectralFrontEnd):
    """transformers' WhisperFeatureExtractor: features [clip, mel bin, frame], `input_features`.

    sampling_rate   samples a second
    window_samples  what waveforms are cut or padded to
    fft_size, hop   samples of a frame, and from one frame to the next
    padding_value   what follows a waveform
    mel_filters     float32 [bin, mel bin]
    """

    kind: ClassVar[str] = "WhisperFeatureExtractor"
    feature_name: ClassVar[str] = "input_features"
    pays_on_cpu: ClassVar[bool] = True
    settings: ClassVar[Mapping[str, Any]] = {
        "sampling_rate": ANY, "n_samples": ANY, "n_fft": ANY, "hop_length": ANY, "padding_value": ANY,
        "mel_filters": ANY, "feature_size": ANY,
        "dither": 0.0, "padding_side": "right", "return_attention_mask": False,
        # Of no effect once the extractor is made, or in this class.
        "chunk_length": ANY, "nb_max_frames": ANY, "do_normalize": ANY,
    }  # fmt: skip

    sampling_rate: int
    window_samples: int
    fft_size: int
    hop: int
    padding_value: float
    mel_filters: Float[Tensor, "bin mel"]
    minimum_samples: int = 1

    @classmethod
    def of(cls, extractor: Any) -> WhisperFrontEnd:
        """The front end with a WhisperFeatureExtractor's settings."""
        return cls(
            sampling_rate=int(extractor.sampling_rate),
            window_samples=int(extractor.n_samples),
            fft_size=int(extractor.n_fft),
            hop=int(extractor.hop_length),
            padding_value=float(extractor.padding_value),
            mel_filters=torch.as_tensor(extractor.mel_filters).float(),
        )

    def shortened(self, samples: int) -> WhisperFrontEnd:
        """The same with a window of so many samples."""
        return replace(self, window_samples=samples)

    def exact(self, clips: Sequence[np.ndarray]) -> Features:
        """Of float32 waveforms on the CPU, in the extractor's bits: clip by clip, which a cache holds."""
        rows = [self.batch(torch.from_numpy(clip)[None], [len(clip)])[self.feature_name] for clip in clips]
        return {self.feature_name: torch.cat(rows)}

    def spectra(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Float[Tensor, "clip frame bin"]:
        """Power spectra of the whole window."""
        waveforms = waveforms.to(working_dtype(waveforms))
        waveforms = torch.nn.functional.pad(waveforms, (0, self.window_samples - waveforms.shape[1]))
        if self.padding_value:
            beyond = ~within(lengths, self.window_samples, waveforms.device)
            waveforms = waveforms.masked_fill(beyond, self.padding_value)
        window = constant(self, "window", waveforms, lambda: torch.hann_window(self.fft_size))
        spectrum = torch.stft(waveforms, self.fft_size, self.hop, window=window, return_complex=True)
        return (spectrum[..., :-1].abs() ** 2).contiguous().mT

    def features(
        self, spectra: Float[Tensor, "clip frame bin"], lengths: Sequence[int]
    ) -> Float[Tensor, "clip mel frame"]:
        """Decades of mel energy, no more than eight below the clip's highest, shifted and scaled."""
        filters = constant(self, "filters", spectra, lambda: self.mel_filters)
        energies = filters.T @ spectra.mT.contiguous()
        decades = energies.clamp(min=_FLOOR).log10()
        highest = decades.amax((1, 2), keepdim=True)
        return (torch.maximum(decades, highest - _DECADES) + 4.0) / 4.0
