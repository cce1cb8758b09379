"""Shards of a source: every position in one of them, whole batches, few stretches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_nnsight.data import open_source
from and_nnsight.data.shards import Blocks, Shard, ShardSource, Stretch, clips_before

sizes = st.integers(1, 12)


class Stream:
    """Clips whose number is not known."""

    def __init__(self, clips: int) -> None:
        self.clips = clips

    def __iter__(self) -> Iterator[list[float]]:
        return ([0.0, float(clip)] for clip in range(self.clips))


def shards_of(data: object, count: int, size: int, limit: int | None = None) -> list[ShardSource]:
    return [ShardSource(open_source(data, limit=limit), Shard(index, count), size) for index in range(count)]


@settings(deadline=None)
@given(st.integers(0, 200), sizes, sizes)
def test_a_known_length_is_cut_into_stretches_of_whole_batches(length: int, count: int, size: int) -> None:
    stretches = [Stretch.of(Shard(index, count), length, size) for index in range(count)]
    edges = [(stretch.start, stretch.stop) for stretch in stretches]
    assert edges[0][0] == 0 and edges[-1][1] == length
    assert all(one[1] == other[0] for one, other in pairwise(edges))
    assert all(start % size == 0 or start == length for start, _ in edges)
    batches = [-(-(stop - start) // size) for start, stop in edges]
    assert max(batches) - min(batches) <= 1


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 3_000), sizes, sizes, st.integers(0, 3_000), st.none() | st.integers(0, 3_000))
def test_every_clip_of_a_stream_is_in_one_shard(
    clips: int, count: int, size: int, start: int, limit: int | None
) -> None:
    found: list[int] = []
    for source in shards_of(Stream(clips), count, size, limit):
        assert source.length is None
        ids = [item.id for item in source.items()]
        assert ids == sorted(ids)
        assert [item.id for item in source.items(start)] == [clip for clip in ids if clip >= start]
        assert clips_before(source, start) >= sum(clip < start for clip in ids)
        found += ids
    assert sorted(found) == list(range(clips if limit is None else min(clips, limit)))


@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (2, 8), (3, 10), (7, 64), pytest.param(64, 32, marks=pytest.mark.slow)]
)
def test_blocks_are_aligned_few_and_fair(count: int, size: int) -> None:
    dealt = [Blocks(index, count, size) for index in range(count)]
    stretches = [[pair for pair in islice(blocks.stretches(0), 2_000) if pair[0] < 2_000_000] for blocks in dealt]
    assert all(start % (stop - start) == 0 and start % size == 0 for each in stretches for start, stop in each)
    assert max(map(len, stretches)) <= 130
    for length in (5_000, 100_000, 2_000_000):
        shares = [blocks.before(length) for blocks in dealt]
        assert sum(shares) == length
        if length > 10_000 * count:
            assert max(shares) <= 1.25 * length / count


def test_clips_of_a_list_are_cut_by_position() -> None:
    data = [[0.0, float(clip)] for clip in range(10)]
    sources = shards_of(data, 3, 2)
    assert [[item.id for item in source.items()] for source in sources] == [[0, 1], [2, 3, 4, 5], [6, 7, 8, 9]]
    assert [source.length for source in sources] == [2, 4, 4]
    assert [item.id for item in sources[1].items(4)] == [4, 5]
    assert clips_before(sources[1], 4) == 2
    whole = open_source(data)
    assert {source.fingerprint for source in sources} == {whole.fingerprint}
    assert {(source.kind, source.name, source.split, source.unused) for source in sources} == {
        (whole.kind, whole.name, whole.split, whole.unused)
    }


@pytest.mark.parametrize("text", ["0/1", " 3/4 ", Shard(3, 4)])
def test_a_shard_is_i_of_n(text: str | Shard) -> None:
    shard = Shard.parse(text)
    assert str(shard) == str(text).strip()
    assert shard.name == f"{shard.index}-of-{shard.count}"
