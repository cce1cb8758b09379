"""BEATs's feature extraction: Kaldi's filter bank, scaled by the mean and deviation that BEATs was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torchaudio.compliance.kaldi as kaldi
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .config import MEL_BINS

HOP, WINDOW = 160, 400  # samples: 10 ms and 25 ms


@dataclass(frozen=True)
class FilterBank:
    """Waveforms at 16 kHz in [−1, 1] to `input_values` [clip, frame, mel bin] and `attention_mask` [clip, frame].

    Each clip's spectrogram is its own: padding is added to the spectrogram, not to the sound. The mask is true where
    a frame is the clip's.
    """

    sampling_rate: int = 16_000
    mean: float = 15.41663
    deviation: float = 6.55582
    patch: int = 16

    @property
    def minimum_samples(self) -> int:
        """Samples of one column of patches: a shorter clip has no patch."""
        return (self.patch - 1) * HOP + WINDOW

    def __call__(
        self,
        waveforms: np.ndarray | Tensor | Sequence[np.ndarray | Tensor],
        sampling_rate: int = 16_000,
        return_tensors: str = "pt",
        padding: bool = True,
    ) -> dict[str, Tensor]:
        """Features of one clip or of a list. Raises ValueError for another sampling rate than 16 kHz."""
        if sampling_rate != self.sampling_rate:
            raise ValueError(f"BEATs hears at {self.sampling_rate} Hz, not at {sampling_rate}: resample first")
        if return_tensors != "pt" or not padding:
            raise ValueError("BEATs's filter bank gives padded torch tensors only")
        clips = [waveforms] if isinstance(waveforms, (np.ndarray, Tensor)) and waveforms.ndim == 1 else waveforms
        # Copied: a waveform may be read-only.
        banks = [self.bank(clip.float() if isinstance(clip, Tensor) else torch.tensor(clip).float()) for clip in clips]
        lengths = torch.tensor([len(bank) for bank in banks])
        padded = pad_sequence(banks, batch_first=True)
        return {"input_values": padded, "attention_mask": torch.arange(padded.shape[1]) < lengths[:, None]}

    def bank(self, waveform: Tensor) -> Tensor:
        """The scaled spectrogram [frame, mel bin] of one waveform [sample]."""
        # Kaldi means 16-bit samples.
        bank = kaldi.fbank(
            waveform[None] * 2**15,
            num_mel_bins=MEL_BINS,
            sample_frequency=self.sampling_rate,
            frame_length=25,
            frame_shift=10,
        )
        return (bank - self.mean) / (2 * self.deviation)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"feature_extractor_type": "BEATsFilterBank", **asdict(self)}
