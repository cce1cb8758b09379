"""Errors of files name the file and what to do, whatever library found them."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as arrow
import pytest
import torch
from safetensors import SafetensorError

from and_nnsight.storage import read_parquet, read_tensors, undamaged, write_tensors, writing, written_whole


class Damaged(ValueError):
    pass


@pytest.mark.parametrize("content", [b"", b"garbage" * 50, b'{"a": 1}', bytes(100)])
@pytest.mark.parametrize("read", [read_tensors, read_parquet])
def test_a_damaged_file_is_named(content: bytes, read: object, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with (
        pytest.raises(Damaged, match=r"file is damaged \(.+\): make it again$"),
        undamaged(path, "make it again", Damaged),
    ):
        read(path)  # type: ignore[operator]


def test_a_missing_file_is_named_and_errors_of_ours_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="nothing is missing: look"), undamaged(tmp_path / "nothing", "look", Damaged):
        read_tensors(tmp_path / "nothing")
    with pytest.raises(Damaged, match="^as it is$"), undamaged(tmp_path, "look", Damaged):
        raise Damaged("as it is")
    with pytest.raises(KeyboardInterrupt), undamaged(tmp_path, "look", Damaged):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
        arrow.ArrowInvalid("No space left on device"),
        SafetensorError(
            'Error while serializing: I/O error: IoError(Os { code: 28, kind: StorageFull, message: "…" })'
        ),
    ],
)
def test_a_full_disk_is_a_full_disk_whoever_says_it(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(OSError) as raised, writing(tmp_path / "file"):
        raise error
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(tmp_path / "file")


def test_what_could_not_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_tensors(path, {"a": torch.ones(2)})
    with pytest.raises(OSError, match="No space left"), written_whole(path) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert read_tensors(path)[0]["a"].tolist() == [1, 1]
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
