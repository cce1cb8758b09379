"""Clips that judge: none of those that explained, each once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.explain import score
from and_nnsight.explain.evaluate.held_out import clips_held_out
from tests.explain.evaluate.scored import _caption_anew, explained, holds
from tests.explain.scored_dissection import MODEL, OTHER, SITE, written


def test_clips_of_the_explained_dissection_do_not_judge(pair, tmp_path: Path) -> None:
    dissection, _ = pair
    with pytest.raises(DissectionError, match="cannot judge itself"):
        score(dissection, dissection, progress=False)
    copied = Dissection.load(shutil.copytree(dissection.folder, tmp_path / "copy"))
    with pytest.raises(DissectionError, match="only 0 clips .* 150 are clips of the dissection that was explained"):
        score(dissection, copied, progress=False)


def test_the_same_sounds_under_other_names_do_not_judge(pair, tmp_path: Path) -> None:
    renamed = written(
        tmp_path / "renamed", seed=1, dataset={**pair[0].manifest.dataset.to_json(), "fingerprint": "renamed"}
    )
    with pytest.raises(DissectionError, match="150 are clips of the dissection that was explained"):
        score(pair[0], renamed, progress=False)


def _with_rows(dissection: Dissection, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Dissection:
    path = dissection.folder / "clips.parquet"
    parquet.write_table(arrow.Table.from_pylist([change(row) for row in parquet.read_table(path).to_pylist()]), path)
    return Dissection.load(dissection.folder)


def test_the_same_place_in_the_same_data_does_not_judge_though_its_samples_were_changed(pair, tmp_path: Path) -> None:
    dataset = pair[0].manifest.dataset.to_json()
    for fingerprint, split, judging in (
        (dataset["fingerprint"], None, 50), (dataset["fingerprint"], "test", 200), ("another", None, 200),
    ):  # fmt: skip
        other = written(
            tmp_path / f"{fingerprint} {split}", seed=2, clips=200,
            dataset={**dataset, "fingerprint": fingerprint, "split": split},
        )  # fmt: skip
        judges = clips_held_out(pair[0], other, None, 0)
        assert (len(judges.clips), judges.overlap) == (judging, 200 - judging)


def test_copies_among_the_held_out_clips_count_once(pair) -> None:
    dissection, held_out = pair
    whole = clips_held_out(dissection, held_out, None, 0)
    doubled = _with_rows(held_out, lambda row: row | {"content": f"{row['clip'] // 2:016x}"})
    judges = clips_held_out(dissection, doubled, None, 0)
    assert (len(whole.clips), whole.copies) == (200, 0)
    assert judges.clips == tuple(range(0, 200, 2))
    assert judges.copies == 100
    unhashed = _with_rows(held_out, lambda row: row | {"content": ""})
    assert len(clips_held_out(dissection, unhashed, None, 0).clips) == 200, "clips without a hash are like no other"


def test_files_of_the_same_path_do_not_judge(pair, tmp_path: Path) -> None:
    for dissection, shift in zip(pair, (0, 140), strict=True):
        path = dissection.folder / "clips.parquet"
        rows = [
            row | {"path": str(tmp_path / f"{row['clip'] + shift}.wav")} for row in parquet.read_table(path).to_pylist()
        ]
        parquet.write_table(arrow.Table.from_pylist(rows), path)
    fresh = Dissection.load(pair[0].folder), Dissection.load(pair[1].folder)
    assert explained(fresh)["dog"].clips == 190


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"model": {**MODEL, "weights": "others"}}, r"is of another model than .* \(other weights\)"),
        ({"model": {**MODEL, "edits": 1}}, r"\(other edits\)"),
        ({"pool": "mean"}, "was pooled by mean"),
        ({"keep_activations": False}, "keep_activations=True"),
    ],
)
def test_another_model_or_run_is_refused(pair, tmp_path: Path, manifest: dict[str, Any], said: str) -> None:
    with pytest.raises(DissectionError, match=said):
        score(pair[0], written(tmp_path / "x", seed=3, **manifest), progress=False)


def test_a_site_that_was_not_dissected_there_is_refused_unless_it_is_not_asked_for(pair, tmp_path: Path) -> None:
    sites = pair[1].manifest.sites
    fewer = written(tmp_path / "x", seed=3, sites=[sites[0].to_json()])
    with pytest.raises(DissectionError, match=f"site '{OTHER}' has 2 units .* not dissected it"):
        score(pair[0], fewer, progress=False)
    assert score(pair[0], fewer, sites=SITE, progress=False)


def test_clips_without_captions_and_without_audio_say_what_to_run(pair, tmp_path: Path) -> None:
    dissection, held_out = pair
    _caption_anew(held_out, dict.fromkeys(range(10), "dog"))
    with pytest.raises(
        DissectionError, match="190 of the 200 held-out clips have no caption: run `and-nnsight explain"
    ):
        score(dissection, held_out, progress=False)
    bare = written(tmp_path / "bare", seed=3)
    (bare.folder / "explanations" / "acoustics.parquet").unlink()
    with pytest.raises(
        DissectionError, match=r"null models need the acoustics .* pass held_out_data= \(--held-out-data\)"
    ):
        score(dissection, bare, progress=False)


def test_of_many_clips_some_are_drawn(pair) -> None:
    rows = explained(pair, most_clips=60)
    assert rows["dog"].clips == 60
    assert holds(rows["dog"])
