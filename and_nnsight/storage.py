"""Files that are whole or absent: every write goes to a temporary file, is synced, and is renamed into place."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as arrow
import pyarrow.parquet as parquet
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

_LONGEST_REASON = 300
_FULL = ("No space left", "StorageFull", "Disk quota", "code: 28")


@contextmanager
def undamaged(path: Path, remedy: str, kind: type[ValueError] = ValueError) -> Iterator[None]:
    """Raise an error of `kind`, which names the file and says what to do, where reading it does not go well.

    remedy: what to do about it, for example "remove it to make it again".
    """
    try:
        yield
    except FileNotFoundError as error:
        raise kind(f"{path} is missing: {remedy}") from error
    except PermissionError as error:
        raise kind(f"{path} may not be read: change its permissions") from error
    except (SafetensorError, arrow.ArrowException, OSError, EOFError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, kind) and kind is not ValueError:
            raise
        reason = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
        raise kind(f"{path} is damaged ({reason}): {remedy}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise OSError that names the file, whatever library writes it and however it says that the disk is full."""
    try:
        yield
    except (SafetensorError, arrow.ArrowException, OSError) as error:
        if (
            isinstance(error, OSError)
            and error.filename is not None
            and error.errno not in (errno.ENOSPC, errno.EDQUOT)
        ):
            raise
        code = getattr(error, "errno", None)
        if code is None:
            code = errno.ENOSPC if any(said in str(error) for said in _FULL) else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on leaving without an error it is synced and renamed to `path`."""
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
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


def tensor_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of a tensor of a safetensors file, of which only the header is read."""
    with safe_open(path, framework="pt") as file:
        return tuple(file.get_slice(name).get_shape())


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
