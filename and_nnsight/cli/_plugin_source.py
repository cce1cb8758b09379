"""What a plugin says of itself, read out of its source: importing every plugin takes seconds, and brings in torch."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from importlib.util import find_spec, resolve_name
from pathlib import Path

About = tuple[str, Mapping[str, str]]
"""The first line of a docstring, and `requires`: the modules that a plugin needs, and what to install for them."""


def about(entry: EntryPoint) -> About | None:
    """What the class or function of an entry point says; None where only importing it would tell.

    That is so where there is no source, where it imports what is not there, or where it is not written out in it.
    """
    return _about(entry.module, entry.attr)


def _about(module: str, name: str) -> About | None:
    tree = _source(module)
    if tree is None or not all(map(_is_there, _imported(tree))):
        return None
    found = _definition(tree, name)
    text = None if found is None else ast.get_docstring(found)
    if found is None or text is None:
        return None
    requires = _required(found, tree, module) if isinstance(found, ast.ClassDef) else {}
    return None if requires is None else (inspect.cleandoc(text).split("\n", 1)[0], requires)


def _definition(tree: ast.Module, name: str) -> ast.ClassDef | ast.FunctionDef | None:
    definitions = (node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)))
    return next((node for node in definitions if node.name == name), None)


def _required(found: ast.ClassDef, tree: ast.Module, module: str) -> Mapping[str, str] | None:
    """What a class requires, by itself or by its base; None where that cannot be told."""
    own = _requires(found)
    if own is not None:
        return own
    return _inherited(tree, module, found.bases) if found.bases else {}


def _source(module: str) -> ast.Module | None:
    """The source of a module, of whose packages none is imported."""
    path: Sequence[str] | None = None
    spec, whole = None, ""
    for part in module.split("."):
        whole = f"{whole}.{part}" if whole else part
        spec = PathFinder.find_spec(whole, path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None


def _imported(tree: ast.Module) -> Iterator[str]:
    """The packages of others that a module imports when it is imported."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _requires(found: ast.ClassDef) -> Mapping[str, str] | None:
    """What a class says that it requires; None where it does not say it."""
    for node in found.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "requires" for target in targets):
            try:
                return dict(ast.literal_eval(getattr(node, "value", None) or ast.Constant(None)))
            except (ValueError, TypeError):
                return None
    return None


def _inherited(tree: ast.Module, module: str, bases: Sequence[ast.expr]) -> Mapping[str, str] | None:
    """What the one base of a class requires, which is in the same module or in one that it is imported from."""
    if len(bases) != 1 or not isinstance(bases[0], ast.Name):
        return None
    base = _about(*_home(tree, module, bases[0].id))
    return None if base is None else base[1]


def _home(tree: ast.Module, module: str, name: str) -> tuple[str, str]:
    """The module that a name in a module is imported from, and its name there; else the module itself."""
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    for node in imports:
        for each in node.names:
            if (each.asname or each.name) == name:
                return resolve_name("." * node.level + (node.module or ""), module.rpartition(".")[0]), each.name
    return module, name
