"""Phrases as numbers: what is told of many at once is what is told of each."""

from __future__ import annotations

import numpy as np

from and_nnsight.explain.text.phrases import Phrases

CAPTIONS = (
    "A woman says “the red radio is loud” over a humming engine.",
    "“Radio” is heard. No rain, a loud radio.",
    "Rain on a tin roof, and a dog that barks.",
)


def test_spoken_phrases_are_told_apart_all_at_once() -> None:
    phrases = Phrases()
    keys = np.unique(np.concatenate(phrases.of_each(CAPTIONS)))
    assert [one.tolist() for one in phrases.of_each(CAPTIONS)] == [phrases(caption).tolist() for caption in CAPTIONS]
    spoken = phrases.are_spoken(keys)
    assert spoken.tolist() == [phrases.is_spoken(key) for key in keys.tolist()]
    assert 0 < spoken.sum() < len(keys)
    assert not phrases.are_spoken(keys[:0]).size
    assert not Phrases().are_spoken(np.zeros(0, np.int64)).size
