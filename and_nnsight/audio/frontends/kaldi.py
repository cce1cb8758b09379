"""The AST family: Kaldi's mel filter bank, as torchaudio computes it, cut or padded to a length and normalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .interface import ANY, Features, SpectralFrontEnd
from .tensors import constant, within, working_dtype

_FRAME_SECONDS, _HOP_SECONDS = 0.025, 0.010
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_FRAMES_AT_ONCE = 128  # they stay in the cache


@dataclass(frozen=True, eq=False)
class KaldiFrontEnd(SpectralFrontEnd):
    """transformers' ASTFeatureExtractor: features [clip, frame, mel bin], `input_values`.

    sampling_rate  samples a second
    mel_bins       mel bins of a frame
    frames         frames that features have: more are cut, where there are fewer zeros follow
    mean, spread   the features minus `mean`, divided by `spread`; None: as they are
    """

    kind: ClassVar[str] = "ASTFeatureExtractor"
    feature_name: ClassVar[str] = "input_values"
    pays_on_cpu: ClassVar[bool] = True
    settings: ClassVar[Mapping[str, Any]] = {
        "sampling_rate": ANY, "num_mel_bins": ANY, "max_length": ANY, "do_normalize": ANY, "mean": ANY, "std": ANY,
        # Of no effect in this class.
        "feature_size": ANY, "padding_value": ANY, "padding_side": ANY, "return_attention_mask": ANY,
    }  # fmt: skip

    sampling_rate: int
    mel_bins: int
    frames: int
    mean: float = 0.0
    spread: float | None = None

    @classmethod
    def of(cls, extractor: Any) -> KaldiFrontEnd:
        """The front end with an ASTFeatureExtractor's settings."""
        spread = extractor.std * 2 if extractor.do_normalize else None
        size = (int(extractor.sampling_rate), int(extractor.num_mel_bins), int(extractor.max_length))
        return cls(*size, float(extractor.mean), spread)

    @property
    def minimum_samples(self) -> int:  # type: ignore[override]  # follows from the fields; the base has it as one
        """One frame."""
        return int(self.sampling_rate * _FRAME_SECONDS)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return int(self.sampling_rate * _HOP_SECONDS)

    @property
    def window_samples(self) -> int:  # type: ignore[override]  # follows from the fields; the base has it as one
        """All frames."""
        return (self.frames - 1) * self.hop + self.minimum_samples

    @property
    def _fft_size(self) -> int:
        return 2 ** (self.minimum_samples - 1).bit_length()

    def exact(self, clips: Sequence[np.ndarray]) -> Features:
        """Of float32 waveforms on the CPU, in the extractor's bits: clip by clip, a block of frames at a time."""
        return {self.feature_name: torch.stack([self._of_clip(torch.from_numpy(clip)) for clip in clips])}

    def _of_clip(self, clip: Float[Tensor, " time"]) -> Float[Tensor, "frame mel"]:
        frames = clip.unfold(0, self.minimum_samples, self.hop)
        spectrum = clip.new_empty(len(frames), self._fft_size // 2 + 1)
        for first in range(0, len(frames), _FRAMES_AT_ONCE):
            spectrum[first : first + _FRAMES_AT_ONCE] = self._power(frames[first : first + _FRAMES_AT_ONCE])
        energies = self._logarithm(torch.mm(spectrum, self._banks(spectrum)))
        return self._normalised(torch.nn.functional.pad(energies, (0, 0, 0, self.frames - len(energies))))

    def spectra(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Float[Tensor, "clip frame bin"]:
        """Power spectra of frames without their mean, with pre-emphasis, under a Hann window."""
        waveforms = waveforms.to(working_dtype(waveforms))
        return self._power(waveforms.unfold(1, self.minimum_samples, self.hop))

    def features(
        self, spectra: Float[Tensor, "clip frame bin"], lengths: Sequence[int]
    ) -> Float[Tensor, "clip row mel"]:
        """Log mel energies; zeros past a clip's last whole frame; normalised."""
        whole = [min((length - self.minimum_samples) // self.hop + 1, self.frames) for length in lengths]
        energies = self._logarithm(self._mel_energies(spectra, whole))
        if min(whole) < energies.shape[1]:
            energies = torch.where(within(whole, energies.shape[1], energies.device)[:, :, None], energies, 0.0)
        return self._normalised(torch.nn.functional.pad(energies, (0, 0, 0, self.frames - energies.shape[1])))

    def _power(self, frames: Float[Tensor, "*clip frame sample"]) -> Float[Tensor, "*clip frame bin"]:
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        window = constant(self, "window", frames, lambda: torch.hann_window(self.minimum_samples, periodic=False))
        frames = (frames - _PREEMPHASIS * before) * window
        return torch.fft.rfft(frames, self._fft_size).abs().pow(2.0)

    def _mel_energies(
        self, spectra: Float[Tensor, "clip frame bin"], whole: Sequence[int]
    ) -> Float[Tensor, "clip whole mel"]:
        """What each mel bin holds; on the CPU clip by clip, for there the rounding of a product depends on its rows."""
        banks = self._banks(spectra)
        if spectra.device.type != "cpu":
            return spectra @ banks
        rows = [torch.mm(spectrum[:frames], banks) for spectrum, frames in zip(spectra, whole, strict=True)]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def _banks(self, like: Tensor) -> Float[Tensor, "bin mel"]:
        def make() -> Tensor:
            from torchaudio.compliance import kaldi

            banks, _ = kaldi.get_mel_banks(
                self.mel_bins, self._fft_size, float(self.sampling_rate), _LOWEST_HZ, 0.0, 100.0, -500.0, 1.0
            )
            return torch.nn.functional.pad(banks, (0, 1)).T  # the bank lacks the bin of half the sampling rate

        return constant(self, "banks", like, make)

    def _logarithm(self, energies: Tensor) -> Tensor:
        return energies.clamp(min=torch.finfo(torch.float32).eps).log()

    def _normalised(self, energies: Tensor) -> Tensor:
        return energies if self.spread is None else (energies - self.mean) / self.spread
