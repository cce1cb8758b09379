"""What a server sends home: merged when it is an answer, refused when it is not."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from and_nnsight.remote import RemoteRunError
from and_nnsight.remote.answers import dtype_of, statistics_of
from and_nnsight.remote.on_server import _best, _moments
from and_nnsight.statistics.units import UnitStatistics

WIDTHS = {"one": 3, "two": 2}
UNITS, FRAMES = 5, [7, 4]


def pooled(seed: int, clips: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values with ties, NaN, infinities and units that are all negative, frames, and non-finite counts."""
    chance = torch.Generator().manual_seed(seed)
    values = torch.randint(-3, 4, (clips, UNITS), generator=chance).float() / 2
    values[:, 0] = -values[:, 0].abs() - 1
    odd = torch.rand(clips, UNITS, generator=chance)
    values = values.masked_fill(odd < 0.1, torch.nan)
    if seed % 3 == 0:
        values[:, 1] = torch.nan
    most = torch.tensor(FRAMES).repeat_interleave(torch.tensor(list(WIDTHS.values())))
    frames = (torch.rand(clips, UNITS, generator=chance) * most).int().masked_fill(values.isnan(), -1)
    return values, frames, torch.randint(0, 5, (2,), generator=chance)


def answered(
    values: Tensor,
    frames: Tensor,
    nonfinite: Tensor,
    k: int,
    ids: list[int] | None = None,
    order: list[int] | None = None,
) -> dict[str, Any]:
    """As the server makes it; `ids`: of the clips, from 10 on if none; `order`: in which the groups brought the rows."""
    rows = order or list(range(len(values)))
    positions = [10 + row if ids is None else ids[row] for row in rows]
    state = {"clips": len(rows), "dtype": "float32", "nonfinite": nonfinite}
    return {**state, **_best(values[rows], frames[rows], rows, k), **_moments(values[rows], positions, [])}


def all_at_once(parts: list[tuple[Tensor, Tensor, Tensor]], ids: list[int], k: int) -> UnitStatistics:
    statistics = UnitStatistics(WIDTHS, k=k, pooling="max")
    values, frames = (torch.cat([part[index] for part in parts]) for index in (0, 1))
    clips = torch.tensor(ids)
    for kept in (statistics.top, statistics.bottom):
        kept.update(values, clips, frames)
    statistics.moments.update(values, ids)
    statistics.nonfinite = sum((part[2] for part in parts), torch.zeros(2, dtype=torch.int64))
    statistics.clips = len(ids)
    return statistics


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 9)), min_size=1, max_size=5),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_answers_of_jobs_merge_to_what_all_clips_at_once_give(jobs: list[tuple[int, int]], k: int, chance: Any) -> None:
    parts = [pooled(seed, clips) for seed, clips in jobs]
    merged, ids = UnitStatistics(WIDTHS, k=k, pooling="max"), []
    for part, (_, clips) in zip(parts, jobs, strict=True):
        start = ids[-1] + chance.randint(1, 3) if ids else 0  # clips that were set aside leave gaps
        here = [start + 2 * row for row in range(clips)]
        order = chance.sample(range(clips), clips)
        merged.merge(statistics_of(answered(*part, k, here, order), here, WIDTHS, k, "max", FRAMES))
        ids += here
    whole, got = all_at_once(parts, ids, k).state_dict(), merged.state_dict()
    for name, tensor in whole.items():
        assert torch.equal(got[name], tensor), name


def good(k: int = 3, clips: int = 5, seed: int = 1) -> dict[str, Any]:
    return answered(*pooled(seed, clips), k)


def taken(answer: Any, k: int = 3, clips: int = 5) -> UnitStatistics:
    return statistics_of(answer, [10 + clip for clip in range(clips)], WIDTHS, k, "max", FRAMES)


@pytest.mark.parametrize(("first", "clips", "most"), [(512, 512, 300), (0, 500, 400), (10, 500, 600)])
def test_an_answer_is_small(first: int, clips: int, most: int) -> None:
    """Bytes a unit: those of its best clips, and 20 for each node of the moments, of which jobs side by side have one."""
    answer = answered(*pooled(1, clips), 16, list(range(first, first + clips)))
    assert sum(value.nbytes for value in answer.values() if isinstance(value, Tensor)) < UNITS * most


def test_ids_are_those_of_the_clips() -> None:
    assert set(taken(good()).top.state.clips.unique().tolist()) <= {-1, *range(10, 15)}


def changed(name: str, change: Any) -> dict[str, Any]:
    answer = good()
    answer[name] = change(answer[name].clone() if isinstance(answer[name], Tensor) else answer[name])
    return answer


