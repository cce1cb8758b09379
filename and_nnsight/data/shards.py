"""One of n parts of a stream: which positions it has, and its clips as a source.

Of a source whose length is known a shard is one stretch; of a stream it is blocks of positions, dealt out in turn,
which grow with the stream. Either begins and ends where batches do, so that every batch of a shard is a batch of the
whole: what a model gives for a clip may hang, in its last digits, on the clips beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count as counting
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from .items import Item, Source, Unused

_SMALLEST_BLOCK = 64  # positions, about
_BLOCKS_A_SHARD = 8  # of one size


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a stream; `index` is counted from 0, as ranks are."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str | Shard) -> Shard:
        """Of "i/n". Raises ValueError for what is none."""
        if isinstance(text, Shard):
            return text
        form = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip()) if isinstance(text, str) else None
        if form is None or int(form[2]) < 1:
            raise ValueError(f"shard is i/n, the i-th of n parts counted from 0, for example 0/4: not {text!r}")
        index, count = int(form[1]), int(form[2])
        if index >= count:
            raise ValueError(
                f"shard {text}: shards are counted from 0, as ranks are: those of {count} are 0/{count} to "
                f"{count - 1}/{count}"
            )
        return cls(index, count)

    @property
    def name(self) -> str:
        """As its folder is called."""
        return f"{self.index}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


class Positions(Protocol):
    """Which positions of a stream a shard has."""

    def stretches(self, start: int) -> Iterator[tuple[int, int]]:
        """Those from a position on, as stretches [first, last + 1), ascending; of a stream, without end."""
        ...

    def before(self, position: int) -> int:
        """How many of them lie before a position."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What tells them from others."""
        ...


@dataclass(frozen=True)
class Stretch:
    """The positions from `start` to before `stop`."""

    start: int
    stop: int

    @classmethod
    def of(cls, shard: Shard, length: int, batch_size: int) -> Stretch:
        """A shard's share of a known length: whole batches, as many as every other shard has, or one less."""
        batches = -(-length // batch_size)
        first, last = (batches * index // shard.count * batch_size for index in (shard.index, shard.index + 1))
        return cls(min(first, length), min(last, length))

    def stretches(self, start: int) -> Iterator[tuple[int, int]]:
        """At most one."""
        if max(start, self.start) < self.stop:
            yield max(start, self.start), self.stop

    def before(self, position: int) -> int:
        """How many lie before a position."""
        return min(max(position, self.start), self.stop) - self.start

    def to_json(self) -> dict[str, Any]:
        """First, and last + 1."""
        return {"start": self.start, "stop": self.stop}


@dataclass(frozen=True)
class Blocks:
    """Every `count`-th of the blocks that a stream of unknown length is cut into, from the `index`-th on.

    The first blocks are of about 64 positions. Whenever every shard has had eight of a size, or more, blocks become
    twice as large: so there are few, however long the stream, and at any time all shards have about as much of it.
    """

    index: int
    count: int
    batch_size: int

    @cached_property
    def smallest(self) -> int:
        """Positions of the first blocks: a batch, doubled until there are enough."""
        size = self.batch_size
        while size < _SMALLEST_BLOCK:
            size *= 2
        return size

    @cached_property
    def together(self) -> int:
        """Blocks of one size, a power of two."""
        return 1 << (_BLOCKS_A_SHARD * self.count - 1).bit_length()

    def _of_all(self) -> Iterator[tuple[int, int]]:
        """The blocks of all shards: each begins at a multiple of its own size."""
        start, size = 0, self.smallest
        for number in counting():
            if number > self.together and (number % self.together) == 0:
                size *= 2
            yield start, start + size
            start += size

    def stretches(self, start: int) -> Iterator[tuple[int, int]]:
        """Blocks, the first of them perhaps only its rest."""
        for first, last in islice(self._of_all(), self.index, None, self.count):
            if last > start:
                yield max(first, start), last

    def before(self, position: int) -> int:
        """How many lie before a position."""
        total = 0
        for first, last in self.stretches(0):
            if first >= position:
                return total
            total += min(last, position) - first
        return total

    def to_json(self) -> dict[str, Any]:
        """Of which sizes blocks are."""
        return {"smallest": self.smallest, "together": self.together}


@runtime_checkable
class Countable(Protocol):
    """A source that finds out how many clips it has, where that takes a moment, and reads any of them at once."""

    def counted_length(self) -> int | None:
        """Clips; None where only reading tells."""
        ...


class ShardSource:
    """The clips of a shard of a source, which keep the ids that they have in the whole."""

    def __init__(self, source: Source, shard: Shard, batch_size: int) -> None:
        self.source, self.shard = source, shard
        self.positions: Positions
        length = source.counted_length() if isinstance(source, Countable) else source.length
        if length is not None:
            self.positions = Stretch.of(shard, length, batch_size)
            self.length: int | None = self.positions.stop - self.positions.start
        else:
            self.positions, self.length = Blocks(shard.index, shard.count, batch_size), None

    @property
    def kind(self) -> str:
        """What the whole was made from."""
        return self.source.kind

    @property
    def name(self) -> str:
        """Which one the whole is."""
        return self.source.name

    @property
    def split(self) -> str | None:
        """Which part of a dataset the whole is."""
        return self.source.split

    @property
    def fingerprint(self) -> str:
        """Of the whole."""
        return self.source.fingerprint

    @property
    def unused(self) -> tuple[Unused, ...]:
        """What the whole holds beside its clips."""
        return self.source.unused

    @property
    def has_the_first(self) -> bool:
        """Whether it begins as the whole does, and has no gap."""
        return self.shard.count == 1 or (isinstance(self.positions, Stretch) and self.positions.start == 0)

    def items(self, start: int = 0) -> Iterator[Item]:
        """The shard's clips from a position of the whole on. Of a stream, other shards' are read and dropped."""
        stretches = self.positions.stretches(start)
        first = next(stretches, None)
        if first is None:
            return
        items = self.source.items(first[0])
        here = first[0]
        while first is not None:
            began, ended = first
            skipped = sum(1 for _ in islice(items, began - here))
            yielded = 0
            for item in islice(items, ended - began):
                yielded += 1
                yield item
            here = ended
            if skipped + yielded == 0 and began < ended:  # the stream has come to its end
                return
            first = next(stretches, None)


def clips_before(source: Source, position: int) -> int:
    """How many of a source's clips lie before a position."""
    return source.positions.before(position) if isinstance(source, ShardSource) else position
