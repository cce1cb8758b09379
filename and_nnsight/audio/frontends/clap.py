"""The CLAP family: mel energies in decibels of a window that a shorter clip fills by being repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .interface import ANY, Features, FrontEndError, SpectralFrontEnd
from .spectrograms import mel_energies
from .tensors import constant, on_device, power, working_dtype

_FLOOR = 1e-10
_FUSED = 4  # of a clip that is no longer than the window, the same spectrogram four times
_PADDINGS = ("repeatpad", "repeat", "pad")


@dataclass(frozen=True, eq=False)
class ClapFrontEnd(SpectralFrontEnd):
    """transformers' ClapFeatureExtractor: `input_features` [clip, 1 or 4, frame, mel bin], and `is_longer`.

    Of a longer clip its beginning is heard, where the extractor draws a part, or several, by chance; `is_longer` is
    never true, where the extractor says so of a clip that it draws.

    sampling_rate   samples a second
    window_samples  what waveforms are cut, repeated and padded to
    fft_size, hop   samples of a frame, and from one frame to the next
    padding         "repeatpad": whole repetitions, then zeros; "repeat": cut off at the end; "pad": zeros alone
    fused           whether the features are those of feature fusion, four times
    mel_filters     float64 [bin, mel bin]
    """

    kind: ClassVar[str] = "ClapFeatureExtractor"
    feature_name: ClassVar[str] = "input_features"
    pays_on_cpu: ClassVar[bool] = True
    cuts_like_extractor: ClassVar[bool] = False
    settings: ClassVar[Mapping[str, Any]] = {
        "sampling_rate": ANY, "nb_max_samples": ANY, "fft_window_size": ANY, "hop_length": ANY, "padding": ANY,
        "truncation": ANY, "mel_filters": ANY, "mel_filters_slaney": ANY,
        # Of no effect once the extractor is made, or in this class.
        "feature_size": ANY, "frequency_min": ANY, "frequency_max": ANY, "nb_frequency_bins": ANY, "max_length_s": ANY,
        "padding_value": ANY, "padding_side": ANY, "return_attention_mask": ANY, "top_db": ANY,
    }  # fmt: skip

    sampling_rate: int
    window_samples: int
    fft_size: int
    hop: int
    padding: str
    fused: bool
    mel_filters: Float[Tensor, "bin mel"]
    minimum_samples: int = 1

    @classmethod
    def of(cls, extractor: Any) -> ClapFrontEnd:
        """The front end with a ClapFeatureExtractor's settings. Raises FrontEndError for a padding it does not know."""
        if extractor.padding not in _PADDINGS:
            raise FrontEndError(f"this {cls.kind} has padding={extractor.padding!r}, which is none of {_PADDINGS}")
        fused = extractor.truncation == "fusion"
        filters = extractor.mel_filters if fused else extractor.mel_filters_slaney
        return cls(
            sampling_rate=int(extractor.sampling_rate),
            window_samples=int(extractor.nb_max_samples),
            fft_size=int(extractor.fft_window_size),
            hop=int(extractor.hop_length),
            padding=extractor.padding,
            fused=fused,
            mel_filters=torch.as_tensor(filters).double(),
        )

    def exact(self, clips: Sequence[np.ndarray]) -> Features:
        """Of float32 waveforms on the CPU, in the extractor's bits."""
        rows = np.stack([self._of_clip(clip) for clip in clips])
        return self.inputs(torch.from_numpy(rows), [len(clip) for clip in clips])

    def _of_clip(self, clip: np.ndarray) -> np.ndarray:
        whole = np.tile(clip, self._repetitions(len(clip)))[: self.window_samples]
        whole = np.pad(whole, (0, self.window_samples - len(whole)))
        whole = np.pad(whole, self.fft_size // 2, mode="reflect")
        window = self._window().numpy()
        energies = mel_energies(whole, window, self.hop, self.fft_size, self.mel_filters.numpy(), _FLOOR)
        decibels = 10.0 * (np.log10(energies) - np.log10(1.0))
        return decibels.T.astype(np.float32)

    def _repetitions(self, samples: int) -> int:
        """How many times a clip follows itself; beyond the window it is cut."""
        if self.padding == "pad" or samples == self.window_samples:
            return 1
        return self.window_samples // samples + (self.padding == "repeat")

    def _window(self) -> Float[Tensor, " sample"]:
        return torch.from_numpy(np.hanning(self.fft_size + 1)[:-1])

    def spectra(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Float[Tensor, "clip frame bin"]:
        """Power spectra of the whole window."""
        waveforms = self._filled(waveforms.to(working_dtype(waveforms, torch.float64)), lengths)
        reach = self.fft_size // 2
        waveforms = torch.nn.functional.pad(waveforms[:, None], (reach, reach), mode="reflect")[:, 0]
        frames = waveforms.unfold(1, self.fft_size, self.hop) * constant(self, "window", waveforms, self._window)
        return power(torch.fft.rfft(frames))

    def _filled(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Float[Tensor, "clip whole"]:
        """The waveforms repeated and padded to the window."""
        missing = self.window_samples - waveforms.shape[1]
        if self.padding == "pad" or min(lengths) == self.window_samples:
            return torch.nn.functional.pad(waveforms, (0, missing))
        there = on_device(lengths, waveforms.device)[:, None]
        ends = [self._repetitions(length) * length for length in lengths]
        places = torch.arange(self.window_samples, device=waveforms.device)
        repeated = waveforms.gather(1, places % there)
        return torch.where(places < on_device(ends, waveforms.device)[:, None], repeated, 0.0)

    def features(
        self, spectra: Float[Tensor, "clip frame bin"], lengths: Sequence[int]
    ) -> Float[Tensor, "clip frame mel"]:
        """Decibels of mel energy."""
        energies = spectra @ constant(self, "filters", spectra, lambda: self.mel_filters)
        return 10.0 * energies.clamp(min=_FLOOR).log10()

    def inputs(self, features: Float[Tensor, "clip frame mel"], lengths: Sequence[int]) -> Features:
        """The features in their channels, and that no clip is longer."""
        channels = features[:, None].expand(-1, _FUSED if self.fused else 1, -1, -1).contiguous()
        none = torch.zeros(len(features), 1, dtype=torch.bool, device=features.device)
        return {self.feature_name: channels, "is_longer": none}
