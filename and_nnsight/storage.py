"""Files that are whole or absent: every write goes to a temporary file, is synced, and is renamed into place.

Files of tensors carry a checksum, which is held against what is read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from .wording import advice

if TYPE_CHECKING:
    import torch  # at run time only where tensors are wanted: it takes longer to import than a folder to read

_ABOUT = "and_nnsight"  # the one key of a file's metadata: several would come in any order
_LONGEST_REASON = 300
_BLOCK = 2**24  # bytes that are read together
_FULL = ("No space left", "StorageFull", "Disk quota", "code: 28")


class DamagedFile(ValueError):
    """A file whose content is not what was written; the message names it."""


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
    except DamagedFile as error:
        raise kind(f"{error}: {remedy}") from error
    except (SafetensorError, arrow.ArrowException, OSError, EOFError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, kind) and kind is not ValueError:
            raise
        raise kind(f"{path} is damaged ({_reason(error)}): {remedy}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__


def make_folder(path: Path, kind: type[ValueError] = ValueError) -> None:
    """A folder, unless it is there. Raises an error of `kind`, which says what to do, where there can be none.

    A disk that is full is an OSError still: it is no matter of the place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise kind(f"{error.filename or path}: {advice(error)}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise OSError that names the file, whatever library writes it and however it says that the disk is full."""
    try:
        yield
    except (SafetensorError, arrow.ArrowException, OSError) as error:
        if (
            isinstance(error, OSError)
            and error.filename not in (None, str(_temporary(path)), _temporary(path))
            and error.errno not in (errno.ENOSPC, errno.EDQUOT)
        ):
            raise
        code = getattr(error, "errno", None)
        if code is None:
            code = errno.ENOSPC if any(words in str(error) for words in _FULL) else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on leaving without an error it is synced and renamed to `path`."""
    temporary = _temporary(path)
    with writing(path):
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_bytes(as_json(value, indent=2) + b"\n")


def as_json(value: Any, indent: int | None = None) -> bytes:
    """JSON in UTF-8. Halves of a character, which paths may hold and UTF-8 may not, are escaped and come back."""
    return json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "backslashreplace")


def short_hash(text: str | bytes, size: int = 8) -> str:
    """A hash of text in `2 × size` characters. Lone surrogates, which UTF-8 has no place for, count as "?"."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return hashlib.blake2b(content, digest_size=size).hexdigest()


def json_hash(value: Any, size: int = 8) -> str:
    """A short hash of JSON, whose keys keep their order."""
    return short_hash(json.dumps(value), size)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write a safetensors file with its checksum, whole or not at all. Gives the checksum."""
    from safetensors.torch import save_file

    about = {"checksum": _checksum(tensors, metadata or {}), "metadata": dict(metadata or {})}
    with written_whole(path) as temporary:
        # Straight to the file: as bytes in memory the state of many concepts would take its size again.
        save_file(dict(tensors), temporary, {_ABOUT: json.dumps(about, sort_keys=True)})
    return str(about["checksum"])


def read_tensors(path: Path, checksum: str | None = None) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file, which has this checksum, if one is given.

    Raises DamagedFile for one that is not what `write_tensors` wrote; OSError for none.
    """
    return _read(path, checksum, "pt")


def read_described(path: Path, key: str, what: str, kind: type[ValueError]) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors of a file, and the description that its metadata has under a key.

    what  what the file should hold, in words

    Raises `kind` for a file that holds something else; FileNotFoundError for none.
    """
    if not path.exists():
        raise FileNotFoundError(f"no {what} at {path}")
    try:
        tensors, metadata = read_tensors(path)
    except (DamagedFile, OSError) as error:
        raise kind(f"{path} holds no {what}: {error}") from error
    if key not in metadata:
        raise kind(f"{path} holds no {what} that this version reads")
    return tensors, metadata[key]


def read_arrays(path: Path, checksum: str | None = None) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """`read_tensors` as numpy arrays, without torch: not of dtypes that numpy lacks (bfloat16)."""
    return _read(path, checksum, "np")


def _read(path: Path, checksum: str | None, framework: str) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        with safe_open(path, framework=framework) as file:
            names = file.keys()  # it is no dict, and cannot be iterated itself
            tensors = {name: file.get_tensor(name) for name in names}
            metadata = dict(file.metadata() or {})
        if _ABOUT not in metadata:  # another program's, or of an earlier version: without a checksum
            return tensors, metadata
        about = json.loads(metadata[_ABOUT])
        written, metadata = about["checksum"], about["metadata"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{path} is damaged ({_reason(error)})") from error
    if written != _checksum(tensors, metadata):
        raise DamagedFile(f"{path} is damaged (its content does not have its checksum)")
    if checksum not in (None, written):
        raise DamagedFile(f"{path} is not the file that was written there: it has another checksum")
    return tensors, metadata


def file_checksum(path: Path) -> str:
    """A checksum of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, new_checksum).hexdigest()


