"""Any audio value to a mono float32 waveform at a wanted rate.

Three verbs: `decode` reads an encoded file, `to_waveform` takes any audio value, `load` does the same and also says how
long the clip was. What cannot be used raises `AudioError`, which names the clip.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float32

from .decoding import decode_file, decode_stream
from .errors import AudioError as AudioError
from .limits import Limit, checked_rate
from .resampling import resample as resample
from .waveforms import as_mono

SILENCE_DBFS = -75.0
"""Below it there is nothing to be heard: dither, the noise of a recorder that is switched off."""
_PIECE = 2**20  # samples looked at together


@dataclass(frozen=True)
class Waveform:
    """A clip ready for a model.

    Attributes:
        samples: float32 [time], mono, at `sampling_rate`; of a clip that is longer than what is heard, its beginning.
        sampling_rate: samples a second, the wanted rate.
        source_rate: samples a second of the source; None where neither the value nor the caller stated it.
        seconds: duration of the source, before resampling. Where only its beginning was read, what its header says, or
            its size lets one expect.
    """

    samples: Float32[np.ndarray, " time"]
    sampling_rate: int
    source_rate: int | None
    seconds: float


class Samples(NamedTuple):
    """Mono samples at their own rate, before resampling.

    values  float32 [time]; of a clip that is longer than what is heard, its beginning
    rate    None where the value carries none
    frames  how many the source has
    name    of the clip
    """

    values: Float32[np.ndarray, " time"]
    rate: int | None
    frames: int
    name: str


def load(
    audio: Any,
    sampling_rate: int,
    *,
    source_rate: int | None = None,
    name: str | None = None,
    window: int | None = None,
) -> Waveform:
    """Any audio value as a mono `Waveform` at `sampling_rate`.

    Args:
        audio: a path; the bytes of an encoded file; a 1-D waveform (numpy, torch or a list of floats; float, or PCM of
            int8, int16, int32 or uint8); a 2-D one, whose shorter axis is the channels; `{"array", "sampling_rate"}`,
            `{"raw", "sampling_rate"}` or `{"bytes", "path"}`; a decoded `datasets` Audio value; or an object whose
            `read_bytes()` gives an encoded file.
        sampling_rate: the wanted rate in samples a second.
        source_rate: the rate of a waveform that does not carry its own. None: it is at `sampling_rate`.
        name: what errors call the clip. None: its path, or the kind of value.
        window: samples at the wanted rate that are heard, from the clip's start: no more are decoded. None: all of
            them, of a clip of at most `audio_limits.MOST_SAMPLES`.

    Raises:
        AudioError: the audio is empty, not finite, unreadable, cut short, too long to be heard whole, or not of a
            rate, shape or type that is audio.
    """
    wanted = _rate(sampling_rate, "sampling_rate", name)
    stated = None if source_rate is None else _rate(source_rate, "source_rate", name)
    limit = Limit(wanted, window)
    samples, native, frames, name = read_samples(audio, name, limit, stated)
    if native is None and source_rate is not None:
        native = stated
    if samples.size == 0:
        raise AudioError("holds no samples", name)
    if bad := _not_finite(samples):
        raise AudioError(f"{bad[0]} of {samples.size} samples are not finite, the first at sample {bad[1]}", name)
    rate = wanted if native is None else native
    try:
        limit.heard(frames, rate)
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


def is_silent(samples: Float32[np.ndarray, " time"]) -> bool:
    """Whether no sample lies further from their mean than `SILENCE_DBFS` below full scale."""
    mean, bound = samples.mean(), 10 ** (SILENCE_DBFS / 20)
    pieces = (samples[start : start + _PIECE] for start in range(0, len(samples), _PIECE))
    return all(float(np.abs(piece - mean).max()) < bound for piece in pieces)


def decode(
    source: bytes | bytearray | memoryview | str | os.PathLike[str],
    name: str | None = None,
    limit: Limit | None = None,
) -> tuple[Float32[np.ndarray, " time"], int]:
    """Decode an audio file (wav, flac, ogg, opus, mp3, aiff …) or its bytes: mono float32 [time], and its own rate.

    Raises:
        AudioError: there is no such file, it is no audio, it ends before the audio that its header promises, or it is
            too long.
    """
    samples, rate, _, _ = _decode(source, name or _kind(source), limit or Limit())
    return samples, cast("int", rate)


def read_samples(
    audio: Any, name: str | None = None, limit: Limit | None = None, source_rate: int | None = None
) -> Samples:
    """Mono samples of any audio value at their own rate: `load`'s first half.

    source_rate  of a waveform that carries none, as far as the caller knows: it decides how much is heard
    """
    limit = limit or Limit()
    if isinstance(audio, Samples):
        return audio._replace(name=name or audio.name)
    if isinstance(audio, Mapping):
        return _read_mapping(cast("Mapping[Any, Any]", audio), name, limit, source_rate)
    name = name or _kind(audio)
    if isinstance(audio, str | os.PathLike | bytes | bytearray | memoryview):
        return _decode(audio, name, limit)
    if hasattr(audio, "get_all_samples"):  # torchcodec's decoder, without importing it
        return _read_decoder(audio, name, limit)
    if hasattr(audio, "read_bytes"):
        try:
            encoded = audio.read_bytes()
        except FileNotFoundError as error:  # other failures (the network) are not the clip's
            raise AudioError("no such file", name) from error
        return _decode(encoded, name, limit)
    return _of_array(audio, source_rate, None, name, limit)


def _decode(source: Any, name: str, limit: Limit) -> Samples:
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            decoded = decode_stream(BytesIO(source), limit)
        else:
            decoded = decode_file(source, limit)
    except AudioError as error:
        raise type(error)(error.reason, name) from error
    return Samples(decoded.samples, decoded.rate, decoded.frames, name)


def _read_mapping(audio: Mapping[Any, Any], name: str | None, limit: Limit, source_rate: int | None) -> Samples:
    for key in ("array", "raw"):
        if audio.get(key) is not None:
            name = name or _kind(audio.get("path") or audio[key])
            rate = audio.get("sampling_rate")
            rate = None if rate is None else _rate(rate, "sampling_rate", name)
            return _of_array(audio[key], source_rate if rate is None else rate, rate, name, limit)
    for key in ("bytes", "path"):
        if audio.get(key) is not None:
            return read_samples(audio[key], name or _kind(audio.get("path") or audio[key]), limit)
    keys = ", ".join(map(repr, audio)) or "nothing"
    raise AudioError(f"a dict of audio holds 'array', 'raw', 'bytes' or 'path', this one {keys}", name or "a dict")


def _of_array(values: Any, rate: int | None, carried: int | None, name: str, limit: Limit) -> Samples:
    try:
        samples, frames = as_mono(values, rate, limit)
    except AudioError as error:
        raise AudioError(error.reason, name) from error
    except MemoryError as error:
        raise AudioError("there is not the memory to convert it", name) from error
    return Samples(samples, carried, frames, name)


def _read_decoder(decoder: Any, name: str, limit: Limit) -> Samples:
    """Of torchcodec's decoder, as much as is heard where it says how long it is."""
    try:
        known = getattr(decoder, "metadata", None)
        seconds = getattr(known, "duration_seconds_from_header", None) or getattr(known, "duration_seconds", None)
        rate = getattr(known, "sample_rate", None)
        heard = total = None
        if seconds and rate and hasattr(decoder, "get_samples_played_in_range"):
            total = round(seconds * rate)
            heard = limit.heard(total, _rate(rate, "sampling_rate", name))
        if heard is None or total is None or rate is None or heard == total:
            decoded, total = decoder.get_all_samples(), None
        else:
            decoded = decoder.get_samples_played_in_range(0.0, (heard + 1) / rate)
    except AudioError as error:
        raise AudioError(error.reason, name) from error
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        raise AudioError(f"cannot be decoded: {error}", name) from error
    rate = _rate(decoded.sample_rate, "sampling_rate", name)
    samples = _of_array(decoded.data, rate, rate, name, limit)
    return samples if total is None else samples._replace(frames=total)


def _not_finite(samples: Float32[np.ndarray, " time"]) -> tuple[int, int] | None:
    """How many samples are not finite, and the first of them."""
    count, first = 0, 0
    for start in range(0, len(samples), _PIECE):
        bad = np.flatnonzero(~np.isfinite(samples[start : start + _PIECE]))
        if bad.size:
            first = first if count else start + int(bad[0])
            count += bad.size
    return (count, first) if count else None


def _rate(value: Any, what: str, name: str | None) -> int:
    try:
        rate = 0 if isinstance(value, bool | np.bool_) else int(value)
        whole = rate == float(value)
    except (TypeError, ValueError, OverflowError):
        rate, whole = 0, False
    if not whole or rate <= 0:
        raise AudioError(f"{what} must be a whole number of samples a second above 0, not {value!r}", name)
    try:
        return checked_rate(rate)
    except AudioError as error:
        raise AudioError(error.reason, name) from error


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"a waveform of shape {tuple(value.shape)} and type {value.dtype}"
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes of encoded audio"
    return str(value) if hasattr(value, "read_bytes") else f"a {type(value).__name__}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
