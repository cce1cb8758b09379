"""A fingerprint is the same each time, and another whenever the content is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from and_nnsight.data import open_source
from tests.damaged import sound, write_damaged_folder
from tests.data.clips import CLIP, RATE
from tests.data.small_sources import Lazy, Sound, audio_dataset, folder, with_audio


def test_a_folders_fingerprint_follows_its_files_and_metadata(tmp_path: Path):
    write_damaged_folder(tmp_path)
    seen = {open_source(tmp_path).fingerprint}

    def changed() -> bool:
        fingerprint = open_source(tmp_path).fingerprint
        new = fingerprint not in seen
        seen.add(fingerprint)
        return new

    (tmp_path / "new.wav").write_bytes(CLIP)
    assert changed()
    (tmp_path / "new.wav").write_bytes(CLIP + b"1")
    assert changed()
    os.utime(tmp_path / "new.wav", ns=(0, 0))
    assert changed()
    (tmp_path / "new.wav").rename(tmp_path / "newer.wav")
    assert changed()
    (tmp_path / "metadata.csv").write_text("file_name,label\nnewer.wav,a\n")
    assert changed()
    (tmp_path / "metadata.csv").write_text("file_name,label\nnewer.wav,b\n")
    assert changed()
    (tmp_path / "newer.wav").unlink()
    assert changed()
    assert not changed()


@pytest.mark.parametrize("place", [0, 6_000, -1])
def test_another_file_of_the_same_size_and_time_is_another(place: int, tmp_path: Path):
    """So does a copy that keeps the time: the folder, a file alone, and a list of files see it."""
    path = tmp_path / "a.wav"
    content = bytearray(CLIP[:44] + bytes(12_000))
    path.write_bytes(content)
    os.utime(path, ns=(5, 5))
    sources = (tmp_path, path, [str(path)])
    before = [open_source(source).fingerprint for source in sources]
    assert [open_source(source).fingerprint for source in sources] == before
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(5, 5))
    for source, earlier in zip(sources, before, strict=True):
        assert open_source(source).fingerprint != earlier


def test_a_file_without_content_has_a_fingerprint(tmp_path: Path):
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")  # opening it would wait for a writer
    assert len(open_source(tmp_path).fingerprint) == 16


def test_a_lists_fingerprint_follows_its_content(tmp_path: Path):
    path = folder(tmp_path, "a.wav") / "a.wav"
    waveform = sound(0.1, RATE)
    lists = [
        [waveform],
        [waveform, waveform],
        [waveform * 2],
        [waveform.astype(np.float64)],
        [torch.from_numpy(waveform).bfloat16()],
        [waveform.reshape(2, -1)],
        [{"audio": waveform, "label": "a"}],
        [{"audio": waveform, "label": "b"}],
        [{"array": waveform, "sampling_rate": 8000}],
        [Sound(waveform, RATE, "a", "b")],
        [Sound(waveform, RATE, "a", "c")],
        [CLIP],
        [str(path)],
        [[0.0, 0.5]],
        [None],
    ]
    fingerprints = [open_source(data).fingerprint for data in lists]
    assert len(set(fingerprints)) == len(lists)
    assert "unknown" not in fingerprints
    assert fingerprints == [open_source(data).fingerprint for data in lists]
    before = open_source([str(path)]).fingerprint
    path.write_bytes(CLIP + b"1")
    assert open_source([str(path)]).fingerprint != before
    assert open_source([object()]).fingerprint == "unknown"
    assert open_source(Lazy()).fingerprint == "unknown"


def test_a_datasets_fingerprint_follows_its_content(hub: list[tuple]):
    dataset = audio_dataset()
    assert open_source(dataset).fingerprint != open_source(dataset.select(range(3))).fingerprint
    assert open_source("a", split="train").fingerprint == open_source("a", split="train").fingerprint
    assert open_source("a", split="train").fingerprint != open_source("b", split="train").fingerprint
    assert open_source(datasets.IterableDataset.from_generator(lambda: iter([]))).fingerprint == "unknown"


@pytest.mark.parametrize("kind", ["text", "audio", "struct"])
def test_files_that_a_dataset_only_names_are_of_its_fingerprint(kind: str, tmp_path: Path):
    folder(tmp_path, "a.wav", "b.wav")
    paths = [str(tmp_path / "a.wav"), str(tmp_path / "b.wav"), "https://example.org/c.wav"]
    values = [{"bytes": None, "path": path} for path in paths] if kind == "struct" else paths

    def fingerprint() -> str:
        dataset = datasets.Dataset.from_dict({"audio": values})
        return open_source(dataset.cast_column("audio", datasets.Audio()) if kind == "audio" else dataset).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    (tmp_path / "b.wav").write_bytes(CLIP + b"1")
    assert fingerprint() != before
    (tmp_path / "b.wav").unlink()
    assert fingerprint() != before


def test_what_was_done_to_a_stream_cannot_be_recognised():
    stream = with_audio({"audio": [{"bytes": CLIP, "path": None}] * 3}).to_iterable_dataset()
    assert {open_source(data).fingerprint for data in (stream, stream.take(2), stream.shuffle(seed=1))} == {"unknown"}


def test_what_a_transform_gives_cannot_be_recognised():
    """It may be another thing each time; and datasets knows the function of a module by its name alone."""
    dataset = audio_dataset()
    assert open_source(dataset).fingerprint != "unknown"
    assert open_source(dataset.with_transform(lambda rows: rows)).fingerprint == "unknown"


def test_a_saved_dataset_whose_rows_were_replaced_is_another(tmp_path: Path):
    """The fingerprint that lies beside them stays."""
    for name, count in (("one", 6), ("two", 5)):
        audio_dataset(count).save_to_disk(tmp_path / name)
    before = open_source(tmp_path / "one").fingerprint
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    assert open_source(tmp_path / "copy").fingerprint == before == open_source(tmp_path / "one").fingerprint
    (table,) = (tmp_path / "one").glob("*.arrow")
    shutil.copy(tmp_path / "two" / table.name, table)
    assert open_source(tmp_path / "one").fingerprint != before
