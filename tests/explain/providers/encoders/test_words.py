"""`words`: what shares words is near, what does not is not, and the same text has the same vector everywhere."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from and_nnsight import plugins
from and_nnsight.explain.providers.embeddings import cosines, directions
from and_nnsight.explain.providers.encoders import words
from and_nnsight.explain.providers.encoders.words import Words
from and_nnsight.explain.text.english import stem


def cosine(a: str, b: str) -> float:
    one, other = Words().encode([a, b])
    return float(one @ other)


@pytest.mark.parametrize(
    "forms",
    [
        "click clicks clicked clicking",
        "noise noises",
        "pulse pulses pulsed pulsing",
        "hum hums hummed humming",
        "rise rises rising",
        "rumble rumbles rumbling",
        "buzz buzzes buzzing",
        "cry cries cried crying",
        "loud loudly loudness",
        "steady steadily",
        "voice voices",
        "play plays played playing",
    ],
)
def test_the_forms_of_a_word_meet(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(
    "words", ["ring string", "tone ton", "note not", "bass base", "speech speed", "sing sin", "chorus chore"]
)
def test_other_words_do_not(words: str) -> None:
    assert len({stem(word) for word in words.split()}) == 2


def test_function_words_case_order_and_endings_do_not_matter() -> None:
    assert cosine("A dog barks.", "barking of the DOGS") == pytest.approx(1, abs=1e-6)


def test_what_shares_no_word_is_far() -> None:
    assert abs(cosine("a dog barks", "strings are plucked")) < Words.chance


def test_unrelated_words_have_the_spread_of_cosines_that_is_documented() -> None:
    letters = np.random.default_rng(0).integers(97, 123, (400, 9))
    vectors = Words().encode(["".join(map(chr, word)) for word in letters])
    found = (vectors @ vectors.T)[np.triu_indices(400, 1)]
    assert found.std() == pytest.approx(0.03, abs=0.005)
    assert np.quantile(np.abs(found), 0.99) < Words.chance


def test_spelling_brings_related_words_near_but_not_together() -> None:
    assert Words.chance < cosine("telephone", "phone") < 0.5


def test_a_compound_is_near_its_parts_and_not_its_opposite() -> None:
    assert cosine("high-pitched", "high pitched") > 0.7
    assert cosine("high-pitched", "low-pitched") < 0.5


def test_words_that_any_clip_has_and_numbers_count_little() -> None:
    assert cosine("The sound clip has a flute", "The sound clip has a drum") < 0.2
    assert cosine("a flute at 440 Hz", "a flute at 880 Hz") > 0.9


@pytest.mark.parametrize("text", ["", "   ", "?!", "it is what it is"])
def test_a_text_without_content_is_the_zero_vector(text: str) -> None:
    vector = Words().encode([text])
    assert not vector.any()
    assert cosines(vector, vector).item() == 0


def test_no_texts_are_no_vectors() -> None:
    assert Words().encode([]).shape == (0, 1024)


def test_text_of_any_language_has_a_direction() -> None:
    vectors = Words().encode(["собака лает", "犬が吠える", "naïve café", "x" * 10_000])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_another_process_gives_the_same_vectors() -> None:
    code = (
        "from and_nnsight.explain.providers.encoders.words import Words; import hashlib;"
        "print(hashlib.sha256(Words().encode(['A dog barks, high-pitched.']).round(4).tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PATH": ""}, capture_output=True, check=True, text=True).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(digests) == 1


def test_a_batch_gives_what_single_texts_give() -> None:
    texts = ["A dog barks.", "", "Low-pitched rumble", "A dog barks."]
    assert np.array_equal(Words().encode(texts), np.concatenate([Words().encode([text]) for text in texts]))


@pytest.mark.slow
def test_a_word_is_worked_out_once() -> None:
    texts = [f"A loud, high-pitched note played on flute{i % 300}." for i in range(10_000)]
    words._vector.cache_clear()
    Words().encode(texts)
    assert 300 <= words._vector.cache_info().misses <= 300 + 10


def test_it_is_the_plugin_words() -> None:
    encoder, name = plugins.resolve("text encoder", "words")
    assert isinstance(encoder, Words)
    assert name == encoder.name == "words"


def test_cosines_of_what_has_no_direction_are_zero() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]], np.float32)
    assert cosines(rows, rows).tolist() == [[1, 0, 0, 0], *[[0, 0, 0, 0]] * 3]
    assert directions(rows)[0] == pytest.approx([0.6, 0.8])
