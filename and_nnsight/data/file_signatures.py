"""Files by name, size and time of change: what a fingerprint sees of those whose content is not read for it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as arrow


def file_signature(path: Path, name: str) -> bytes:
    """A line for a file under a name of its own; one that is missing has one, too."""
    try:
        state = path.stat()
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return f"{name}\0missing\n".encode("utf-8", "surrogatepass")
    return f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode("utf-8", "surrogatepass")


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
