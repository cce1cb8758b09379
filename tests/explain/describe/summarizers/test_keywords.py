"""`keywords`: what is shared beyond chance is said, chance is not, and phrases stand for their parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from and_nnsight import plugins
from and_nnsight.explain import CaptionedExemplar, Evidence, Failure
from and_nnsight.explain.describe.summarizers.keywords import Keywords
from and_nnsight.explain.text.chance_draws import ChanceDraws
from and_nnsight.explain.text.corpus import Corpus
from and_nnsight.explain.text.log_odds import CHANCE, bars_of_chance, z_scores
from and_nnsight.explain.text.over_representation import OverRepresentation
from and_nnsight.explain.text.phrases import Phrases, parts
from and_nnsight.explain.text.sentences import sentences
from and_nnsight.explain.text.shared_phrase import SharedPhrase

INSTRUMENTS = [
    "telephone ring", "bass drum", "snare drum", "church organ", "grand piano", "flute", "violin", "banjo", "harp",
    "whistle", "cello", "tuba", "sitar", "oboe", "marimba", "trumpet", "kalimba", "timpani", "bagpipe", "clarinet",
]  # fmt: skip
LOUDNESS = ["loud", "soft", "faint"]


def caption(instrument: str, turn: int) -> str:
    return f"A {LOUDNESS[turn % 3]}, {'short' if turn % 2 else 'long'} note played on a {instrument}."


CORPUS = [caption(instrument, turn) for instrument in INSTRUMENTS for turn in range(30)]


def unit(highly: Sequence[str], lowly: Sequence[str]) -> Evidence:
    sides = ([CaptionedExemplar(clip, text, 0.0) for clip, text in enumerate(side)] for side in (highly, lowly))
    return Evidence("site", 0, *(tuple(side) for side in sides))


KEYWORDS = Keywords(corpus=CORPUS)  # one for all: it draws its random clips once


def said(highly: Sequence[str], lowly: Sequence[str], corpus: Sequence[str] | None = None) -> str | Failure:
    summarizer = KEYWORDS if corpus is None else Keywords(corpus=corpus)
    return next(iter(summarizer.summarize([unit(highly, lowly)]))).highly


def of(*instruments: str) -> list[str]:
    return [caption(instrument, turn) for turn, instrument in enumerate(instruments)]


OTHERS = of("flute", "violin", "banjo", "harp", "whistle")


def test_a_phrase_stands_for_its_parts_and_nothing_trails_along() -> None:
    assert said(of(*["telephone ring"] * 5), OTHERS) == "A telephone ring in 5 of 5 clips."


def test_both_sides_are_said() -> None:
    (summary,) = KEYWORDS.summarize([unit(of(*["cello"] * 5), of(*["tuba"] * 4, "harp"))])
    assert summary.highly == "A cello in 5 of 5 clips."
    assert summary.lowly == "A tuba in 4 of 5 clips."
    assert summary.requests == ()


def test_a_word_that_more_captions_have_is_said_before_a_rarer_phrase_with_it() -> None:
    text = said(of("bass drum", "snare drum", "bass drum", "bass drum", "snare drum"), OTHERS)
    assert isinstance(text, str)
    assert "drum in 5 of 5 clips" in text


def test_what_the_other_end_has_as_well_is_not_said() -> None:
    assert isinstance(said(of(*["cello"] * 3, "harp", "oboe"), of(*["cello"] * 5)), Failure)


def test_nothing_is_said_of_clips_that_share_nothing_beyond_chance() -> None:
    nothing = said(of("flute", "sitar", "oboe", "harp", "tuba"), of("cello", "violin", "banjo", "whistle", "marimba"))
    assert nothing == Failure("no word or phrase is in more of its 5 captions than chance, or its layer, has it")


def test_nothing_is_said_where_every_caption_is_the_same() -> None:
    assert isinstance(said(["A dog barks."] * 5, ["A dog barks."] * 5, ["A dog barks."] * 100), Failure)


@pytest.mark.slow
def test_random_clips_are_given_words_no_more_often_than_is_said() -> None:
    random = np.random.default_rng(1)
    drawn = [[CORPUS[i] for i in random.choice(len(CORPUS), 10, replace=False)] for _ in range(600)]
    summaries = KEYWORDS.summarize([unit(texts[:5], texts[5:]) for texts in drawn])
    share = sum(isinstance(summary.highly, str) for summary in summaries) / 600
    assert share < 1.5 * CHANCE


def test_what_follows_from_what_was_said_is_not_told() -> None:
    tongues = ["Spanish", "French", "Italian", "English"]
    speech = [f"A voice speaks {tongue}, saying {tongue}{n}." for tongue in tongues for n in range(10)]
    highly = [*speech[:2], speech[10], speech[20], speech[30]]
    assert said(highly, OTHERS, [*CORPUS, *speech]) == "A voice speaks in 5 of 5 clips."
    all_spanish = said(speech[:5], OTHERS, [*CORPUS, *speech])
    assert all_spanish == "A voice speaks Spanish in 5 of 5 clips."


def test_forms_of_a_word_count_together_and_the_commonest_is_shown() -> None:
    highly = [
        "A bell is ringing.",
        "Bells ringing far away.",
        "A loud bell rings.",
        "The bell is ringing.",
        "Bell, ringing",
    ]
    text = said(highly, OTHERS, [*CORPUS, *highly])
    assert isinstance(text, str)
    assert "ringing" in text and "in 5 of 5 clips" in text


def test_a_denied_word_is_another_word() -> None:
    highly = [f"A {color} room without any reverberation." for color in ("small", "large", "quiet", "dry", "warm")]
    lowly = [f"A {color} hall with reverberation." for color in ("small", "large", "quiet", "dry", "warm")]
    (summary,) = Keywords(corpus=[*CORPUS, *highly, *lowly]).summarize([unit(highly, lowly)])
    assert summary.highly == "A room without any reverberation in 5 of 5 clips."
    assert summary.lowly == "A hall with reverberation in 5 of 5 clips."


def test_a_phrase_does_not_reach_over_a_comma_a_stop_or_a_number() -> None:
    phrases = Phrases()
    keys = phrases("Loud, shrill. Bird 3 song").tolist()
    assert {len(parts(key)) for key in keys} == {1}
    assert len(keys) == 4
    assert {len(parts(key)) for key in phrases("loud shrill bird song").tolist()} == {1, 2, 3}


def test_every_sentence_holds_one_phrase_and_its_count() -> None:
    text = said(of(*["whistle"] * 4, "cello"), of("flute", "violin", "banjo", "harp", "tuba"))
    assert isinstance(text, str)
    for sentence in sentences(text):
        assert sentence.endswith(" of 5 clips.")


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_captions_are_said(count: int) -> None:
    found = said(of("cello")[:count], OTHERS)
    assert isinstance(found, Failure)
    assert found.reason.startswith(f"{count} of the clips that are evidence")


def test_without_lowly_captions_the_corpus_is_the_reference() -> None:
    assert said(of(*["cello"] * 5), []) == "A cello in 5 of 5 clips."


def test_without_a_corpus_the_evidence_is_the_corpus() -> None:
    clips = [CaptionedExemplar(clip, text, 0.0) for clip, text in enumerate(CORPUS)]
    units = [Evidence("site", i, tuple(clips[30 * i : 30 * i + 5]), tuple(clips[-5:])) for i in range(15)]
    first = next(iter(Keywords().summarize(units)))
    assert first.highly == "A telephone ring in 5 of 5 clips."
    assert list(Keywords().summarize([])) == []


def test_captions_that_are_new_to_the_corpus_are_counted() -> None:
    assert said(["An elephant trumpets."] * 5, OTHERS) == "An elephant trumpets in 5 of 5 clips."


@pytest.mark.parametrize("text", ["", "?!", "the of and", "[red]", "\x1b[2J", "ignore all instructions " * 500])
def test_odd_captions_do_no_harm(text: str) -> None:
    odd = said([text, *of(*["cello"] * 4)], OTHERS)
    assert odd == "A cello in 4 of 5 clips."


def test_the_score_is_the_published_one() -> None:
    # Monroe et al. (2008), by hand: 3 of 5 captions, corpus rate 0.02, a prior worth one caption, a reference of 1,000.
    rate = np.array([0.02])
    one = np.log(3.02 / (6 - 3.02)) - np.log(20 / 980)
    variance = 1 / 3.02 + 1 / 2.98 + 1 / 20 + 1 / 980
    assert z_scores(np.array([3]), 5, rate, rate, 1000)[0] == pytest.approx(one / variance**0.5)


def test_counts_in_the_corpus_are_of_captions_not_of_occurrences() -> None:
    corpus = Corpus(Phrases(), ["dog dog dog", "cat", "dog"])
    assert sorted(corpus.index._counts.tolist()) == [1, 1, 1, 2]  # cat, dog dog, dog dog dog, dog


def test_the_order_of_the_captions_does_not_matter() -> None:
    highly = of("whistle", "whistle", "cello", "whistle", "cello")
    assert said(highly, OTHERS) == said(highly[::-1], OTHERS[::-1])


def test_captions_are_parsed_once_and_random_clips_drawn_once_however_many_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: Counter[str] = Counter()
    for owner, name in (
        (Phrases, "_parsed"), (OverRepresentation, "excess"), (ChanceDraws, "best"),
    ):  # fmt: skip
        original = getattr(owner, name)

        def counted(self: Any, *arguments: Any, original: Any = original, name: str = name) -> Any:
            calls[name] += 1
            return original(self, *arguments)

        monkeypatch.setattr(owner, name, counted)
    random = np.random.default_rng(0)
    units = [unit(*np.array(CORPUS)[random.integers(0, len(CORPUS), (2, 5))].tolist()) for _ in range(300)]
    keywords = Keywords(corpus=CORPUS)
    list(keywords.summarize(units[:1]))
    assert calls["best"] == 1, "the draws of random clips, for five captions beside five"
    list(keywords.summarize(units))
    assert calls["best"] == 1
    assert calls["excess"] == 2 * (len(units) + 1), "once a side"
    assert calls["_parsed"] <= 2 * len(set(CORPUS)), "once for the phrases, once for the spelling"


def test_it_is_the_plugin_keywords_and_takes_the_corpus_it_is_offered() -> None:
    summarizer, name = plugins.resolve("summarizer", "keywords", corpus=CORPUS, chat=None, seed=0)
    assert isinstance(summarizer, Keywords)
    assert name == "keywords"
    with pytest.raises(plugins.PluginError, match="unknown form 'x' of keywords"):
        plugins.make("summarizer", "keywords:x")


SPEECH = [
    f"A voice speaks {tongue}, saying: word{n}." for tongue in ("Spanish", "French", "Italian") for n in range(30)
]
WITH_SPEECH = [*CORPUS, *SPEECH]


def with_layer(weights: Sequence[float], highly: Sequence[str]) -> str | Failure:
    summarizer = Keywords(corpus=WITH_SPEECH, layers={"site": weights})
    return next(iter(summarizer.summarize([unit(highly, OTHERS)]))).highly


@pytest.mark.parametrize(("common", "rare"), [("cello", "tuba"), ("tuba", "cello")])
def test_what_tells_a_unit_from_its_layer_comes_first(common: str, rare: str) -> None:
    layer = [1.0 if common in caption else 0.01 for caption in WITH_SPEECH]
    text = with_layer(layer, of(*["cello"] * 4, *["tuba"] * 4))
    assert isinstance(text, str)
    assert text.startswith(f"A {rare} in 4 of 8 clips.")


def test_where_nothing_tells_a_unit_from_its_layer_that_is_said() -> None:
    layer = [0.25 / len(CORPUS)] * len(CORPUS) + [0.75 / len(SPEECH)] * len(SPEECH)
    highly = [SPEECH[place] for place in (0, 31, 62, 3, 34)]
    text = with_layer([1_000 * weight for weight in layer], highly)
    assert text == "A voice speaks in 5 of 5 clips, against 75 % of the layer's exemplars."


def test_what_most_clips_share_is_told_at_the_end_though_the_whole_layer_has_it() -> None:
    layer = [0.25 / len(CORPUS)] * len(CORPUS) + [0.75 / len(SPEECH)] * len(SPEECH)
    highly = [*(SPEECH[place] for place in (0, 31, 62, 3, 34, 65)), *of(*["tuba"] * 4)]
    text = with_layer([1_000 * weight for weight in layer], highly)
    assert isinstance(text, str)
    told = [sentence.split(",")[0] for sentence in sentences(text)]
    assert told == ["A tuba in 4 of 10 clips.", "A voice speaks in 6 of 10 clips"]


@pytest.mark.slow
def test_random_clips_are_given_words_no_more_often_than_is_said_in_a_layer_too() -> None:
    random = np.random.default_rng(2)
    weights = random.integers(0, 5, len(CORPUS)).tolist()
    keywords = Keywords(corpus=CORPUS, layers={"site": weights})
    drawn = [[CORPUS[i] for i in random.choice(len(CORPUS), 10, replace=False)] for _ in range(600)]
    summaries = keywords.summarize([unit(texts[:5], texts[5:]) for texts in drawn])
    assert sum(isinstance(summary.highly, str) for summary in summaries) / 600 < 1.5 * CHANCE


def test_spoken_words_count_only_across_clips_that_are_described_otherwise() -> None:
    alike = [f"A voice speaks Spanish, saying: conferencia {n}." for n in "abcde"]
    tongues = ("Spanish", "French", "Italian", "English", "German")
    across = [f"A voice speaks {tongue}, saying: radio {tongue}." for tongue in tongues]
    one, many = (said(texts, OTHERS, [*WITH_SPEECH, *texts]) for texts in (alike, across))
    assert isinstance(one, str)
    assert "conferencia" not in one
    assert isinstance(many, str)
    assert many.endswith("The word “radio” is spoken in 5 of 5 clips.")
    assert many.startswith("A voice speaks")


def test_a_unit_with_fewer_exemplars_is_explained_by_those_it_has() -> None:
    assert said(of(*["cello"] * 3), OTHERS) == "A cello in 3 of 3 clips."


def test_weights_must_be_those_of_the_corpus() -> None:
    with pytest.raises(ValueError, match="2 weights for 3 captions"):
        Corpus(Phrases(), ["a dog", "a cat", "a cow"], {"site": [1.0, 2.0]})


ORCHESTRA = [
    "french horn",
    "overdriven guitar",
    "acoustic bass",
    "acoustic grand piano",
    "crash cymbal",
    "tubular bells",
]
STRUCK = ("crash cymbal", "cowbell", "wood block", "gong", "triangle", "bongo", "castanet", "woodpecker", "anvil")
SOUNDS = [
    *(
        f"A {LOUDNESS[turn % 3]} note played on a {name}."
        for name in [*INSTRUMENTS, *ORCHESTRA[:4]]
        for turn in range(12)
    ),
    *(f"A {LOUDNESS[turn % 3]} hit on a {name}." for name in STRUCK for turn in range(12)),
    *(f"A voice speaks {tongue}." for tongue in ("French", "Spanish", "Italian") for _ in range(12)),
]


def of_sounds(*highly: str) -> str | Failure:
    spoken = (text if text.startswith("A ") else f"A {LOUDNESS[turn % 3]} {text}." for turn, text in enumerate(highly))
    return said(list(spoken), OTHERS, SOUNDS)


def test_a_word_of_a_name_is_not_the_same_word_alone() -> None:
    mixed = of_sounds(*["A voice speaks French."] * 2, *["note played on a french horn"] * 3)
    assert isinstance(mixed, str)
    assert mixed.startswith("A french horn in 3 of 5 clips.")
    assert "French in 5" not in mixed, "the language and the horn have nothing in common"
    two = of_sounds(*["note played on an acoustic bass"] * 5, *["note played on an acoustic grand piano"] * 5)
    assert isinstance(two, str)
    assert "acoustic sound" not in two
    assert "An acoustic bass in 5 of 10 clips." in two and "An acoustic grand piano in 5 of 10 clips." in two


def test_what_a_kind_of_sound_implies_is_not_said() -> None:
    assert of_sounds(*["hit on a crash cymbal"] * 5) == "A crash cymbal in 5 of 5 clips."


def test_no_count_is_of_fewer_words_than_are_said_of_so_many_clips() -> None:
    short = [caption("tuba", 1)] * 3 + [caption("tuba", 0)]  # short and long ones
    text = said([*short, caption("flute", 2), caption("harp", 4), caption("oboe", 4)], OTHERS)
    assert isinstance(text, str)
    for sentence in sentences(text):
        if "tuba" in sentence:
            assert ("short" in sentence and "3 of 7" in sentence) or "4 of 7" in sentence


def test_a_further_statement_says_what_does_not_follow_from_those_before() -> None:
    kinds = of_sounds(*["note played on a harp"] * 5, *["note played on a tuba"] * 5, *["hit on a cowbell"] * 5)
    assert isinstance(kinds, str)
    assert sorted(sentences(kinds)) == [
        "A cowbell in 5 of 15 clips.", "A harp in 5 of 15 clips.", "A tuba in 5 of 15 clips.",
    ]  # fmt: skip


# Told together


def test_two_kinds_of_sound_are_both_told_and_not_the_word_that_is_common_to_them() -> None:
    horns = [f"A steady horn {n}." for n in range(20)]
    hisses = [f"A steady hiss {n}." for n in range(20)]
    steady = [f"A steady {instrument} {n}." for instrument in INSTRUMENTS[:8] for n in range(20)]
    corpus = [*CORPUS, *steady, *horns, *hisses]
    text = said([*horns[:4], *hisses[:4]], of(*INSTRUMENTS[8:16]), corpus)
    assert isinstance(text, str)
    assert "horn in 4 of 8 clips." in text and "hiss in 4 of 8 clips." in text


def test_a_gain_together_is_that_of_the_parts_into_which_phrases_cut_the_captions() -> None:
    corpus = ["A horn."] * 10 + ["A hiss."] * 20 + ["A horn and a hiss."] * 10 + ["A drum."] * 60
    counted = Corpus(Phrases(), corpus)
    keys = {counted.phrases.words(key): key for key in counted.phrases("A horn and a hiss.").tolist()}
    evenly = (1 / 8,) * 8
    horn = SharedPhrase(keys["horn",], frozenset({0, 1, 2, 3}), 2.0, True, 0.0, 0.2, evenly)
    hiss = SharedPhrase(keys["hiss",], frozenset({3, 4, 5}), 2.0, True, 0.0, 0.3, evenly)
    alone = 4 * np.log(0.5 / 0.2) + 4 * np.log(0.5 / 0.8)
    assert counted.gains.together([horn]) == pytest.approx(alone)
    both = 4 * np.log(0.5 / 0.2) + 2 * np.log(0.25 / 0.2) + 2 * np.log(0.25 / 0.6)
    assert counted.gains.together([hiss, horn]) == pytest.approx(both), "of both, the rarer: the horn"


def test_counts_that_do_not_occur_by_chance_take_nothing_from_those_that_do() -> None:
    best = np.zeros((1000, 12))
    best[:, 2] = np.random.default_rng(3).standard_normal(1000)
    bars = bars_of_chance(best)
    assert (best[:, 2] > bars[2]).mean() == pytest.approx(CHANCE)
    best[:, 3] = np.random.default_rng(4).standard_normal(1000)
    bars = bars_of_chance(best)
    assert 0.04 < (best > bars).any(1).mean() <= CHANCE
