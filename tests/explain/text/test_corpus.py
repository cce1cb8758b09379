"""The corpus behind `keywords`: what its scores are made of, to the last constant."""

from __future__ import annotations

import numpy as np
import pytest

from and_nnsight.explain.text.chance_draws import DRAWS, ChanceDraws
from and_nnsight.explain.text.corpus import Corpus, _having
from and_nnsight.explain.text.log_odds import CHANCE, z_scores
from and_nnsight.explain.text.phrase_index import PhraseIndex
from and_nnsight.explain.text.phrases import Phrases
from and_nnsight.explain.text.shared_phrase import SharedPhrase

ANIMALS = ["dog", "cat", "cow", "hen", "fox", "owl", "bee", "ant"]
CAPTIONS = [f"A {animal} nearby." for animal in ANIMALS for _ in range(5)]


def key(phrases: Phrases, word: str) -> int:
    (only,) = phrases(word).tolist()
    return only


def shared(phrases: Phrases, word: str, *having: int) -> SharedPhrase:
    return SharedPhrase(key(phrases, word), frozenset(having), 5.0, True, 1.0, 0.1, (0.2,) * 5)


def test_the_example_that_stands_in_its_description() -> None:
    animals = ["dog", "cat", "cow", "hen", "fox", "owl", "bee", "ant", "pig", "cod"]
    phrases = Phrases()
    corpus = Corpus(phrases, [f"A {animal} nearby." for animal in animals for _ in range(10)])
    highest, lowest = ["A dog nearby."] * 4 + ["A cat nearby."], ["A cow nearby."] * 5
    excess = corpus.over_representation.excess(highest, lowest)
    assert [
        (phrases.words(key), count, round(z, 2))
        for key, count, z in zip(excess.keys.tolist(), excess.counts.tolist(), excess.z.tolist(), strict=True)
    ] == [(("dog",), 4, 3.66), (("nearby",), 5, 0.12), (("dog", "nearby"), 4, 3.66)]
    assert corpus.over_representation.bar(5, 5)[2:].round(2).tolist() == [2.28, 2.17, 0.0, 0.12]
    both = corpus.shared(highest, lowest)
    assert [phrases.words(one.key) for one in both if one.beyond] == [("dog",), ("dog", "nearby")]
    by_hand = 5 * (0.8 * np.log(8) + 0.2 * np.log(0.2 / 0.9))
    assert [one.gain for one in both] == pytest.approx([by_hand] * 2)
    assert round(by_hand, 1) == 6.8


def test_a_corpus_may_be_smaller_than_what_is_drawn_of_it() -> None:
    corpus = Corpus(Phrases(), CAPTIONS[:7])
    assert corpus.over_representation.bar(5, 5).shape == (6,)
    assert corpus.shared(CAPTIONS[:5], CAPTIONS[5:10]) == corpus.shared(CAPTIONS[:5], CAPTIONS[5:10])


def test_no_caption_of_the_corpus_has_a_phrase_that_is_new_to_it() -> None:
    phrases = Phrases()
    corpus = Corpus(phrases, CAPTIONS)
    assert corpus.index.having(key(phrases, "whale")).tolist() == []
    assert corpus.index.having(key(phrases, "cat")).tolist() == [5, 6, 7, 8, 9]
    assert corpus.index.rate_among(key(phrases, "cat"), key(phrases, "whale")) == 0.5
    assert corpus.index.rate_among(key(phrases, "whale"), key(phrases, "cat")) == 0.5 / 6


def test_all_numbers_of_captions_together_have_the_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """With z-scores that rise evenly from 0 to 1 over the draws, a bar is the share of draws below it."""
    rising = np.arange(1, DRAWS + 1)[:, None] / DRAWS * (np.arange(6) >= 2)
    monkeypatch.setattr(ChanceDraws, "best", lambda *_: rising)
    bar = Corpus(Phrases(), CAPTIONS).over_representation.bar(5, 5)
    assert bar[2:] == pytest.approx(1 - CHANCE, abs=1.1 / DRAWS), "2, 3, 4 and 5 captions exceed it in the same draws"


def test_a_score_is_against_the_corpus_and_the_other_end_together() -> None:
    phrases = Phrases()
    corpus = Corpus(phrases, CAPTIONS)
    captions, others = CAPTIONS[:3] + CAPTIONS[5:7], CAPTIONS[1:2] + CAPTIONS[10:14]  # three dogs; one among five
    excess = corpus.over_representation.excess(captions, others)
    place = excess.keys.tolist().index(key(phrases, "dog"))
    assert excess.counts[place] == 3
    prior = np.array([5 / 41])
    reference = (prior + (1 + prior) / 6) / 2
    assert excess.z[place] == pytest.approx(z_scores(np.array([3]), 5, prior, reference, 40 + 5)[0])


def test_what_is_rare_among_what_was_said_adds_to_it() -> None:
    phrases = Phrases()
    speech = [f"Speech {tongue}." for tongue in ("Spanish", "French", "Italian", "German") for _ in range(25)]
    corpus = Corpus(phrases, [*CAPTIONS, *speech])
    other = shared(phrases, "speech", 0, 1, 2, 3, 4)
    assert corpus.gains.adds(shared(phrases, "spanish", 0, 1, 2, 3), other), (
        "four of five, a quarter of the corpus's speech"
    )
    assert not corpus.gains.adds(shared(phrases, "spanish", 0), other)
    assert corpus.gains.adds(shared(phrases, "spanish", 0, 1, 5), other), "it is not one of some of those only"


def test_which_captions_have_a_phrase_is_what_looking_for_each_in_each_gives() -> None:
    rng, words = np.random.default_rng(0), [*ANIMALS, "rain", "wind", "bell"]
    phrases = Phrases()
    for _ in range(20):
        captions = [" ".join(rng.choice(words, rng.integers(0, 5))) for _ in range(rng.integers(1, 9))]
        of_each = phrases.of_each(captions)
        keys = np.unique(np.concatenate([phrases("owl wind bell"), *of_each]))
        naive = [frozenset(place for place, own in enumerate(of_each) if key in own) for key in keys]
        assert _having(keys, of_each) == naive


def test_rates_in_a_layer_do_not_hang_on_which_layer_was_asked_for_before() -> None:
    phrases, rng = Phrases(), np.random.default_rng(0)
    layers = {site: rng.integers(0, 4, len(CAPTIONS)).tolist() for site in ("a", "b")}
    index = PhraseIndex(phrases, CAPTIONS, layers)
    for site in ("a", "b", "a", "a", "b"):
        alone = PhraseIndex(phrases, CAPTIONS, {site: layers[site]})
        assert np.array_equal(index.background_rates(index.keys, site), alone.background_rates(index.keys, site))
        of_cat = sum(layers[site][place] for place in index.having(key(phrases, "cat")).tolist()) / sum(layers[site])
        assert index.background_rates(phrases("cat"), site)[0] == max(5 / len(CAPTIONS), of_cat)
