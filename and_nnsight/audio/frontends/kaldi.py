"""The AST family: Kaldi's mel filter bank, as torchaudio computes it, cut or padded to a length and normalised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchaudio.compliance import kaldi

from .interface import ANY, FrontEnd

_FRAME_SECONDS, _HOP_SECONDS = 0.025, 0.010
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97


@dataclass(frozen=True)
class KaldiFrontEnd(FrontEnd):
    """transformers' ASTFeatureExtractor: features [clip, frame, mel bin], `input_values`.

    sampling_rate  samples a second
    mel_bins       mel bins of a frame
    frames         frames that features have: more are cut, where there are fewer zeros follow
    mean, spread   the features minus `mean`, divided by `spread`; None: as they are
    """

    kind: ClassVar[str] = "ASTFeatureExtractor"
    feature_name: ClassVar[str] = "input_values"
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
    def of(cls, extractor: Any) -> FrontEnd:
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

    def spectra(
        self, waveforms: Float[Tensor, "clip time"], lengths: Int64[Tensor, " clip"]
    ) -> Float[Tensor, "clip frame bin"]:
        """Power spectra of frames without their mean, with pre-emphasis, under a Hann window."""
        frames = waveforms.unfold(1, self.minimum_samples, self.hop)
        frames = frames - frames.mean(2, keepdim=True)
        before = torch.nn.functional.pad(frames, (1, 0), mode="replicate")[..., :-1]
        frames = frames - _PREEMPHASIS * before
        window = torch.hann_window(self.minimum_samples, periodic=False, dtype=waveforms.dtype, device=waveforms.device)
        frames = torch.nn.functional.pad(frames * window, (0, self._fft_size - self.minimum_samples))
        return torch.fft.rfft(frames).abs().pow(2.0)

    def features(
        self, spectra: Float[Tensor, "clip frame bin"], lengths: Int64[Tensor, " clip"]
    ) -> Float[Tensor, "clip row column"]:
        """Log mel energies; zeros past a clip's last whole frame; normalised."""
        whole = ((lengths - self.minimum_samples) // self.hop + 1).clamp(max=self.frames)
        energies = self._mel_energies(spectra, whole).clamp(min=torch.finfo(torch.float32).eps).log()
        there = torch.arange(energies.shape[1], device=energies.device) < whole[:, None]
        energies = torch.where(there[:, :, None], energies, 0.0)
        energies = torch.nn.functional.pad(energies, (0, 0, 0, self.frames - energies.shape[1]))
        return energies if self.spread is None else (energies - self.mean) / self.spread

    def _mel_energies(
        self, spectra: Float[Tensor, "clip frame bin"], whole: Int64[Tensor, " clip"]
    ) -> Float[Tensor, "clip frame mel"]:
        """What each mel bin holds; on the CPU clip by clip, for there the rounding of a product depends on its rows."""
        banks, _ = kaldi.get_mel_banks(
            self.mel_bins, self._fft_size, float(self.sampling_rate), _LOWEST_HZ, 0.0, 100.0, -500.0, 1.0
        )
        # The bank lacks the bin of half the sampling rate.
        banks = torch.nn.functional.pad(banks.to(spectra), (0, 1)).T
        if spectra.device.type != "cpu":
            return spectra @ banks
        rows = [torch.mm(spectrum[:frames], banks) for spectrum, frames in zip(spectra, whole.tolist(), strict=True)]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
