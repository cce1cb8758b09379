"""Functions and classes of somebody's own, known by what they do: their code, and what it calls and reads by name."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Iterator
from pathlib import PurePath
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from ..storage import short_hash
from .origins import LIBRARIES, root_package

_MOST = 500  # functions that are followed
_INSTALLED = {"site-packages", "dist-packages"}
_CACHED = type(functools.lru_cache(lambda: None))
_SCALARS = (bool, int, float, complex, str, bytes, type(None))


def is_own(thing: Any) -> bool:
    """Whether a function or a class is of nobody's library: of a script, a notebook, a checkpoint's own code."""
    root = root_package(thing)
    if root in LIBRARIES or root in sys.stdlib_module_names:
        return False
    code = getattr(thing, "__code__", None)
    file = code.co_filename if code else getattr(sys.modules.get(thing.__module__), "__file__", None)
    return not _INSTALLED & set(PurePath(file or "").parts)


def own_functions(kind: type) -> Iterator[FunctionType]:
    """The functions of a class and of its bases, as far as these are somebody's own, in an order of their names."""
    for base in kind.__mro__:
        if is_own(base):
            for _, value in sorted(vars(base).items()):
                yield from _functions(value)


def code_text(*functions: FunctionType) -> str:
    """A hash of functions, of the functions that they call which are somebody's own, and of the values they read."""
    digest = hashlib.blake2b(digest_size=8)
    waiting, seen = list(functions), set()
    while waiting and len(seen) < _MOST:
        function = waiting.pop(0)
        if function in seen:
            continue
        seen.add(function)
        digest.update(f"\0{function.__qualname__}{_code(function.__code__)}".encode("utf-8", "surrogatepass"))
        for name, value in _surroundings(function):
            if isinstance(value, _SCALARS):
                digest.update(f"\0{name}={value!r}".encode("utf-8", "surrogatepass"))
            elif isinstance(value, type) and is_own(value):
                waiting += own_functions(value)
            else:
                waiting += filter(is_own, _functions(value))
    return digest.hexdigest()


def _functions(value: Any) -> Iterator[FunctionType]:
    """The functions that a value is, or wraps: methods of every kind, properties, decorated functions."""
    inner = None
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, property):
        yield from (each for each in (value.fget, value.fset) if isinstance(each, FunctionType))
    elif isinstance(value, functools.cached_property | functools.partial | functools.partialmethod):
        inner = value.func
    elif isinstance(value, staticmethod | classmethod | MethodType):
        inner = value.__func__
    elif isinstance(value, _CACHED):
        inner = value.__wrapped__
    if inner is not None:
        yield from _functions(inner)


def _surroundings(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function reads beside its arguments: defaults, cells, and the globals that its code names."""
    yield from ((f"default {index}", value) for index, value in enumerate(function.__defaults__ or ()))
    yield from sorted((function.__kwdefaults__ or {}).items())
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    yield from ((name, cell.cell_contents) for name, cell in cells if cell != CellType())
    around = function.__globals__
    yield from ((name, around[name]) for name in sorted(_names(function.__code__)) if name in around)


def _names(code: CodeType) -> set[str]:
    return set(code.co_names).union(*(_names(part) for part in code.co_consts if isinstance(part, CodeType)))


def _code(code: CodeType) -> str:
    """Short hash of code. Sets in it are sorted: they are written in another order in every process."""
    constants = [_code(part) if isinstance(part, CodeType) else _constant(part) for part in code.co_consts]
    return short_hash(repr((code.co_code, constants, code.co_names)))


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)
