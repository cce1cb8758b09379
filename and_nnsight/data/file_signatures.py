"""Files by name, size, time of change and three samples: what a fingerprint sees of those that are not read whole.

Copies that keep the time of change (`cp -p`, `rsync -t`, `tar`) put another recording of the same length in a file's
place without a trace in the first three.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pyarrow as arrow

_SAMPLE = 4_096  # bytes at each place: what a disk reads anyway


def file_signature(path: Path, name: str) -> bytes:
    """A line for a file under a name of its own; one that is missing has one, too."""
    return f"{name}\0{file_state(path) or 'missing'}\n".encode("utf-8", "surrogatepass")


def file_state(path: str | Path) -> str | None:
    """Size, time of change and samples of a file, as text; None for what is no file."""
    try:
        state = os.stat(path)  # noqa: PTH116  # it may be any text, and Path("") would be a folder
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    content = _sample(path, state.st_size) if stat.S_ISREG(state.st_mode) else ""
    return f"{state.st_size}\0{state.st_mtime_ns}\0{content}"


def file_content(path: str | Path) -> str:
    """Size and samples of a file whatever its times: one that is copied, or made again, has the same."""
    try:
        size = Path(path).stat().st_size
    except OSError:
        return "missing"
    return f"{size}\0{_sample(path, size)}"


def _sample(path: str | Path, size: int) -> str:
    """A hash of a file's beginning, middle and end."""
    digest = hashlib.blake2b(digest_size=8)
    try:
        with Path(path).open("rb", buffering=0) as file:
            for place in sorted({0, max(0, size - _SAMPLE) // 2, max(0, size - _SAMPLE)}):
                file.seek(place)
                digest.update(file.read(_SAMPLE))
    except OSError:
        return "unreadable"
    return digest.hexdigest()


def named_files(column: arrow.ChunkedArray) -> list[str]:
    """The paths in a dataset's column whose files are elsewhere: the dataset's own fingerprint lacks their content."""
    files: list[str] = []
    for chunk in column.chunks:
        paths = _paths(chunk)
        if paths is None:
            return []
        files += [path for path in paths.to_pylist() if path]
    return files


def _paths(chunk: arrow.Array) -> arrow.Array | None:
    """The paths of rows without bytes; None for a column of no paths. Of bytes is asked only whether there are any."""
    paths = chunk
    if isinstance(chunk, arrow.StructArray):
        names = [chunk.type.field(number).name for number in range(chunk.type.num_fields)]
        if "path" not in names:
            return None
        paths = chunk.field("path")
        if "bytes" in names:
            paths = paths.filter(chunk.field("bytes").is_null())
    is_text = arrow.types.is_string(paths.type) or arrow.types.is_large_string(paths.type)
    return paths if is_text else None
