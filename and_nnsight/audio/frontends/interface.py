"""What every front end is: waveforms to linear spectra, spectra to a model's features, both in torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class FrontEndError(ValueError):
    """A feature extractor that no front end equals; the message says in what."""


class FrontEnd(ABC):
    """Feature extraction of one family, as its transformers extractor does it; see `families` for which are equal.

    Waveforms are on any device; gradients reach them, or the linear spectra that `features` starts from.

    sampling_rate    samples a second that waveforms must have
    window_samples   what is heard of a waveform, from its start
    minimum_samples  a shorter waveform has no features
    """

    kind: ClassVar[str]
    """Name of the transformers class that it equals."""
    feature_name: ClassVar[str]
    """Name of the model input that the features are."""
    settings: ClassVar[Mapping[str, Any]]
    """The settings that the extractor may have; the value is the only one allowed, `ANY` where every one is."""

    sampling_rate: int
    window_samples: int
    minimum_samples: int

    @classmethod
    @abstractmethod
    def of(cls, extractor: Any) -> FrontEnd:
        """The front end with the settings of an extractor of this kind. Raises FrontEndError for some that it lacks."""

    @abstractmethod
    def spectra(
        self, waveforms: Float[Tensor, "clip time"], lengths: Int64[Tensor, " clip"]
    ) -> Float[Tensor, "clip frame bin"]:
        """Linear power spectra of waveforms that are zero past their lengths in samples."""

    @abstractmethod
    def features(
        self, spectra: Float[Tensor, "clip frame bin"], lengths: Int64[Tensor, " clip"]
    ) -> Float[Tensor, "clip row column"]:
        """The model's features of linear power spectra, `lengths` being those of the waveforms in samples."""

    def shortened(self, samples: int) -> FrontEnd | None:
        """The same with a window of so many samples; None where the window is not a matter of choice."""
        return None

    def __call__(
        self, waveforms: Float[Tensor, "clip time"] | Sequence[Tensor], sampling_rate: int
    ) -> dict[str, Tensor]:
        """Model inputs of a batch by their name, on the waveforms' device.

        waveforms      a [clip, time] tensor, or waveforms of several lengths, mono
        sampling_rate  theirs, in samples a second

        Raises ValueError for another rate than the front end's, for no waveform, and for one that is too short.
        """
        if sampling_rate != self.sampling_rate:
            raise ValueError(
                f"waveforms at {sampling_rate} Hz were given, and this front end hears {self.sampling_rate} Hz: "
                "resample them first (audio.loading.load)"
            )
        batch, lengths = self._padded(waveforms)
        return {self.feature_name: self.features(self.spectra(batch, lengths), lengths)}

    def _padded(self, waveforms: Tensor | Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """One [clip, time] tensor of what is heard, zero past each clip's end, and the clips' lengths."""
        if not len(waveforms):
            raise ValueError("there is no waveform to make features of")
        clips = [waveform[: self.window_samples] for waveform in waveforms]
        lengths = [len(clip) for clip in clips]
        if min(lengths) < self.minimum_samples:
            raise ValueError(
                f"a waveform has {min(lengths)} samples at {self.sampling_rate} Hz; these features need at least "
                f"{self.minimum_samples}"
            )
        batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
        return batch, torch.tensor(lengths, device=batch.device)


ANY = object()
"""Stands for every value of a setting."""
