"""An oracle for the statistics: it keeps all it was ever fed, then pools, sorts and averages naively in float64.

It is pure Python over numpy arrays and shares no code with the package, so what the package streams in
O(K · units) memory must equal what is found here. `Stream` makes the clips that both are fed.

Examples are the same on every run (`derandomize`), so that a failure here is a failure everywhere and nobody's build
is red by chance. To hunt with fresh examples instead: `ORACLE_EXAMPLES=2000 pytest tests/statistics/test_units.py`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st

from and_nnsight.statistics.moments import Moments
from and_nnsight.statistics.topk import TopK
from and_nnsight.statistics.units import UnitStatistics

Kept = TypeVar("Kept", TopK, Moments, UnitStatistics)

HUNT = os.environ.get("ORACLE_EXAMPLES")
examples = settings(max_examples=int(HUNT or 100), derandomize=HUNT is None, deadline=None)

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
EXACT_VALUES = ("ties", "negative", "spread", "hostile")
VALUES = (*EXACT_VALUES, "fine")
RANKS = {"values": torch.float32, "clips": torch.int64, "frames": torch.int32, "ties": torch.int64}
MASKS = ("all", "padding", "special tokens", "gaps", "one", "none", "mixed")


def in_float32(value: float) -> float:
    """The value as float32 keeps it; infinite where float32 cannot hold it."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def pool_naively(column: Sequence[float], counts: Sequence[bool], pooling: str) -> tuple[float, int, int]:
    """One clip's activations of one unit → value (float32; NaN for none), frame (−1 for none), non-finite count."""
    positions = [position for position, counted in enumerate(counts) if counted]
    read = {"first": positions[:1], "last": positions[-1:], "cls": [0]}.get(pooling, positions)
    usable = [position for position in read if math.isfinite(in_float32(column[position]))]
    nonfinite = len(read) - len(usable)
    if not usable:
        return math.nan, -1, nonfinite
    if pooling == "mean":
        return in_float32(math.fsum(column[position] for position in usable) / len(usable)), -1, nonfinite
    frame = min(usable, key=lambda position: (-column[position], position))
    return in_float32(column[frame]), frame, nonfinite


