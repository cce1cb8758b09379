"""All draws of random captions at once are what counting them one by one gives."""

from __future__ import annotations

import numpy as np
import pytest

from and_nnsight.explain.text import chance_draws
from and_nnsight.explain.text.over_representation import OverRepresentation
from and_nnsight.explain.text.phrase_index import PhraseIndex
from and_nnsight.explain.text.phrases import Phrases

SOUNDS = ["a dog barks", "a cat calls", "rain falls on a roof", "a door is shut", "a low hum", "a bell rings twice"]
SPOKEN = ['a voice says "the door is open"', 'a child says "the door is open"', 'a voice says "please wait"']


@pytest.mark.parametrize(("captions", "others"), [(5, 0), (5, 5), (2, 8), (16, 16), (40, 40)])
@pytest.mark.parametrize("texts", [SOUNDS * 4, [*SOUNDS * 2, *SPOKEN * 3], SPOKEN, ["", "a dog barks", ""]])
def test_one_by_one(captions: int, others: int, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chance_draws, "DRAWS", 60)
    phrases = Phrases()
    index = PhraseIndex(phrases, texts)
    over_representation = OverRepresentation(phrases, texts, index)
    random, best = np.random.default_rng(0), np.zeros((60, captions + 1))
    for row in best:
        places = random.choice(len(texts), captions + others, replace=len(texts) < captions + others)
        drawn = [texts[place] for place in places]
        excess = over_representation.excess(drawn[:captions], drawn[captions:])
        np.maximum.at(row, excess.counts, excess.z)
    at_once = chance_draws.ChanceDraws(phrases, texts, index).best(captions, others)
    assert np.array_equal(at_once, best)


def test_without_phrases_there_is_nothing_to_exceed() -> None:
    phrases = Phrases()
    draws = chance_draws.ChanceDraws(phrases, ["", ""], PhraseIndex(phrases, ["", ""]))
    assert not draws.best(3, 2).any()
