"""Words as a Whisper hears them. What it answers was recorded from tiny.en on a synthetic sentence."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from and_nnsight import AnnotationError, read_annotations
from tests.sounds_for_tests import noise

CHUNKS = [
    {"text": " Rice", "timestamp": (0.0, 0.68)}, {"text": " is", "timestamp": (0.7, 0.84)},
    {"text": " often,", "timestamp": (0.9, 1.22)}, {"text": " …", "timestamp": (1.22, 1.3)},
    {"text": " don't", "timestamp": (1.54, 1.54)}, {"text": " \u201cBowls.\u201d", "timestamp": (2.04, None)},
]  # fmt: skip


class WhisperTokenizerFast:
    """Only its name is looked at."""


class Listener:
    """A recogniser that answers what was recorded."""

    def __init__(self, *, heads: Any = ((1, 0),), tokenizer: Any = None) -> None:
        self.model = SimpleNamespace(generation_config=SimpleNamespace(alignment_heads=heads))
        self.tokenizer = tokenizer or WhisperTokenizerFast()
        self.asked: list[int] = []

    def __call__(self, sounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.asked.append(len(sounds))
        assert all(sound["sampling_rate"] == 16_000 for sound in sounds)
        return [{"chunks": CHUNKS} for _ in sounds]


def test_words_are_bare_and_end_with_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener()
    monkeypatch.setattr("transformers.pipelines.pipeline", lambda *_, **__: listener)
    data = [noise(2.3), {"audio": b"damaged"}, noise(2.3, seed=1)]
    found = read_annotations("whisper:any", data, batch_size=2, progress=False)
    assert listener.asked == [1, 1] and found.clips.tolist() == [0, 2]
    assert found.left_out == "1 clips cannot be read"
    own = slice(0, int(found.first[1]))
    named = [found.names[place] for place in found.concept[own]]
    assert named == ["words: rice", "words: is", "words: often", "pause", "words: bowls", "pause"]
    np.testing.assert_allclose(found.start[own], [0.0, 0.7, 0.9, 1.22, 2.04, 2.3], atol=1e-6)
    assert found.end[own][-1] == math.inf and found.settings["checkpoint"] == "any"


@pytest.mark.parametrize("listener", [Listener(heads=None), Listener(tokenizer=object())])
def test_what_gives_no_times_is_refused(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.pipelines.pipeline", lambda *_, **__: listener)
    with pytest.raises(AnnotationError, match="any gives no times of words: it takes a Whisper with its tokenizer"):
        read_annotations("whisper:any", [noise(1.0)], progress=False)


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(AnnotationError, match="nowhere/at-all cannot be opened as a speech recogniser"):
        read_annotations("whisper:nowhere/at-all", [noise(1.0)], progress=False)
