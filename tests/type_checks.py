"""An import hook: every function of the package checks what it is given and what it gives, while tests run.

jaxtyping's own hook makes three checked calls of one, and binds the arguments before. Here beartype alone checks, by the
same annotations and in a part of the time; where one of them tells an array's shape, it does so in a scope of jaxtyping's,
in which axes agree over arguments and result.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import sys
import typing
from collections.abc import Generator, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import cache_from_source
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar
from unittest.mock import patch

import jaxtyping
from beartype import BeartypeConf, beartype

_NAME = "__checked__"  # what a module that is checked calls `checked`
_TAG = "checked2"  # of what is compiled so: another number whenever that changes
_BEARTYPE = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))


def check_package(package: str) -> None:
    """Check the functions of a package that is not imported yet.

    Raises: RuntimeError if it is.
    """
    if package in sys.modules:
        raise RuntimeError(f"{package} is imported already: its functions cannot be checked")
    sys.meta_path.insert(0, _Finder(package))


def checked(subject: Any) -> Any:
    """A function that checks its arguments and its result; a dataclass that checks its fields when it is made.

    An annotation is not checked where its names are not known yet.
    """
    if isinstance(subject, classmethod | staticmethod):
        return type(subject)(checked(subject.__func__))
    if isinstance(subject, property):
        return property(*(part and checked(part) for part in (subject.fget, subject.fset, subject.fdel)))
    if isinstance(subject, FunctionType):
        return _checked_function(subject)
    if inspect.isclass(subject) and dataclasses.is_dataclass(subject):
        init: Any = vars(subject).get("__init__")
        # What a dataclass's decorator makes has no file; an `__init__` that is written out is checked where it stands.
        if isinstance(init, FunctionType) and init.__code__.co_filename == "<string>":
            subject.__init__ = _checked_function(init)
    return subject


def _checked_function(function: FunctionType) -> Any:
    written = function.__annotations__
    known = {name: _resolved(annotation, function.__globals__) for name, annotation in written.items()}
    function.__annotations__ = known
    try:
        by_beartype: Any = _BEARTYPE(function)
    finally:
        function.__annotations__ = written
    if by_beartype is function or inspect.iscoroutinefunction(function):  # nothing to check; it stays a coroutine's
        return by_beartype

    # Around it, because beartype's own has its arguments' types for defaults, which would travel to servers with it.
    @functools.wraps(function)
    def checks(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return by_beartype(*args, **kwargs)

    @functools.wraps(function)
    def checks_axes(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        with jaxtyping.jaxtyped("context"):
            return by_beartype(*args, **kwargs)

    @functools.wraps(function)
    def checks_axes_of_steps(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return _in_scopes(by_beartype(*args, **kwargs))

    if not any(map(_tells_a_shape, known.values())):
        return checks
    return checks_axes_of_steps if inspect.isgeneratorfunction(function) else checks_axes


def _in_scopes(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """A generator, every step of it in a scope of its own: its arguments are checked in the first, whoever asks for it."""
    step = functools.partial(next, steps)
    while True:
        try:
            with jaxtyping.jaxtyped("context"):
                value = step()
        except StopIteration as end:
            return end.value
        try:
            sent = yield value
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:
            step = functools.partial(steps.throw, error)
        else:
            step = functools.partial(steps.send, sent)


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)
    except (NameError, AttributeError, TypeError):
        return Any


def _tells_a_shape(annotation: Any) -> bool:
    if inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    if isinstance(annotation, TypeVar):
        return _tells_a_shape([annotation.__bound__, *annotation.__constraints__])
    return any(map(_tells_a_shape, annotation if isinstance(annotation, list) else typing.get_args(annotation)))


class _Finder(PathFinder):
    """Finds the package's modules as they are found, and has them checked."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(  # type: ignore[override]
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.package and not fullname.startswith(f"{self.package}."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Decorates every function and every class of a module with `checked`."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[_NAME] = checked
        super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType | None:
        # What is compiled is kept beside the module's own, under another name.
        own = functools.partial(cache_from_source, optimization=_TAG)
        with patch("importlib._bootstrap_external.cache_from_source", own):
            return super().get_code(fullname)

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        tree = ast.parse(data, path)
        for node in _to_check(tree):
            if isinstance(node, ast.ClassDef):
                node.decorator_list.insert(0, _decorator(node))  # the last to be applied: a dataclass is one by then
            else:
                node.decorator_list.append(_decorator(node))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)


def _to_check(tree: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and classes, but for those under `no_type_check`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if any(ast.unparse(each).endswith("no_type_check") for each in node.decorator_list):
                continue
            yield node
        yield from _to_check(node)


def _decorator(node: ast.stmt) -> ast.Name:
    return ast.copy_location(ast.Name(_NAME, ast.Load()), node)
