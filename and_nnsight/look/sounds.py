"""The sounds of a page: each stretch of a clip once, as FLAC and as a spectrogram, within so many bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float32

from ..audio.flac import flac_of
from ..dissection.exemplar_store import ExemplarStore
from ..explain.roles import Span
from .spectrogram import spectrogram_png

EXCERPTS = (20.0, 12.0, 8.0, 5.0, 3.0, 2.0, 1.0)
"""Seconds around the moments of exemplars, tried one after another where whole clips would take too many bytes."""

_OF_AN_IMAGE = 1800


@dataclass(frozen=True)
class Sound:
    """A stretch of a clip that can be played and is drawn.

    key     its name within a page
    start   where it begins, in seconds from the clip's start; `seconds` long
    whole   whether it is all that the model hears of the clip
    flac    16 bits a sample, made softer where it goes beyond full scale
    image   its spectrogram, a PNG; b"" where it is not shown
    """

    key: str
    start: float
    seconds: float
    whole: bool
    flac: bytes
    image: bytes


def make_sounds(store: ExemplarStore, spans: Iterable[Span]) -> dict[Span, Sound]:
    """The sound of each span, each made once; `store` holds the clips. Raises DissectionError if it does not."""
    ordered = sorted(set(spans), key=lambda span: (span.clip, span.start or 0.0))
    keys = [f"s{number}" for number in range(len(ordered))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # of libsndfile's and torch's code, which run side by side
        return dict(zip(ordered, pool.map(partial(_drawn_sound, store), ordered, keys), strict=True))


def _drawn_sound(store: ExemplarStore, span: Span, key: str) -> Sound:
    samples, rate = store.audio(span.clip)
    image = spectrogram_png(stretch_of(span, samples, rate), rate)
    return sound_of(key, span, samples, rate, image)


def sound_of(key: str, span: Span, samples: Float32[np.ndarray, " sample"], rate: int, image: bytes = b"") -> Sound:
    """The stretch that a span is of a clip of these samples."""
    stretch = stretch_of(span, samples, rate)
    return Sound(
        key=key,
        start=_samples_of(span, len(samples), rate)[0] / rate,
        seconds=len(stretch) / rate,
        whole=len(stretch) == len(samples),
        flac=flac_of(stretch, rate),
        image=image,
    )


def stretch_of(span: Span, samples: Float32[np.ndarray, " sample"], rate: int) -> Float32[np.ndarray, " stretch"]:
    """The samples of a clip that a span is."""
    start, stop = _samples_of(span, len(samples), rate)
    return samples[start:stop]


def fitting_excerpt(
    store: ExemplarStore,
    spans: Callable[[float | None], Iterable[Span]],
    most_bytes: float,
    further: Callable[[float | None], float] = lambda _: 0.0,
) -> float | None:
    """The longest excerpt, in seconds, by which the sounds of a page take at most so many bytes; None: whole clips do.

    spans    what would be kept of the clips with such excerpts
    further  bytes that other sounds and pictures would take with such excerpts

    The shortest of `EXCERPTS` where none is short enough. Sizes are estimated from each clip's whole sound.
    """
    sizes: dict[int, tuple[float, int]] = {}
    for excerpt in (None, *EXCERPTS):
        total = further(excerpt) + sum(_bytes_of(store, span, sizes) for span in set(spans(excerpt)))
        if total * 4 / 3 <= most_bytes:  # they are written in base 64
            return excerpt
    return EXCERPTS[-1]


def _bytes_of(store: ExemplarStore, span: Span, sizes: dict[int, tuple[float, int]]) -> float:
    """Of a span's sound and image, about. `sizes`: seconds and bytes of the clips that were looked at, by clip."""
    if span.clip not in sizes:
        samples, rate = store.audio(span.clip)
        sizes[span.clip] = max(len(samples) / rate, 1e-3), len(flac_of(samples, rate))
    seconds, size = sizes[span.clip]
    stretch = seconds if span.start is None or span.end is None else span.end - span.start
    return min(stretch / seconds, 1.0) * size + _OF_AN_IMAGE


def _samples_of(span: Span, samples: int, rate: int) -> tuple[int, int]:
    """Which samples of a clip a span is; all of them where nothing of the span is left."""
    if span.start is None or span.end is None:
        return 0, samples
    start, stop = round(span.start * rate), min(round(span.end * rate), samples)
    return (start, stop) if stop > start else (0, samples)
