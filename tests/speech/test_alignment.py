"""The cheapest way through attention, held against every way; and attention that was planted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from and_nnsight.speech.alignment import first_frames, token_frames


def ways(rows: int, frames: int, row: int = 0, frame: int = 0) -> Iterator[list[tuple[int, int]]]:
    """All ways from a place to the last that never go back."""
    if (row, frame) == (rows - 1, frames - 1):
        yield [(row, frame)]
        return
    for down, on in ((0, 1), (1, 0), (1, 1)):
        if row + down < rows and frame + on < frames:
            for rest in ways(rows, frames, row + down, frame + on):
                yield [(row, frame), *rest]


@pytest.mark.parametrize(("rows", "frames"), [(1, 1), (1, 6), (4, 1), (2, 7), (3, 5), (5, 3), (4, 5)])
def test_no_way_is_cheaper(rows: int, frames: int) -> None:
    noise = np.random.default_rng(rows * frames)
    for _ in range(4):
        costs = noise.standard_normal((rows, frames))
        best = min(ways(rows, frames), key=lambda way: sum(costs[place] for place in way))
        expected = [min(frame for row, frame in best if row == wanted) for wanted in range(rows)]
        assert first_frames(costs).tolist() == expected


@pytest.mark.parametrize("width", [1, 7])
def test_tokens_begin_where_their_attention_does(width: int) -> None:
    begins = [0, 9, 30, 41, 60]
    attention = 0.1 * torch.rand(3, 7, 80, generator=torch.Generator().manual_seed(0))
    attention[2] = 1 / 80  # a head that looks at nothing
    for place, (begin, end) in enumerate(zip(begins, [*begins[1:], 80], strict=True)):
        attention[:2, place + 1, begin:end] += 1
    assert token_frames(attention, range(1, 6), width).tolist() == begins


def test_frames_that_all_tokens_look_at_alike_tell_nothing() -> None:
    assert np.isfinite(token_frames(torch.ones(2, 4, 9), range(1, 4))).all()
    assert token_frames(torch.rand(1, 3, 2), [1]).tolist() == [0]  # too short to be smoothed
