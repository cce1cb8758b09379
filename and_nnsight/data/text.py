"""What a dataset says of a clip, as text that every file takes: labels, captions, paths."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import torch

from ..audio.waveforms import kind_name

_MISSING = ("NAType", "NaTType")  # pandas' marks of a value that is not there; NaN is the other


def text(value: Any) -> str | None:
    """A label or caption as text; several are joined. Tensors and numpy's scalars read as numbers, NaN as nothing."""
    try:
        return _text(value)
    except RecursionError:  # it holds itself
        return _unwritable(value)


def _text(value: Any) -> str | None:
    value = plain(value)
    if value is None:
        return None
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)  # else their order would change from one process to the next
    if isinstance(value, list | tuple):
        return ", ".join(part for part in map(_text, value) if part is not None)
    try:
        return encodable(str(value))
    except RecursionError:
        raise
    except Exception:  # of an object of the user's; or a number of more digits than Python writes
        return _unwritable(value)


def _unwritable(value: Any) -> str:
    return f"{kind_name(value)} that cannot be written"


def plain(value: Any) -> Any:
    """The Python value of a tensor, an array or a numpy scalar (a list for several); None for a missing one."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().tolist()
    elif isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return None if is_missing(value) else value


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, pandas' NA and NaT."""
    return value is None or type(value).__name__ in _MISSING or (isinstance(value, float) and math.isnan(value))


def encodable(words: str) -> str:
    """Text that UTF-8 has a place for: halves of a character that lie side by side are joined, lone ones become �."""
    try:
        words.encode()
    except UnicodeEncodeError:
        return words.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return words


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text that can be written: file names need not be UTF-8."""
    name = os.fspath(path)
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte: such a file cannot exist
        return name.encode("utf-8", "backslashreplace").decode()
