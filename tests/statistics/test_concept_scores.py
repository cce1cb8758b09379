from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from and_nnsight import ConceptError, ConceptScores
from and_nnsight.storage import write_tensors


def made(**changes: Any) -> ConceptScores:
    parts: dict[str, Any] = {
        "names": ("rain", "Glocke – à deux", "wind"),
        "clips": torch.tensor([1, 4, 1 << 40]),
        "values": torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, -2.0], [1.0, 1.0, 0.25]]),
        "method": "audio-text",
        "settings": {"encoder": "clap", "dataset": "abc"},
    }
    return ConceptScores(**{**parts, **changes})


def test_a_file_gives_back_what_was_saved(tmp_path: Path):
    scores = made()
    scores.save(tmp_path / "scores.safetensors")
    loaded = ConceptScores.load(tmp_path / "scores.safetensors")
    assert (loaded.names, loaded.method, loaded.settings) == (scores.names, scores.method, scores.settings)
    assert torch.equal(loaded.clips, scores.clips)
    assert torch.equal(loaded.values, scores.values)
    assert loaded.fingerprint == scores.fingerprint
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "scores.safetensors").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.safetensors", "scores.safetensors"]


@pytest.mark.parametrize(
    "change",
    [
        {"names": ("rain", "bell", "wind")},
        {"clips": torch.tensor([1, 5, 1 << 40])},
        {"values": torch.zeros(3, 3)},
        {"method": "labels"},
        {"settings": {"encoder": "clap", "dataset": "abd"}},
    ],
)
def test_whatever_changes_the_fingerprint_changes(change: dict[str, Any]):
    assert made(**change).fingerprint != made().fingerprint
    assert made().fingerprint == made().fingerprint


def test_scores_that_are_equal_have_one_fingerprint_and_minus_zero_equals_zero(tmp_path: Path):
    values = made().values
    signed = torch.where(values == 0, -0.0, values)
    assert torch.equal(signed, values)
    assert signed.numpy().tobytes() != values.numpy().tobytes()
    assert made(values=signed).fingerprint == made().fingerprint
    made(values=signed).save(tmp_path / "scores.safetensors")
    assert ConceptScores.load(tmp_path / "scores.safetensors").fingerprint == made().fingerprint


def test_rows_come_in_the_order_asked_for():
    scores = made()
    assert torch.equal(scores.rows([4, 1, 4]), scores.values[[1, 0, 1]])
    assert torch.equal(scores.rows(torch.tensor([1 << 40])), scores.values[[2]])
    assert scores.rows([]).shape == (0, 3)


@pytest.mark.parametrize("clip", [0, 2, 5, (1 << 40) + 1])
def test_a_clip_without_scores_is_named(clip: int):
    with pytest.raises(ConceptError, match=f"clip {clip} has no concept scores: .*make them for the whole dataset"):
        made().rows([1, clip])


def test_which_concepts_are_binary():
    assert made().binary.tolist() == [True, True, False]


def test_labels_become_ones():
    scores = ConceptScores.from_labels({7: "b", 0: "a", 3: None, 5: "b"})
    assert scores.names == ("a", "b")
    assert scores.clips.tolist() == [0, 3, 5, 7]
    assert scores.values.tolist() == [[1, 0], [0, 0], [0, 1], [0, 1]]
    assert scores.method == "labels"
    assert scores.binary.all()


def test_names_choose_among_labels_and_order_them():
    scores = ConceptScores.from_labels({0: "a", 1: "b", 2: "c"}, names=["c", "a", "never"])
    assert scores.names == ("c", "a", "never")
    assert scores.values.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: made(names=("rain", "wind")), r"scores of \(3, 3\) .* do not fit 3 clips and 2 concepts"),
        (lambda: made(names=("rain", "wind", "rain")), "concept 'rain' is there twice"),
        (lambda: made(clips=torch.tensor([1, 1, 2])), "ascending order, each once"),
        (lambda: made(clips=torch.tensor([-1, 1, 2])), "0 or more"),
        (lambda: made(clips=torch.tensor([2, 1, 3])), "ascending order"),
        (
            lambda: made(values=torch.tensor([[0.0, 0, 0], [0, torch.nan, 0], [0, 0, 0]])),
            "the score of 'Glocke – à deux' for clip 4 is not finite",
        ),
        (lambda: replace(made(), names=(), values=torch.zeros(3, 0)), "at least one concept"),
        (lambda: ConceptScores.from_labels({}), "none of 0 clips has a label"),
        (lambda: ConceptScores.from_labels({1: None}), "none of 1 clip has a label"),
        (lambda: ConceptScores.from_labels({1: "a"}, ["b"]), "none of 1 clip has a label among 'b'"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(make: Callable[[], ConceptScores], reason: str):
    with pytest.raises(ConceptError, match=reason):
        make()


def test_other_files_are_no_scores(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no concept scores at .*nothing"):
        ConceptScores.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("rain,wind")
    with pytest.raises(ConceptError, match="text holds no concept scores"):
        ConceptScores.load(tmp_path / "text")
    write_tensors(tmp_path / "tensors", {"clips": torch.zeros(3)})
    with pytest.raises(ConceptError, match="tensors holds no concept scores that this version reads"):
        ConceptScores.load(tmp_path / "tensors")


def test_ten_thousand_concepts_are_looked_through_once_and_the_first_repetition_is_named() -> None:
    class Name(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Name.compared += 1
            return str.__eq__(self, str(other))

        __hash__ = str.__hash__

    names = [Name(f"concept {place}") for place in range(10_000)]
    clips, values = torch.arange(1), torch.zeros(1, 10_000)
    assert ConceptScores(tuple(names), clips, values, "db").column_of["concept 7"] == 7
    assert Name.compared < 20_000  # every pair of them would be 50 million
    names[4_000], names[9_000], names[9_500] = Name("concept 3"), Name("concept 5"), Name("concept 3")
    with pytest.raises(ConceptError, match="'concept 3' is there twice"):
        ConceptScores(tuple(names), clips, values, "db")
