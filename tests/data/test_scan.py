"""What a folder holds: every format that is decoded, and every other file by its reason."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile

from and_nnsight.audio.loading import AudioError, load
from and_nnsight.data import Unused, open_source
from and_nnsight.data.scan import scan
from tests.damaged import sound
from tests.data.clips import CLIP, RATE
from tests.data.small_sources import folder, read_folder, unused_reasons


def test_every_format_that_is_decoded_is_taken_from_a_folder(tmp_path: Path) -> None:
    endings = {"WAVEX": "wave", "NIST": "sph"}
    decoded = set()
    for kind in soundfile.available_formats():
        path = tmp_path / kind / f"{kind}.{endings.get(kind, kind.lower())}"
        path.parent.mkdir()
        for subtype in (None, *soundfile.available_subtypes(kind)):
            try:
                soundfile.write(path, sound(0.5, RATE), RATE, format=kind, subtype=subtype)
            except (ValueError, RuntimeError, TypeError):
                continue
            with contextlib.suppress(AudioError):
                load(path, RATE)
                decoded.add(kind)
            break
    assert {clip.label for clip in read_folder(tmp_path).clips} == decoded
    assert decoded >= {"AIFF", "AU", "CAF", "FLAC", "MP3", "NIST", "OGG", "RF64", "W64", "WAV", "WAVEX"}


def test_what_is_no_clip_is_counted_by_reason_with_an_example(tmp_path: Path) -> None:
    folder(tmp_path, "a.wav", "b.m4a", "c/d.M4A", "e.mp4", "notes.txt", "README", "c/._f.wav", ".git/g.wav", "h/x.json")
    (tmp_path / "c" / "up").symlink_to(tmp_path)
    (tmp_path / "h" / "metadata.csv").write_text("file_name\n")
    assert unused_reasons(tmp_path) == {
        ".m4a is not read: convert it, to flac for example": (2, "b.m4a"),
        ".mp4 is not read: convert it, to flac for example": (1, "e.mp4"),
        "a hidden file": (1, "c/._f.wav"),
        "a hidden folder": (1, ".git"),
        "a link back to a folder that it lies in": (1, "c/up"),
        "metadata is read at the top of the folder only": (1, "h/metadata.csv"),
        "not sound, by the ending (1 × no ending, 1 × .json, 1 × .txt)": (3, "README"),
    }
    quiet = [unused.reason for unused in open_source(tmp_path).unused if not unused.sound]
    assert [reason[:11] for reason in quiet] == ["a hidden fi", "a hidden fo", "not sound, "]
    assert str(Unused("r", 1200, "x")) == "1,200 entries are not among the clips: r; for example x"
    assert open_source([CLIP]).unused == open_source(tmp_path / "a.wav").unused == ()


def test_a_folder_that_may_not_be_opened_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, "a.wav", "shut/b.wav")
    scandir = os.scandir

    def guarded(folder: Any) -> Any:
        if Path(folder).name in ("shut", "top"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    assert len(read_folder(tmp_path).clips) == 1
    assert unused_reasons(tmp_path) == {"a folder that cannot be opened (Permission denied)": (1, "shut")}
    (tmp_path / "top").mkdir()
    with pytest.raises(ValueError, match="top cannot be opened: Permission denied"):
        open_source(tmp_path / "top")


def test_links_that_lead_nowhere_pipes_and_empty_files_are_set_aside_one_by_one(tmp_path: Path) -> None:
    folder(tmp_path, "a.wav")
    (tmp_path / "nowhere.wav").symlink_to("gone")
    (tmp_path / "itself.wav").symlink_to("itself.wav")
    (tmp_path / "empty.wav").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.wav")
    said = {Path(row.path or "").name: row.reason for row in read_folder(tmp_path).quarantined}
    assert said == {
        "nowhere.wav": "no such file", "itself.wav": "no such file", "empty.wav": "holds no bytes", "pipe.wav": "is not a file",
    }  # fmt: skip


def test_folders_within_each_other_may_be_deeper_than_calls_may_be(tmp_path: Path) -> None:
    folder(tmp_path, "/".join(["d"] * 120 + ["a.wav"]))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert open_source(tmp_path).length == 1
    finally:
        sys.setrecursionlimit(limit)


def test_folders_that_are_linked_to_each_other_are_read_in_no_time(tmp_path: Path) -> None:
    for one in range(12):
        (tmp_path / str(one)).mkdir()
        (tmp_path / str(one) / "clip.wav").write_bytes(b"")
    for one, other in itertools.permutations(range(12), 2):
        (tmp_path / str(one) / f"to {other}").symlink_to(tmp_path / str(other))
    began = time.process_time()
    below = scan(tmp_path)
    assert time.process_time() - began < 2
    assert [path for path in below.sounds if path.count("/") == 1] == sorted(f"{one}/clip.wav" for one in range(12))
    assert len(below.sounds) == 12 * 8, "each under eight names"
    assert any("read under 8 other names" in reason for reason, _, _ in below.passed)


def test_columns_of_a_file_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes(b"PK\x03\x04\xff\xfe" + b"\xd8" * 5_000 + b"\nx\n")
    with pytest.raises(ValueError, match="no file_name; the columns") as caught:
        open_source(tmp_path)
    assert len(str(caught.value).encode()) < 2_000


def test_a_dissection_within_the_folder_is_not_of_it(tmp_path: Path) -> None:
    folder(tmp_path, "a.wav", "run/exemplars/b.flac", "other/c.wav")
    (tmp_path / "run" / "manifest.json").write_text('{"format_version": 3}')
    (tmp_path / "other" / "manifest.json").write_text('{"mine": 1}')
    source = open_source(tmp_path)
    assert [Path(item.path or "").name for item in source.items()] == ["a.wav", "c.wav"]
    assert [unused.example for unused in source.unused] == ["other/manifest.json"]
