"""The list of acoustic adjectives: which are, which are basic, which are degrees."""

from __future__ import annotations

import pytest

from and_nnsight.explain.text.acoustic_adjectives import (
    ACOUSTIC_ADJECTIVES,
    BASIC_ADJECTIVES,
    is_acoustic,
    is_basic,
    says_degree,
)
from and_nnsight.explain.text.stop_words import ADJECTIVES


@pytest.mark.parametrize(
    "word",
    """
    loud quiet bright muffled high-pitched low-pitched mid-range high-frequency low-quality fast-paced bell-like metallic
    harsh-sounding ultra-bright reverberant melancholic staccato distant hiss-like deep-voiced soft-spoken high-register
    """.split(),
)
def test_acoustic_adjectives(word: str) -> None:
    assert is_acoustic(word)


@pytest.mark.parametrize(
    "word",
    "red six-legged american big expensive canine catlike plant-based well-known two-story foolish high-rise".split(),
)
def test_adjectives_that_say_nothing_about_sound(word: str) -> None:
    assert not is_acoustic(word)


def test_no_acoustic_adjective_is_a_stop_word() -> None:
    assert not ACOUSTIC_ADJECTIVES & ADJECTIVES
    assert len(ACOUSTIC_ADJECTIVES) > 400


@pytest.mark.parametrize(
    "word", "loud low-pitched mid-range bright metallic staccato distant hiss-like ultra-bright".split()
)
def test_what_could_be_measured_is_basic(word: str) -> None:
    assert is_basic(word)


@pytest.mark.parametrize(
    "word", "sad musical emotional dreamlike lullaby-like realistic cinematic choral human".split()
)
def test_what_a_listener_makes_of_it_is_not(word: str) -> None:
    assert not is_basic(word)


def test_every_basic_adjective_is_acoustic() -> None:
    assert BASIC_ADJECTIVES < ACOUSTIC_ADJECTIVES
    assert all(is_acoustic(word) and is_basic(word) for word in BASIC_ADJECTIVES)


def test_degrees_are_of_loudness_height_length_and_speed() -> None:
    assert all(map(says_degree, ("loud", "faint", "high", "low-pitched", "mid-range", "short", "fast-paced")))
    assert not any(map(says_degree, ("acoustic", "overdriven", "bright", "grand", "bell-like", "electric-sounding")))
