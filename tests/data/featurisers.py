"""Featurisers that answer, refuse, break or die, and batches made with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from and_nnsight.data import Batch, batches, open_source

RATE = 16000


class Features:
    """Stands for a feature extractor: padded waveforms, a spectrogram, and how long each clip was."""

    def __call__(self, waveforms: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waveforms], batch_first=True)
        padded = torch.nn.functional.pad(padded, (0, max(0, 400 - padded.shape[1])))
        spectrum = torch.stft(padded, 400, 160, window=torch.hann_window(400), return_complex=True).abs()
        mixing = torch.linspace(-1, 1, 64 * 201).reshape(64, 201)
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        return {"waveforms": padded, "features": (mixing @ spectrum).tanh().transpose(1, 2), "lengths": lengths}


class Lengths:
    """The number of samples of each clip, and where it was computed."""

    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[int]:
        return [len(waveform) for waveform in waveforms]


def clips_of(*lengths: int) -> list[np.ndarray]:
    return [np.full(length, 0.1, np.float32) for length in lengths]


def run(data: object, featurise: object = None, *, limit: int | None = None, **options: object) -> list[Batch]:
    options = {"batch_size": 4, "sampling_rate": RATE, **options}
    return list(batches(open_source(data, limit=limit), featurise=featurise or Lengths(), **options))
