"""Models without a window: clips of one length run together, found some way ahead in the stream.

A stretch of the stream, bounded in clips and in bytes, becomes one batch, whose clips stand in groups of what the model
hears of them: model inputs of one shape, none of which changes another. Stretches begin at fixed positions, as shards
then do, and a run goes on where one ended: so the last digits, which may hang on how many clips run together, are
always the same.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..data import Batch
from ..model.features import Features, Featuriser, Group

GroupedBatch = Batch[tuple[Group, ...]]
CLIPS = {"cuda": 256}
"""Clips of a stretch, by the kind of device. Not on a CPU: one clip keeps it busy, and it loses what is half done."""
_BYTES = 2**28


@dataclass(frozen=True)
class LookAhead:
    """How far ahead clips are looked for that may run together.

    featuriser  of the model
    rows        clips that run together at most
    clips       positions of a stretch at most: it ends at multiples of this number, itself one of `rows`
    bytes       that its model inputs take at most, unless those of one batch do
    """

    featuriser: Featuriser
    rows: int
    clips: int
    bytes: int = _BYTES

    @classmethod
    def of(cls, featuriser: Featuriser, device: torch.device, batch_size: int) -> LookAhead | None:
        """None for a model with a window, of which all clips of a batch run together, and where it does not pay."""
        if featuriser.window_samples is not None or device.type not in CLIPS:
            return None
        return cls(featuriser, batch_size, max(1, CLIPS[device.type] // batch_size) * batch_size)

    def stretches(self, batches: Iterable[GroupedBatch]) -> Generator[GroupedBatch, None, None]:
        """The batches as fewer, longer ones. An error among them leaves the stretch that they were to be undone."""
        stretch = _Stretch(self)
        for batch in batches:
            ready = self._ready(batch)
            if stretch.batches and stretch.is_full_with(ready):
                yield stretch.taken()
            stretch.add(ready)
        if stretch.batches:
            yield stretch.taken()

    def _ready(self, batch: GroupedBatch) -> GroupedBatch:
        """A batch with its model inputs."""
        groups = [group._replace(content=self.featuriser.ready(group)) for group in batch.inputs or ()]
        return replace(batch, inputs=tuple(groups))


class _Stretch:
    """Batches that are going to be one."""

    def __init__(self, bounds: LookAhead) -> None:
        self.bounds = bounds
        self.batches: list[GroupedBatch] = []
        self._bytes = 0

    def is_full_with(self, batch: GroupedBatch) -> bool:
        """Whether it would be longer than it may be."""
        first, here = (each.position // self.bounds.clips for each in (self.batches[0], batch))
        return first != here or self._bytes + _bytes_of(batch) > self.bounds.bytes

    def add(self, batch: GroupedBatch) -> None:
        self.batches.append(batch)
        self._bytes += _bytes_of(batch)

    def taken(self) -> GroupedBatch:
        """The batches as one; a new stretch begins."""
        batches, self.batches, self._bytes = self.batches, [], 0
        first = batches[0]
        return Batch(
            position=first.position,
            size=sum(batch.size for batch in batches),
            clips=tuple(clip for batch in batches for clip in batch.clips),
            inputs=tuple(self._groups(batches)) or None,
            quarantined=tuple(clip for batch in batches for clip in batch.quarantined),
        )

    def _groups(self, batches: list[GroupedBatch]) -> Iterator[Group]:
        """Clips whose inputs have one shape, in the order of the first of each."""
        by_shape: dict[Any, list[Group]] = {}
        before = 0
        for batch in batches:
            for group in batch.inputs or ():
                for place, row in enumerate(group.rows):
                    one = _row(group, place)._replace(rows=(before + row,))
                    by_shape.setdefault(_shape(one), []).append(one)
            before += len(batch.clips)
        for alike in by_shape.values():
            for first in range(0, len(alike), self.bounds.rows):
                yield _joined(alike[first : first + self.bounds.rows])


def _inputs(group: Group) -> Features:
    assert isinstance(group.content, dict)
    return group.content


def _row(group: Group, place: int) -> Group:
    """One clip of a group: views, not copies."""
    content = {name: value[place : place + 1] for name, value in _inputs(group).items()}
    return Group(group.rows[place : place + 1], content, group.waveforms[place : place + 1])


def _joined(groups: list[Group]) -> Group:
    if len(groups) == 1:
        return groups[0]
    content = {name: torch.cat([_inputs(group)[name] for group in groups]) for name in _inputs(groups[0])}
    rows = tuple(row for group in groups for row in group.rows)
    return Group(rows, content, tuple(waveform for group in groups for waveform in group.waveforms))


def _shape(group: Group) -> Any:
    return tuple((name, value.shape[1:], value.dtype) for name, value in sorted(_inputs(group).items()))


def _bytes_of(batch: GroupedBatch) -> int:
    return sum(tensor.nbytes for group in batch.inputs or () for tensor in _inputs(group).values())
