"""Functions of libraries that somebody replaced: torch's own, and those that a model's source file calls by name.

A replaced function runs in every module that calls it, and neither weights nor modules show it. Those of torch are held
against what they were when this package was imported; those of a model's source file, against where they come from.
What was replaced before the import, by a function of one of the libraries, is not seen.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Collection, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import torch
import torch.nn.functional
from torch import nn

from .origins import LIBRARIES, root_package

_TORCH = (torch, torch.nn.functional, torch.special, torch.fft, torch.linalg, torch.Tensor)
_AS_IMPORTED = {
    (space.__name__, name): value
    for space in _TORCH
    for name, value in vars(space).items()
    if callable(value) and not inspect.isclass(value) and not name.startswith("_")
}


def replaced_functions(model: nn.Module, extractor: Any = None) -> list[str]:
    """Names of library functions that run in the model and are somebody's own, or another than at the import.

    extractor  the feature extractor that makes the model's inputs, whose functions count as well
    """
    kinds = {base for module in model.modules() for base in type(module).__mro__} | set(type(extractor).__mro__)
    return sorted({*_of_torch(), *_of_sources(kinds), *_of_attention(model)})


def _of_torch() -> Iterator[str]:
    for space in _TORCH:
        for name, value in vars(space).items():
            before = _AS_IMPORTED.get((space.__name__, name), value)
            is_other = before is not value and not _is_wrapped(value, before)
            was_foreign = before is value and isinstance(value, FunctionType) and not _is_known(value)
            if is_other or was_foreign:
                yield f"{space.__name__}.{name}"


def _is_wrapped(value: Any, before: Any) -> bool:
    """Whether a library put its own around a function (tracing does), which calls it as it was."""
    return inspect.unwrap(value) is before and _is_known(value) if callable(value) else False


def _of_sources(kinds: Collection[type]) -> Iterator[str]:
    """Names in the source files of classes that stand for another function than the file says."""
    of_libraries = [kind for kind in kinds if kind.__module__.partition(".")[0] in LIBRARIES]
    for kind in of_libraries:  # functions of the user's own classes are theirs
        for name, method in _methods(kind).items():
            if not _is_known(method):
                yield f"{kind.__module__}.{kind.__qualname__}.{name}"
    for name in {kind.__module__ for kind in of_libraries}:
        module = sys.modules.get(name)
        if module is not None:
            yield from _foreign_names(module)


def _methods(kind: type) -> dict[str, FunctionType]:
    """A class's own functions, by name, but for its forward, which `fingerprint` sees to."""
    functions = {name: value for name, value in vars(kind).items() if isinstance(value, FunctionType)}
    functions.pop("forward", None)
    return functions


def _foreign_names(module: ModuleType) -> Iterator[str]:
    foreign = _foreign_functions(module)
    imported = _imported_names(module) if foreign else {}
    strange = [name for name, value in foreign.items() if imported.get(name) != root_package(value)]
    used = _used_names(module) if strange else frozenset()
    yield from (f"{module.__name__}.{name}" for name in strange if used is None or name in used)


def _foreign_functions(module: ModuleType) -> dict[str, FunctionType]:
    """Functions of a module, by name, that come from none of the libraries."""
    functions = {name: value for name, value in vars(module).items() if isinstance(value, FunctionType)}
    return {name: value for name, value in functions.items() if not _is_known(value)}


@functools.cache
def _imported_names(module: ModuleType) -> Mapping[str, str]:
    """The package that a module's source imports each name from, where it imports it."""
    roots: dict[str, str] = {}
    statements: list[ast.AST] = [*filter(None, [_source(module)])]
    while statements:  # a walk through every expression of a long file takes a tenth of a second
        node = statements.pop()
        if isinstance(node, ast.ImportFrom):
            root = (module.__name__ if node.level else node.module or "").partition(".")[0]
            roots.update((alias.asname or alias.name, root) for alias in node.names)
        for part in ("body", "orelse", "handlers", "finalbody", "cases"):
            block = getattr(node, part, ())
            statements += block if isinstance(block, list) else ()
    return roots


@functools.cache
def _used_names(module: ModuleType) -> frozenset[str] | None:
    """The names that a module's source uses; None: there is no source.

    Others nothing of it calls: torch.compile puts what it has compiled there, under names of its own.
    """
    tree = _source(module)
    if tree is None:
        return None
    nodes = list(ast.walk(tree))
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    return frozenset(used | {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)})


def _source(module: ModuleType) -> ast.Module | None:
    try:
        return ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return None


def _of_attention(model: nn.Module) -> Iterator[str]:
    """The attention that the model's config names, where it is a function of somebody's."""
    registry: Any = getattr(sys.modules.get("transformers.modeling_utils"), "ALL_ATTENTION_FUNCTIONS", None)
    if registry is None:
        return
    for module in model.modules():
        name = getattr(getattr(module, "config", None), "_attn_implementation", None)
        function = registry.get(name) if isinstance(name, str) else None
        if isinstance(function, FunctionType) and not _is_known(function):
            yield f"attention {name!r}"


def _is_known(function: Any) -> bool:
    root = root_package(function)
    return root in LIBRARIES or root in sys.stdlib_module_names
