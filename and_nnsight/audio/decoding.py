"""Encoded files to mono float32: what `containers` finds in them, decoded by libsndfile up to what is heard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import soundfile
from jaxtyping import Float32

from .containers import Contents, Encoded, Part, Pieces, Stream, examine
from .errors import AudioError, Truncated
from .limits import Limit, checked_channels, checked_rate
from .standard_error import decoder_messages
from .waveforms import mixed

_BLOCK = 2**18  # samples of all channels that are decoded at a time
_OF_CUTS = "part2_3_length"  # what libmpg123 says of a frame whose beginning lies in one that was cut off before it
_UNKNOWN = 2**62  # libsndfile says 2⁶³ - 1 of a flac of unknown length


class Decoded(NamedTuple):
    """Mono samples at their own rate, and how many frames the source has, read or not."""

    samples: Float32[np.ndarray, " time"]
    rate: int
    frames: int


def decode_file(path: str | os.PathLike[str], limit: Limit) -> Decoded:
    """Decode a file. Raises AudioError, as `decode_stream` does and where there is no such file."""
    place = Path(path)
    try:
        if not place.is_file():
            raise AudioError("is not a file" if place.exists() else _absence(os.fspath(path)))
        with place.open("rb") as stream:
            return decode_stream(stream, limit)
    except OSError as error:
        raise AudioError(f"cannot be opened: {error.strerror}") from error


def _absence(path: str) -> str:
    return "an address, and those are not fetched: download it first" if "://" in path else "no such file"


def decode_stream(stream: Stream, limit: Limit) -> Decoded:
    """Decode as much of a file as the limit lets be heard.

    Raises AudioError for what is no audio, is cut short or damaged, or is too long to be heard whole.
    """
    encoded = Encoded(stream)
    if encoded.size == 0:
        raise AudioError("holds no bytes")
    try:
        contents = examine(encoded, limit)
        return _decode(encoded, contents, limit)
    except MemoryError as error:
        raise AudioError("there is not the memory to decode it") from error


def _decode(encoded: Encoded, contents: Contents, limit: Limit) -> Decoded:
    pieces: list[np.ndarray] = []
    rate, read, frames, weight = None, 0, 0, 0
    for part in contents.parts:
        decoded = _decode_part(encoded, part, limit, rate, read)
        rate = decoded.rate
        pieces.append(decoded.samples)
        read += len(decoded.samples)
        frames += decoded.frames
        weight += part.weight
        if read == limit.frames(rate):
            break
    if rate is None:
        return Decoded(np.empty(0, np.float32), limit.sampling_rate or 1, 0)
    if read == limit.frames(rate):  # there may be more than was read
        weights = sum(part.weight for part in contents.parts)
        frames = max(read, contents.frames or round(frames * (weights / weight if weight else 1.0) / contents.share))
        limit.used_frames(frames, rate)
    return Decoded(pieces[0] if len(pieces) == 1 else np.concatenate(pieces), rate, frames)


def _decode_part(encoded: Encoded, part: Part, limit: Limit, rate: int | None, read: int) -> Decoded:
    """One part, up to what is heard of it behind `read` frames of parts before it, which are at `rate`."""
    if not part.speaks:
        return _decode_silently(encoded, part, limit, rate, read)
    with decoder_messages() as messages:
        decoded = _decode_silently(encoded, part, limit, rate, read)
    complaint = next((words for words in messages if "error:" in words and _OF_CUTS not in words), None)
    if complaint is not None:
        words = complaint.partition("error:")[2].strip(" !")
        raise AudioError(f"is damaged: a frame of it cannot be decoded ({words})")
    return decoded


def _decode_silently(encoded: Encoded, part: Part, limit: Limit, rate: int | None, read: int) -> Decoded:
    with _opened(encoded, part) as sound:
        checked_channels(sound.channels)
        own = checked_rate(sound.samplerate)
        if rate not in (None, own):
            raise AudioError(f"is a chain of recordings at {rate} and {own} Hz: split it into its parts")
        most = limit.frames(own) - read
        promised = sound.frames if part.frames is None and sound.frames < _UNKNOWN else part.frames
        samples = _read(sound, most if promised is None or part.shortage else min(most, promised))
    if promised is None:
        return Decoded(samples, own, len(samples))
    if min(promised, most) - len(samples) > part.shortage:
        raise Truncated(f"its header promises {promised} samples, {len(samples)} are there")
    is_promised = not part.shortage or len(samples) == most  # else the decoder may have left out some at the ends
    return Decoded(samples, own, promised if is_promised else len(samples))


class _Sequential(soundfile.SoundFile):
    """Reads forwards only: libsndfile cannot seek in a flac of unknown length."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        super().__init__(cast("BinaryIO", pieces))

    def seekable(self) -> bool:
        """False."""
        return False


def _opened(encoded: Encoded, part: Part) -> _Sequential:
    pieces = Pieces(encoded, part.pieces)
    try:
        return _Sequential(pieces)
    except (RuntimeError, TypeError) as error:  # LibsndfileError's own message holds a memory address
        if pieces.error is not None:
            raise pieces.error from error
        raise AudioError(f"is not audio that can be read: {_reason(error)}") from error


def _read(sound: _Sequential, most: int) -> Float32[np.ndarray, " time"]:
    """Up to so many frames, mixed to mono; fewer where the sound ends."""
    samples = np.empty(most, np.float32)  # of which only what is written to takes memory
    frames = max(1, _BLOCK // sound.channels)
    block = np.empty((min(frames, max(1, most)), sound.channels), np.float32)
    done = 0
    while done < most:
        wanted = min(frames, most - done)
        try:
            chunk = sound.read(wanted, always_2d=True, out=block[:wanted])
        except soundfile.LibsndfileError as error:
            if sound.pieces.error is not None:
                raise sound.pieces.error from error
            raise AudioError(f"is damaged or truncated: {_reason(error)}") from error
        with np.errstate(over="ignore", invalid="ignore"):
            samples[done : done + len(chunk)] = mixed(chunk, axis=1)
        done += len(chunk)
        if len(chunk) < wanted:
            break
    if sound.pieces.error is not None:
        raise sound.pieces.error
    return samples if done == most else samples[:done].copy()


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip()
