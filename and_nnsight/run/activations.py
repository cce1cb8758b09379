"""The optional table of a run: every unit's pooled activation on every clip, one growing .npy file a site.

Of the rows of each file a checksum is kept while they are written; a run goes on only after rows that still have it.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from ..dissection.errors import DissectionError
from ..dissection.files import activation_file
from ..storage import array_checksum, make_folder, new_checksum, writing
from ..wording import counted

_BUFFER = 64 << 20  # bytes that wait in memory


class ActivationWriter:
    """Writes float32 [clip, unit] a site. Rows count once `flush` has returned; `restore` cuts off what came later."""

    def __init__(self, folder: Path, widths: Mapping[str, int]) -> None:
        self.folder, self.widths = folder, dict(widths)
        self.rows = 0
        self._checksums = {site: new_checksum() for site in self.widths}
        self._waiting: list[np.ndarray] = []

    def restore(self, rows: int, checksums: Mapping[str, str]) -> None:
        """Begin, or go on after this many rows. Raises DissectionError unless the files hold those that were written.

        checksums  of the rows of each site; none where there are no rows
        """
        self.rows, self._waiting = rows, []
        make_folder(self.folder / "activations", DissectionError)
        for site, width in self.widths.items():
            path, size = activation_file(self.folder, site), _size(rows, width)
            if rows and (not path.exists() or path.stat().st_size < size):
                raise DissectionError(
                    f"{path} holds fewer than the {counted(rows, 'clip')} that were done: choose a new folder"
                )
            self._checksums[site] = _checksum(path, rows, width)
            if rows and self._checksums[site].hexdigest() != checksums.get(site):
                raise DissectionError(f"{path} was changed since this run wrote it: choose a new folder")
            with path.open("r+b" if path.exists() else "w+b") as file:
                file.truncate(size)
                _write_header(file, rows, width)

    def checksums(self) -> dict[str, str]:
        """Of the rows of each site that were written."""
        return {site: checksum.hexdigest() for site, checksum in self._checksums.items()}

    def append(self, values: Float32[Tensor, "clip unit"]) -> None:
        """Add rows: the pooled values of all sites side by side."""
        self._waiting.append(values.detach().cpu().numpy().astype("<f4", copy=False))
        if sum(part.nbytes for part in self._waiting) > _BUFFER:
            self.flush(durable=False)

    def flush(self, *, durable: bool = True) -> None:
        """Write the rows that wait; `durable`: so that they survive whatever happens next."""
        waiting = np.concatenate(self._waiting) if self._waiting else np.empty((0, sum(self.widths.values())), "<f4")
        start = 0
        for site, width in self.widths.items():
            path = activation_file(self.folder, site)
            with writing(path), path.open("r+b") as file:
                file.seek(_size(self.rows, width))  # not at its end: there may be rows that were not counted
                content = waiting[:, start : start + width].tobytes()
                file.write(content)
                _write_header(file, self.rows + len(waiting), width)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            self._checksums[site].update(content)
            start += width
        self.rows += len(waiting)
        self._waiting = []


def _checksum(path: Path, rows: int, width: int) -> hashlib.blake2b:
    """Of so many rows of a file."""
    if not rows:
        return new_checksum()
    return array_checksum(np.memmap(path, "<f4", "r", offset=_size(0, width), shape=(rows, width)))


def _write_header(file: BinaryIO, rows: int, width: int) -> None:
    file.seek(0)
    file.write(_header(rows, width))


def _header(rows: int, width: int) -> bytes:
    """Of one length whatever the number of rows: numpy leaves room for the first axis to grow."""
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(header, shape)
    return header.getvalue()


def _size(rows: int, width: int) -> int:
    return len(_header(rows, width)) + rows * width * 4
