"""A clip is the same by its samples, by its place in the same data, or by its path; and by nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from and_nnsight import Dissection
from and_nnsight.data import UNKNOWN, open_source
from and_nnsight.data.options import DataOptions
from and_nnsight.dissection.descriptions import DatasetDescription
from and_nnsight.dissection.same_clips import KnownClips, Origin, first_of_each
from and_nnsight.storage import write_json
from tests.explain.small_dissection import small_dissection

HERE = Origin("sounds", None, "f1")
OTHER = Origin("other sounds", None, "f2")


def known(folder: Path, rows: list[dict[str, Any]], origin: Origin = HERE) -> KnownClips:
    dissection = small_dissection(folder)
    dataset = {"name": origin.name, "split": origin.split, "fingerprint": origin.fingerprint, "kind": "folder"}
    write_json(folder / "manifest.json", {**dissection.manifest.to_json(), "dataset": dataset})
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "clips.parquet")
    return KnownClips(Dissection.load(folder))


def row(clip: int, path: str | None, content: str | None) -> dict[str, Any]:
    return {"clip": clip, "path": path, "label": None, "caption": None, "seconds": 1.0, "content": content}


def test_samples_tell_whatever_the_clip_is_called(tmp_path: Path) -> None:
    clips = known(tmp_path / "a", [row(0, "/x/0.wav", "aa"), row(1, None, "bb")])
    assert clips.has(77, "/y/z.flac", "aa", OTHER)
    assert clips.has(77, None, "bb", None)
    assert not clips.has(77, None, "cc", OTHER)
    assert clips.tell


@pytest.mark.parametrize("content", ["", None])
def test_clips_without_a_hash_share_nothing(tmp_path: Path, content: str | None) -> None:
    clips = known(tmp_path / "a", [row(0, "/x/0.wav", content), row(1, None, content)])
    assert not clips.has(5, None, content, OTHER)
    assert not clips.tell, "one of them could not be known again"


def test_a_place_tells_in_the_same_data_alone(tmp_path: Path) -> None:
    clips = known(tmp_path / "a", [row(0, None, "aa"), row(4, None, "bb")])
    assert clips.has(0, None, "other samples", HERE)
    assert clips.has(4, None, None, Origin("the same under another name", None, "f1"))
    assert not clips.has(1, None, None, HERE), "which was not dissected"
    for origin in (OTHER, Origin("sounds", "test", "f1"), Origin("sounds", None, UNKNOWN), None):
        assert not clips.has(0, None, None, origin)


def test_data_of_unknown_fingerprint_is_no_data_twice(tmp_path: Path) -> None:
    nameless = Origin("list", None, UNKNOWN)
    assert not nameless.is_same_data(nameless)
    assert not known(tmp_path / "a", [row(0, None, "aa")], nameless).has(0, None, None, nameless)


def test_a_path_tells_by_whatever_link_and_a_name_within_its_dataset(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "0.wav").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    clips = known(tmp_path / "a", [row(0, str(tmp_path / "real" / "0.wav"), "aa"), row(1, "train/1.wav", "bb")])
    assert clips.has(9, str(tmp_path / "link" / "0.wav"), None, OTHER)
    assert clips.has(9, "train/1.wav", None, Origin("sounds", None, UNKNOWN))
    assert clips.has(9, "train/1.wav", None, None), "where nothing is known of the data"
    assert not clips.has(9, "train/1.wav", None, OTHER)
    assert not clips.has(9, "train/1.wav", None, Origin("sounds", "test", UNKNOWN))
    assert not clips.has(9, str(tmp_path / "real" / "1.wav"), None, HERE)


def test_the_first_that_can_be_told_before_anything_is_decoded(tmp_path: Path) -> None:
    clips = known(tmp_path / "a", [row(0, "/x/0.wav", "aa"), row(1, "/x/1.wav", "bb")])
    listed = [(7, "/x/7.wav"), (8, "/x/1.wav"), (9, "/x/0.wav")]
    assert clips.first(listed, OTHER) == (8, "/x/1.wav")
    assert clips.first(listed[:1], OTHER) is None
    assert clips.first([(1, None)], HERE) == (1, None)


def test_the_origin_of_a_source_is_that_of_its_manifest() -> None:
    source = open_source([{"audio": [0.0] * 100}])
    assert Origin.of(source) == Origin.of(DatasetDescription.of(source, DataOptions()))
    assert Origin.of(DatasetDescription()).fingerprint == UNKNOWN


def test_of_copies_the_first_stands_for_all() -> None:
    assert first_of_each(["a", "b", "a", "", None, "", "b", "c"]) == [0, 1, 3, 4, 5, 7]
