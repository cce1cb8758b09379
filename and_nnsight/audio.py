"""Any audio value to a mono float32 waveform at a wanted rate.

Three verbs: `decode` reads an encoded file, `to_waveform` takes any audio value, `load` does the same and also says how
long the clip was. What cannot be used raises `AudioError`, which names the clip.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
import torch
import torchaudio.functional
from jaxtyping import Float32

from .containers import Memory, Stream, Truncated, check_container, with_contents, with_open_end

SILENCE_DBFS = -75.0
"""Below it there is nothing to be heard: dither, the noise of a recorder that is switched off."""
_BLOCK = 2**20  # frames decoded at a time: a header that promises far too many costs no memory
_LONGEST = 2**30  # samples at the wanted rate: a damaged header may claim a rate of 1 Hz
_MOST_CHANNELS = 32  # a wider array is a batch or a spectrogram, not a clip
_LARGEST_KERNEL = 2**23  # entries of torchaudio's resampling table: rates without a common divisor need a huge one


class AudioError(ValueError):
    """Audio that cannot be used: empty, not finite, unreadable, cut short or of a wrong shape.

    `name` is the clip, `reason` what is wrong with it; the message holds both.
    """

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason = reason
        self.name = name

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str | None]]:
        return type(self), (self.reason, self.name)  # else a worker process would send the message back as the reason


@dataclass(frozen=True)
class Waveform:
    """A clip ready for a model.

    Attributes:
        samples: float32 [time], mono, at `sampling_rate`.
        sampling_rate: samples a second, the wanted rate.
        source_rate: samples a second of the source; None where neither the value nor the caller stated it.
        seconds: duration of the source, before resampling.
    """

    samples: Float32[np.ndarray, " time"]
    sampling_rate: int
    source_rate: int | None
    seconds: float


def load(audio: Any, sampling_rate: int, *, source_rate: int | None = None, name: str | None = None) -> Waveform:
    """Any audio value as a mono `Waveform` at `sampling_rate`.

    Args:
        audio: a path; the bytes of an encoded file; a 1-D waveform (numpy, torch or a list of floats; float, or PCM of
            int8, int16, int32 or uint8); a 2-D one, whose shorter axis is the channels; `{"array", "sampling_rate"}`,
            `{"raw", "sampling_rate"}` or `{"bytes", "path"}`; a decoded `datasets` Audio value; or an object whose
            `read_bytes()` gives an encoded file.
        sampling_rate: the wanted rate in samples a second.
        source_rate: the rate of a waveform that does not carry its own. None: it is at `sampling_rate`.
        name: what errors call the clip. None: its path, or the kind of value.

    Raises:
        AudioError: the audio is empty, not finite, unreadable, cut short, or not of a shape or type that is audio.
    """
    wanted = _rate(sampling_rate, "sampling_rate", name)
    samples, native, name = read_samples(audio, name)
    if native is None and source_rate is not None:
        native = _rate(source_rate, "source_rate", name)
    if samples.size == 0:
        raise AudioError("holds no samples", name)
    bad = np.flatnonzero(~np.isfinite(samples))
    if bad.size:
        raise AudioError(f"{bad.size} of {samples.size} samples are not finite, the first at sample {bad[0]}", name)
    rate = wanted if native is None else native
    if len(samples) * wanted / rate > _LONGEST:
        raise AudioError(f"{len(samples)} samples at {rate} Hz are too long a clip ({len(samples) / rate:.0f} s)", name)
    resampled = np.require(resample(samples, rate, wanted), np.float32, ["C", "W"])
    if not np.isfinite(resampled).all():
        raise AudioError("samples this loud cannot be resampled in float32", name)
    return Waveform(resampled, wanted, native, len(samples) / rate)


def to_waveform(
    audio: Any, sampling_rate: int, *, source_rate: int | None = None, name: str | None = None
) -> Float32[np.ndarray, " time"]:
    """Any audio value as float32 [time] at `sampling_rate`. Arguments and errors are those of `load`.

    A writable, contiguous float32 waveform that is already at that rate is returned as it is, not copied.
    """
    return load(audio, sampling_rate, source_rate=source_rate, name=name).samples


def content_hash(samples: Float32[np.ndarray, " time"]) -> str:
    """16 hex digits that two clips share if, and in practice only if, their samples are the same."""
    return hashlib.blake2b(np.ascontiguousarray(samples).data, digest_size=8).hexdigest()


def is_silent(samples: Float32[np.ndarray, " time"]) -> bool:
    """Whether no sample lies further from their mean than `SILENCE_DBFS` below full scale."""
    return float(np.abs(samples - samples.mean()).max()) < 10 ** (SILENCE_DBFS / 20)


def resample(
    samples: Float32[np.ndarray, " time"], source_rate: int, sampling_rate: int
) -> Float32[np.ndarray, " new"]:
    """Band-limited interpolation from one rate to another: ceil(time · sampling_rate / source_rate) samples."""
    if source_rate == sampling_rate:
        return samples
    divisor = math.gcd(source_rate, sampling_rate)
    old, new = source_rate // divisor, sampling_rate // divisor
    if new * (old + 2 * _filter_width(old, new)) > _LARGEST_KERNEL:
        return _resample_without_table(samples, old, new)
    waveform = torch.from_numpy(np.require(samples, np.float32, ["C", "W"]))
    return torchaudio.functional.resample(waveform, old, new).numpy()


def decode(
    source: bytes | bytearray | memoryview | str | os.PathLike[str], name: str | None = None
) -> tuple[Float32[np.ndarray, " time"], int]:
    """Decode an audio file (wav, flac, ogg, opus, mp3, aiff …) or its bytes: mono float32 [time], and its own rate.

    Raises:
        AudioError: there is no such file, it is no audio, or it ends before the audio that its header promises.
    """
    name = name or _kind(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(Memory(source), None, name)
    path = Path(source)
    try:
        if not path.is_file():
            raise AudioError("is not a file" if path.exists() else "no such file", name)
        with path.open("rb") as stream:
            return _decode(stream, path, name)
    except OSError as error:
        raise AudioError(f"cannot be opened: {error.strerror}", name) from error


def read_samples(audio: Any, name: str | None = None) -> tuple[Float32[np.ndarray, " time"], int | None, str]:
    """Mono samples at their own rate, that rate if the value carries it, and the clip's name: `load`'s first half."""
    if isinstance(audio, Mapping):
        return _read_mapping(cast("Mapping[Any, Any]", audio), name)
    name = name or _kind(audio)
    if isinstance(audio, str | os.PathLike | bytes | bytearray | memoryview):
        return *decode(audio, name), name
    if hasattr(audio, "get_all_samples"):  # torchcodec's decoder, without importing it
        try:
            decoded = audio.get_all_samples()
        except (RuntimeError, ValueError, OSError) as error:
            raise AudioError(f"cannot be decoded: {error}", name) from error
        return _mono(decoded.data, name), _rate(decoded.sample_rate, "sampling_rate", name), name
    if hasattr(audio, "read_bytes"):
        try:
            encoded = audio.read_bytes()
        except FileNotFoundError as error:  # other failures (the network) are not the clip's
            raise AudioError("no such file", name) from error
        return *decode(encoded, name), name
    return _mono(audio, name), None, name


def _read_mapping(audio: Mapping[Any, Any], name: str | None) -> tuple[Float32[np.ndarray, " time"], int | None, str]:
    for key in ("array", "raw"):
        if audio.get(key) is not None:
            name = name or _kind(audio.get("path") or audio[key])
            rate = audio.get("sampling_rate")
            return _mono(audio[key], name), None if rate is None else _rate(rate, "sampling_rate", name), name
    for key in ("bytes", "path"):
        if audio.get(key) is not None:
            return read_samples(audio[key], name or _kind(audio.get("path") or audio[key]))
    keys = ", ".join(map(repr, audio)) or "nothing"
    raise AudioError(f"a dict of audio holds 'array', 'raw', 'bytes' or 'path', this one {keys}", name or "a dict")


def _mono(values: Any, name: str) -> Float32[np.ndarray, " time"]:
    """A numpy, torch or plain waveform as float32 [time], PCM scaled to [-1, 1) and channels mixed by their mean."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    elif not isinstance(values, np.ndarray):
        if not isinstance(values, list | tuple):
            raise AudioError(f"a {type(values).__name__} is not audio", name)
        try:
            values = np.asarray(values)
        except (ValueError, TypeError) as error:
            raise AudioError(f"a list of audio holds numbers, all rows of one length: {error}", name) from error
    if values.ndim not in (1, 2):
        raise AudioError(f"a waveform has one axis, or two with channels; this one's shape is {values.shape}", name)
    if values.ndim == 2 and min(values.shape) > _MOST_CHANNELS:
        raise AudioError(
            f"shape {values.shape} would be {min(values.shape)} channels: several clips go in a list, features by name",
            name,
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported by name, not warned of
        samples = _to_float(values, name)
        if samples.ndim == 2:
            samples = _mix(samples, axis=0 if samples.shape[0] <= samples.shape[1] else 1)
    return samples


def _to_float(values: np.ndarray, name: str) -> np.ndarray:
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    if kind == "f":
        return values.astype(np.float32, copy=False)
    if kind == "i" and bits <= 32:
        return values.astype(np.float32) * np.float32(2.0 ** (1 - bits))
    if kind == "u" and bits == 8:
        return (values.astype(np.float32) - 128) / 128
    raise AudioError(f"{values.dtype} is not audio: floats, or PCM of type int8, int16, int32 or uint8, are", name)


def _mix(samples: np.ndarray, axis: int) -> Float32[np.ndarray, " time"]:
    if samples.shape[axis] == 1 or samples.size == 0:
        return samples.reshape(-1)
    return samples.mean(axis=axis, dtype=np.float64).astype(np.float32)


def _rate(value: Any, what: str, name: str | None) -> int:
    try:
        rate = 0 if isinstance(value, bool | np.bool_) else int(value)
        whole = rate == float(value)
    except (TypeError, ValueError, OverflowError):
        rate, whole = 0, False
    if not whole or rate <= 0:
        raise AudioError(f"{what} must be a whole number of samples a second above 0, not {value!r}", name)
    return rate


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"a waveform of shape {tuple(value.shape)} and type {value.dtype}"
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes of encoded audio"
    return str(value) if hasattr(value, "read_bytes") else f"a {type(value).__name__}"


def _filter_width(old: int, new: int) -> int:
    """Samples on either side that torchaudio's default filter (6 zero crossings, roll-off 0.99) reaches."""
    return math.ceil(6 * old / (min(old, new) * 0.99))


def _resample_without_table(samples: Float32[np.ndarray, " time"], old: int, new: int) -> Float32[np.ndarray, " new"]:
    """torchaudio's filter (Hann-windowed sinc), evaluated at each output sample.

    Its table grows as old · new (44,101 → 16,000 Hz: gigabytes); this needs a few megabytes at any ratio.
    """
    width, cutoff = _filter_width(old, new), min(old, new) * 0.99
    taps = np.arange(-width, width + 2)
    padded = np.pad(samples.astype(np.float64), (width, width + 2))
    resampled = np.empty(-(-len(samples) * new // old), np.float32)
    step = max(1, 2**18 // len(taps))
    for start in range(0, len(resampled), step):
        positions = np.arange(start, min(start + step, len(resampled)))
        nearest, remainder = np.divmod(positions * old, new)
        distance = np.clip((taps - (remainder / new)[:, None]) * (cutoff / old), -6, 6)
        kernel = np.sinc(distance) * np.cos(distance * np.pi / 12) ** 2 * (cutoff / old)
        near = padded[nearest[:, None] + taps + width]
        with np.errstate(over="ignore"):
            resampled[start : start + len(positions)] = np.einsum("nt,nt->n", near, kernel)
    return resampled


class _Sequential(soundfile.SoundFile):
    """Reads forwards only: libsndfile cannot seek in a flac of unknown length."""

    def seekable(self) -> bool:
        return False


def _decode(stream: Stream, path: Path | None, name: str) -> tuple[Float32[np.ndarray, " time"], int]:
    size = stream.seek(0, os.SEEK_END)
    if size == 0:
        raise AudioError("holds no bytes", name)
    try:
        start = check_container(stream, size)
    except Truncated as error:
        raise AudioError(f"is truncated: {error}", name) from error
    stream.seek(0)
    place = os.fsencode(path) if path is not None and os.name == "posix" else path  # names need not be UTF-8
    source: Any = (place or stream) if start is None else with_open_end(stream, start)
    try:
        with _Sequential(source) as sound:
            if sound.format != "MP3":
                return _read_frames(sound, name), sound.samplerate
        stream.seek(0)
        content = stream.read()
        completed = with_contents(content)
        with _Sequential(Memory(completed or content)) as sound:
            return _read_frames(sound, name, open_end=completed is not None), sound.samplerate
    except (RuntimeError, TypeError) as error:  # LibsndfileError's own message holds a memory address
        reason = str(getattr(error, "error_string", error)).strip()
        reason = "Format not recognised." if "not a regular file" in reason else reason  # said of text named .mp3
        raise AudioError(f"is not audio that can be read: {reason}", name) from error


def _read_frames(sound: soundfile.SoundFile, name: str, *, open_end: bool = False) -> Float32[np.ndarray, " time"]:
    promised = None if open_end or sound.frames > 2**62 else sound.frames  # 2⁶³ - 1: a flac of unknown length
    blocks, done = list[np.ndarray](), 0
    while promised is None or done < promised:
        wanted = _BLOCK if promised is None else min(_BLOCK, promised - done)
        try:
            block = sound.read(wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"is damaged or truncated: {error.error_string.strip()}", name) from error
        with np.errstate(over="ignore", invalid="ignore"):
            blocks.append(_mix(block, axis=1))
        done += len(block)
        if len(block) < wanted:
            break
    if promised is not None and promised - done > (max(2304, promised // 20) if sound.format == "MP3" else 0):
        raise AudioError(f"is truncated: its header promises {promised} samples, {done} are there", name)
    return blocks[0] if len(blocks) == 1 else np.concatenate([np.empty(0, np.float32), *blocks])
