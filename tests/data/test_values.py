"""One value among many that is odd, or no audio, ends nothing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow
import pytest
import soundfile
import torch

from and_nnsight.audio.loading import to_waveform
from and_nnsight.data import UNKNOWN, open_source
from tests.data.clips import CLIP, RATE, WAVE, Sounds, clips, encoded, read


@pytest.mark.slow
@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (torch.zeros(800, device="meta"), "a tensor whose values cannot be read: Cannot copy out of meta tensor"),
        (torch.complex(torch.ones(800), torch.ones(800)).conj(), "complex64 is not audio"),
        (np.zeros(800, "M8[s]"), r"datetime64\[s\] is not audio"),
        (np.zeros(800, [("left", "f4"), ("right", "O")]), r"records \(left, right; .*\) is not audio"),
        ([0.1, None, 10**5_000], r"an array of objects \(.*\) is not audio"),
        ("https://example.org/a.wav", "an address, and those are not fetched"),
        ("x" * 5_000 + ".wav", "File name too long"),
    ],
    ids=["meta", "complex", "dates", "structured", "objects", "address", "long"],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_one_value_that_is_no_audio_ends_nothing(odd: Any, reason: str, workers: int) -> None:
    (batch,) = read([WAVE, odd, WAVE], workers)
    assert batch.inputs == [800, 800]
    assert [row.clip for row in batch.quarantined] == [1]
    assert re.search(reason, batch.quarantined[0].reason)


@pytest.mark.parametrize(
    "kind", ["sparse", "float8_e5m2", "float8_e4m3fn", "negated", "quantised", "big-endian", "long double"]
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_values_of_any_layout_and_type_are_heard(kind: str) -> None:
    wave = torch.from_numpy((WAVE * 8).round() / 8)  # what every type holds
    wave = {
        "sparse": wave.to_sparse,
        "float8_e5m2": lambda: wave.to(torch.float8_e5m2),
        "float8_e4m3fn": lambda: wave.to(torch.float8_e4m3fn),
        "negated": lambda: torch._neg_view(-wave),
        "quantised": lambda: torch.quantize_per_tensor(wave, 0.125, 0, torch.qint8),
        "big-endian": lambda: wave.numpy().astype(">f4"),
        "long double": lambda: wave.numpy().astype(np.longdouble),
    }[kind]()
    source = open_source([wave])
    assert source.fingerprint != UNKNOWN
    (item,) = source.items()
    assert np.array_equal(to_waveform(item.audio, RATE), (WAVE * 8).round() / 8)


def test_a_nested_tensor_is_refused_with_what_to_give() -> None:
    with pytest.warns(UserWarning, match="nested"):
        nested = torch.nested.nested_tensor([torch.zeros(3), torch.zeros(4)])
    with pytest.raises(ValueError, match=r"clip 0 is a nested tensor: give its parts one by one \(tensor\.unbind"):
        read([nested])
    assert [row.clip for row in read([WAVE, nested, WAVE])[0].quarantined] == [1]


@pytest.mark.parametrize("error", [soundfile.LibsndfileError(1, "x"), OSError("gone"), ValueError("bad"), EOFError()])
def test_a_clip_that_its_dataset_cannot_load_is_set_aside(error: Exception) -> None:
    def load(index: int) -> Any:
        if index == 0 or index == 3:
            raise error
        return WAVE

    (first, second) = read(Sounds(load))
    assert [row.clip for row in first.quarantined] == [0, 3]
    assert f"its dataset cannot load it: {type(error).__name__}" in first.quarantined[0].reason
    assert [len(batch.clips) for batch in (first, second)] == [2, 2]


@pytest.mark.parametrize("data", ["generator", "sequence", "transform"])
def test_a_mistake_in_a_dataset_is_raised_with_the_place(data: str) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError("nope")

    dataset = {
        "generator": lambda: (fail() for _ in range(2)),
        "sequence": lambda: Sounds(fail),
        "transform": lambda: encoded().with_transform(fail),
    }[data]()
    with pytest.raises(KeyError, match="nope") as caught:
        read(dataset)
    assert "while reading the clips from 0 on" in caught.value.__notes__


def test_tables_of_arrow_are_tables() -> None:
    rows = [{"audio": CLIP, "label": "one"}, {"audio": CLIP, "label": "two"}]
    assert [clip.label for clip in clips(pyarrow.Table.from_pylist(rows))] == ["one", "two"]
    assert len(clips(pyarrow.array([CLIP, CLIP]))) == 2


@pytest.mark.parametrize("name", ["x" * 5_000, "~nobody-of-this-name/data", "\ud83d.wav", "a\0b.wav"])
def test_a_name_that_no_file_has_is_one_sentence(name: str) -> None:
    with pytest.raises(ValueError, match=r"no such file or folder|is no file or folder here") as caught:
        open_source(name)
    caught.value.args[0].encode()
