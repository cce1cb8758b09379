"""Values and scores that are hard to correlate exactly: ties, offsets, outliers, holes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

VALUES = ("ties", "negative", "spread", "offset", "outlier first", "constant", "zeros", "tiny", "huge", "holes")


SCORES = ("labels", "constant", "normal", "offset", "mixed")


def values_of(random: np.random.Generator, shape: tuple[int, int], kind: str) -> np.ndarray:
    drawn = random.normal(size=shape)
    if kind == "ties":
        drawn = random.choice([-1.0, -0.0, 0.0, 2.0], shape)
    elif kind == "negative":
        drawn = -abs(drawn) - 0.1
    elif kind == "offset":
        drawn = drawn + random.choice([-1e4, 1e4], shape[1])
    elif kind == "outlier first":
        drawn[:1] = 1e5
    elif kind == "constant":
        drawn = np.broadcast_to(random.normal(size=shape[1]), shape)
    elif kind == "zeros":
        drawn = np.zeros(shape)
    elif kind == "tiny":
        drawn = drawn * 1e-30
    elif kind == "huge":
        drawn = drawn * 1e37
    elif kind == "holes":
        drawn = np.where(random.random(shape) < 0.05, random.choice([np.nan, np.inf, -np.inf]), drawn)
    return drawn.astype(np.float32)


def scores_of(random: np.random.Generator, shape: tuple[int, int], kind: str) -> np.ndarray:
    labels = np.eye(shape[1] + 1)[random.integers(shape[1] + 1, size=shape[0])][:, 1:]
    drawn = {
        "labels": labels,
        "constant": np.broadcast_to(random.choice([0.0, 1.0], shape[1]), shape),
        "normal": random.normal(size=shape),
        "offset": random.normal(size=shape) + 1e4,
        "mixed": np.where(np.arange(shape[1]) % 2, labels, random.normal(size=shape)),
    }[kind]
    return drawn.astype(np.float32)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(draw(st.integers(0, 1 << 32), label="seed"))
    clips, units, concepts = draw(st.integers(1, 40)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    kinds = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=3))
    values = np.concatenate([values_of(random, (clips, units), kind) for kind in kinds], 1)
    return values, scores_of(random, (clips, concepts), draw(st.sampled_from(SCORES)))