def at(place: Any, value: Any) -> Any:
    def change(tensor: Tensor) -> Tensor:
        tensor[place] = value
        return tensor

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("clips", lambda _: 4),
        ("clips", lambda _: torch.tensor([5, 5])),
        ("clips", lambda _: None),
        ("top_rows", at((0, 0), 5)),
        ("top_rows", at((0, 0), -2)),
        ("top_rows", at((0, 0), -1)),
        ("top_rows", lambda rows: rows[:1].expand(3, -1)),
        ("top_rows", lambda rows: rows.flip(0)),
        ("bottom_rows", lambda rows: rows.float()),
        ("bottom_rows", lambda rows: rows[:, :-1]),
        ("bottom_rows", lambda rows: rows.tolist()),
        ("bottom_rows", lambda rows: rows.to_sparse()),
        ("top_frames", at((0, 0), 7)),
        ("top_frames", at((0, 0), -2)),
        ("top_frames", lambda frames: frames.long()),
        ("top_values", at((0, 0), torch.nan)),
        ("top_values", at((0, 0), torch.inf)),
        ("top_values", lambda values: values.flip(0)),
        ("top_values", lambda values: values.double()),
        ("bottom_values", at((-1, 0), -100.0)),
        ("top_ties", at(0, -1)),
        ("top_ties", at(0, 3)),
        ("bottom_ties", at(0, 3)),
        ("bottom_ties", lambda ties: ties.long()),
        ("bottom_ties", lambda ties: ties[:-1]),
        ("number", at((0, 0), 3)),
        ("number", at((0, 0), -1)),
        ("number", at((slice(None), 0), 0)),
        ("number", lambda number: number[:-1]),
        ("active", at(0, 6)),
        ("total", at((0, 0), torch.nan)),
        ("squares", at((0, 0), -1.0)),
        ("squares", at((0, 0), torch.inf)),
        ("nonfinite", at(0, -1)),
        ("nonfinite", lambda tensor: tensor[:1]),
        ("nonfinite", lambda _: 0),
    ],
)
def test_what_is_no_answer_is_refused(name: str, change: Any) -> None:
    with pytest.raises(RemoteRunError, match="the server's answer is no answer to what was sent: "):
        taken(changed(name, change))


@pytest.mark.parametrize("name", sorted(set(good()) - {"dtype"}))
def test_what_is_missing_is_named(name: str) -> None:
    answer = good()
    del answer[name]
    with pytest.raises(RemoteRunError, match=name if name != "clips" else "unknown clips"):
        taken(answer)


def test_an_answer_to_another_k_or_of_other_clips_is_refused() -> None:
    for answer in (good(k=2), good(clips=4), good(clips=6)):
        with pytest.raises(RemoteRunError, match="no answer to what was sent"):
            taken(answer)


@given(st.data())
def test_whatever_is_changed_it_is_refused_or_is_a_possible_answer(data: st.DataObject) -> None:
    answer = good(k=4, clips=6, seed=data.draw(st.integers(0, 20)))
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(name for name in answer if isinstance(answer[name], Tensor))))
        flat = answer[name].clone().reshape(-1)
        where = data.draw(st.integers(0, len(flat) - 1))
        odd = [0, 1, -1, 5, 6, 100, *([torch.nan, torch.inf, -torch.inf] if flat.is_floating_point() else [])]
        flat[where] = data.draw(st.sampled_from(odd))
        answer[name] = flat.reshape(answer[name].shape)
    try:
        statistics = taken(answer, k=4, clips=6)
    except RemoteRunError:
        return
    for side, kept in (("top", statistics.top), ("bottom", statistics.bottom)):
        there = kept.state.clips >= 0
        assert torch.equal(there, kept.state.values.isfinite()), side
        assert torch.equal(there.sum(0), statistics.moments.state.count.clamp(max=4))
        assert all(len(set(column.tolist())) == len(column) for column in (c[c >= 0] for c in kept.state.clips.T))
        ordered = kept.state.values if side == "top" else -kept.state.values
        assert bool((ordered[:-1] >= ordered[1:]).all())
    assert bool(statistics.moments.state.squares.isfinite().all())


def test_the_dtype_is_one_that_torch_knows() -> None:
    assert dtype_of({"dtype": "bfloat16"}) == "bfloat16"
    assert dtype_of({"dtype": "bfloat16, float32"}) == "bfloat16, float32"
    for said in (None, "", "float33", "nn", 3, "bfloat16,float32", "[bold]float32"):
        with pytest.raises(RemoteRunError, match="of which dtype"):
            dtype_of({"dtype": said})
    with pytest.raises(RemoteRunError, match="of which dtype"):
        dtype_of({})
