"""What is said of a clip reads as what it says, and can be written."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pandas
import pytest
import torch

from and_nnsight.data import open_source
from tests.data.clips import CLIP, WAVE, clips


@pytest.mark.parametrize(
    ("label", "reads"),
    [
        (torch.tensor(3), "3"),
        (torch.tensor([3]), "3"),
        (np.int64(3), "3"),
        (np.array(3), "3"),
        (np.float64(0.5), "0.5"),
        (torch.tensor([1, 2]), "1, 2"),
        ([np.int64(1), torch.tensor(2)], "1, 2"),
        (np.array(["a", "b"]), "a, b"),
        (b"dog", "dog"),
        ({"b", "a", "c"}, "a, b, c"),
        (np.str_("dog"), "dog"),
        (float("nan"), None),
        (pandas.NA, None),
        (pandas.NaT, None),
        (None, None),
    ],
)
def test_labels_read_as_what_they_say(label: Any, reads: str | None) -> None:
    data = [{"audio": WAVE, "label": label}]
    assert clips(data)[0].label == reads
    assert open_source(data).fingerprint == open_source(data).fingerprint != "unknown"


def test_class_labels_have_their_names_and_numbers_without_one_stay_numbers() -> None:
    rows = {"audio": [CLIP] * 3, "label": [0, 1, -1]}
    named = datasets.Dataset.from_dict(rows).cast_column("label", datasets.ClassLabel(names=["dog", "rain"]))
    assert [clip.label for clip in clips(named)] == ["dog", "rain", None]
    tensors = named.with_transform(lambda batch: {**batch, "label": [torch.tensor(value) for value in batch["label"]]})
    assert [clip.label for clip in clips(tensors)] == ["dog", "rain", None]
    odd = named.with_transform(lambda batch: {**batch, "label": [7 for _ in batch["label"]]})
    assert [clip.label for clip in clips(odd)] == ["7"] * 3


def test_text_that_is_no_unicode_becomes_some() -> None:
    halves = {"audio": WAVE, "label": "a\ud83d", "caption": "\ud83d\ude00\x00\u2028\x85", "path": "\udcff\ud83d.wav"}
    (clip,) = clips([halves])
    assert (clip.label, clip.caption, clip.path) == ("a\ufffd", "\U0001f600\x00\u2028\x85", "\\udcff\\ud83d.wav")
    for words in (clip.label, clip.caption, clip.path):
        assert words is not None and words.encode("utf-8")


def test_words_that_cannot_be_written_end_nothing() -> None:
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    wordless = clips([{"audio": WAVE, "label": Silent(), "caption": 10**5_000}])
    assert [(clip.label, clip.caption) for clip in wordless] == [
        ("a Silent that cannot be written", "an int that cannot be written")
    ]
