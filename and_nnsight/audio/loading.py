"""Any audio value to a mono float32 waveform at a wanted rate.

Three verbs: `decode` reads an encoded file, `to_waveform` takes any audio value, `load` does the same and also says how
long the clip was. What cannot be used raises `AudioError`, which names the clip.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float32

from .errors import AudioError as AudioError
from .limits import Limit
from .reading import decode_samples, kind_of, read_samples, whole_rate
from .resampling import resample as resample

_PIECE = 2**20  # samples looked at together


@dataclass(frozen=True, eq=False)
class Waveform:
    """A clip ready for a model.

    samples        float32 [time], mono, at `sampling_rate`; of a clip that is longer than what is heard, its beginning
    sampling_rate  samples a second, the wanted rate
    source_rate    samples a second of the source; None where neither the value nor the caller stated it
    seconds        duration of the source, before resampling. Where only its beginning was read, what its header says,
                   or its size lets one expect
    """

    samples: Float32[np.ndarray, " time"]
    sampling_rate: int
    source_rate: int | None
    seconds: float


def load(
    audio: Any,
    sampling_rate: int,
    *,
    source_rate: int | None = None,
    name: str | None = None,
    window: int | None = None,
) -> Waveform:
    """Any audio value as a mono `Waveform` at `sampling_rate`.

    audio          a path; the bytes of an encoded file; a 1-D waveform (numpy, torch or a list of floats; float, or PCM
                   of int8, int16, int32 or uint8); a 2-D one, whose shorter axis is the channels; `{"array",
                   "sampling_rate"}`, `{"raw", "sampling_rate"}` or `{"bytes", "path"}`; a decoded `datasets` Audio
                   value; or an object whose `read_bytes()` gives an encoded file
    sampling_rate  the wanted rate in samples a second
    source_rate    the rate of a waveform that does not carry its own; None: it is at `sampling_rate`
    name           what errors call the clip; None: its path, or the kind of value
    window         samples at the wanted rate that are heard, from the clip's start: no more are decoded. None: all of
                   them, of a clip of at most `audio.limits.MOST_SAMPLES`

    Raises AudioError if the audio is empty, not finite, unreadable, cut short, too long to be heard whole, or not of a
    rate, shape or type that is audio.
    """
    wanted = whole_rate(sampling_rate, "sampling_rate", name)
    stated = None if source_rate is None else whole_rate(source_rate, "source_rate", name)
    limit = Limit(wanted, window)
    samples, carried, frames, name = read_samples(audio, name, limit, stated)
    native = stated if carried is None else carried
    if samples.size == 0:
        raise AudioError("holds no samples", name)
    bad = _not_finite(samples)
    if bad is not None:
        raise AudioError(f"{bad[0]} of {samples.size} samples are not finite, the first at sample {bad[1]}", name)
    rate = wanted if native is None else native
    try:
        limit.used_frames(frames, rate)
        resampled = resample(samples, rate, wanted)
        resampled = np.require(resampled if window is None else resampled[:window], np.float32, ["C", "W"])
    except AudioError as error:
        raise AudioError(error.reason, name) from error
    except (MemoryError, RuntimeError) as error:  # torch says RuntimeError where memory runs out
        raise AudioError(f"cannot be resampled from {rate} to {wanted} Hz: {_first_line(error)}", name) from error
    if _not_finite(resampled):
        raise AudioError("samples this loud cannot be resampled in float32", name)
    return Waveform(resampled, wanted, native, frames / rate)


def to_waveform(
    audio: Any,
    sampling_rate: int,
    *,
    source_rate: int | None = None,
    name: str | None = None,
    window: int | None = None,
) -> Float32[np.ndarray, " time"]:
    """Any audio value as float32 [time] at `sampling_rate`. Arguments and errors are those of `load`.

    A writable, contiguous float32 waveform that is already at that rate is returned as it is, not copied.
    """
    return load(audio, sampling_rate, source_rate=source_rate, name=name, window=window).samples


def content_hash(samples: Float32[np.ndarray, " time"]) -> str:
    """16 hex digits that two clips share if, and in practice only if, their samples are the same."""
    return hashlib.blake2b(np.ascontiguousarray(samples).data, digest_size=8).hexdigest()


def decode(
    source: bytes | bytearray | memoryview | str | os.PathLike[str],
    name: str | None = None,
    limit: Limit | None = None,
) -> tuple[Float32[np.ndarray, " time"], int]:
    """Decode an audio file (wav, flac, ogg, opus, mp3, aiff …) or its bytes: mono float32 [time], and its own rate.

    Raises AudioError if there is no such file, it is no audio, it ends before the audio that its header promises, or it
    is too long.
    """
    samples, rate, _, _ = decode_samples(source, name or kind_of(source), limit or Limit())
    return samples, cast("int", rate)


def _not_finite(samples: Float32[np.ndarray, " time"]) -> tuple[int, int] | None:
    """How many samples are not finite, and the first of them."""
    count, first = 0, 0
    for start in range(0, len(samples), _PIECE):
        bad = np.flatnonzero(~np.isfinite(samples[start : start + _PIECE]))
        if bad.size:
            first = first if count else start + int(bad[0])
            count += bad.size
    return (count, first) if count else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
