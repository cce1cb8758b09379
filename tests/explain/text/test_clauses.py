"""Clauses that are made of captions: grammatical, and true of all the captions."""

from __future__ import annotations

import pytest

from and_nnsight.explain.text.clauses import clause
from and_nnsight.explain.text.english import stem
from and_nnsight.explain.text.quotes import description, quoted_spans
from and_nnsight.explain.text.sentences import counted_sentence, idea, share

VIOLINS = ["A loud, long mid-range note played on a violin.", "A soft, high-pitched note played on a violin."]
TONES = [
    "A loud, high-pitched steady pure tone of 440 Hz, starting abruptly at 0.3 seconds and lasting 1.2 seconds."
] * 2
ROW = "A row of loud, broadband clicks with sharp onsets, repeating in a fast rhythm, about 12 times a second."


@pytest.mark.parametrize(
    ("captions", "told", "expected"),
    [
        (VIOLINS, "violin", "a violin"),
        (VIOLINS, "note violin", "a note played on a violin"),
        ([VIOLINS[0], "A short note played on a flute."], "note played", "a note is played"),
        ([VIOLINS[1], "A soft note played on a flute."], "soft note played", "a soft note is played"),
        (["Strings plucked by hand.", "Strings plucked with a pick."], "strings plucked", "Strings are plucked"),
        (["A guitar player strums.", "A guitar strums twice."], "guitar strums", "a guitar strums"),
        (["A note playing on a radio.", "A note playing on a flute."], "note playing", "a note playing"),
        ([VIOLINS[0], "A loud hit on a bass drum."], "loud", "a loud sound"),
        (["A recorded voice speaks Spanish, saying: Si", "A recorded voice speaks Spanish, saying: No"],
         "voice speaks spanish", "a recorded voice speaks Spanish"),
        (["A recorded voice speaks Spanish, saying: Si", "A recorded voice speaks French, saying: Non"],
         "voice speaks", "a recorded voice speaks"),
        (["A sound of helicopter.", "A loud sound of helicopter."], "helicopter", "helicopter"),
        (TONES, "pure tone", "a pure tone"),
        (TONES, "pure tone starting abruptly", "a pure tone, starting abruptly"),
        (["A quiet tone whose level flutters fast, 9 times a second."] * 2, "flutters fast",
         "a tone whose level flutters fast"),
        (["A moderately loud row of 5 dull knocks in pairs."] * 2, "knocks", "knocks"),
        (["A tone with a wide vibrato of 4.9 swings a second.", "A tone with a wide vibrato of 5.8 swings a second."],
         "wide vibrato swings", "a wide vibrato"),
        (["A tone with a wide vibrato of 5 swings a second."] * 2, "wide vibrato swings", "a wide vibrato"),
        (["A row of 4 knocks.", "A row of 5 knocks."], "row knocks", "a row of knocks"),
        ([ROW, "An irregular row of short tones with a sharp onset."], "row", "a row of sounds"),
        ([ROW] * 2, "clicks fast rhythm", "clicks with onsets, repeating in a fast rhythm"),
        (["A telephone rings.", "Telephone ringing loudly in a room."], "telephone rings", "a telephone rings"),
        (["The bell rings twice.", "A phone is ringing."], "rings", "ringing"),
        (["A dog barks in the distance while birds sing.", "A man speaks; birds sing."], "sing", "birds sing"),
        (["A siren that wails up and down."] * 2, "siren wails", "a siren that wails up and down"),
        (["A siren that wails up and down.", "A loud siren that wails."], "siren wails", "a siren that wails"),
        (["A note played on a tubular bells."] * 2, "tubular bells", "tubular bells"),
        (["A note played on a choir aahs."] * 2, "choir aahs", "choir aahs"),
        (["A glass breaks."] * 2, "glass", "a glass"),
        (["A loud noise that swells and ebbs away.", "A tone that swells."], "swells", "a sound that swells"),
    ],
)  # fmt: skip
def test_what_is_shared_is_said_and_nothing_else(captions: list[str], told: str, expected: str) -> None:
    stems = frozenset(stem(word) for word in told.split())
    assert clause(captions, stems).removeprefix(", ") == expected


def test_a_denied_word_stays_denied() -> None:
    rooms = ["A small room without any reverberation.", "A hall without any reverberation."]
    assert clause(rooms, frozenset([f"no {stem('reverberation')}"])) == "no reverberation"


@pytest.mark.parametrize(
    ("caption", "described", "spoken"),
    [
        ("A recorded voice speaks Spanish, saying: Para salir. Ahora", "A recorded voice speaks Spanish",
         ["Para salir. Ahora"]),
        ("A voice, saying hello to all.", "A voice", ["hello to all"]),
        ("“Stop!” is shouted.", "is shouted.", ["Stop!"]),
        ("A woman says that it rains.", "A woman says that it rains.", []),
        ('A 7" record plays', 'A 7" record plays', []),
        ("A dog barks.", "A dog barks.", []),
    ],
)  # fmt: skip
def test_spoken_words_are_told_from_the_description(caption: str, described: str, spoken: list[str]) -> None:
    assert description(caption) == described
    assert [caption[start:end] for start, end in quoted_spans(caption)] == spoken


@pytest.mark.parametrize(
    ("text", "count", "common", "expected"),
    [
        ("a violin", 4, None, "A violin in 4 of 5 clips."),
        ("a telephone rings, starting abruptly", 4, None, "A telephone rings, starting abruptly, in 4 of 5 clips."),
        ("a loud, low tone", 3, None, "A loud, low tone in 3 of 5 clips."),
        ("a voice speaks", 5, 0.78, "A voice speaks in 5 of 5 clips, against 78 % of the layer's exemplars."),
    ],
)
def test_a_count_is_written_so_that_it_can_be_read_again(
    text: str, count: int, common: float | None, expected: str
) -> None:
    sentence = counted_sentence(text, count, 5, common)
    assert sentence == expected
    assert idea(sentence) == f"{text[0].upper()}{text[1:]}."
    assert share(sentence) == count / 5
