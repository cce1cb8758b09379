"""What a module was set up with, as text that is the same in every process: numbers, names, arrays and functions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import nn

from ..audio.errors import AudioError
from ..audio.waveforms import as_array
from ..storage import short_hash
from .code_text import code_text, is_own, own_functions
from .origins import LIBRARIES, root_package

_DEEPEST = 4  # of what attributes hold
_PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, Enum)


def plain_text(value: Any, depth: int = 0) -> str | None:
    """A plain value, several of them, an array or a function; None for anything else."""
    if value is None or isinstance(value, _PLAIN):
        return repr(value)
    if depth == _DEEPEST or isinstance(value, nn.Module):
        return None
    if isinstance(value, torch.Tensor | np.ndarray):
        return array_text(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _collection_text(value, depth)
    return _function_text(value, depth) if callable(value) else None


def array_text(value: torch.Tensor | np.ndarray) -> str | None:
    """Type, shape and a hash of the values of a tensor or an array; None where it has none that can be read."""
    try:
        array = as_array(value) if isinstance(value, torch.Tensor) else value
    except AudioError:
        return None
    if array.dtype.hasobject:
        return None
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).tobytes()
    return f"{array.dtype.str}{array.shape}{short_hash(content)}"


def _collection_text(value: Any, depth: int) -> str | None:
    if isinstance(value, Mapping):
        value = [part for key in sorted(value, key=str) for part in (str(key), value[key])]
    texts = [plain_text(part, depth + 1) for part in value]
    if None in texts:
        return None
    return repr(texts if isinstance(value, list | tuple) else sorted(map(str, texts)))


def _function_text(function: Any, depth: int) -> str:
    """A function by its name, and one without, or of somebody's own, by its code; with what it carries along."""
    named: Any = function if hasattr(function, "__qualname__") else type(function)
    name = f"{named.__module__}.{named.__qualname__}"
    nameless = "<l" in name or root_package(function) not in LIBRARIES  # a lambda, a local function, somebody's own
    carriage = [plain_text(part, depth + 1) for part in _carriage(function)]
    return f"{name} {code_text(*_code_of(function)) if nameless else ''} {carriage}"


def _code_of(function: Any) -> list[FunctionType]:
    """The functions that run when this one is called; none for those that are not written in Python."""
    function = getattr(function, "__func__", function)
    if isinstance(function, FunctionType):
        return [function]
    return [] if isinstance(function, type) or not is_own(type(function)) else list(own_functions(type(function)))


def class_text(kind: type) -> str:
    """What a class of somebody's own does and holds, its own bases included; empty for a library's."""
    own = [base for base in kind.__mro__ if is_own(base)]
    if not own:
        return ""
    values = [(name, plain_text(value)) for base in own for name, value in sorted(vars(base).items()) if _is_held(name)]
    return f"{code_text(*own_functions(kind))} {[pair for pair in values if pair[1] is not None]}"


def _is_held(name: str) -> bool:
    """Whether a name in a class is of a value of its own, and no note of Python's."""
    return not (name.startswith("__") and name.endswith("__")) and not name.startswith("_abc_")


def _carriage(function: Any) -> list[Any]:
    """What a function carries along besides its code: arguments, cells, an owner."""
    if isinstance(function, partial):
        return [function.func, function.args, function.keywords]
    if isinstance(function, MethodType):
        return [function.__self__]
    if isinstance(function, FunctionType):
        cells = [cell.cell_contents for cell in function.__closure__ or () if cell != CellType()]
        return [function.__defaults__, function.__kwdefaults__, cells]
    if isinstance(function, type):
        return []
    return [vars(function) if hasattr(function, "__dict__") else None]
