"""Summaries as sentences: where they end, and which of them say something."""

from __future__ import annotations

import pytest

from and_nnsight.explain.text.sentences import idea, join_sentences, sentences, share, telling_sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog barks. It is loud! Is it? Yes.", ["A dog barks.", "It is loud!", "Is it?", "Yes."]),
        ("No end", ["No end"]),
        ("", []),
        (" \n\n ", []),
        ("A tone of 3.5 kHz, e.g. a beep. Done.", ["A tone of 3.5 kHz, e.g. a beep.", "Done."]),
        ("Dr. Smith and J. S. Bach play. They stop.", ["Dr. Smith and J. S. Bach play.", "They stop."]),
        ("It is sharp, i.e. percussive, vs. soft. Good.", ["It is sharp, i.e. percussive, vs. soft.", "Good."]),
        (
            "Symphony no. 5 is played. She says no. He leaves.",
            ["Symphony no. 5 is played.", "She says no.", "He leaves."],
        ),
        ("It starts at 5 p.m. It ends soon.", ["It starts at 5 p.m.", "It ends soon."]),
        ('He says "no." She leaves.', ['He says "no."', "She leaves."]),
        ("“Stop!” It stops.", ["“Stop!”", "It stops."]),
        ("a dog barks. it is loud. birds sing.", ["a dog barks.", "it is loud.", "birds sing."]),
        ("approx. five tones at 5 p.m. or so. they end.", ["approx. five tones at 5 p.m. or so.", "they end."]),
        ('A voice says "no." and leaves.', ['A voice says "no." and leaves.']),
        ("Loud... and harsh. Then silence…", ["Loud... and harsh.", "Then silence…"]),
        (
            "1. Bells ring.\n2) Dogs bark.\n- Rain falls.\n* Wind\n  • Surf",
            ["Bells ring.", "Dogs bark.", "Rain falls.", "Wind", "Surf"],
        ),
        ("A line that\ngoes on. Next\n\nA third", ["A line that goes on.", "Next", "A third"]),
        ("**Summary:** A *loud* `tone`.\n## Details\n> It rings.", ["Summary: A *loud* tone.", "Details", "It rings."]),
        ("Telephone ring (5 of 5). Loud (3 of 5).", ["Telephone ring (5 of 5).", "Loud (3 of 5)."]),
        ("犬が吠える。鳥が鳴く。", ["犬が吠える。", "鳥が鳴く。"]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Sure! Here are the commonalities:\n1. All are very loud.\nLet me know if you need more help!",
            ["All are very loud."],
        ),
        ("Based on the descriptions, the clips share a ringing.", ["The clips share a ringing."]),
        ("Here is a summary: a bell rings twice.", ["A bell rings twice."]),
        ("Certainly, all of them are loud.\nI hope this helps. Do you need any more help?", ["All of them are loud."]),
        ("Common features:\n- A loud, clear sound", ["A loud, clear sound"]),
        ("In summary, the clips are noisy.", ["The clips are noisy."]),
        ("Loud. The clips are noisy.", ["The clips are noisy."]),
        ("Loud.", ["Loud."]),
        ("- Bells\n- Dogs", ["Bells", "Dogs"]),
        ("...", []),
        ("Sure! Let me know!", []),
        ("Great horned owls hoot. Hi-hats are played.", ["Great horned owls hoot.", "Hi-hats are played."]),
        ('A voice says "please hold" and "I am sorry".', ['A voice says "please hold" and "I am sorry".']),
    ],
)
def test_what_only_talks_to_the_reader_is_left_out(text: str, expected: list[str]) -> None:
    assert telling_sentences(text) == expected


def test_joined_sentences_are_split_again() -> None:
    parts = ["Bells", "Dogs bark.", 'He says "no."', "Is it?"]
    assert join_sentences(parts) == 'Bells. Dogs bark. He says "no." Is it?'
    assert sentences(join_sentences(parts)) == ["Bells.", *parts[1:]]


def test_a_count_is_told_from_what_is_counted() -> None:
    assert idea("Telephone ring (4 of 5).") == "Telephone ring."
    assert share("Telephone ring (4 of 5).") == 0.8
    assert share("A telephone rings.") == 1
    assert share("Nothing (0 of 0).") == 1