def new_checksum(content: bytes = b"") -> hashlib.blake2b:
    """A checksum that grows with what it is updated with."""
    return hashlib.blake2b(content, digest_size=8)


def array_checksum(array: np.ndarray) -> hashlib.blake2b:
    """A checksum of an array's bytes; of one that lies in a file they are read as they are used."""
    checksum = new_checksum()
    for rows in np.array_split(array, max(1, array.nbytes // _BLOCK)):
        checksum.update(np.ascontiguousarray(rows).data)
    return checksum


def _checksum(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    """Of tensors or arrays, which have the same where their values are the same."""
    digest = new_checksum(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        shape, dtype, content = _content(tensors[name])
        digest.update(f"{name}{shape}{dtype}".encode("utf-8", "surrogatepass"))
        digest.update(content.data)
    return digest.hexdigest()


def _content(tensor: Any) -> tuple[tuple[int, ...], str, np.ndarray]:
    """The shape, torch's name of the dtype, and the bytes of a tensor or an array."""
    if isinstance(tensor, np.ndarray):
        return tensor.shape, f"torch.{tensor.dtype.name}", np.ascontiguousarray(tensor).reshape(-1).view(np.uint8)
    import torch

    values = tensor.detach().cpu().contiguous()
    return tuple(values.shape), str(values.dtype), values.reshape(-1).view(torch.uint8).numpy()


def tensor_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of a tensor of a safetensors file, of which only the header is read."""
    with safe_open(path, framework="np") as file:
        return tuple(file.get_slice(name).get_shape())


Filter = tuple[str, Literal["=", "in"], Any]
"""A column, and the value that it has or the values of which it has one."""


def read_parquet(
    path: Path, *, columns: list[str] | None = None, filters: Sequence[Filter] | None = None
) -> arrow.Table:
    """A Parquet file as a table: all, or some columns, of all rows or of those that all filters let in.

    Raises arrow.ArrowInvalid if it is damaged.
    """
    # Arrow's own file: a path with a colon would be taken for an address, and a Python file that Arrow's threads hold
    # while the interpreter goes down aborts the process (seen with pyarrow 26).
    # `read_table` imports pandas: a fifth of a second and 40 MB, whatever the file holds.
    with arrow.OSFile(str(path)) as file, parquet.ParquetFile(file) as reader:
        if filters is None:
            return reader.read(columns)
        parts = [_let_in(reader, group, columns, filters) for group in range(reader.num_row_groups)]
        return arrow.concat_tables(parts) if parts else reader.read(columns)


def _let_in(
    reader: parquet.ParquetFile, group: int, columns: list[str] | None, filters: Sequence[Filter]
) -> arrow.Table:
    """The rows of a group that all filters let in.

    Plain Python: `arrow.array`, which a mask or a set of values would be made by, imports pandas.
    """
    keys = reader.read_row_group(group, [name for name, _, _ in filters])
    let_in = np.ones(len(keys), bool)
    for name, how, value in filters:
        wanted = {value} if how == "=" else set(value)
        let_in &= np.fromiter((one in wanted for one in keys[name].to_pylist()), bool, len(keys))
    bits = arrow.py_buffer(np.packbits(let_in, bitorder="little"))
    mask = arrow.Array.from_buffers(arrow.bool_(), len(keys), [None, bits])
    return reader.read_row_group(group, columns).filter(mask)


class Lock:
    """An exclusive lock on a file, which the system drops when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Raises BlockingIOError if another process holds it. What an earlier process left of the file says nothing."""
        self._path = path
        self._lock = FileLock(path, timeout=0, thread_local=False)
        for attempt in range(_ATTEMPTS):
            try:
                self._lock.acquire()
                return
            except Timeout as error:  # held, or the file was removed by its holder since it was opened here
                if attempt == _ATTEMPTS - 1:
                    raise BlockingIOError(
                        f"another process is writing to {path.parent}: wait for it, or choose another folder"
                    ) from error
            except (OSError, NotImplementedError) as error:
                if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                    raise
                warnings.warn(
                    f"{path.parent} is on a file system without locks: let one process write to it", stacklevel=4
                )
                return

    @property
    def is_held(self) -> bool:
        """Whether it keeps others out: not on a file system without locks."""
        return self._lock.is_locked

    def close(self, *, remove: bool = False) -> None:
        """Let others have it; `remove` the file as well, which is there for nothing else."""
        if remove and os.name == "posix":
            self._path.unlink(missing_ok=True)  # while it is held: afterwards it may be another's
        self._lock.release()
        if remove and os.name != "posix":  # where a file that is open cannot be removed
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def locked(path: Path) -> Lock:
    """A lock on a file, held from here on. Raises BlockingIOError if another process holds it."""
    return Lock(path)


_ATTEMPTS = 3
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
