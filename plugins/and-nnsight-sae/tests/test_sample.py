"""A bounded sample is uniform, and does not hang on where a stream was interrupted; epochs are shuffled in bounds."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from and_nnsight_sae.errors import TrainingError
from and_nnsight_sae.sample import FrameSample
from and_nnsight_sae.shuffling import ShuffledFrames


def numbered(count: int, width: int = 3) -> np.ndarray:
    return np.repeat(np.arange(count, dtype=np.float32)[:, None], width, 1)


def filled(path: Path, most: int, sizes: list[int], seed: int = 0) -> FrameSample:
    sample, start = FrameSample(path, 3, most, seed), 0
    for size in sizes:
        sample.add(numbered(start + size)[start:])
        start += size
    return sample


def test_all_frames_are_kept_in_order_while_they_fit(tmp_path: Path) -> None:
    sample = filled(tmp_path / "f", 50, [7, 1, 12])
    assert (sample.seen, sample.kept) == (20, 20)
    assert (sample.frames() == numbered(20)).all()


def test_of_more_frames_each_stays_with_the_same_chance(tmp_path: Path) -> None:
    """Over many seeds early, middle and late frames are kept alike: 8 of 40."""
    kept = np.zeros(40)
    for seed in range(400):
        sample = filled(tmp_path / str(seed), 8, [5, 9, 3, 13, 10], seed)
        assert sample.kept == 8 and sample.path.stat().st_size == 8 * 3 * 4
        kept[sample.frames()[:, 0].astype(int)] += 1
    assert kept.sum() == 400 * 8
    assert np.abs(kept / 400 - 0.2).max() < 5 * (0.2 * 0.8 / 400) ** 0.5


def test_a_stream_that_goes_on_from_an_earlier_frame_ends_in_the_same_file(tmp_path: Path) -> None:
    whole = filled(tmp_path / "whole", 8, [5, 9, 3, 13])
    cut = filled(tmp_path / "cut", 8, [5, 9, 3])  # what was saved: two groups; what was written: three
    cut.restore(14)
    cut.add(numbered(17)[14:])
    cut.add(numbered(30)[17:])
    assert whole.path.read_bytes() == cut.path.read_bytes()
    (tmp_path / "cut").write_bytes(b"short")
    with pytest.raises(TrainingError, match="fewer frames"):
        FrameSample(tmp_path / "cut", 3, 8, 0).restore(14)


@pytest.mark.parametrize("buffer", [10**9, 3 * 4 * 40], ids=["all fit", "forty fit"])
def test_an_epoch_gives_every_frame_once_in_an_order_of_its_own(buffer: int) -> None:
    frames = ShuffledFrames(numbered(1000), seed=3, buffer=buffer)
    stream = np.concatenate([batch.numpy() for batch in islice(frames.batches(16), 125)])[:, 0]
    first, second = stream[:1000], stream[1000:2000]
    assert sorted(first) == sorted(second) == list(range(1000))
    assert (first != second).any() and (first != np.arange(1000)).any()
    assert (np.abs(np.diff(first)) == 1).mean() < 0.1


@pytest.mark.parametrize("buffer", [10**9, 3 * 4 * 40])
def test_a_stream_of_batches_begins_anywhere(buffer: int) -> None:
    frames = ShuffledFrames(numbered(333), seed=3, buffer=buffer)
    whole = list(islice(frames.batches(16), 60))
    for start in (0, 1, 20, 21, 47):
        again = list(islice(frames.batches(16, start * 16), 60 - start))
        assert all(torch.equal(one, other) for one, other in zip(whole[start:], again, strict=True))


def test_a_batch_may_be_longer_than_all_frames() -> None:
    (batch,) = islice(ShuffledFrames(numbered(5), seed=0).batches(12), 1)
    assert np.bincount(batch[:10, 0].int().numpy()).tolist() == [2] * 5
