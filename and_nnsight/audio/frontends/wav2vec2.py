"""The Wav2Vec2 family (HuBERT, WavLM, …): waveforms, with zero mean and unit variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .interface import ANY, Features, FrontEnd, padded
from .tensors import on_device, within, working_dtype

_LEAST_VARIANCE = 1e-7


@dataclass(frozen=True, eq=False)
class Wav2Vec2FrontEnd(FrontEnd):
    """transformers' Wav2Vec2FeatureExtractor: `input_values` [clip, time], and `attention_mask` where it gives one.

    Without a mask a shorter clip's mean and variance are those of the clip and what pads it, as in the extractor.

    sampling_rate  samples a second
    padding_value  what follows a clip
    normalised     whether clips get zero mean and unit variance
    masked         whether there is an attention mask, by which a clip is normalised alone
    """

    kind: ClassVar[str] = "Wav2Vec2FeatureExtractor"
    pays_on_cpu: ClassVar[bool] = False
    options: ClassVar[Mapping[str, Any]] = {"padding": True}
    settings: ClassVar[Mapping[str, Any]] = {
        "sampling_rate": ANY, "padding_value": ANY, "do_normalize": ANY, "return_attention_mask": ANY,
        "padding_side": "right", "feature_size": 1,
    }  # fmt: skip

    sampling_rate: int
    padding_value: float
    normalised: bool
    masked: bool
    window_samples: None = None
    minimum_samples: int = 1

    @classmethod
    def of(cls, extractor: Any) -> Wav2Vec2FrontEnd:
        """The front end with a Wav2Vec2FeatureExtractor's settings."""
        return cls(
            sampling_rate=int(extractor.sampling_rate),
            padding_value=float(extractor.padding_value),
            normalised=bool(extractor.do_normalize),
            masked=bool(extractor.return_attention_mask),
        )

    def exact(self, clips: Sequence[np.ndarray]) -> Features:
        """Of float32 waveforms on the CPU, in the extractor's bits."""
        batch, lengths = padded([torch.from_numpy(clip) for clip in clips])
        values = self._padded(batch, lengths).numpy()
        if self.normalised:
            values = np.stack([self._normalised(row, n) for row, n in zip(values, lengths, strict=True)])
        return self._inputs(torch.from_numpy(values), lengths)

    def _normalised(self, row: np.ndarray, length: int) -> np.ndarray:
        own = row[:length] if self.masked else row
        normalised = (row - own.mean()) / np.sqrt(own.var() + _LEAST_VARIANCE)
        if self.masked:
            normalised[length:] = self.padding_value
        return normalised

    def batch(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Features:
        """Model inputs by name of waveforms that are zero past their lengths, with gradients."""
        values = self._padded(waveforms.to(working_dtype(waveforms)), lengths)
        if self.normalised:
            values = self._all_normalised(values, lengths)
        return self._inputs(values.to(waveforms.dtype), lengths)

    def _all_normalised(self, values: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Tensor:
        if not self.masked or min(lengths) == values.shape[1]:
            variance, mean = torch.var_mean(values, 1, correction=0, keepdim=True)
            return (values - mean) / (variance + _LEAST_VARIANCE).sqrt()
        there = within(lengths, values.shape[1], values.device)
        count = on_device(lengths, values.device)[:, None]
        apart = torch.where(there, values - torch.where(there, values, 0.0).sum(1, keepdim=True) / count, 0.0)
        variance = apart.square().sum(1, keepdim=True) / count
        return torch.where(there, apart / (variance + _LEAST_VARIANCE).sqrt(), self.padding_value)

    def _padded(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Float[Tensor, "clip time"]:
        if not self.padding_value or min(lengths) == waveforms.shape[1]:
            return waveforms
        beyond = ~within(lengths, waveforms.shape[1], waveforms.device)
        return waveforms.masked_fill(beyond, self.padding_value)

    def _inputs(self, values: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Features:
        if not self.masked:
            return {"input_values": values}
        return {"input_values": values, "attention_mask": within(lengths, values.shape[1], values.device).int()}
