"""Metadata beside the files: order, rows and words of a folder."""

from __future__ import annotations

import csv
import json
import os
import unicodedata
from pathlib import Path

import pytest

from and_nnsight.audio.loading import AudioError, load
from and_nnsight.data import open_source
from tests.data.clips import RATE
from tests.data.small_sources import folder, labels, paths, read_folder, unused_reasons


def test_metadata_decides_order_rows_and_words(tmp_path: Path):
    folder(tmp_path, "a.wav", "b.wav", "sub/c.wav", "unlisted.wav")
    (tmp_path / "metadata.csv").write_text(
        "\ufefffile_name,label,caption,category\n"
        'sub/c.wav,dog,"a dog, barking",animal\n./a.wav,,,weather\nb.wav,3,rain,\n',
        encoding="utf-8",
    )
    source = open_source(tmp_path)
    assert paths(source, tmp_path) == ["sub/c.wav", "a.wav", "b.wav"]
    assert labels(source) == ["dog", None, "3"]
    assert [item.caption for item in source.items()] == ["a dog, barking", None, "rain"]
    assert labels(open_source(tmp_path, label_column="category")) == ["animal", "weather", None]
    assert [item.caption for item in open_source(tmp_path, caption_column="label").items()] == ["dog", None, "3"]


def test_metadata_may_be_json_lines(tmp_path: Path):
    folder(tmp_path, "a.wav", "b.wav")
    rows = [{"file_name": "b.wav", "label": 7}, {"file_name": "a.wav", "caption": "ünïcode\u2028here"}]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n"
    (tmp_path / "metadata.jsonl").write_text(content, encoding="utf-8")
    source = open_source(tmp_path)
    assert paths(source, tmp_path) == ["b.wav", "a.wav"]
    assert [(item.label, item.caption) for item in source.items()] == [("7", None), (None, "ünïcode\u2028here")]


def test_a_missing_file_of_the_metadata_is_a_clip_that_fails_later(tmp_path: Path):
    folder(tmp_path, "a.wav")
    (tmp_path / "metadata.csv").write_text("file_name\ngone.wav\na.wav\n")
    gone, there = open_source(tmp_path).items()
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        load(gone.audio, RATE)
    assert there.id == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", "file_name\n../../etc/passwd\n", r"row 1: '\.\./\.\./etc/passwd' lies outside of the folder"),
        ("metadata.csv", "file_name\na.wav\n/etc/passwd\n", "row 2: '/etc/passwd' lies outside"),
        ("metadata.jsonl", '{"file_name": "C:\\\\windows\\\\a.wav"}', "row 1: .* lies outside"),
        ("metadata.csv", "file,label\na.wav,dog\n", "row 1: no file_name; the columns are file, label"),
        ("metadata.csv", "file_name\n", "has no rows"),
        ("metadata.csv", "", "has no rows"),
        ("metadata.jsonl", '{"file_name": "a.wav"}\n{"file_name": ', "row 2: cannot be read"),
        ("metadata.jsonl", "[1, 2]", "row 1: cannot be read: not a JSON object"),
    ],
)
def test_metadata_that_is_wrong_is_refused_with_its_row(tmp_path: Path, name: str, content: str, message: str):
    folder(tmp_path, "a.wav")
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        open_source(tmp_path)


def test_two_metadata_files_are_one_too_many(tmp_path: Path):
    for name in ("metadata.csv", "metadata.jsonl"):
        (tmp_path / name).write_text("file_name\n")
    with pytest.raises(ValueError, match="holds both"):
        open_source(tmp_path)


def test_a_column_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path):
    folder(tmp_path, "a.wav")
    with pytest.raises(ValueError, match=r"no column 'category': .* has no metadata"):
        open_source(tmp_path, label_column="category")
    (tmp_path / "metadata.csv").write_text("file_name,class\na.wav,dog\n")
    with pytest.raises(ValueError, match=r"no column 'category' in .*; the columns are file_name, class"):
        open_source(tmp_path, label_column="category")