@dataclass
class Oracle:
    """All that was fed, site by site; `check` compares it with accumulators that were fed the same."""

    pooling: str = "max"
    clips: dict[str, list[int]] = field(default_factory=dict)
    values: dict[str, list[list[float]]] = field(default_factory=dict)
    frames: dict[str, list[list[int]]] = field(default_factory=dict)
    nonfinite: dict[str, int] = field(default_factory=dict)

    def feed(self, site: str, activations: torch.Tensor, clips: torch.Tensor, mask: torch.Tensor) -> None:
        """Take in one site's activations [clip, frame, unit], as the model's dtype rounded them."""
        pooled = [
            [pool_naively(column, counts, self.pooling) for column in clip.T.tolist()]
            for clip, counts in zip(activations.double().numpy(), mask.tolist(), strict=True)
        ]
        self.nonfinite[site] = self.nonfinite.get(site, 0) + sum(cell[2] for row in pooled for cell in row)
        self._keep(site, clips, [[cell[0] for cell in row] for row in pooled], [[c[1] for c in row] for row in pooled])

    def feed_pooled(self, site: str, values: torch.Tensor, clips: torch.Tensor, frames: torch.Tensor) -> None:
        """Take in values [clip, unit] that were pooled already."""
        self._keep(site, clips, values.double().tolist(), frames.tolist())

    def _keep(self, site: str, clips: torch.Tensor, values: list[list[float]], frames: list[list[int]]) -> None:
        self.clips.setdefault(site, []).extend(clips.tolist())
        self.values.setdefault(site, []).extend(values)
        self.frames.setdefault(site, []).extend(frames)

    def ranked(self, site: str, units: int, k: int, *, largest: bool) -> dict[str, np.ndarray]:
        """The K best (value, clip, frame) of each unit, in the total order; and how many more have the K-th's value."""
        values = np.full((k, units), -np.inf if largest else np.inf, np.float32)
        clips, frames = np.full((k, units), -1, np.int64), np.full((k, units), -1, np.int32)
        ties = np.zeros(units, np.int64)
        rows = list(zip(self.clips[site], self.values[site], self.frames[site], strict=True))
        for unit in range(units):
            cells = [(in_float32(row[unit]), clip, place[unit]) for clip, row, place in rows]
            cells = [cell for cell in cells if math.isfinite(cell[0])]
            cells.sort(key=lambda cell: (-cell[0] if largest else cell[0], cell[1]))
            for rank, (value, clip, frame) in enumerate(cells[:k]):
                values[rank, unit], clips[rank, unit], frames[rank, unit] = value, clip, frame
            ties[unit] = sum(value == cells[k - 1][0] for value, _, _ in cells[k:])
        return {"values": values, "clips": clips, "frames": frames, "ties": ties}

    def moments(self, site: str, units: int) -> dict[str, np.ndarray]:
        """Finite count, mean, population variance and how many are above zero, by unit; and the largest size."""
        columns = [[row[unit] for row in self.values[site] if math.isfinite(row[unit])] for unit in range(units)]
        means = [math.fsum(column) / max(len(column), 1) for column in columns]
        squares = [math.fsum((x - mean) ** 2 for x in column) for column, mean in zip(columns, means, strict=True)]
        return {
            "count": np.array([len(column) for column in columns]),
            "mean": np.array(means),
            "variance": np.array([total / max(len(c), 1) for total, c in zip(squares, columns, strict=True)]),
            "active": np.array([sum(x > 0 for x in column) for column in columns]),
            "size": np.array([max(map(abs, column), default=0.0) for column in columns]),
        }

    def check_topk(self, site: str, kept: TopK) -> None:
        """The accumulator holds what the oracle ranks first."""
        check_ranks(kept.state_dict(), self.ranked(site, kept.units, kept.k, largest=kept.largest))

    def check_moments(self, site: str, kept: Moments) -> None:
        """The accumulator holds the oracle's moments."""
        state, expected = kept.state._asdict(), self.moments(site, kept.units)
        np.testing.assert_array_equal(state["count"], expected["count"])
        np.testing.assert_array_equal(state["active"], expected["active"])
        variance = state["squares"].numpy() / np.maximum(expected["count"], 1)
        check_near(state["mean"].numpy(), expected["mean"], expected["size"], 1e-12)
        check_near(variance, expected["variance"], expected["size"] ** 2, 1e-12)

    def check(self, kept: UnitStatistics) -> None:
        """Every site's results are the oracle's."""
        for site, units in kept.slices.items():
            found, width = kept.site_tensors(site), units.stop - units.start
            for side in ("top", "bottom"):
                ranks = {name: found[f"{side}_{name}"] for name in RANKS}
                check_ranks(ranks, self.ranked(site, width, kept.k, largest=side == "top"))
            expected = self.moments(site, width)
            assert found["count"] == len(self.clips[site])
            assert found["nonfinite"] == self.nonfinite[site]
            np.testing.assert_array_equal(found["finite"], expected["count"])
            never = expected["count"] == 0
            for name in ("mean", "variance", "active"):
                np.testing.assert_array_equal(found[name].isnan(), never)
            check_near(np.nan_to_num(found["mean"].numpy()), expected["mean"], expected["size"], 1e-6)
            check_near(np.nan_to_num(found["variance"].numpy()), expected["variance"], expected["size"] ** 2, 1e-6)
            share = expected["active"] / np.maximum(expected["count"], 1)
            np.testing.assert_array_equal(np.nan_to_num(found["active"].numpy()), share.astype(np.float32))


def check_ranks(found: dict[str, torch.Tensor], expected: dict[str, np.ndarray]) -> None:
    """Values, clips, frames and ties are equal, and kept in the promised dtypes."""
    for name, dtype in RANKS.items():
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name].numpy(), expected[name], err_msg=name)


def check_near(found: np.ndarray, expected: np.ndarray, size: np.ndarray, share: float) -> None:
    """Equal to within a share of the largest value that went in (a mean near zero is a difference of such values)."""
    assert (abs(found - expected) <= share * size).all(), f"{found} is not {expected}"


