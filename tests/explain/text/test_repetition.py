"""Captions in which a model got caught in a loop."""

from __future__ import annotations

import pytest

from and_nnsight.explain.text.repetition import clean_repeated, repeats

LOOP = "a dog barks and then it barks again "


def test_eight_words_that_come_twice_are_a_loop_and_seven_are_not():
    assert repeats("one two three four five six seven eight " * 2)
    assert not repeats("one two three four five six seven. " + "nought one two three four five six seven.")
    assert repeats("x " * 9)
    assert not repeats("x " * 8)


def test_prose_is_left_as_it_is_but_for_the_space_around_it():
    assert clean_repeated("  A dog barks.\nA cat meows. \n") == "A dog barks.\nA cat meows."
    assert clean_repeated("") == ""


def test_of_a_loop_with_lines_the_first_line_is_kept():
    assert clean_repeated(f"A dog. Outside.\n{LOOP}\n{LOOP}") == "A dog. Outside."


def test_of_a_loop_on_one_line_the_first_sentence_is_kept():
    assert clean_repeated(f"A dog of 3.5 kg barks! {LOOP}{LOOP}") == "A dog of 3.5 kg barks!"


def test_a_newline_at_the_end_is_no_second_line():
    assert clean_repeated(f"A dog barks. {LOOP}{LOOP}\n") == "A dog barks."


def test_a_loop_without_an_end_stays_since_there_is_nothing_else_to_keep():
    assert clean_repeated(LOOP * 3) == (LOOP * 3).strip()


@pytest.mark.parametrize("text", ["{" * 50, "日本語 " * 3, "a" * 100_000, "\n\n\n"])
def test_odd_text_does_no_harm(text):
    assert clean_repeated(text) == text.strip()
