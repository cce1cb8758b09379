"""Words with times as a Whisper checkpoint hears them: out of its attention to the sound while it writes them down.

The times are transformers' (`return_timestamps="word"`, dynamic time warping over some heads of the decoder). Against
the true times of synthetic speech tiny.en's were mostly off by 0.05 to 0.2 s, and the first word always began with the
clip. So they tell words, and roughly pauses, and phones not at all.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator
from typing import Any

from ..audio.errors import AudioError
from ..audio.loading import load
from ..data import Item, Source
from ..progress import ClipProgress
from ..wording import first_line
from .annotations import Annotation, Annotations
from .errors import AnnotationError
from .tiers import WORDS, with_pauses

_RATE = 16_000
_MARKS = string.punctuation.replace("'", "") + "…“”„«»¿¡"


def annotations_heard(
    checkpoint: str, source: Source, *, device: Any = None, batch_size: int = 8, progress: bool = True
) -> Annotations:
    """The words that a Whisper checkpoint hears in each clip. A clip that cannot be read is not annotated.

    checkpoint  hub id or local folder, with tokenizer, of a Whisper whose generation config names alignment heads

    Words are in small letters and without punctuation. Raises AnnotationError for another checkpoint.
    """
    listener = _pipeline(checkpoint, device, batch_size)
    by_clip, unread = {}, 0
    with ClipProgress(source.length, 0, progress, "listening") as bar:
        for batch in _batches(source, batch_size):
            waveforms = [(item.id, _samples(item)) for item in batch]
            read = [(clip, samples) for clip, samples in waveforms if samples is not None]
            unread += len(batch) - len(read)
            answers = listener([{"raw": samples, "sampling_rate": _RATE} for _, samples in read]) if read else []
            for (clip, samples), answer in zip(read, answers, strict=True):
                by_clip[clip] = list(_words(answer["chunks"], len(samples) / _RATE))
            bar.advance(len(batch), len(batch) - len(read))
    if not by_clip:
        raise AnnotationError(f"no clip of {source.name} can be read")
    left_out = f"{unread:,} clips cannot be read" if unread else ""
    settings = {"dataset": source.fingerprint, "checkpoint": checkpoint}
    return Annotations.of(with_pauses(by_clip), "Whisper", settings, left_out)


def _pipeline(checkpoint: str, device: Any, batch_size: int) -> Any:
    from transformers.pipelines import pipeline

    try:
        listener: Any = pipeline(
            "automatic-speech-recognition", model=checkpoint, device=device, batch_size=batch_size,
            return_timestamps="word",
        )  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        raise AnnotationError(f"{checkpoint} cannot be opened as a speech recogniser: {first_line(error)}") from error
    heads = getattr(listener.model.generation_config, "alignment_heads", None)
    if not type(listener.tokenizer).__name__.startswith("Whisper") or heads is None:
        raise AnnotationError(
            f"{checkpoint} gives no times of words: it takes a Whisper with its tokenizer, whose generation config "
            "names alignment_heads"
        )
    return listener


def _batches(source: Source, size: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    for item in source.items():
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _samples(item: Item) -> Any:
    """At Whisper's rate; None for a clip that cannot be read."""
    try:
        return load(item.audio, _RATE, source_rate=item.sampling_rate, name=item.path).samples
    except AudioError:
        return None


def _words(chunks: list[dict[str, Any]], seconds: float) -> Iterator[Annotation]:
    for chunk in chunks:
        label = chunk["text"].strip().strip(_MARKS).lower()
        start, end = chunk["timestamp"]
        end = seconds if end is None else min(end, seconds)
        if label and start is not None and end > start and math.isfinite(end):
            yield Annotation(WORDS, label, float(start), float(end))
