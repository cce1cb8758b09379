"""A ring holds the last samples, whatever the chunks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.look.explore.ring import Ring


@given(st.integers(1, 40), st.lists(st.integers(0, 90), max_size=12))
def test_it_holds_the_last_samples_that_came(room: int, chunks: list[int]) -> None:
    ring, everything = Ring(room), np.zeros(0, np.float32)
    for length in chunks:
        chunk = np.arange(len(everything), len(everything) + length, dtype=np.float32)
        ring.put(chunk)
        everything = np.concatenate([everything, chunk])
        np.testing.assert_array_equal(ring.last(), everything[-room:])
    assert ring.total == len(everything)
