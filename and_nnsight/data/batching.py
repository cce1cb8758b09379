"""Batches of model inputs from a source: decoded, resampled and featurised, in line or in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePath
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from ..audio.errors import AudioError
from ..audio.limits import Limit
from ..audio.loading import Waveform, content_hash, load
from ..audio.reading import read_samples
from ..audio.silence import is_silent
from .items import Clip, Item, Quarantined, RemoteFile, Source, Unusable
from .lookahead import map_ahead
from .text import encodable
from .workers import TaskMap, map_in_order

T = TypeVar("T")
_MOST_SENT = 2**24  # bytes of an array: of a longer one, what is heard is cut out first


@dataclass(frozen=True)
class Batch(Generic[T]):
    """Stream positions [position, position + size): the healthy clips, their model inputs, and those set aside.

    `inputs` is what featurise returned for the waveforms of `clips`, in their order; None if there are none.
    """

    position: int
    size: int
    clips: tuple[Clip, ...]
    inputs: T | None
    quarantined: tuple[Quarantined, ...]


@dataclass(frozen=True)
class ClipLengths:
    """How much of a clip a model takes, in samples at its rate.

    minimum  clips with fewer samples, after resampling, are set aside
    window   samples that the model hears at most, from a clip's start: no more are decoded. None: clips are heard
             whole, and those too long for it (see `audio.load`) are set aside
    """

    minimum: int = 1
    window: int | None = None


def batches(
    source: Source,
    *,
    sampling_rate: int,
    featurise: Callable[[Sequence[np.ndarray]], T],
    batch_size: int,
    num_workers: int | TaskMap = 0,
    start: int = 0,
    lengths: ClipLengths = ClipLengths(),
    prefetch: int = 2,
) -> Generator[Batch[T], None, None]:
    """The source from position `start` on, `batch_size` positions at a time, in order.

    A clip that cannot be used leaves a gap and shifts no other, so a run resumed between batches sees the same ones.
    With workers the batches are the same, bit for bit. Closing the iterator ends the workers, or the thread.

    source           where the clips come from
    sampling_rate    what the model wants, in samples a second
    featurise        a function of float32 [time] waveforms; with workers, one that can be pickled. It runs without
                     gradients and on one torch thread. If it raises `AudioError`, the clips it raises it for are set
                     aside
    batch_size       positions a batch covers; the last may cover fewer
    num_workers      processes that decode and featurise; 0: a thread of this one, a batch ahead; or what else does it
                     (`workers.TaskMap`)
    start            first position; a multiple of `batch_size` gives the same batches as starting at 0
    lengths          how much of a clip the model takes
    prefetch         batches in flight for each worker process; this bounds the memory

    Raises ValueError for a number above that is out of range, WorkerDied if a worker process ended by itself, and what
    the source or `featurise` raised, with a note that says for which clips.
    """
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("num_workers", num_workers if isinstance(num_workers, int) else 1, 0),
        ("start", start, 0),
        ("prefetch", prefetch, 1),
        ("sampling_rate", sampling_rate, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, it is {value}")
    limit = Limit(sampling_rate, lengths.window)
    prepare = _Prepare(featurise, limit, lengths.minimum)
    chunks = _chunks(source.items(start), start, batch_size, limit)
    if num_workers == 0:
        return map_ahead(prepare, chunks)
    if not isinstance(num_workers, int):
        return num_workers(prepare, chunks, prefetch)
    return map_in_order(prepare, chunks, num_workers=num_workers, prefetch=prefetch)


def _chunks(items: Iterator[Item], start: int, size: int, limit: Limit) -> Iterator[list[Item]]:
    position = start
    while True:
        try:
            chunk = list(islice(items, size))
        except Exception as error:
            error.add_note(f"while reading the clips from {position} on")
            raise
        if not chunk:
            return
        position += len(chunk)
        yield [_portable(item, limit) for item in chunk]


class _Prepare(Generic[T]):
    """Items to a batch. Runs where the batch is made: here, or in a worker."""

    def __init__(self, featurise: Callable[[Sequence[np.ndarray]], T], limit: Limit, minimum_samples: int) -> None:
        self.featurise = featurise
        self.sampling_rate = limit.sampling_rate or 0
        self.window = limit.window
        self.minimum_samples = minimum_samples

    def __call__(self, items: list[Item]) -> Batch[T]:
        try:
            with torch.no_grad(), _one_thread():
                return self._prepare(items)
        except Exception as error:
            error.add_note(f"while preparing the clips {items[0].id} to {items[-1].id}")
            raise

    def _prepare(self, items: list[Item]) -> Batch[T]:
        healthy, reasons = self._load_each(items)
        try:
            inputs = self._featurise(healthy)
        except AudioError:
            culprits = self._culprits(healthy)
            if not culprits:
                raise
            reasons |= culprits
            healthy = [(item, waveform) for item, waveform in healthy if item.id not in culprits]
            inputs = self._featurise(healthy)
        clips = tuple(_clip(item, waveform) for item, waveform in healthy)
        unusable = [item for item in items if item.id in reasons]
        quarantined = tuple(Quarantined(item.id, item.path, encodable(reasons[item.id])) for item in unusable)
        return Batch(items[0].id, len(items), clips, inputs, quarantined)

    def _load_each(self, items: list[Item]) -> tuple[list[tuple[Item, Waveform]], dict[int, str]]:
        """The items that can be loaded, and the reasons of the others."""
        healthy: list[tuple[Item, Waveform]] = []
        reasons: dict[int, str] = {}
        for item in items:
            try:
                healthy.append((item, self._load(item)))
            except AudioError as error:
                reasons[item.id] = error.reason
        return healthy, reasons

    def _load(self, item: Item) -> Waveform:
        if isinstance(item.audio, AudioError):
            raise item.audio
        rate, window = self.sampling_rate, self.window
        waveform = load(item.audio, rate, source_rate=item.sampling_rate, name=item.path, window=window)
        if len(waveform.samples) < self.minimum_samples:
            least = self.minimum_samples
            raise AudioError(f"too short: {len(waveform.samples)} samples at {rate} Hz, the model needs {least}")
        return waveform

    def _featurise(self, healthy: list[tuple[Item, Waveform]]) -> T | None:
        """The features of these; None of none."""
        if not healthy:
            return None
        try:
            return self.featurise([waveform.samples for _, waveform in healthy])
        except MemoryError as error:
            raise AudioError("there is not the memory to make features of it") from error

    def _culprits(self, healthy: list[tuple[Item, Waveform]]) -> dict[int, str]:
        reasons: dict[int, str] = {}
        for item, waveform in healthy:
            try:
                self._featurise([(item, waveform)])
            except AudioError as error:
                reasons[item.id] = error.reason
        return reasons


def _clip(item: Item, waveform: Waveform) -> Clip:
    rate = waveform.sampling_rate if waveform.source_rate is None else waveform.source_rate
    content, silent = content_hash(waveform.samples), is_silent(waveform.samples)
    return Clip(item.id, item.path, item.label, item.caption, waveform.seconds, rate, content, silent)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums split over threads differ in the last bits: with one, here and in a worker give the same batch."""
    threads = torch.get_num_threads()
    if threads == 1:  # setting it would reach into other threads, which may be in the middle of a forward
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _portable(item: Item, limit: Limit) -> Item:
    """The item as another thread or process may have it: other than files, bytes and arrays, audio is read here."""
    audio = item.audio
    if _travels(audio) or (isinstance(audio, dict) and all(map(_travels, audio.values()))):
        return item
    try:
        return replace(item, audio=read_samples(audio, item.path, limit, item.sampling_rate))
    except AudioError as error:
        return replace(item, audio=error)


def _travels(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject and value.nbytes <= _MOST_SENT
    return value is None or isinstance(value, str | int | float | bytes | PurePath | RemoteFile | Unusable)