@pytest.mark.parametrize("kind", ["nowhere", "pipe", "folder"])
def test_metadata_that_is_no_file_is_not_passed_over(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    path = tmp_path / "metadata.csv"
    {"nowhere": lambda: path.symlink_to("gone.csv"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    with pytest.raises(ValueError, match=r"metadata\.csv is no file, or a link to none"):
        open_source(tmp_path)


def test_files_that_the_metadata_does_not_list_are_counted(tmp_path: Path) -> None:
    folder(tmp_path, "a.wav", "b.wav", "s/c.wav", "d.m4a", "e.m4a")
    (tmp_path / "metadata.csv").write_text("file_name\n./a.wav\nd.m4a\n")
    assert unused_reasons(tmp_path) == {
        "not listed in metadata.csv": (2, "b.wav"),
        ".m4a is not read: convert it, to flac for example": (1, "e.m4a"),
    }


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_rows_without_a_file_are_clips_that_are_set_aside(name: str, tmp_path: Path) -> None:
    folder(tmp_path, "a.wav", "c.wav")
    rows = [{"file_name": "a.wav", "label": "x"}, {"file_name": "", "label": "y"}, {"file_name": "c.wav", "label": "z"}]
    if name.endswith("csv"):
        (tmp_path / name).write_text(
            "file_name,label\n" + "".join(f"{row['file_name']},{row['label']}\n" for row in rows)
        )
    else:
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    batch = read_folder(tmp_path)
    assert [(clip.id, clip.label) for clip in batch.clips] == [(0, "x"), (2, "z")]
    assert [(row.clip, row.reason) for row in batch.quarantined] == [(1, f"{name}, row 2, names no file")]


def test_fields_of_any_length_are_read_and_the_modules_limit_left_as_it_was(tmp_path: Path) -> None:
    folder(tmp_path, "a.wav")
    long = "woof, " * 100_000
    (tmp_path / "metadata.csv").write_text(f'file_name,caption\na.wav,"{long}"\n')
    before = csv.field_size_limit()
    (clip,) = read_folder(tmp_path).clips
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
    folder(tmp_path, "a.wav")
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name}, {said}"):
        open_source(tmp_path)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\r\n\r\n"])
@pytest.mark.parametrize("last", ["", "\n"])
def test_lines_may_end_as_they_like(ends: str, last: str, tmp_path: Path) -> None:
    folder(tmp_path, "a.wav", "b.wav")
    content = ends.join(["file_name,caption,,", "a.wav,x,,", "b.wav"]) + last
    (tmp_path / "metadata.csv").write_bytes(content.encode())
    assert [clip.caption for clip in read_folder(tmp_path).clips] == ["x", None]


def test_text_that_is_no_unicode_does_not_end_the_reading(tmp_path: Path) -> None:
    folder(tmp_path, "a.wav", os.fsdecode(b"b\xff.wav"), "c.wav")
    (tmp_path / "metadata.csv").write_bytes(
        b"file_name,caption\na.wav,caf\xe9\nb\xff.wav,x\nc.wav,a\x00b\xe2\x80\xa8c\n"
    )
    with pytest.warns(
        UserWarning, match=r"1 of 3 rows of .*metadata.csv hold text that is no valid Unicode, read as �"
    ):
        batch = read_folder(tmp_path)
    assert [clip.caption for clip in batch.clips] == ["caf\ufffd", "x", "a\x00b\u2028c"]
    assert str(batch.clips[1].path).endswith("b\\xff.wav")
    (tmp_path / "metadata.csv").unlink()
    rows = ['{"file_name": "a.wav", "label": "\\ud83d"}', '{"file_name": "\\ud83d.wav"}', '{"file_name": "\\u0000"}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        batch = read_folder(tmp_path)
    assert [clip.label for clip in batch.clips] == ["\ufffd"]
    assert [row.reason for row in batch.quarantined] == ["no such file"] * 2


def test_metadata_may_be_what_a_spreadsheet_calls_unicode(tmp_path: Path) -> None:
    folder(tmp_path, "a.wav")
    (tmp_path / "metadata.csv").write_bytes("file_name,caption\na.wav,caf\u00e9\n".encode("utf-16"))
    assert read_folder(tmp_path).clips[0].caption == "café"


@pytest.mark.parametrize(("on_disk", "in_metadata"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_names_are_found_in_either_form_of_unicode(on_disk: str, in_metadata: str, tmp_path: Path) -> None:
    """A folder that came from macOS, and metadata that did not."""
    name, folder_of_it = "Vögel/Gänsesäger é.wav", tmp_path
    folder(folder_of_it, unicodedata.normalize(on_disk, name))
    line = unicodedata.normalize(in_metadata, f"{name},duck")
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{line}\n", encoding="utf-8")
    source = open_source(tmp_path)
    assert paths(source, tmp_path) == [unicodedata.normalize(on_disk, name)]
    assert labels(source) == ["duck"]
    assert not unused_reasons(tmp_path)
