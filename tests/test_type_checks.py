"""What the tests' import hook checks: every argument and result of the package, and the axes of arrays."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from jaxtyping import TypeCheckError

from and_nnsight.data.shards import Shard
from tests.type_checks import check_package

SOURCE = '''
"""A module that is checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, no_type_check

from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from elsewhere import Unknown

Row = Float[Tensor, "unit"]


def length(text: str) -> int:
    return len(text) if text else "none"


def added(left: Float[Tensor, "clip unit"], right: Row | None) -> Float[Tensor, "clip unit"]:
    return left if right is None else left + right


def transposed(values: Float[Tensor, "clip unit"]) -> Float[Tensor, "clip unit"]:
    return values.T


def later(value: Unknown, own: Pair) -> Unknown:
    return value


async def waits(seconds: float) -> int:
    return seconds


def counted(last: int) -> Iterator[int]:
    yield from range(last)


def rows(values: Float[Tensor, "clip unit"], weights: Row) -> Iterator[Row]:
    for value in values:
        yield value * weights


def first_of_others(values: Float[Tensor, "clip unit"]) -> Row:
    return next(rows(values[:, :1], values[0, :1]))


@no_type_check
def unchecked(value: int) -> int:
    return value


def within(value: int) -> int:
    def half(whole: int) -> int:
        return whole / 2

    return half(value)


@dataclass(frozen=True)
class Pair:
    name: str
    values: Float[Tensor, "clip unit"]
    weights: Float[Tensor, "unit"]

    @property
    def first(self) -> str:
        return self.values

    @cached_property
    def second(self) -> str:
        return self.values

    @classmethod
    def of(cls, name: str) -> Pair:
        return cls(name, 0, 0)

    @staticmethod
    def twice(text: str) -> str:
        return 2 * text


@dataclass
class Seconds:
    seconds: float = 0.0


class Written:
    def __init__(self, name: str) -> None:
        self.name = name
'''


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("checked")
    (folder / "checked_package").mkdir()
    (folder / "checked_package" / "__init__.py").touch()
    (folder / "checked_package" / "source.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "meta_path", [*sys.meta_path])
        patch.setattr(sys, "dont_write_bytecode", False)
        patch.syspath_prepend(str(folder))
        check_package("checked_package")
        yield importlib.import_module("checked_package.source")
    for name in ("checked_package", "checked_package.source"):
        del sys.modules[name]


def test_our_package_is_checked() -> None:
    with pytest.raises(TypeCheckError, match="violates type hint"):
        Shard("first", 2)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="and_nnsight is imported already"):
        check_package("and_nnsight")


def test_arguments_and_results_are_of_their_types(module: ModuleType) -> None:
    assert module.length("four") == 4
    for wrong in (lambda: module.length(4), lambda: module.length("")):
        with pytest.raises(TypeCheckError, match="violates type hint"):
            wrong()
    with pytest.raises(TypeError, match="unexpected keyword"):
        module.length(word="four")


def test_axes_agree_over_arguments_and_result(module: ModuleType) -> None:
    values = torch.ones(2, 3)
    assert module.added(values, torch.ones(3)).shape == (2, 3)
    assert module.added(values, None) is values
    for wrong in (
        lambda: module.added(values, torch.ones(2)),
        lambda: module.added(values.int(), torch.ones(3)),
        lambda: module.transposed(values),
    ):
        with pytest.raises(TypeCheckError, match="violates type hint"):
            wrong()
    assert module.transposed(torch.ones(2, 2)).shape == (2, 2)


def test_fields_of_dataclasses_are_checked(module: ModuleType) -> None:
    pair = module.Pair("a", torch.ones(2, 3), torch.ones(3))
    assert pair == pair
    for wrong in (
        lambda: module.Pair(1, torch.ones(2, 3), torch.ones(3)),
        lambda: module.Pair("a", torch.ones(2, 3), torch.ones(2)),
        lambda: module.Pair.of("a"),
        lambda: module.Seconds("one"),
    ):
        with pytest.raises(TypeCheckError):
            wrong()
    assert module.Seconds(1).seconds == 1, "a whole number is a number"


@pytest.mark.parametrize("name", ["first", "second"])
def test_properties_are_checked(module: ModuleType, name: str) -> None:
    with pytest.raises(TypeCheckError, match="violates type hint"):
        getattr(module.Pair("a", torch.ones(2, 3), torch.ones(3)), name)


def test_methods_generators_coroutines_and_functions_within_functions_are_checked(module: ModuleType) -> None:
    assert module.Pair.twice("a") == "aa" and list(module.counted(3)) == [0, 1, 2]
    assert inspect.iscoroutinefunction(module.waits)
    assert module.Written("a").name == "a" and module.within.__name__ == "within"
    for wrong in (
        lambda: module.Pair.twice(1),
        lambda: next(module.counted("3")),
        lambda: module.Written(1),
        lambda: module.within(3),
        lambda: module.waits(1.5).send(None),
    ):
        with pytest.raises(TypeCheckError, match="violates type hint"):
            wrong()


def test_what_is_not_known_yet_is_not_checked(module: ModuleType) -> None:
    assert module.later(3, 4) == 3


def test_what_is_not_to_be_checked_is_left_as_it_is(module: ModuleType) -> None:
    assert module.unchecked("three") == "three" and not hasattr(module.unchecked, "__wrapped__")


def test_annotations_stay_as_they_are_written(module: ModuleType) -> None:
    assert module.length.__annotations__ == {"text": "str", "return": "int"}
    assert module.added.__annotations__["right"] == "Row | None"
    assert module.length.__wrapped__.__annotations__ == module.length.__annotations__
    assert module.later.__doc__ is None and module.__doc__ == "A module that is checked."


def test_what_is_compiled_is_kept_beside_what_python_keeps(module: ModuleType) -> None:
    kept = Path(str(module.__file__)).parent / "__pycache__"
    assert [path.name for path in kept.glob("source.*")] == [f"source.{sys.implementation.cache_tag}.opt-checked2.pyc"]


def test_axes_of_a_generator_agree_with_one_another_alone(module: ModuleType) -> None:
    assert [row.tolist() for row in module.rows(torch.ones(2, 3), torch.arange(3.0))] == [[0, 1, 2]] * 2
    with pytest.raises(TypeCheckError, match="dimension unit"):
        next(module.rows(torch.ones(2, 3), torch.ones(4)))
    with pytest.raises(TypeCheckError, match="first_of_others.* return"):  # the caller's axes, of one unit for three
        module.first_of_others(torch.ones(2, 3))
