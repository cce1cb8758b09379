"""Files that are whole or absent: every write goes to a temporary file, is synced, and is renamed into place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as arrow
import pyarrow.parquet as parquet
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on leaving without an error it is synced and renamed to `path`."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_bytes(save(dict(tensors), metadata=dict(metadata) if metadata else None))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def read_parquet(path: Path, **options: Any) -> arrow.Table:
    """A Parquet file as a table; options go to `pyarrow.parquet.read_table`. Raises arrow.ArrowInvalid if damaged."""
    # Arrow's own file: a path with a colon would be taken for an address, and a Python file that Arrow's threads hold
    # while the interpreter goes down aborts the process (seen with pyarrow 26).
    with arrow.OSFile(str(path)) as file:
        return parquet.read_table(file, **options)


def locked(path: Path) -> IO[bytes]:
    """Open a file under an exclusive lock, which the system drops when the process ends, however it ends.

    Raises BlockingIOError if another process holds it.
    """
    file = path.open("wb")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # not a POSIX system: writers there are not guarded against each other
        pass
    except OSError as error:
        file.close()
        raise BlockingIOError(f"another process is writing to {path.parent}") from error
    return file


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
