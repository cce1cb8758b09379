"""A folder: its order, its labels, what is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from and_nnsight.audio.loading import load
from and_nnsight.data import Item, Source, open_source
from tests.data.clips import RATE
from tests.data.small_sources import folder, labels, paths


def test_a_folder_is_read_in_the_order_of_its_posix_paths(tmp_path: Path):
    folder(tmp_path, "b/2.wav", "b/10.wav", "a.wav", "B.WAV", "b.flac", "b/c/d/e.mp3", "z.ogg", "z.opus", "z.aiff")
    (tmp_path / "notes.txt").write_text("no audio")
    source = open_source(tmp_path)
    expected = ["B.WAV", "a.wav", "b.flac", "b/10.wav", "b/2.wav", "b/c/d/e.mp3", "z.aiff", "z.ogg", "z.opus"]
    assert paths(source, tmp_path) == expected
    assert [item.id for item in source.items()] == list(range(9))
    assert (source.kind, source.name, source.split, source.length) == ("folder", str(tmp_path), None, 9)
    assert isinstance(source, Source)


def test_the_order_does_not_depend_on_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder(tmp_path, "a/1.wav", "a/2.wav", "b/1.wav", "c.wav")
    expected = paths(open_source(tmp_path), tmp_path)
    scandir = os.scandir

    monkeypatch.setattr(os, "scandir", lambda folder: sorted(scandir(folder), key=lambda entry: entry.name)[::-1])
    assert paths(open_source(tmp_path), tmp_path) == expected


def test_without_metadata_a_clip_is_labelled_by_its_folder(tmp_path: Path):
    folder(tmp_path, "dog/1.wav", "animals/cat/2.wav", "3.wav")
    assert dict(zip(paths(s := open_source(tmp_path), tmp_path), labels(s), strict=True)) == {
        "3.wav": None,
        "animals/cat/2.wav": "cat",
        "dog/1.wav": "dog",
    }


def test_hidden_files_are_left_out_and_links_followed_once(tmp_path: Path):
    folder(tmp_path / "set", "a.wav", "._a.wav", ".cache/b.wav", "sub/c.wav")
    folder(tmp_path / "elsewhere", "d.wav")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "sub" / "loop").symlink_to(tmp_path / "set")
    assert paths(open_source(tmp_path / "set"), tmp_path / "set") == ["a.wav", "linked/d.wav", "sub/c.wav"]


def test_paths_are_absolute_and_open_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder(tmp_path / "set", "a.wav")
    monkeypatch.chdir(tmp_path)
    source = open_source("set")
    monkeypatch.chdir("/")
    [item] = source.items()
    assert item.path == str(tmp_path / "set" / "a.wav")
    assert len(load(item.audio, RATE).samples) == 1600
    assert source.name == "set"


def test_a_folder_without_audio_says_what_it_holds(tmp_path: Path):
    with pytest.raises(ValueError, match=r"holds no audio .* it holds nothing"):
        open_source(tmp_path)
    (tmp_path / "a.m4a").write_bytes(b"x")
    (tmp_path / "b.m4a").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"it holds 2 × \.m4a"):
        open_source(tmp_path)


def test_a_single_file_is_a_source_of_one_clip(tmp_path: Path):
    path = folder(tmp_path, "a.wav") / "a.wav"
    for data in (path, str(path)):
        source = open_source(data)
        assert list(source.items()) == [Item(0, str(path), str(path))]
        assert list(source.items(1)) == []
        assert (source.kind, source.length) == ("file", 1)
