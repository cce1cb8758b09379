"""Hear less than a checkpoint's whole window: for sound that is coming in now, seconds of padding are time lost.

Whisper and its like pad every clip to 30 s, and their encoders refuse anything else, though nothing but a table of
positions is as long as that. With the table cut, a window of 5 s takes a tenth of the time. It is not quite what the
checkpoint says of the same sound in a padded window: the median unit's correlation over frames is 0.98, 0.93, 0.84 and
0.59 in the four blocks of Whisper tiny at 5 s, and 0.99, 0.97, 0.92, 0.78 at 10 s.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..sites.frame_geometry import audio_config
from .adapter import ModelAdapter
from .features import Featuriser


@dataclass(frozen=True)
class Window:
    """What a model hears at a time.

    featuriser  makes the inputs of it
    seconds     how long it is; None: as long as the sound is
    shortened   whether it is shorter than the checkpoint's own, which `applied` then makes the model take
    """

    featuriser: Featuriser
    seconds: float | None
    shortened: bool = False
    _positions: tuple[tuple[nn.Module, nn.Embedding], ...] = ()
    _frames: int = 0
    _config: Any = None

    @contextmanager
    def applied(self) -> Iterator[None]:
        """While open, the model takes windows of this length. Not for two threads at once."""
        before = [(owner, owner.embed_positions) for owner, _ in self._positions]
        configs = {id(config): (config, config.max_source_positions) for config in self._configs()}
        try:
            for owner, table in self._positions:
                owner.embed_positions = table
            for config, _ in configs.values():
                config.max_source_positions = self._frames
            yield
        finally:
            for owner, table in before:
                owner.embed_positions = table
            for config, positions in configs.values():
                config.max_source_positions = positions

    def _configs(self) -> list[Any]:
        """The configs that say how long the window is: those of the model and of the parts with positions."""
        return [self._config, *(owner.config for owner, _ in self._positions)] if self.shortened else []


def short_window(adapter: ModelAdapter, seconds: float) -> Window:
    """A window of about so many seconds, or the model's own where that is shorter or cannot be cut.

    A model that takes any length is given `seconds` of sound. Raises ValueError for a window of no length.
    """
    if seconds <= 0:
        raise ValueError(f"a window must have some length, not {seconds} seconds")
    featuriser = adapter.featuriser
    own = featuriser.window_seconds
    if own is None:
        return Window(featuriser, seconds)
    tables = _position_tables(adapter.wrapped)
    if own <= seconds or not tables or not hasattr(featuriser.extractor, "n_samples"):
        return Window(featuriser, own)
    config = audio_config(adapter.wrapped)
    positions = int(config.max_source_positions)
    samples_a_frame = int(featuriser.extractor.n_samples) // positions
    frames = max(1, round(seconds * featuriser.sampling_rate / samples_a_frame))
    short = _short_featuriser(featuriser, frames * samples_a_frame)
    cut = tuple((owner, _cut(table, frames)) for owner, table in tables)
    return Window(short, frames * samples_a_frame / featuriser.sampling_rate, True, cut, frames, config)


def _position_tables(module: nn.Module) -> list[tuple[nn.Module, nn.Embedding]]:
    """The modules that add a table of positions to their frames, as long as their window, and the tables."""
    owners = []
    for owner in module.modules():
        table, config = getattr(owner, "embed_positions", None), getattr(owner, "config", None)
        if isinstance(table, nn.Embedding) and table.num_embeddings == getattr(config, "max_source_positions", None):
            owners.append((owner, table))
    return owners


def _cut(table: nn.Embedding, frames: int) -> nn.Embedding:
    return nn.Embedding.from_pretrained(table.weight.detach()[:frames], freeze=True)


def _short_featuriser(featuriser: Featuriser, samples: int) -> Featuriser:
    extractor = copy.copy(featuriser.extractor)
    extractor.n_samples = samples
    extractor.nb_max_frames = samples // int(extractor.hop_length)
    extractor.chunk_length = samples / int(extractor.sampling_rate)
    return replace(featuriser, extractor=extractor, window_samples=samples)
