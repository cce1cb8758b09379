"""Whole files or none, with checksums; only a lock that is held locks; errors name the file and what to do."""

from __future__ import annotations

import errno
import fcntl
import json
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as arrow
import pytest
import torch
from safetensors import SafetensorError

from and_nnsight.storage import (
    DamagedFile,
    file_checksum,
    locked,
    read_parquet,
    read_tensors,
    undamaged,
    write_json,
    write_tensors,
    writing,
    written_whole,
)

TENSORS = {
    "values": torch.arange(6.0).reshape(2, 3),
    "half": torch.ones(3).bfloat16(),
    "none": torch.zeros(0),
    "one": torch.tensor(3),
}


def test_tensors_and_their_metadata_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checksum = write_tensors(path, TENSORS, {"b": "2", "a": "\u2028"})
    tensors, metadata = read_tensors(path, checksum)
    assert metadata == {"a": "\u2028", "b": "2"}
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    before = path.read_bytes()
    assert write_tensors(path, TENSORS, {"a": "\u2028", "b": "2"}) == checksum
    assert path.read_bytes() == before, "equal bytes whatever the order of the metadata"
    with pytest.raises(DamagedFile, match="a.safetensors is not the file that was written there"):
        read_tensors(path, "0" * 16)
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "gone")


def test_every_changed_byte_and_every_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, {"position": "12"})
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 0x21
        path.write_bytes(changed)
        try:
            tensors, metadata = read_tensors(path)
        except DamagedFile as error:
            assert str(error).startswith(f"{path} is ")
            continue
        # What is left is a space of the header's padding, or a name in it that nobody asks for.
        assert metadata in ({"position": "12"}, {}) or "position" not in metadata
        assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedFile):
            read_tensors(path)


def test_json_holds_names_that_are_no_unicode(tmp_path: Path) -> None:
    value = {"name": "\udcff\ud83d\u2028\x00", "words": "café"}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value
    assert len(file_checksum(tmp_path / "a.json")) == 16


@pytest.mark.parametrize("left", [b"", b"99999999\n", f"1 {socket.gethostname()}".encode(), b"4711 another-host\n"])
def test_what_a_lock_file_holds_says_nothing(left: bytes, tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_bytes(left)
    with locked(path), pytest.raises(BlockingIOError, match="another process is writing to"):
        locked(path)
    with locked(path):
        pass


@pytest.mark.slow
def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from and_nnsight.storage import locked\n"
        "lock = locked(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError):
        locked(tmp_path / ".lock")
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()
    with locked(tmp_path / ".lock"):
        pass


def test_a_lock_file_that_was_removed_meanwhile_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder removes it when it ends: a lock on what was removed would keep nobody out."""
    path, flock, calls = tmp_path / ".lock", fcntl.flock, []

    def removed(file: object, operation: int) -> None:
        if not calls:
            path.unlink()
        calls.append(operation)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", removed)
    with locked(path):
        assert path.exists()
        assert len(calls) > 1, "the first was of a file that nobody else can see"
        with pytest.raises(BlockingIOError):
            locked(path)


def test_a_file_system_without_locks_is_said_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.warns(UserWarning, match="is on a file system without locks: let one process write to it"):
        locked(tmp_path / ".lock").close()


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
        read(path)


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


def test_an_error_of_writing_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    for path in (tmp_path / "a folder", tmp_path / "none" / "a.json"):
        with pytest.raises(OSError) as refused:
            write_json(path, {})
        assert (refused.value.filename, refused.value.filename2) == (str(path), None)
    with pytest.raises(FileNotFoundError, match="other.wav"), written_whole(tmp_path / "a.json"):
        (tmp_path / "other.wav").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a folder"]
