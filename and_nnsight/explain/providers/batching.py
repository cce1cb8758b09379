"""Things in batches: lists of them, and models that answer batch by batch, where what breaks a batch fails alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from ...plugins import PluginError
from ...wording import first_line
from ..roles import Failure

T = TypeVar("T")
Answer = TypeVar("Answer")


def in_batches(
    ask: Callable[[Sequence[T]], Sequence[Answer]], items: Sequence[T], batch_size: int
) -> Iterator[Answer | Failure]:
    """One answer an item. A batch that fails is tried again item by item, and an item that fails alone is a Failure.

    Raises PluginError where `ask` does: it concerns every item.
    """
    for batch in chunks_of(items, batch_size):
        try:
            answers: list[Answer | Failure] = [*ask(batch)]
        except PluginError:
            raise
        except Exception as error:
            answers = [_failure(error)] if len(batch) == 1 else [_alone(ask, item) for item in batch]
        yield from answers


def chunks_of(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last of them perhaps shorter."""
    stream = iter(items)
    while chunk := list(islice(stream, size)):
        yield chunk


def _alone(ask: Callable[[Sequence[T]], Sequence[Answer]], item: T) -> Answer | Failure:
    try:
        return ask([item])[0]
    except PluginError:
        raise
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> Failure:
    return Failure(f"{type(error).__name__}: {first_line(error)}")
