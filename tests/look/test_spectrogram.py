"""Spectrograms: what sounds where is drawn where it belongs, in colours whose steps look alike."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from and_nnsight.look.spectrogram import BANDS, COLOURS, COLUMNS, spectrogram_levels, spectrogram_png

RATE = 16_000
LOUDEST = len(COLOURS) - 1


def tone(hertz: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def image_of(waveform: np.ndarray, rate: int = RATE) -> Image.Image:
    return Image.open(BytesIO(spectrogram_png(waveform, rate)))


def test_the_image_is_small_and_has_few_colours() -> None:
    image = image_of(np.random.default_rng(0).normal(size=5 * RATE).astype(np.float32))
    assert (image.mode, image.size) == ("P", (COLUMNS, BANDS))
    assert len(image.getcolors()) <= len(COLOURS) <= 64
    assert len(spectrogram_png(tone(440), RATE)) < 3000


@pytest.mark.parametrize("hertz", [100, 440, 1000, 3000, 7000])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_tone_is_drawn_at_its_pitch(hertz: float, rate: int) -> None:
    band = int(spectrogram_levels(tone(hertz, rate=rate), rate)[:, 100].argmax())
    mel = np.interp(band + 1, (0, BANDS + 1), 2595 * np.log10(1 + np.array([40, 8000]) / 700))
    assert 700 * (10 ** (mel / 2595) - 1) == pytest.approx(hertz, rel=0.1, abs=30)


def test_high_sounds_are_above_low_ones_in_the_image() -> None:
    rows = [np.asarray(image_of(tone(hertz)))[:, 100].argmax() for hertz in (6000, 1000, 200)]
    assert rows == sorted(rows)


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0, 1.99])
def test_a_click_is_drawn_when_it_sounds(at: float) -> None:
    clip = np.zeros(2 * RATE, np.float32)
    clip[round(at * RATE)] = 1.0
    columns = spectrogram_levels(clip, RATE).max(0)
    assert abs(columns.argmax() - at / 2 * COLUMNS) <= 2
    assert (columns > 0).sum() < 8


def test_loudness_does_not_show_and_silence_is_white() -> None:
    noise = np.random.default_rng(1).normal(size=RATE).astype(np.float32)
    assert np.array_equal(spectrogram_levels(noise, RATE), spectrogram_levels(noise / 64, RATE))
    assert spectrogram_levels(noise, RATE).max() == LOUDEST
    for silence in (np.zeros(RATE, np.float32), np.full(RATE, 1e-7, np.float32) * noise):
        assert not spectrogram_levels(silence, RATE).any()


def test_samples_that_are_no_numbers_are_silence() -> None:
    clip = tone(440)
    clip[5000:9000] = [np.nan, np.inf, -np.inf, np.nan] * 1000
    whole = spectrogram_levels(clip, RATE)
    clip[5000:9000] = 0
    assert np.array_equal(whole, spectrogram_levels(clip, RATE))


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="without samples"):
        spectrogram_png(np.zeros(0, np.float32), RATE)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30_000), st.sampled_from([100, 500, 4000, 8000, 11_025, 48_000, 192_000]), st.integers(1, 300))
def test_clips_of_any_length_and_rate(samples: int, rate: int, columns: int) -> None:
    levels = spectrogram_levels(tone(rate / 8, samples / rate, rate), rate, columns)
    assert levels.shape[0] == BANDS and 1 <= levels.shape[1] <= columns
    assert levels.max() <= LOUDEST


def test_colours_go_evenly_from_light_to_dark() -> None:
    """In OKLab (https://bottosson.github.io/posts/oklab/), where distances are those that are seen."""
    rgb = np.array([list(colour) for colour in COLOURS]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    lab = np.cbrt(linear @ np.array(to_cones).T) @ np.array(to_lab).T
    assert (np.diff(lab[:, 0]) < 0).all()
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() < 2.5 * steps.min()
