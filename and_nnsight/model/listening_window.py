"""The window in which a model hears sound that is coming in now: no longer than it has to be.

Whisper pads every clip to 30 s. What it says of the same sound in a window cut short is not quite what it says in the
whole one: over frames the median unit correlates by 0.98, 0.93, 0.84 and 0.59 in the four blocks of Whisper tiny at
5 s, and by 0.99, 0.97, 0.92, 0.78 at 10 s.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import nn

from .adapter import ModelAdapter
from .features import Featuriser
from .short_window import positions_of, short_window


@dataclass(frozen=True)
class ListeningWindow:
    """What a model hears at a time.

    featuriser  makes the inputs of it
    seconds     how long it is; None: as long as the sound is
    positions   of the model, where it is shorter than the checkpoint's own window; None where it is that
    """

    featuriser: Featuriser
    seconds: float | None
    positions: int | None = None

    @property
    def shortened(self) -> bool:
        """Whether it is shorter than the checkpoint's own."""
        return self.positions is not None

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """While open, the model takes windows of this length. Not for two threads at once."""
        if self.positions is None:
            yield
        else:
            with short_window(module, self.positions):
                yield


def listening_window(adapter: ModelAdapter, seconds: float) -> ListeningWindow:
    """A window of about so many seconds, or the model's own where that is shorter or cannot be cut.

    A model that takes any length is given `seconds` of sound. Raises ValueError for a window of no length.
    """
    if seconds <= 0:
        raise ValueError(f"a window must have some length, not {seconds} seconds")
    featuriser = adapter.featuriser
    own, positions = featuriser.window_seconds, positions_of(adapter.wrapped)
    if own is None:
        return ListeningWindow(featuriser, seconds)
    if own <= seconds or positions is None or not hasattr(featuriser.extractor, "n_samples"):
        return ListeningWindow(featuriser, own)
    samples_a_position = int(featuriser.extractor.n_samples) // positions
    cut = max(1, round(seconds * featuriser.sampling_rate / samples_a_position))
    samples = cut * samples_a_position
    return ListeningWindow(_shortened(featuriser, samples), samples / featuriser.sampling_rate, cut)


def _shortened(featuriser: Featuriser, samples: int) -> Featuriser:
    extractor = copy.copy(featuriser.extractor)
    extractor.n_samples = samples
    extractor.nb_max_frames = samples // int(extractor.hop_length)
    extractor.chunk_length = samples / int(extractor.sampling_rate)
    front = featuriser.front and featuriser.front.shortened(extractor, samples)
    return replace(featuriser, extractor=extractor, window_samples=samples, front=front)
