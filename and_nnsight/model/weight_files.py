"""Weights that still lie in their file: read from there, they stay out of memory until the model itself needs them.

A checkpoint is mapped, not read: of Whisper, whose encoder alone runs, most is never touched. Hashing the tensors would
bring all of it in. Where nothing of a mapping was written to since, the file holds the same bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

_MAPPINGS = Path("/proc/self/smaps")  # Linux; elsewhere every tensor is read where it is
_MAPPING = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<mode>\S{4}) (?P<offset>[0-9a-f]+) \S+ (?P<inode>\d+)\s*(?P<path>.*)"
)
_UNTOUCHED = "Anonymous:             0 kB"
_SMALL = 2**20  # bytes: what is not worth a look, which takes a tenth of a second
_BLOCK = 2**20


class _Mapping(NamedTuple):
    """Addresses whose bytes are those of a file from `offset` on."""

    start: int
    end: int
    offset: int
    inode: int
    path: str

    @property
    def is_readable(self) -> bool:
        """Whether the file can be read, and is still the one that is mapped."""
        with suppress(OSError):
            return os.stat(self.path).st_ino == self.inode and os.access(self.path, os.R_OK)  # noqa: PTH116
        return False


class WeightFiles:
    """The files in this process's memory of which nothing was changed there when the first large tensor was read."""

    @cached_property
    def _mappings(self) -> list[_Mapping]:
        return list(_untouched_mappings())

    def blocks(self, tensor: torch.Tensor) -> Iterator[bytes | memoryview]:
        """The bytes of a tensor, in order."""
        tensor = tensor.cpu().contiguous()
        start, size = tensor.data_ptr(), tensor.numel() * tensor.element_size()
        mappings = self._mappings if size > _SMALL else []
        around = (mapping for mapping in mappings if mapping.start <= start and start + size <= mapping.end)
        mapping = next(around, None)
        if mapping is None or not mapping.is_readable:
            yield tensor.reshape(-1).view(torch.uint8).numpy().data
        else:
            yield from _read(mapping, start, size)


def _read(mapping: _Mapping, start: int, size: int) -> Iterator[bytes]:
    """What a mapping's file holds for some addresses. Raises OSError if it became another meanwhile."""
    with Path(mapping.path).open("rb", buffering=0) as file:
        file.seek(mapping.offset + start - mapping.start)
        same = os.fstat(file.fileno()).st_ino == mapping.inode
        while same and size:
            block = file.read(min(size, _BLOCK))
            same = len(block) > 0
            size -= len(block)
            yield block
    if not same:
        raise OSError(f"{mapping.path} was changed while the weights in it were hashed: try again")


def _untouched_mappings() -> Iterator[_Mapping]:
    """Private mappings of files without a page of this process's own in them."""
    mapping: _Mapping | None = None
    for line in _lines():
        if found := _MAPPING.fullmatch(line):
            mapping = _of_file(found) if found["mode"].endswith("p") else None
        elif line == _UNTOUCHED and mapping is not None:
            yield mapping


def _of_file(found: re.Match[str]) -> _Mapping | None:
    start, end, offset = (int(found[name], 16) for name in ("start", "end", "offset"))
    inode = int(found["inode"])
    return _Mapping(start, end, offset, inode, found["path"]) if inode and end - start > _SMALL else None


def _lines() -> list[str]:
    try:
        return _MAPPINGS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
