"""Which adjectives belong to the names of sources: of a dataset's classes, and of instruments."""

from __future__ import annotations

import pytest

from and_nnsight.explain.text.names import INSTRUMENTS, Names, class_names
from and_nnsight.explain.text.tagging import tag


def modifiers(names: Names, sentence: str) -> set[str]:
    words = tag(sentence)
    return {words[place].lemma for place in names.modifiers(words)}


def free(names: Names, sentence: str) -> set[str]:
    """The adjectives that belong to no name."""
    words = tag(sentence)
    places = names.modifiers(words)
    return {one.lemma for place, one in enumerate(words) if one.part == "adjective" and place not in places}


@pytest.mark.parametrize("written", ["mellow_kazoo", "Mellow kazoo", "mellow-kazoo", "Wind, mellow kazoos (toys)"])
@pytest.mark.parametrize(
    "sentence", ["A loud note on a mellow kazoo.", "Mellow kazoos buzz, loud.", "Loud mellow-kazoo."]
)
def test_the_adjective_of_a_class_belongs_to_its_name_however_it_is_written(written: str, sentence: str) -> None:
    assert "mellow" not in free(Names([written]), sentence)
    assert free(Names([written]), sentence) == {"loud"}


def test_it_is_free_where_the_name_does_not_stand() -> None:
    names = Names(["mellow_kazoo"])
    assert free(names, "A mellow tone on a kazoo.") == {"mellow"}
    assert free(names, "The mellow kazoo has a mellow, warm voice.") == {"mellow", "warm"}
    assert modifiers(names, "The mellow kazoo has a mellow, warm voice.") == {"mellow"}
    assert free(Names(), "A loud note on a mellow kazoo.") == {"loud", "mellow"}, "no such class, no such name"


@pytest.mark.parametrize(
    ("sentence", "adjectives"),
    [
        ("A soft note played on an acoustic grand piano.", {"soft"}),
        ("Distorted riffs of an overdriven guitar.", {"distorted"}),
        ("A bright closed hi-hat.", {"bright"}),
        ("French horns and tubular bells ring, distant.", {"distant"}),
        ("Electric guitars and an electronic organ.", set()),
        ("An electronic, acoustic sound.", {"electronic", "acoustic"}),
        ("The sound is acoustic.", {"acoustic"}),
        ("Electronic music with a grand melody.", {"electronic", "grand"}),
    ],
)
def test_instruments_are_known_without_any_class(sentence: str, adjectives: set[str]) -> None:
    assert free(Names(), sentence) == adjectives


@pytest.mark.parametrize("name", ["loud_engine", "low-pitched engine", "fast engine", "short_engine"])
def test_a_word_of_degree_says_how_it_sounds_in_a_name_as_well(name: str) -> None:
    sentence = f"A {name.replace('_', ' ')} runs."
    assert len(free(Names([name]), sentence)) == 1


def test_so_does_what_a_source_does() -> None:
    assert free(Names(["crackling_fire"]), "A crackling fire burns.") == {"crackling"}


@pytest.mark.parametrize("name", ["dissonant cluster", "sad_music", "minor_chord", "harsh noise", "muffled_voices"])
def test_a_class_that_names_a_sound_is_no_name_of_a_source(name: str) -> None:
    assert free(Names([name]), f"A {name.replace('_', ' ')}.") == {name.replace("_", " ").split()[0]}


@pytest.mark.parametrize(
    "sentence", ["Velvety brass kazoo.", "Brass kazoo.", "Velvety brass.", "Played on velvety brass."]
)
def test_what_is_left_of_a_name_is_one_too(sentence: str) -> None:
    assert free(Names(["velvety_brass_kazoo"]), sentence) == set()


def test_a_name_is_cut_where_a_phrase_ends_and_not_before_another_noun() -> None:
    assert free(Names(["velvety_brass_kazoo"]), "A velvety brass trumpet.") == {"velvety"}


CAPTIONS = ["A loud note on a wooden kazoo.", "A bright note.", "Loud wooden kazoos."]


@pytest.mark.parametrize("sentence", ["Wooden.", "Loud, wooden.", "Note played on a wooden.", "A wooden sound."])
def test_a_lone_adjective_is_a_piece_of_a_name_where_captions_have_it_in_names_only(sentence: str) -> None:
    assert modifiers(Names(["wooden_kazoo"], CAPTIONS), sentence) == {"wooden"}
    assert modifiers(Names(["wooden_kazoo"], [*CAPTIONS, "A wooden hum."]), sentence) == set()
    assert modifiers(Names(["wooden_kazoo"]), sentence) == set(), "no captions, nothing known"


@pytest.mark.parametrize("sentence", ["The sound is wooden.", "A wooden hum.", "A wooden, warm hum."])
def test_it_is_not_where_it_says_something_of_a_noun(sentence: str) -> None:
    assert modifiers(Names(["wooden_kazoo"], CAPTIONS), sentence) == set()


def test_the_order_of_names_and_captions_makes_no_difference() -> None:
    names = ["wooden_kazoo", "velvety_brass_kazoo", "grand bell"]
    one, other = Names(names, CAPTIONS), Names(reversed(names), reversed(CAPTIONS))
    for sentence in ("Wooden.", "Velvety brass.", "A grand bell, wooden."):
        assert modifiers(one, sentence) == modifiers(other, sentence)


def test_transcripts_as_labels_are_no_names() -> None:
    label = "the mellow voice of an old and very tired man"
    assert free(Names([label]), "The mellow voice of an old and very tired man.") >= {"mellow", "old"}
    assert modifiers(Names(["", "_", "!!", "a b c d e f"]), "Odd.") == set()


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_no_adjective_of_an_instrument_of_the_list_is_free(name: str) -> None:
    assert free(Names(), f"A loud note played on {name}.") == {"loud"}


def test_names_come_from_labels_and_concepts_each_once() -> None:
    assert class_names(["b c", None, "a", "b c", ""], ["d", "a"]) == ["a", "b c", "d"]
