"""Whatever holds a clip to mono samples at their own rate: files, bytes, arrays, dicts, decoders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float32

from .decoding import decode_file, decode_stream
from .errors import AudioError
from .limits import Limit, checked_rate
from .waveforms import as_mono, kind_name, plain_samples


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
    audio = plain_samples(audio)
    name = name or kind_of(audio)
    if isinstance(audio, str | os.PathLike | bytes | bytearray | memoryview):
        return decode_samples(audio, name, limit)
    if hasattr(audio, "get_all_samples"):  # torchcodec's decoder, without importing it
        return _read_decoder(audio, name, limit)
    if hasattr(audio, "read_bytes"):
        try:
            encoded = audio.read_bytes()
        except FileNotFoundError as error:  # other failures (the network) are not the clip's
            raise AudioError("no such file", name) from error
        return decode_samples(encoded, name, limit)
    return _of_array(audio, source_rate, None, name, limit)


def decode_samples(source: Any, name: str, limit: Limit) -> Samples:
    """The samples of a file, or of its bytes. Raises AudioError, with the clip's name, for what cannot be decoded."""
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            decoded = decode_stream(BytesIO(source), limit)
        else:
            decoded = decode_file(source, limit)
    except AudioError as error:
        raise type(error)(error.reason, name) from error
    return Samples(decoded.samples, decoded.rate, decoded.frames, name)


def _read_mapping(audio: Mapping[Any, Any], name: str | None, limit: Limit, source_rate: int | None) -> Samples:
    key = next((key for key in ("array", "raw", "bytes", "path") if audio.get(key) is not None), None)
    if key is None:
        keys = ", ".join(map(repr, audio)) or "nothing"
        raise AudioError(f"a dict of audio holds 'array', 'raw', 'bytes' or 'path', this one {keys}", name or "a dict")
    name = name or kind_of(audio.get("path") or audio[key])
    if key in ("bytes", "path"):
        return read_samples(audio[key], name, limit)
    rate = audio.get("sampling_rate")
    rate = None if rate is None else whole_rate(rate, "sampling_rate", name)
    return _of_array(audio[key], source_rate if rate is None else rate, rate, name, limit)


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
        decoded, total = _decoder_samples(decoder, name, limit)
    except AudioError as error:
        raise AudioError(error.reason, name) from error
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        raise AudioError(f"cannot be decoded: {error}", name) from error
    rate = whole_rate(decoded.sample_rate, "sampling_rate", name)
    samples = _of_array(decoded.data, rate, rate, name, limit)
    return samples if total is None else samples._replace(frames=total)


def _decoder_samples(decoder: Any, name: str, limit: Limit) -> tuple[Any, int | None]:
    """What a decoder gives, and, where that is only a beginning, how many frames there are in all."""
    metadata = getattr(decoder, "metadata", None)
    seconds = getattr(metadata, "duration_seconds_from_header", None) or getattr(metadata, "duration_seconds", None)
    rate = getattr(metadata, "sample_rate", None)
    if seconds and rate and hasattr(decoder, "get_samples_played_in_range"):
        total = round(seconds * rate)
        most = limit.used_frames(total, whole_rate(rate, "sampling_rate", name))
        if most < total:
            return decoder.get_samples_played_in_range(0.0, (most + 1) / rate), total
    return decoder.get_all_samples(), None


def whole_rate(value: Any, what: str, name: str | None) -> int:
    """A rate as a caller or a dataset states it. Raises AudioError, naming `what`, if it is none."""
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


def kind_of(value: Any) -> str:
    """What errors call a clip without a name: its path, or the kind of value that it is."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"a waveform of shape {tuple(value.shape)} and type {value.dtype}"
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{memoryview(value).nbytes} bytes of encoded audio"
    return str(value) if hasattr(value, "read_bytes") else kind_name(value)
