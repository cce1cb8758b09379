"""Arrays of samples to mono float32."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from .errors import AudioError
from .limits import Limit

_MOST_CHANNELS = 32  # a wider array is a batch or a spectrogram, not a clip
_FLOATS_OF_NUMPY = (torch.float16, torch.float32, torch.float64)


def as_mono(values: Any, rate: int | None, limit: Limit) -> tuple[Float32[np.ndarray, " time"], int]:
    """A numpy, torch or plain waveform as float32 [time], PCM scaled to [-1, 1) and channels mixed by their mean.

    Only what the limit lets be heard of it is converted; the second value is how many frames there are.

    Raises AudioError for what is no waveform, and for one that is too long.
    """
    values = _as_array(values)
    time = 0 if values.ndim == 1 or values.shape[0] > values.shape[1] else 1
    frames = values.shape[time]
    rate = limit.sampling_rate if rate is None else rate
    used = frames if rate is None else limit.used_frames(frames, rate)
    if used < frames:
        values = values[:used] if time == 0 else values[:, :used]
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported by name, not warned of
        samples = _to_float(values)
        return (mixed(samples, axis=1 - time) if samples.ndim == 2 else samples), frames


def _as_array(values: Any) -> np.ndarray:
    """A waveform of one axis or two, as numbers of whatever type. Raises AudioError for what is none."""
    values = plain_samples(values)
    if isinstance(values, torch.Tensor):
        values = as_array(values)
    elif isinstance(values, list | tuple):
        try:
            values = np.asarray(values)
        except (ValueError, TypeError, RecursionError) as error:
            raise AudioError("a list of audio holds numbers, or lists of numbers that are all of one length") from error
    elif not isinstance(values, np.ndarray):
        raise AudioError(f"{kind_name(values)} is not audio: a path, the bytes of a file or an array of samples is")
    masked = np.ma.count_masked(values) if isinstance(values, np.ma.MaskedArray) else 0
    if masked:
        raise AudioError(f"{masked} of {values.size} samples are masked: fill them (array.filled(0)), or cut them out")
    values = np.asarray(values)  # of its subclasses, matrices have other shapes than theirs
    if values.ndim not in (1, 2):
        raise AudioError(f"a waveform has one axis, or two with channels; this one's shape is {values.shape}")
    if values.ndim == 2 and min(values.shape) > _MOST_CHANNELS:
        raise AudioError(
            f"shape {values.shape} would be {min(values.shape)} channels: several clips go in a list, features by name"
        )
    return values


def plain_samples(value: Any) -> Any:
    """Samples that another library holds (a table's column, a buffer, its own arrays) as an array; else the value."""
    if isinstance(value, np.ndarray | np.generic | torch.Tensor) or not _holds_numbers(value):
        return value
    try:
        return np.asarray(value)
    except Exception:  # another library's
        return value


def _holds_numbers(value: Any) -> bool:
    if isinstance(value, memoryview):
        return value.format not in ("B", "b", "c")  # those of an encoded file
    return isinstance(value, array) or hasattr(value, "__array__")


def kind_name(value: Any) -> str:
    """What a value is, for a sentence: `None`, `an int`, `a set`."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor of any layout and type as an array, narrow floats widened. Raises AudioError if it holds no values."""
    try:
        if tensor.is_nested:
            raise AudioError("a nested tensor is a batch, not a clip")
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
        tensor = tensor.to_dense() if tensor.layout != torch.strided else tensor
        tensor = tensor.dequantize() if tensor.is_quantized else tensor
        narrow = tensor.is_floating_point() and tensor.dtype not in _FLOATS_OF_NUMPY
        return (tensor.float() if narrow else tensor).numpy()
    except (RuntimeError, TypeError) as error:  # of no device (meta), or of a type that numpy lacks
        raise AudioError(f"a tensor whose values cannot be read: {str(error).partition(chr(10))[0]}") from error


def mixed(samples: np.ndarray, axis: int) -> Float32[np.ndarray, " time"]:
    """The mean of the channels, which lie on `axis`."""
    if samples.shape[axis] == 1 or samples.size == 0:
        return samples.reshape(-1)
    return samples.mean(axis=axis, dtype=np.float64).astype(np.float32)


def _to_float(values: np.ndarray) -> np.ndarray:
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    if kind == "f":
        return values.astype(np.float32, copy=False)
    if kind == "i" and bits <= 32:
        return values.astype(np.float32) * np.float32(2.0 ** (1 - bits))
    if kind == "u" and bits == 8:
        return (values.astype(np.float32) - 128) / 128
    raise AudioError(
        f"{_type_name(values.dtype)} is not audio: floats, or PCM of type int8, int16, int32 or uint8, are"
    )


def _type_name(dtype: np.dtype[Any]) -> str:
    if dtype.names:
        return f"an array of records ({', '.join(dtype.names)}; one of its fields may be)"
    return (
        "an array of objects (astype('float32') makes numbers of it, if it holds some)"
        if dtype.hasobject
        else str(dtype)
    )
