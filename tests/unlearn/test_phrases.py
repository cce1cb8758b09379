"""What a caption must say to carry a concept."""

from __future__ import annotations

import pytest

from and_nnsight.unlearn.phrases import content_stems, name_stems, phrase_of

CLASSES = ("flute", "pan_flute", "bass_drum", "acoustic_bass", "snare_drum", "rain")


def carries(concept: str, caption: str) -> bool:
    others = [name for name in CLASSES if name != concept]
    return phrase_of([name_stems(concept)], others).in_caption(caption)


@pytest.mark.parametrize(
    ("concept", "caption"),
    [
        ("pan_flute", "A low-pitched note played on a pan flute."),
        ("flute", "A flute plays; later a pan flute does."),
        ("flute", "A pan flute, then a flute."),
        ("crying_baby", "A baby is crying in a kitchen"),
        ("water_drops", "Drops of water fall"),
        ("Sea waves", "the sea's waves roll in"),
        ("closed_hi_hat", "A soft hit on a closed hi-hat."),
        ("tubular bells", "A tubular bell rings"),
        ("glass_breaking", "“A glass breaks”"),
        ("sound of rain", "Rain"),
    ],
)
def test_a_caption_carries_all_words_together_in_any_form(concept: str, caption: str) -> None:
    assert carries(concept, caption)


@pytest.mark.parametrize(
    ("concept", "caption"),
    [
        ("flute", "A low-pitched note played on a pan flute."),
        ("flute", "Flutes of pan"),
        ("pan_flute", "A pan falls and a flute plays"),
        ("pan_flute", "A pan; flute"),
        ("pan_flute", "A flute"),
        ("bass_drum", "A bass, drum and guitar"),
        ("bass_drum", "An acoustic bass and a snare drum"),
        ("bass_drum", "A bass with drums"),
        ("rain", "A train passes a drainpipe"),
        ("hen", "Someone works in a kitchen"),
    ],
)
def test_a_caption_does_not_carry_parts_substrings_or_longer_names(concept: str, caption: str) -> None:
    assert not carries(concept, caption)


def test_without_the_longer_name_among_the_classes_the_word_counts() -> None:
    assert phrase_of([name_stems("flute")], ["rain"]).in_caption("A pan flute")
    assert not phrase_of([name_stems("flute")], ["rain", "pan flutes"]).in_caption("A pan flute")


def test_any_of_several_ways_to_say_it_counts_and_an_empty_one_never() -> None:
    phrase = phrase_of([name_stems("hounds"), name_stems("the")], ())
    assert phrase.in_caption("A hound barks")
    assert not phrase.in_caption("the")
    assert not phrase_of([()], ()).in_caption("anything")


def test_joining_words_vanish_and_marks_keep_words_apart() -> None:
    assert content_stems("Drops of the water, and a high-pitched bell's ring") == [
        "drop", "water", "", "and", "high", "pitch", "bell", "ring",
    ]  # fmt: skip
    assert name_stems("the sound of water_drops") == ("water", "drop")
    assert name_stems("sound") == ("sound",)
    assert name_stems("of the") == ()
