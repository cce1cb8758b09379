"""What a claim predicts of clips: its cosines with their captions, but for those that any two texts have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from and_nnsight.explain.evaluate import predictions
from and_nnsight.explain.evaluate.claims import Claim
from and_nnsight.explain.evaluate.predictions import claim_predictions
from and_nnsight.explain.providers.embeddings import Embeddings
from and_nnsight.explain.providers.encoders.words import Words

CAPTIONS = ["A dog barks.", "A bell rings.", "Rain falls on a roof.", "A car passes.", "A dog barks.", "A child sings."]
CLAIMS = [
    Claim("site", 0, "explanation", "A dog barks in 3 of 4 clips. A bell rings in 1 of 4 clips."),
    Claim("site", 1, "label", "rain"),
]


class Near:
    """A text encoder that finds all texts somewhat alike, and does not say what is chance."""

    name = "near"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return Words().encode(texts) + 0.3 / 32


def _predicted(encoder: Words | Near) -> np.ndarray:
    embeddings = Embeddings(encoder, encoder.name)
    return claim_predictions(CLAIMS, CAPTIONS, embeddings).numpy()


def test_captions_that_share_no_word_with_a_claim_are_predicted_alike() -> None:
    predicted = _predicted(Words())
    assert predicted[0] == pytest.approx([0.75, 0.25, 0, 0, 0.75, 0], abs=1e-6)
    assert predicted[1, 2] > Words.chance and not predicted[1, [0, 1, 3, 4, 5]].any()


def test_cosines_of_an_encoder_that_does_not_say_what_is_chance_are_taken_as_they_are() -> None:
    predicted = _predicted(Near())
    assert (predicted[0] > 0).all() and len(set(predicted[0].round(6))) > 3


@pytest.mark.parametrize("size", [1, 2, 1024])
def test_how_many_statements_are_compared_at_once_makes_no_difference(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    whole = _predicted(Near())
    monkeypatch.setattr(predictions, "_STATEMENTS", size)
    np.testing.assert_allclose(_predicted(Near()), whole, atol=1e-6)
