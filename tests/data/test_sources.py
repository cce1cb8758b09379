"""What holds of every source: its tail, its head, what it is not taken for."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from and_nnsight.data import open_source
from tests.data.clips import CLIP
from tests.data.small_sources import audio_dataset, folder


@pytest.fixture(params=["folder", "metadata", "file", "dataset", "stream", "list", "generator"])
def any_source(request: pytest.FixtureRequest, tmp_path: Path):
    """A function from a limit to a source of five clips (of one, for a file)."""
    folder(tmp_path, *(f"{i}.wav" for i in range(5)))
    if request.param == "metadata":
        (tmp_path / "metadata.csv").write_text("file_name\n4.wav\n3.wav\n2.wav\n1.wav\n0.wav\n")
    data = {
        "folder": lambda: tmp_path,
        "metadata": lambda: tmp_path,
        "file": lambda: tmp_path / "0.wav",
        "dataset": lambda: audio_dataset(5),
        "stream": lambda: audio_dataset(5).to_iterable_dataset(),
        "list": lambda: [CLIP] * 5,
        "generator": lambda: (CLIP for _ in range(5)),
    }[request.param]
    return lambda limit=None: open_source(data(), limit=limit)


def test_reading_from_a_start_gives_the_tail_of_the_whole(any_source):
    whole = list(any_source().items())
    for start in range(7):
        assert list(any_source().items(start)) == whole[start:]


def test_a_limit_cuts_the_head(any_source):
    whole = list(any_source().items())
    for limit in (1, 3, 5, 9):
        assert list(any_source(limit).items()) == whole[:limit]
        assert list(any_source(limit).items(2)) == whole[2:limit]
        assert any_source(limit).length in (None, len(whole[:limit]))
    for limit in (0, -1):
        with pytest.raises(ValueError, match=f"limit must be a whole number of at least 1, not {limit}: leave it out"):
            any_source(limit)


def test_a_fingerprint_is_the_same_each_time_and_whatever_the_limit(any_source):
    fingerprint = any_source().fingerprint
    assert fingerprint == any_source().fingerprint == any_source(2).fingerprint
    assert fingerprint == "unknown" or 8 <= len(fingerprint) <= 64


def test_a_split_is_for_datasets(tmp_path: Path):
    folder(tmp_path, "a.wav")
    for data in (tmp_path, tmp_path / "a.wav", [CLIP]):
        with pytest.raises(ValueError, match="has no splits: leave split='train' out"):
            open_source(data, split="train")


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path):
    folder(tmp_path, *(f"{i}.wav" for i in range(50)))
    source = open_source(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert len(list(islice(source.items(10), 5))) == 5