@dataclass(frozen=True, eq=False)
class Stream:
    """Clips as a model would give them: activations of one site, clip ids, and which frames count."""

    activations: torch.Tensor  # [clip, frame, unit]
    clips: torch.Tensor  # [clip]
    mask: torch.Tensor  # [clip, frame]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, part: slice) -> Stream:
        return Stream(self.activations[part], self.clips[part], self.mask[part])


def activations_of(random: np.random.Generator, shape: tuple[int, int, int], values: str) -> np.ndarray:
    """Multiples of 1/8 up to 32, exact in every dtype and in every sum: a mean too has one right answer.

    Only `fine` values are rounded by the dtype that they are cast to.
    """
    if values == "ties":
        return random.choice([-1.0, -0.0, 0.0, 2.0], shape)
    if values == "fine":
        return random.normal(0, 4, shape)
    drawn = np.round(random.normal(0, 4, shape).clip(-32, 32) * 8) / 8
    if values == "negative":
        return -abs(drawn) - 0.125
    if values == "hostile":
        hole = random.random(shape) < random.choice([0.02, 0.5])
        drawn = np.where(hole, random.choice([np.nan, np.inf, -np.inf], shape), drawn)
        drawn[random.random(shape[0]) < 0.2] = random.choice([np.nan, np.inf, -np.inf])  # whole clips
    return drawn


def mask_of(random: np.random.Generator, shape: tuple[int, int], mask: str) -> np.ndarray:
    """Which frames count. `mixed` gives every clip a kind of its own."""
    clips, frames = shape
    if mask == "mixed":
        rows = [mask_of(random, (1, frames), str(random.choice(MASKS[:-1]))) for _ in range(clips)]
        return np.concatenate([np.zeros((0, frames), bool), *rows])
    place = np.arange(frames)
    row = {
        "all": place >= 0,
        "padding": place < random.integers(1, frames + 1),
        "special tokens": place >= min(2, frames - 1),
        "gaps": random.random(frames) < 0.5,
        "one": place == random.integers(frames),
        "none": place < 0,
    }[mask]
    return np.broadcast_to(row, (clips, frames)).copy()


def stream_of(seed: int, clips: int, frames: int, units: int, values: str, mask: str, dtype: torch.dtype) -> Stream:
    """A stream drawn from a seed. What lies on the frames that do not count is larger than anything that does."""
    random = np.random.default_rng(seed)
    counts = mask_of(random, (clips, frames), mask)
    drawn = activations_of(random, (clips, frames, units), values)
    drawn = np.where(counts[:, :, None], drawn, random.choice([60.0, -60.0, np.nan], (clips, frames, units)))
    spacing = int(random.choice([1, 1 << 55]))  # ids up to 2^62, far beyond what float64 tells apart
    ids = random.permutation(2 * clips + 1)[:clips] * spacing + random.integers(spacing, size=clips)
    return Stream(torch.tensor(drawn).to(dtype), torch.tensor(ids, dtype=torch.int64), torch.tensor(counts))


def streams(*, clips: int | None = None, values: Sequence[str] = VALUES) -> st.SearchStrategy[Stream]:
    """Streams of every shape, kind of value, kind of mask and dtype."""
    length = st.integers(0, 40) if clips is None else st.just(clips)
    kinds = st.sampled_from(values), st.sampled_from(MASKS), st.sampled_from(DTYPES)
    return st.builds(stream_of, st.integers(0, 1 << 32), length, st.integers(1, 7), st.integers(1, 9), *kinds)


def batches_of(data: st.DataObject, length: int) -> Iterator[slice]:
    """A stream of this length cut at random, empty batches included."""
    cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=5), label="cuts"))
    return (slice(start, stop) for start, stop in zip([0, *cuts], [*cuts, length], strict=True))


def merge_at_random(data: st.DataObject, parts: list[Kept]) -> Kept:
    """Merge accumulators two at a time, in a random binary tree, into one."""
    while len(parts) > 1:
        one = parts.pop(data.draw(st.integers(0, len(parts) - 1), label="merge"))
        parts[data.draw(st.integers(0, len(parts) - 1), label="into")].merge(one)
    return parts[0]
