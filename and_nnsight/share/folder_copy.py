"""A dissection's own folder as it is handed on: whole, without what is of this machine only."""

from __future__ import annotations

import json
import operator
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
from safetensors import safe_open

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..storage import as_json, file_checksum, make_folder, read_parquet, undamaged, write_json
from .folder_parts import left_out, shared_files
from .machine_traces import MachineTraces

_ENCODED = re.compile(r"([A-Za-z0-9+/]{1000,}={0,2})")  # a sound or a picture in a report, in base64


def copy_folder(
    dissection: Dissection, out: Path, traces: MachineTraces, *, audio: bool, link: bool = False
) -> list[str]:
    """Copy a dissection to a folder that is not there, its text read by `traces`; files without traces byte for byte.

    Gives the names of what else is in its folder, and was not copied.

    audio  the sounds of exemplars, what units need of them, and reports as well
    link   files that stay as they are need not be copied: they will be read and removed

    Raises DissectionError for a file that holds something like a key, and for one that cannot be read.
    """
    changed: set[str] = set()
    shared = shared_files(dissection.folder, audio)
    for path in shared:
        name = path.relative_to(dissection.folder).as_posix()
        target = out / name
        make_folder(target.parent, DissectionError)
        if name == "manifest.json":
            continue
        with undamaged(path, "remove it, or make it again", DissectionError):
            if _READERS.get(path.suffix, _text)(path, target, traces, name):
                changed.add(name)
            else:
                _put(path, target, link)
    _copy_manifest(dissection.folder, out, traces, changed)
    if traces.keys:
        raise DissectionError(
            f"nothing was written: {', '.join(sorted(traces.keys))} of {dissection.folder} holds what looks like a key "
            "or a password; copy the folder, take it out there, and share the copy"
        )
    return left_out(dissection.folder, shared)


def _put(path: Path, target: Path, link: bool) -> None:
    if link:
        try:
            os.link(path, target)
        except OSError:  # another disk, or none that links
            pass
        else:
            return
    shutil.copyfile(path, target)


def _copy_manifest(folder: Path, out: Path, traces: MachineTraces, changed: set[str]) -> None:
    """The manifest, with the checksums of what was changed."""
    value = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    shared = traces.value(value, "manifest.json")
    for name in changed & set(shared.get("checksums", {})):
        shared["checksums"][name] = file_checksum(out / name)
    if shared == value:
        shutil.copyfile(folder / "manifest.json", out / "manifest.json")
    else:
        write_json(out / "manifest.json", shared)


def _json(path: Path, target: Path, traces: MachineTraces, name: str) -> bool:
    value = json.loads(path.read_text(encoding="utf-8"))
    shared = traces.value(value, name)
    if shared == value:
        return False
    write_json(target, shared)
    return True


def _json_lines(path: Path, target: Path, traces: MachineTraces, name: str) -> bool:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    shared = [traces.value(line, name) for line in lines]
    if shared == lines:
        return False
    target.write_bytes(b"".join(as_json(line) + b"\n" for line in shared))
    return True


def _text(path: Path, target: Path, traces: MachineTraces, name: str) -> bool:
    """Whatever is text, by what it holds. What stands in base64 in it is no text, and stays."""
    content = path.read_bytes()
    if b"\0" in content:
        return False
    parts = _ENCODED.split(content.decode("utf-8", "surrogateescape"))
    shared = [part if number % 2 else traces.text(part, name) for number, part in enumerate(parts)]
    if shared == parts:
        return False
    target.write_bytes("".join(shared).encode("utf-8", "surrogateescape"))
    return True


def _parquet(path: Path, target: Path, traces: MachineTraces, name: str) -> bool:
    table = read_parquet(path)
    earlier = table.columns
    columns = [_column(column, lambda value: traces.value(value, name)) for column in earlier]
    about = {key: _metadata(text, traces, name) for key, text in (table.schema.metadata or {}).items()}
    if about == (table.schema.metadata or {}) and all(map(operator.is_, columns, earlier)):
        return False
    shared = arrow.Table.from_arrays(columns, schema=table.schema.with_metadata(about or None))
    with target.open("wb") as file:
        parquet.write_table(shared, file)
    return True


def _column(column: arrow.ChunkedArray, shared: Callable[[Any], Any]) -> arrow.ChunkedArray:
    """A column with its texts as they are handed on; itself where none is another then."""
    if not _has_text(column.type):
        return column
    nested = not _is_text(column.type) or arrow.types.is_string_view(column.type)  # of which arrow has no unique()
    values: list[Any] = column.to_pylist() if nested else column.unique().to_pylist()
    new = [shared(value) for value in values]
    if new == values:
        return column
    if nested:
        return arrow.chunked_array([arrow.array(new, column.type)])
    by_text: Mapping[Any, Any] = dict(zip(values, new, strict=True))
    return arrow.chunked_array([arrow.array([by_text[value] for value in column.to_pylist()], column.type)])


def _is_text(kind: arrow.DataType) -> bool:
    return arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or arrow.types.is_string_view(kind)


def _has_text(kind: arrow.DataType) -> bool:
    if _is_text(kind):
        return True
    if arrow.types.is_dictionary(kind):
        return _has_text(kind.value_type)
    return any(_has_text(kind.field(index).type) for index in range(kind.num_fields))


def _metadata(text: bytes, traces: MachineTraces, name: str) -> bytes:
    return traces.text(text.decode("utf-8", "surrogateescape"), name).encode("utf-8", "surrogateescape")


def _tensors(path: Path, _target: Path, traces: MachineTraces, name: str) -> bool:
    """Looks at what a file of tensors says of itself: it stays as it is, with its checksum."""
    looked = MachineTraces({})
    with safe_open(path, framework="np") as file:
        looked.value(dict(file.metadata() or {}), name)
    traces.keys |= looked.keys
    traces.places |= looked.places
    return False


def _numbers(_path: Path, _target: Path, _traces: MachineTraces, _name: str) -> bool:
    return False


_READERS: Mapping[str, Callable[[Path, Path, MachineTraces, str], bool]] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
    ".safetensors": _tensors,
    **dict.fromkeys((".npy", ".flac", ".png", ".pdf"), _numbers),
}
