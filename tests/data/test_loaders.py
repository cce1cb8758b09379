"""Loaders stand for their datasets; batches and columns are no clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, SubsetRandomSampler

from and_nnsight.data import open_source
from tests.data.clips import CLIP, HALF, WAVE, Sounds, clips, read, row, tone


class Stream(IterableDataset[Any]):
    """An iterable torch dataset that knows its length, which does not make it a sequence."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[Any]:
        return iter([row(index) for index in range(3)])


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_a_loader_stands_for_its_dataset(batch_size: int | None, shuffle: bool) -> None:
    loader = DataLoader(Sounds(row), batch_size=batch_size, shuffle=shuffle)
    assert [clip.label for clip in clips(loader)] == [str(index) for index in range(6)]
    assert {clip.seconds for clip in clips(loader)} == {0.1}


def test_loaders_of_tuples_streams_subsets_and_ragged_clips() -> None:
    tuples = Sounds(lambda index: (tone(index)[None], HALF, f"dog {index}"), 3)
    assert [clip.label for clip in clips(DataLoader(tuples, batch_size=2))] == ["dog 0", "dog 1", "dog 2"]
    assert [clip.label for clip in clips(DataLoader(Stream(), batch_size=2))] == ["0", "1", "2"]
    assert [clip.label for clip in clips(Stream())] == ["0", "1", "2"]
    assert [clip.label for clip in clips(DataLoader(Subset(Sounds(row), [4, 1])))] == ["4", "1"]
    ragged = Sounds(lambda index: {"audio": tone(index)[index:], "sampling_rate": HALF}, 3)
    assert [round(clip.seconds * HALF) for clip in clips(DataLoader(ragged, batch_size=3))] == [800, 799, 798]


def test_loaders_that_change_their_clips_are_refused_with_what_to_pass() -> None:
    sounds = Sounds(row)
    with pytest.raises(ValueError, match=r"collate_fn of its own, .*: pass its dataset \(loader.dataset\)"):
        open_source(DataLoader(sounds, collate_fn=lambda clips: clips))
    for options in ({"sampler": SubsetRandomSampler([1, 2])}, {"batch_sampler": [[0, 1]]}):
        with pytest.raises(ValueError, match=r"leave clips out or repeat them: pass loader.dataset, or .*Subset"):
            open_source(DataLoader(sounds, **options))


def batched(make: Callable[[int], Any], size: int) -> Any:
    return iter(DataLoader(Sounds(make), batch_size=size))


@pytest.mark.parametrize(
    "data",
    [
        batched(row, 4),
        batched(row, 2),
        batched(lambda index: (tone(index)[None], HALF, "dog"), 4),
        batched(lambda index: (tone(index), index), 4),
        batched(lambda index: {"audio": {"array": tone(index), "sampling_rate": HALF}, "label": index}, 4),
        batched(lambda index: {"audio": tone(index), "label": f"dog {index}"}, 4),
        batched(lambda index: {"audio": tone(index), "label": f"dog {index}"}, 2),
        batched(lambda index: f"{index}.wav", 4),
        [[row(0), row(1)]],
        [{"audio": [WAVE, WAVE[1:]], "label": [0, 1]}],
        [{"audio": [{"bytes": CLIP}, {"bytes": CLIP}]}],
        datasets.Dataset.from_list([{"audio": WAVE.tolist(), "label": 0}] * 4).iter(2),
    ],
)
def test_batches_are_refused_and_not_heard_as_channels(data: Any) -> None:
    with pytest.raises(ValueError, match=r"clip 0 is a batch of \d clips: give them one by one, .*the dataset"):
        read(data)


def test_a_batched_dataset_is_refused() -> None:
    dataset = datasets.Dataset.from_list([{"audio": WAVE.tolist(), "sampling_rate": HALF}] * 4)
    with pytest.raises(ValueError, match="clip 0 is a batch of 4 clips"):
        read(dataset.with_transform(lambda rows: {name: [values * 4] for name, values in rows.items()}))


def test_channels_are_no_batch() -> None:
    stereo = np.stack([WAVE, WAVE])
    for audio in (stereo, stereo.T, torch.from_numpy(stereo), stereo.tolist()):
        data = [{"audio": WAVE, "label": "a"}, {"audio": audio, "label": ["dog", "bark"]}, {"audio": audio, "label": 1}]
        assert [clip.seconds for clip in clips(data)] == [0.05] * 3
    data = [{"audio": stereo, "label": ["dog", "bark"], "path": "a.wav"}]
    assert clips(data)[0].label == "dog, bark"
    with pytest.warns(UserWarning, match="clip 0 has 4 channels, which are mixed into one: if they are clips"):
        clips([np.stack([WAVE] * 4)])


def test_columns_are_no_rows() -> None:
    with pytest.raises(ValueError, match="a dict of columns: give rows, for example datasets.Dataset.from_dict"):
        open_source({"audio": [WAVE, WAVE], "label": [1, 2]})
