"""Clips from Python values: sequences, and iterables that can only be read once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch

from .content import add_content
from .failures import LOAD_ERRORS, load_failure
from .items import UNKNOWN, Columns, Item, Unused
from .rate_agreement import RateAgreement, refuse_classes
from .rows import make_item, number_beside


class SequenceSource:
    """Clips that can be reached by position: a list, a 2-D array, a map-style torch dataset, a table's rows."""

    kind = "sequence"
    split = None
    unused: tuple[Unused, ...] = ()

    def __init__(self, data: Any, columns: Columns, limit: int | None, name: str) -> None:
        self.name = name
        self.length = len(data) if limit is None else min(limit, len(data))
        self._data = data
        self._columns = columns

    @property
    def fingerprint(self) -> str:
        """Of every clip's content; "unknown" for a sequence that makes its clips on access."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        if not isinstance(self._data, list | tuple | np.ndarray | torch.Tensor):
            return UNKNOWN
        digest = hashlib.sha256()
        known = all(add_content(digest, value) for value in self._data)
        return digest.hexdigest()[:16] if known else UNKNOWN

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips from position `start` on. Raises ValueError for numbers beside waveforms that are no rates."""
        rates = RateAgreement()
        self._look_ahead(rates)
        for position in range(start, self.length):
            try:
                value = self._data[position]
            except LOAD_ERRORS as error:
                yield Item(position, load_failure(error))
                continue
            rates.check(position, value)
            yield make_item(position, value, self._columns)

    def _look_ahead(self, rates: RateAgreement) -> None:
        """Hold against each other clips from all over the data, which may be sorted by their labels."""
        for number in sorted({0, 1, self.length // 3, self.length // 2, self.length - 1}):
            if not 0 <= number < self.length:
                continue
            try:
                value = self._data[number]
            except LOAD_ERRORS:  # it will be set aside in its turn
                continue
            if number_beside(value) is None:  # no pair: so they are not told apart by what stands beside them
                return
            refuse_classes(self._data, value)
            rates.check(number, value)


class IterableSource:
    """Clips of an iterable. A generator can be read once, so a run over it resumes only with a new one."""

    kind = "iterable"
    split = None
    fingerprint = UNKNOWN
    length = None
    unused: tuple[Unused, ...] = ()

    def __init__(self, data: Iterable[Any], columns: Columns, limit: int | None) -> None:
        self.name = type(data).__name__
        self._data = data
        self._columns = columns
        self._limit = limit
        self._read = False

    @property
    def once(self) -> bool:
        """Whether it can be read only once, as a generator."""
        return iter(self._data) is self._data

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips from position `start` on; those before it are read and dropped. Raises as a sequence does."""
        clips = iter(self._data)
        if clips is self._data:
            if self._read:
                raise ValueError(f"the {self.name} has been read already: give a list, or a new {self.name}")
            self._read = True
        rates = RateAgreement()
        for position, value in enumerate(islice(clips, self._limit)):
            rates.check(position, value)
            if position >= start:
                yield make_item(position, value, self._columns)
