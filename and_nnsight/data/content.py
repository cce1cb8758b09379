"""A hash of Python values that hold clips: two sequences share it only if a run would see the same in both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..audio.errors import AudioError
from ..audio.waveforms import as_array, plain_samples
from .file_signatures import file_state
from .text import is_missing
from .values import RATES, read_whole

_OF_OBJECTS = ("waveform", *RATES, "label", "caption", "path")


def add_content(digest: Any, value: Any) -> bool:
    """Add a clip's content to a digest of hashlib's; False where the value does not show it, or holds itself."""
    try:
        return _add(digest, plain_samples(value))
    except RecursionError:
        return False


def _add(digest: Any, value: Any) -> bool:
    if isinstance(value, np.ndarray | torch.Tensor):
        return _add_array(digest, value)
    if isinstance(value, str | os.PathLike):
        return _add_path(digest, os.fspath(value))
    if isinstance(value, bytes | bytearray | memoryview):
        digest.update(f"bytes {len(value)}".encode())
        digest.update(value)
        return True
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _add_collection(digest, value)
    if is_missing(value) or isinstance(value, int | float | np.generic):
        digest.update(_number_text(value).encode())
        return True
    return _add_object(digest, value)


def _add_array(digest: Any, array: np.ndarray | torch.Tensor) -> bool:
    if isinstance(array, torch.Tensor):
        try:
            array = as_array(array)
        except AudioError:
            return False
    if isinstance(array, np.ma.MaskedArray):
        digest.update(np.packbits(np.ma.getmaskarray(array)).data)
        array = array.data
    digest.update(f"array {array.dtype.str} {array.shape}".encode())
    if array.dtype.hasobject:
        return all(_add(digest, part) for part in array.ravel().tolist())
    if array.dtype in (np.longdouble, np.clongdouble):  # in which some bytes hold whatever was there before
        array = np.stack([np.real(array), np.imag(array)]).astype(np.float64)
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return True


def _add_path(digest: Any, path: str | bytes) -> bool:
    """Text; of a file that it names also size, time of change and samples."""
    if isinstance(path, bytes):
        return _add(digest, path)
    digest.update(f"text {path!r}".encode("utf-8", "surrogatepass"))
    if state := file_state(path):
        digest.update(state.encode())
    return True


def _add_collection(digest: Any, parts: Any) -> bool:
    if isinstance(parts, set | frozenset):
        parts = sorted(parts, key=str)
    if isinstance(parts, Mapping):
        digest.update(f"dict {len(parts)}".encode())
        return all(_add(digest, str(key)) and _add(digest, plain_samples(part)) for key, part in parts.items())
    digest.update(f"list {len(parts)}".encode())
    if all(isinstance(part, int | float) for part in parts):
        digest.update(_number_text(parts).encode())
        return True
    return all(_add(digest, plain_samples(part)) for part in parts)


def _add_object(digest: Any, value: Any) -> bool:
    if hasattr(value, "waveform"):
        return all(_add(digest, plain_samples(getattr(value, name, None))) for name in _OF_OBJECTS)
    if hasattr(value, "to_dict"):  # a row of pandas
        return _add(digest, value.to_dict())
    if hasattr(value, "read") and hasattr(value, "seek"):
        return _add(digest, read_whole(value))
    return False


def _number_text(value: Any) -> str:
    """Numbers as text, also those of so many digits that Python refuses to write them."""
    try:
        return repr(value)
    except ValueError:
        return ", ".join(hex(part) if isinstance(part, int) else repr(part) for part in np.atleast_1d(value).tolist())
