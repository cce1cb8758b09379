"""What every front end is: waveforms to a model's inputs, batched, in torch; on the CPU in the extractor's own bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .resampling import resample

Features = dict[str, Tensor]


class FrontEndError(ValueError):
    """A feature extractor that no front end equals; the message says in what."""


class FrontEnd(ABC):
    """Feature extraction of one family, as its transformers extractor does it; see `families` for which are equal.

    Waveforms are on any device, and gradients reach them. On the CPU, of float32 waveforms that want no gradient,
    features are the extractor's in every bit. Elsewhere they are computed in float64 (a GPU may shorten float32
    products), so that they differ from the extractor's by no more than its own rounding.

    sampling_rate    samples a second that features are made of
    window_samples   what is heard of a waveform, from its start; None: all of it
    minimum_samples  a shorter waveform has no features
    """

    kind: ClassVar[str]
    """Name of the transformers class that it equals."""
    settings: ClassVar[Mapping[str, Any]]
    """The settings that the extractor may have; the value is the only one allowed, `ANY` where every one is."""
    options: ClassVar[Mapping[str, Any]] = {}
    """What the extractor has to be called with beside waveforms and their rate."""
    tolerance: ClassVar[float] = 1e-5
    """How far its features of noise may lie from the extractor's, where they have not its bits."""
    pays_on_cpu: ClassVar[bool]
    """Whether it was measured to take clearly less of the CPU than the extractor."""
    cuts_like_extractor: ClassVar[bool] = True
    """Whether the extractor, too, hears a longer waveform's beginning."""

    sampling_rate: int
    window_samples: Any  # int, or None: each family has one of them
    minimum_samples: int

    @classmethod
    @abstractmethod
    def of(cls, extractor: Any) -> FrontEnd:
        """The front end with the settings of an extractor of this kind. Raises FrontEndError for some that it lacks."""

    @abstractmethod
    def batch(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Features:
        """Model inputs by name of waveforms that are zero past their lengths, on their device, with gradients.

        Nothing in it waits for the device.
        """

    def exact(self, clips: Sequence[np.ndarray]) -> Features:
        """The same of float32 waveforms on the CPU, in the extractor's own bits."""
        return self.batch(*padded([torch.from_numpy(clip) for clip in clips]))

    def shortened(self, samples: int) -> FrontEnd | None:
        """The same with a window of so many samples; None where the window is not a matter of choice."""
        return None

    def __call__(
        self, waveforms: Float[Tensor, "clip time"] | Sequence[Tensor], sampling_rate: int
    ) -> dict[str, Tensor]:
        """Model inputs of a batch by their name, on the waveforms' device.

        waveforms      a [clip, time] tensor, or waveforms of several lengths, mono
        sampling_rate  theirs, in samples a second; at another than the front end's they are resampled

        Raises ValueError for no waveform, and for one that is too short.
        """
        if not len(waveforms):
            raise ValueError("there is no waveform to make features of")
        clips = [resample(clip, sampling_rate, self.sampling_rate)[: self.window_samples] for clip in waveforms]
        shortest = min(map(len, clips))
        if shortest < self.minimum_samples:
            raise ValueError(
                f"a waveform has {shortest} samples at {self.sampling_rate} Hz; these features need at least "
                f"{self.minimum_samples}"
            )
        if all(map(_is_plain, clips)):
            with torch.no_grad():
                return self.exact([clip.numpy() for clip in clips])
        batch, lengths = padded(clips)
        return self.batch(batch, lengths)


class SpectralFrontEnd(FrontEnd):
    """A front end that goes by linear spectra; gradients reach these, too."""

    feature_name: ClassVar[str]
    """Name of the model input that the features are."""

    @abstractmethod
    def spectra(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Float[Tensor, "clip frame bin"]:
        """Linear power spectra of waveforms that are zero past their lengths in samples."""

    @abstractmethod
    def features(self, spectra: Float[Tensor, "clip frame bin"], lengths: Sequence[int]) -> Float[Tensor, "clip ..."]:
        """The model's features of linear power spectra, `lengths` being those of the waveforms in samples."""

    def batch(self, waveforms: Float[Tensor, "clip time"], lengths: Sequence[int]) -> Features:
        """Model inputs by name, with gradients."""
        features = self.features(self.spectra(waveforms, lengths), lengths)
        return self.inputs(features.to(waveforms.dtype), lengths)

    def inputs(self, features: Float[Tensor, "clip ..."], lengths: Sequence[int]) -> Features:
        """Features by their name, with what goes beside them."""
        return {self.feature_name: features}


def padded(clips: Sequence[Tensor]) -> tuple[Float[Tensor, "clip time"], list[int]]:
    """One [clip, time] tensor, zero past each clip's end, and the clips' lengths."""
    return torch.nn.utils.rnn.pad_sequence(list(clips), batch_first=True), [len(clip) for clip in clips]


def _is_plain(clip: Tensor) -> bool:
    """Whether a waveform is what the extractor takes, and no gradient is wanted."""
    tracked = clip.requires_grad and torch.is_grad_enabled()
    return clip.device.type == "cpu" and clip.dtype == torch.float32 and not tracked


ANY = object()
"""Stands for every value of a setting."""
