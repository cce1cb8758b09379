"""The sounds of a page: each once, whole or cut to moments, as they are heard, within so many bytes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from and_nnsight.audio.flac import encode_flac
from and_nnsight.dissection.exemplar_store import ExemplarStore
from and_nnsight.dissection.files import sound_file
from and_nnsight.explain.roles import Span
from and_nnsight.look.sounds import EXCERPTS, fitting_excerpt, make_sounds

RATE = 8000


@pytest.fixture
def store(tmp_path: Path) -> ExemplarStore:
    """Clips 3, of 4 s, and 7, of 40 s, which goes beyond full scale."""
    noise = np.random.default_rng(0).normal(size=40 * RATE).astype(np.float32)
    for clip, samples in ((3, noise[: 4 * RATE] / 10), (7, noise)):
        path = sound_file(tmp_path, clip)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_flac(samples, RATE))
    return ExemplarStore(tmp_path)


def heard(flac: bytes) -> tuple[np.ndarray, int]:
    return soundfile.read(BytesIO(flac), dtype="float32")


def test_a_whole_clip_is_as_the_store_has_it(store: ExemplarStore) -> None:
    sound = make_sounds(store, [Span(3)])[Span(3)]
    samples, rate = heard(sound.flac)
    assert rate == RATE and (sound.start, sound.seconds, sound.whole) == (0.0, 4.0, True)
    assert np.abs(samples - store.audio(3)[0]).max() < 1e-4
    assert soundfile.info(BytesIO(sound.flac)).subtype == "PCM_16"
    assert sound.image.startswith(b"\x89PNG")


def test_a_stretch_is_cut_out(store: ExemplarStore) -> None:
    span = Span(3, 1.0, 2.5)
    sound = make_sounds(store, [span])[span]
    assert (sound.start, sound.seconds, sound.whole) == (1.0, 1.5, False)
    assert np.abs(heard(sound.flac)[0] - store.audio(3)[0][RATE : 2 * RATE + RATE // 2]).max() < 1e-4


def test_what_is_beyond_full_scale_is_softer_not_cut(store: ExemplarStore) -> None:
    samples, _ = heard(make_sounds(store, [Span(7)])[Span(7)].flac)
    whole = store.audio(7)[0]
    assert np.abs(samples).max() == pytest.approx(1.0, abs=1e-3)
    assert np.corrcoef(samples, whole)[0, 1] > 0.99999


def test_each_is_made_once_and_has_a_name_of_its_own(store: ExemplarStore) -> None:
    sounds = make_sounds(store, [Span(7, 1.0, 2.0), Span(3), Span(3), Span(7, 1.0, 2.0), Span(7)])
    assert len(sounds) == len({sound.key for sound in sounds.values()}) == 3


def test_a_span_beyond_what_the_model_hears_gives_what_there_is(store: ExemplarStore) -> None:
    sounds = make_sounds(store, [Span(3, 3.0, 8.0), Span(3, 5.0, 8.0)])
    assert [sound.seconds for sound in sounds.values()] == [1.0, 4.0]


def test_clips_are_cut_only_where_they_take_too_many_bytes(store: ExemplarStore) -> None:
    def spans(excerpt: float | None) -> list[Span]:
        cut = Span(7) if excerpt is None else Span(7, 0.0, excerpt)
        return [Span(3), cut, cut]

    def size(excerpt: float | None) -> int:
        return sum(len(sound.flac) + len(sound.image) for sound in make_sounds(store, spans(excerpt)).values())

    assert fitting_excerpt(store, spans, 10e6) is None
    for most in (600_000, 300_000, 150_000):
        excerpt = fitting_excerpt(store, spans, most)
        assert excerpt in EXCERPTS
        assert size(excerpt) * 4 / 3 <= most * 1.05
        longer = [None, *EXCERPTS][[None, *EXCERPTS].index(excerpt) - 1]
        assert size(longer) * 4 / 3 > most * 0.95
    assert fitting_excerpt(store, spans, 1.0) == min(EXCERPTS)
