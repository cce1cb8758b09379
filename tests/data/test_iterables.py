"""Python values: sequences, read by position, and iterables, read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from and_nnsight.audio.loading import load
from and_nnsight.data import Item, open_source
from tests.damaged import sound
from tests.data.clips import CLIP, RATE
from tests.data.small_sources import Lazy, Sound, folder, labels


def test_a_list_may_mix_every_kind_of_clip(tmp_path: Path):
    path = folder(tmp_path, "a.wav") / "a.wav"
    waveform = sound(0.1, 8000)
    data = [
        str(path),
        path,
        CLIP,
        torch.from_numpy(waveform),
        {"array": waveform, "sampling_rate": 8000},
        {"audio": waveform, "sampling_rate": 8000, "label": 3, "caption": "a tone", "path": "b.wav"},
        {"audio": {"bytes": CLIP, "path": "c.wav"}, "label": ["dog", "bark"]},
        {"path": str(path), "label": "dog"},
        Sound(waveform, 8000, "tone", "a steady tone"),
        None,
    ]
    items = list(open_source(data).items())
    assert [item.id for item in items] == list(range(10))
    assert [item.path for item in items[:5]] == [str(path), str(path), None, None, None]
    assert vars(items[5]) == vars(Item(5, waveform, "b.wav", "3", "a tone", 8000))
    assert (items[6].path, items[6].label) == ("c.wav", "dog, bark")
    assert (items[7].path, items[7].label) == (str(path), "dog")
    assert vars(items[8]) == vars(Item(8, waveform, None, "tone", "a steady tone", 8000))
    lengths = [len(load(item.audio, RATE, source_rate=item.sampling_rate).samples) for item in items[:9]]
    assert lengths == [1600, 1600, 1600, 800, 1600, 1600, 1600, 1600, 1600]


def test_columns_of_dicts_and_objects_are_chosen_by_name():
    rows = [{"sound": CLIP, "class": "dog"}, {"sound": CLIP}]
    assert labels(open_source(rows, audio_column="sound", label_column="class")) == ["dog", None]
    with pytest.raises(ValueError, match="no key 'kind' in the first clip; its keys are sound, class"):
        list(open_source(rows, audio_column="sound", label_column="kind").items())
    assert labels(open_source([Sound(sound(0.1, RATE), RATE, "a", "b")], label_column="caption")) == ["b"]


@pytest.mark.parametrize("data", [Lazy(), np.arange(20.0).reshape(5, 4), torch.zeros(5, 4), [b"x"] * 5, (b"x",) * 5])
def test_sequences_are_read_by_position(data: object):
    source = open_source(data)
    assert (source.kind, source.length) == ("sequence", 5)
    assert [item.id for item in source.items(3)] == [3, 4]
    assert [item.id for item in source.items()] == [0, 1, 2, 3, 4]


def test_a_generator_can_be_read_once_and_skips_by_reading():
    read = []

    def clips():
        for position in range(5):
            read.append(position)
            yield np.full(10, position, np.float32)

    source = open_source(clips(), limit=4)
    assert (source.kind, source.length, source.fingerprint) == ("iterable", None, "unknown")
    assert [item.id for item in source.items(2)] == [2, 3]
    assert read == [0, 1, 2, 3], "not one beyond the limit"
    with pytest.raises(ValueError, match="the generator has been read already"):
        next(source.items())


def test_an_iterable_that_starts_anew_can_be_read_again():
    class Clips:
        def __iter__(self):
            return iter([CLIP, CLIP])

    source = open_source(Clips())
    assert len(list(source.items())) == len(list(source.items())) == 2


@pytest.mark.parametrize("data", [np.zeros(10), torch.zeros(10), [0.0, 1.0], CLIP, {"array": [0.0]}])
def test_a_single_clip_is_not_taken_for_many(data: object):
    with pytest.raises(ValueError, match=r"single clip .*: put it in a list"):
        open_source(data)


def test_other_values_are_refused():
    with pytest.raises(ValueError, match="data is a int; it can be a folder"):
        open_source(3)
