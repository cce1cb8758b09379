"""Any audio value to a mono float32 waveform at a wanted rate.

Three verbs: `decode` reads an encoded file, `to_waveform` takes any audio value, `load` does the same and also says how
long the clip was. What cannot be used raises `AudioError`, which names the clip.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
import torch
import torchaudio.functional
from jaxtyping import Float32

_Stream = io.BufferedReader | io.BytesIO
_BLOCK = 2**20  # frames decoded at a time: a header that promises far too many costs no memory
_LONGEST = 2**30  # samples at the wanted rate: a damaged header may claim a rate of 1 Hz
_LARGEST_KERNEL = 2**23  # entries of torchaudio's resampling table: rates without a common divisor need a huge one


_MOST_CHANNELS = 32


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
        return _decode(io.BytesIO(source), None, name)
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


def _decode(stream: _Stream, path: Path | None, name: str) -> tuple[Float32[np.ndarray, " time"], int]:
    size = stream.seek(0, os.SEEK_END)
    if size == 0:
        raise AudioError("holds no bytes", name)
    start = _check_container(stream, size, name)
    stream.seek(0)
    place = os.fsencode(path) if path is not None and os.name == "posix" else path  # names need not be UTF-8
    source: Any = (place or stream) if start is None else _with_open_end(stream, start)
    try:
        with _Sequential(source) as sound:
            if sound.format != "MP3":
                return _read_frames(sound, name), sound.samplerate
        stream.seek(0)
        content = stream.read()
        completed = _with_contents(content)
        with _Sequential(io.BytesIO(completed or content)) as sound:
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


def _check_container(stream: _Stream, size: int, name: str) -> int | None:
    """Raise if the container holds less than it promises: libsndfile reads a cut wav, aiff or ogg as a shorter one.

    Returns the position of a wav's samples where their size was never filled in (written to a pipe), else None.
    """
    stream.seek(0)
    head = stream.read(12)
    if head[:4] == b"OggS":
        end = _end_of_pages(stream, size)
        if end != size and end is not None:
            raise AudioError(f"is truncated: its last page ends at byte {end}, the file at {size}", name)
        return None
    order = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">", b"FORM": ">"}.get(head[:4])
    if order is None or head[8:12] not in (b"WAVE", b"AIFF", b"AIFC"):
        return None
    wide = None
    for identifier, position, length in _chunks(stream, size, 12, order):
        if identifier == b"ds64":
            wide = int.from_bytes(stream.read(16)[8:], "little")
        if identifier in (b"data", b"SSND"):
            promised = wide if wide and length == 0xFFFFFFFF else length
            there = size - position
            if _never_filled_in(stream, size, position, promised, order):
                return position
            if promised > there:
                raise AudioError(
                    f"is truncated: its header promises {promised} bytes of samples, {there} are there", name
                )
            break
    return None


def _with_contents(content: bytes) -> bytes | None:
    """An mp3 that counts its frames nowhere, with a first frame put before it that does; None for any other file.

    libsndfile takes the length of such a file from its first frame's bit rate and drops what lies beyond: half of a
    file of variable rate. The count put in is far too high, so that all frames are read.
    """
    tag = 10 + sum((byte & 127) << 7 * i for i, byte in enumerate(content[9:5:-1])) if content[:3] == b"ID3" else 0
    frame = re.compile(rb"\xff[\xe2-\xff]..", re.DOTALL).search(content, tag)
    if frame is None or re.search(rb"Xing|Info|VBRI", content[frame.start() : frame.start() + 200]):
        return None
    _, second, third, fourth = frame.group()
    halvings = {3: 0, 2: 1, 0: 2}.get(second >> 3 & 3, 0)  # of the rate: MPEG 1, 2, 2.5
    rate = (44100, 48000, 32000, 32000)[third >> 2 & 3] >> halvings
    first = bytearray((72 * 80000 if halvings else 144 * 128000) // rate)
    first[:4] = 0xFF, second | 1, 0x90 | third & 0x0C, fourth
    side = (9 if halvings else 17) if fourth >> 6 == 3 else (17 if halvings else 32)
    first[4 + side : 16 + side] = b"Xing" + struct.pack(">II", 1, 2**20)
    return content[: frame.start()] + first + content[frame.start() :]


def _chunks(stream: _Stream, size: int, position: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """(identifier, position of the content, its length) of each chunk of a RIFF or IFF file."""
    while position + 8 <= size:
        stream.seek(position)
        identifier, length = struct.unpack(f"{order}4sI", stream.read(8))
        position += 8
        yield identifier, position, length
        position += length + length % 2


def _never_filled_in(stream: _Stream, size: int, position: int, length: int, order: str) -> bool:
    """Whether a chunk's length is what programs write that do not know it yet: 0, or about 2³¹ or 2³²."""
    if length:
        return length > size - position and (length >= 0xFFFFF000 or 0x7FFFF000 <= length <= 0x80001000)
    following = _chunks(stream, size, position, order)  # of a really empty one: proper chunks up to the end
    return any(not re.fullmatch(rb"[ -~]{4}", identifier) or length > size for identifier, _, length in following)


def _with_open_end(stream: _Stream, position: int) -> io.BytesIO:
    """The file in memory, the length of its samples written as `up to the end`."""
    content = bytearray(stream.read())
    content[position - 4 : position] = content[4:8] = b"\xff" * 4
    return io.BytesIO(content)


def _end_of_pages(stream: _Stream, size: int) -> int | None:
    """Where an ogg's last page should end; None where something else follows a whole page."""
    position = 0
    while position < size:
        stream.seek(position)
        header = stream.read(27)
        if not b"OggS".startswith(header[:4]):
            return None
        if len(header) < 27:
            return position + 27
        table = stream.read(header[26])
        position += 27 + header[26] + sum(table)
        if len(table) < header[26]:
            return position
    return position
