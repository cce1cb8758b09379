"""Curves as tokens, and texts within a length: what matters is kept, whatever the curve or the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from and_nnsight import Dissection
from and_nnsight.dissection.curves import Curve
from and_nnsight.share.neuronpedia.names import shortened, slug
from and_nnsight.share.neuronpedia.schema import length
from and_nnsight.share.neuronpedia.tokens import SiteTokens
from tests.explain.small_dissection import small_dissection


@pytest.fixture(scope="module")
def dissection(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return small_dissection(tmp_path_factory.mktemp("tokens") / "run")


def curve_of(activation: np.ndarray, hop: float = 0.02) -> Curve:
    start = (np.arange(len(activation)) * hop).astype(np.float32)
    return Curve(start, start + np.float32(hop), activation.astype(np.float32))


@given(frames=some.integers(1, 5000), hop=some.sampled_from([0.0005, 0.004, 0.02, 0.1]), seed=some.integers(0, 9))
def test_neighbours_become_one_token_with_the_highest_of_them(
    dissection: Dissection, frames: int, hop: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    activation = random.standard_normal(frames).astype(np.float32)
    activation[random.random(frames) < 0.1] = np.nan
    activation[random.integers(frames)] = 7.125
    made = SiteTokens(dissection, "first").of(0, curve_of(activation, hop))
    assert made is not None and np.isfinite(made.values).all()
    assert len(made.tokens) == len(made.values) <= 1024 and (frames > 1024 or len(made.tokens) <= frames)
    assert len(set(made.tokens)) == len(made.tokens), "each can be told from the others"
    assert max(made.values) == 7.125 == made.values[made.highest]
    seconds = [float(token.removesuffix("s")) for token in made.tokens]
    assert seconds == sorted(seconds)
    if frames <= 1024:
        finite = np.flatnonzero(np.isfinite(activation))
        assert np.array_equal(np.array(made.values, np.float32), activation[finite])
        assert seconds == pytest.approx((finite * hop).tolist(), abs=0.0051)


def test_frames_without_seconds_are_numbered(dissection: Dissection) -> None:
    nowhere = np.full(2, np.nan, np.float32)
    made = SiteTokens(dissection, "first").of(0, Curve(nowhere, nowhere, np.array([0.5, 0.1], np.float32)))
    assert made is not None
    assert (made.tokens, made.values) == (["frame 0", "frame 1"], [0.5, 0.1])
    assert SiteTokens(dissection, "first").of(0, curve_of(np.full(3, np.nan))) is None


@given(text=some.text(some.characters(exclude_categories=["Cs"]), max_size=80), most=some.integers(2, 40))
def test_a_text_is_cut_between_words(text: str, most: int) -> None:
    whole = " ".join(text.replace("\0", " ").split())
    cut = shortened(text, most)
    assert length(cut) <= most
    if cut == whole:
        return
    assert length(whole) > most and cut.endswith("…")
    kept = cut.removesuffix("…")
    assert whole.startswith(kept)
    rest = whole[len(kept) :]
    assert not kept or rest.startswith(" ") or " " not in kept, "no word is cut unless it alone is too long"


def test_names_are_of_small_letters_digits_and_dashes(tmp_path: Path) -> None:
    assert slug("openai/Whisper_tiny.EN") == "openai-whisper-tiny-en"
    assert slug("…") == ""
