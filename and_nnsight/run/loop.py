"""The loop over a dataset: batches that are made ready, their clips in groups that run together, and a bar."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from ..data import Batch, Clip, ClipLengths, Source, batches
from ..data.shards import clips_before
from ..model.features import Features, Featuriser, Group
from ..progress import ClipProgress
from .look_ahead import GroupedBatch, LookAhead
from .options import RunOptions

T = TypeVar("T")


@runtime_checkable
class BatchWork(Protocol):
    """What is done with every batch of a dataset, in the order of these methods."""

    def begin_batch(self, batch: GroupedBatch) -> None:
        """A batch comes."""
        ...

    def run_group(self, clips: Sequence[Clip], features: Features) -> None:
        """Run clips of the batch that may share a forward: their model inputs, on the CPU or where the model is."""
        ...

    def end_batch(self, batch: GroupedBatch) -> None:
        """All groups of the batch have run."""
        ...


def run_batches(
    source: Source,
    featuriser: Featuriser,
    options: RunOptions,
    work: BatchWork,
    *,
    start: int = 0,
    title: str = "dissecting",
    prepare: Callable[[Sequence[np.ndarray]], tuple[Group, ...]] | None = None,
    look_ahead: LookAhead | None = None,
) -> Generator[int, None, None]:
    """Do the work on every batch from a position of the stream on; gives the position after each one.

    prepare     makes a batch's groups of its waveforms; None: the featuriser
    look_ahead  how far ahead clips are looked for that may run together; None: no further than in a batch

    Closing it, or an error, ends the worker processes and the bar. Raises what `batches` and the work raise.
    """
    prepared = prepared_batches(source, featuriser, prepare or featuriser.groups, options, start)
    with closing(prepared), ClipProgress(source.length, clips_before(source, start), options.progress, title) as bar:
        for batch in prepared if look_ahead is None else look_ahead.stretches(prepared):
            work.begin_batch(batch)
            for group in batch.inputs or ():
                work.run_group([batch.clips[row] for row in group.rows], featuriser.ready(group))
            work.end_batch(batch)
            bar.advance(batch.size, len(batch.quarantined))
            yield batch.position + batch.size


def prepared_batches(
    source: Source,
    featuriser: Featuriser,
    prepare: Callable[[Sequence[np.ndarray]], T],
    options: RunOptions,
    start: int,
) -> Generator[Batch[T], Any, None]:
    """The batches of a source as a model wants them; `prepare` makes a batch's inputs of its waveforms."""
    return batches(
        source,
        sampling_rate=featuriser.sampling_rate,
        featurise=prepare,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        start=start,
        lengths=ClipLengths(featuriser.minimum_samples, featuriser.window_samples),
    )
