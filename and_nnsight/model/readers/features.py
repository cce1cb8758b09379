"""From waveforms to what a language model that hears takes: the text's tokens and the sound's features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...kernels.surroundings import plain_torch
from ..features import Features, Featuriser, Group


@dataclass(frozen=True, eq=False)
class ReaderFeaturiser(Featuriser):
    """A featuriser that writes a prompt around each clip.

    processor  the checkpoint's own: of text with an audio token, and a clip, it makes model inputs
    text       the prompt, with the audio token where the sound goes
    """

    processor: Any = None
    text: str = ""

    @property
    def made_by(self) -> str:
        """What makes the features, in words."""
        return type(self.processor).__name__

    @plain_torch()
    def __call__(self, waveforms: Sequence[np.ndarray]) -> Features:
        """Model inputs of one batch, its shorter texts padded on the right: causal attention never looks there.

        Raises AudioError for a waveform that is too short for the model.
        """
        return self._processed(self.cut(waveforms))

    @plain_torch()
    def groups(self, waveforms: Sequence[np.ndarray]) -> tuple[Group, ...]:
        """Clips of one shape of inputs, each made alone: in a group nothing is padded to the length of another."""
        by_shape: dict[Any, list[tuple[int, Features]]] = defaultdict(list)
        for row, waveform in enumerate(self.cut(waveforms)):
            features = self._processed([waveform])
            shape = tuple((name, value.shape, value.dtype) for name, value in sorted(features.items()))
            alone = any(len(value) != 1 for value in features.values())  # of several windows
            by_shape[(shape, row if alone else None)].append((row, features))
        return tuple(
            Group(tuple(row for row, _ in alike), stacked([features for _, features in alike]))
            for alike in by_shape.values()
        )

    def _processed(self, clips: Sequence[np.ndarray]) -> Features:
        options = {"text_kwargs": {"padding": True, "padding_side": "right"}, "return_tensors": "pt"}
        encoded = self.processor(
            text=[self.text] * len(clips), audio=list(clips), audio_kwargs=self._audio_options, **options
        )
        return {name: torch.as_tensor(value) for name, value in encoded.items() if value is not None}

    @property
    def _audio_options(self) -> dict[str, Any]:
        return {"sampling_rate": self.sampling_rate} if hasattr(self.extractor, "sampling_rate") else {}


def stacked(features: Sequence[Features]) -> Features:
    """The features of clips of one shape, one after another."""
    return {name: torch.cat([each[name] for each in features]) for name in features[0]}
