"""What lies in a folder is a clip, or is counted with the reason for which it is none."""

from __future__ import annotations

import contextlib
import csv
import inspect
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile

from and_nnsight.audio.loading import AudioError, load
from and_nnsight.data import Batch, Unused, batches, open_source
from and_nnsight.data.scan import scan
from tests.damaged import encode, sound

RATE = 16_000
CLIP = encode(sound(0.1, RATE), RATE)


def made(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(CLIP)
    return root


def reasons(root: Path) -> dict[str, tuple[int, str]]:
    return {unused.reason: (unused.count, unused.example) for unused in open_source(root).unused}


def lengths(waveforms: Any) -> list[int]:
    return [len(waveform) for waveform in waveforms]


def read(root: Path) -> Batch[list[int]]:
    (batch,) = batches(open_source(root), sampling_rate=RATE, featurise=lengths, batch_size=99)
    return batch


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
    assert {clip.label for clip in read(tmp_path).clips} == decoded
    assert decoded >= {"AIFF", "AU", "CAF", "FLAC", "MP3", "NIST", "OGG", "RF64", "W64", "WAV", "WAVEX"}


def test_what_is_no_clip_is_counted_by_reason_with_an_example(tmp_path: Path) -> None:
    made(tmp_path, "a.wav", "b.m4a", "c/d.M4A", "e.mp4", "notes.txt", "README", "c/._f.wav", ".git/g.wav", "h/x.json")
    (tmp_path / "c" / "up").symlink_to(tmp_path)
    (tmp_path / "h" / "metadata.csv").write_text("file_name\n")
    assert reasons(tmp_path) == {
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
    made(tmp_path, "a.wav", "shut/b.wav")
    scandir = os.scandir

    def guarded(folder: Any) -> Any:
        if Path(folder).name in ("shut", "top"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    assert len(read(tmp_path).clips) == 1
    assert reasons(tmp_path) == {"a folder that cannot be opened (Permission denied)": (1, "shut")}
    (tmp_path / "top").mkdir()
    with pytest.raises(ValueError, match="top cannot be opened: Permission denied"):
        open_source(tmp_path / "top")


def test_links_that_lead_nowhere_pipes_and_empty_files_are_set_aside_one_by_one(tmp_path: Path) -> None:
    made(tmp_path, "a.wav")
    (tmp_path / "nowhere.wav").symlink_to("gone")
    (tmp_path / "itself.wav").symlink_to("itself.wav")
    (tmp_path / "empty.wav").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.wav")
    said = {Path(row.path or "").name: row.reason for row in read(tmp_path).quarantined}
    assert said == {
        "nowhere.wav": "no such file", "itself.wav": "no such file", "empty.wav": "holds no bytes", "pipe.wav": "is not a file",
    }  # fmt: skip


def test_folders_within_each_other_may_be_deeper_than_calls_may_be(tmp_path: Path) -> None:
    made(tmp_path, "/".join(["d"] * 120 + ["a.wav"]))
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


@pytest.mark.parametrize("kind", ["nowhere", "pipe", "folder"])
def test_metadata_that_is_no_file_is_not_passed_over(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    path = tmp_path / "metadata.csv"
    {"nowhere": lambda: path.symlink_to("gone.csv"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    with pytest.raises(ValueError, match=r"metadata\.csv is no file, or a link to none"):
        open_source(tmp_path)


def test_columns_of_a_file_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes(b"PK\x03\x04\xff\xfe" + b"\xd8" * 5_000 + b"\nx\n")
    with pytest.raises(ValueError, match="no file_name; the columns") as caught:
        open_source(tmp_path)
    assert len(str(caught.value).encode()) < 2_000


def test_a_dissection_within_the_folder_is_not_of_it(tmp_path: Path) -> None:
    made(tmp_path, "a.wav", "run/exemplars/b.flac", "other/c.wav")
    (tmp_path / "run" / "manifest.json").write_text('{"format_version": 3}')
    (tmp_path / "other" / "manifest.json").write_text('{"mine": 1}')
    source = open_source(tmp_path)
    assert [Path(item.path or "").name for item in source.items()] == ["a.wav", "c.wav"]
    assert [unused.example for unused in source.unused] == ["other/manifest.json"]


# -- metadata ----------------------------------------------------------------------------------------------------------


def test_files_that_the_metadata_does_not_list_are_counted(tmp_path: Path) -> None:
    made(tmp_path, "a.wav", "b.wav", "s/c.wav", "d.m4a", "e.m4a")
    (tmp_path / "metadata.csv").write_text("file_name\n./a.wav\nd.m4a\n")
    assert reasons(tmp_path) == {
        "not listed in metadata.csv": (2, "b.wav"),
        ".m4a is not read: convert it, to flac for example": (1, "e.m4a"),
    }


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_rows_without_a_file_are_clips_that_are_set_aside(name: str, tmp_path: Path) -> None:
    made(tmp_path, "a.wav", "c.wav")
    rows = [{"file_name": "a.wav", "label": "x"}, {"file_name": "", "label": "y"}, {"file_name": "c.wav", "label": "z"}]
    if name.endswith("csv"):
        (tmp_path / name).write_text(
            "file_name,label\n" + "".join(f"{row['file_name']},{row['label']}\n" for row in rows)
        )
    else:
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    batch = read(tmp_path)
    assert [(clip.id, clip.label) for clip in batch.clips] == [(0, "x"), (2, "z")]
    assert [(row.clip, row.reason) for row in batch.quarantined] == [(1, f"{name}, row 2, names no file")]


def test_fields_of_any_length_are_read_and_the_modules_limit_left_as_it_was(tmp_path: Path) -> None:
    made(tmp_path, "a.wav")
    long = "woof, " * 100_000
    (tmp_path / "metadata.csv").write_text(f'file_name,caption\na.wav,"{long}"\n')
    before = csv.field_size_limit()
    (clip,) = read(tmp_path).clips
    assert clip.caption == long
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "metadata.csv",
            'file_name,caption\na.wav,x\nb.wav,"y\nc.wav,z\n',
            "row 2: .*quotation mark is opened here and nev",
        ),
        ("metadata.csv", "file_name,caption\na.wav,x\nb.wav,a dog, barking\n", "row 2: .*3 fields, and the header 2"),
        ("metadata.csv", "a,b\n1,2\n", "row 1: no file_name; the columns are a, b"),
        ("metadata.jsonl", '{"file_name": "a.wav"}\n\n{"file_name": 7}', "row 3: file_name is 7, which is no text"),
        ("metadata.jsonl", '{"file_name": "a.wav"}\n\n{"file_name"', "row 3: cannot be read"),
        ("metadata.jsonl", '{"file_name": "a.wav"}\n' + "[" * 100_000, "row 2: cannot be read"),
        ("metadata.jsonl", '{"file_name": "a.wav", "label": ' + "9" * 5_000 + "}", "row 1: cannot be read"),
    ],
)
def test_a_row_that_fails_names_its_file_and_its_number(name: str, content: str, said: str, tmp_path: Path) -> None:
    made(tmp_path, "a.wav")
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name}, {said}"):
        open_source(tmp_path)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\r\n\r\n"])
@pytest.mark.parametrize("last", ["", "\n"])
def test_lines_may_end_as_they_like(ends: str, last: str, tmp_path: Path) -> None:
    made(tmp_path, "a.wav", "b.wav")
    content = ends.join(["file_name,caption,,", "a.wav,x,,", "b.wav"]) + last
    (tmp_path / "metadata.csv").write_bytes(content.encode())
    assert [clip.caption for clip in read(tmp_path).clips] == ["x", None]


def test_text_that_is_no_unicode_does_not_end_the_reading(tmp_path: Path) -> None:
    made(tmp_path, "a.wav", os.fsdecode(b"b\xff.wav"), "c.wav")
    (tmp_path / "metadata.csv").write_bytes(
        b"file_name,caption\na.wav,caf\xe9\nb\xff.wav,x\nc.wav,a\x00b\xe2\x80\xa8c\n"
    )
    with pytest.warns(
        UserWarning, match=r"1 of 3 rows of .*metadata.csv hold text that is no valid Unicode, read as �"
    ):
        batch = read(tmp_path)
    assert [clip.caption for clip in batch.clips] == ["caf\ufffd", "x", "a\x00b\u2028c"]
    assert str(batch.clips[1].path).endswith("b\\xff.wav")
    (tmp_path / "metadata.csv").unlink()
    rows = ['{"file_name": "a.wav", "label": "\\ud83d"}', '{"file_name": "\\ud83d.wav"}', '{"file_name": "\\u0000"}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        batch = read(tmp_path)
    assert [clip.label for clip in batch.clips] == ["\ufffd"]
    assert [row.reason for row in batch.quarantined] == ["no such file"] * 2


def test_metadata_may_be_what_a_spreadsheet_calls_unicode(tmp_path: Path) -> None:
    made(tmp_path, "a.wav")
    (tmp_path / "metadata.csv").write_bytes("file_name,caption\na.wav,caf\u00e9\n".encode("utf-16"))
    assert read(tmp_path).clips[0].caption == "café"
