"""Rates: what states one, and what resampling keeps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from and_nnsight.audio import resampling
from and_nnsight.audio.loading import AudioError, Waveform, load, resample, to_waveform
from and_nnsight.audio.reading import whole_rate
from tests.audio.tones import RATE, TONE, Decoder
from tests.damaged import encode, sound


@pytest.mark.parametrize("source_rate", [8000, 11025, 22050, 44100, 44101, 48000, 96000])
def test_a_click_stays_at_its_time(source_rate: int):
    samples = np.zeros(source_rate, np.float32)
    samples[round(0.4 * source_rate)] = 1
    waveform = to_waveform(samples, RATE, source_rate=source_rate)
    assert len(waveform) == RATE
    assert abs(int(np.abs(waveform).argmax()) - 0.4 * RATE) <= 1


@pytest.mark.parametrize(("source_rate", "rate"), [(8000, 16000), (44100, 16000), (48000, 44100), (16000, 8000)])
def test_rates_without_a_table_resample_as_torchaudio_does(source_rate: int, rate: int):
    samples = sound(0.3, source_rate)
    divisor = np.gcd(source_rate, rate).item()
    direct = resampling._resample_without_table(samples, source_rate // divisor, rate // divisor)
    assert np.allclose(direct, resample(samples, source_rate, rate), atol=2e-5)


def test_a_tone_keeps_its_pitch_and_loudness():
    for source_rate in (8000, 44100, 44101):
        time = np.arange(source_rate) / source_rate
        waveform = to_waveform(np.sin(2 * np.pi * 440 * time), RATE, source_rate=source_rate)
        spectrum = np.abs(np.fft.rfft(waveform)) / (RATE / 2)
        assert spectrum.argmax() == 440
        assert abs(spectrum[440] - 1) < 0.02


def test_a_rate_that_the_value_carries_wins_over_the_stated_one():
    other = sound(0.5, 8000)
    expected = to_waveform(other, RATE, source_rate=8000)
    carrying = [
        {"array": other, "sampling_rate": 8000},
        encode(other, 8000, "WAV", "FLOAT"),
        Decoder(torch.from_numpy(other), 8000),
    ]
    for value in carrying:
        assert np.array_equal(to_waveform(value, RATE, source_rate=44100), expected)
    assert np.array_equal(to_waveform({"array": other}, RATE, source_rate=8000), expected)


def test_a_bare_waveform_is_taken_to_be_at_the_wanted_rate():
    assert vars(load(TONE, 8000)) == vars(Waveform(TONE, 8000, None, 1.0))


def test_load_gives_the_sources_own_rate_and_duration(tone_file: Path):
    loaded = load(tone_file, 8000)
    assert (loaded.sampling_rate, loaded.source_rate, loaded.seconds) == (8000, RATE, 0.5)
    assert len(loaded.samples) == 4000
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.seconds = 1.0


@pytest.mark.parametrize("rate", [0, -1, 16000.5, True, None, "fast", float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: object):
    with pytest.raises(AudioError, match="clip 7: sampling_rate must be a whole number"):
        whole_rate(rate, "sampling_rate", "clip 7")
    if rate is not None:
        with pytest.raises(AudioError, match="sampling_rate must be a whole number"):
            to_waveform({"array": TONE, "sampling_rate": rate}, RATE)


def test_rates_may_be_whole_numbers_of_any_type():
    for rate in (8000.0, np.int64(8000), np.float32(8000)):
        assert len(to_waveform({"array": TONE, "sampling_rate": rate}, RATE)) == 2 * len(TONE)
    with pytest.raises(AudioError, match="source_rate"):
        to_waveform(TONE, RATE, source_rate=-8000)


def test_a_header_that_claims_days_is_refused_before_any_memory_is_taken():
    with pytest.raises(AudioError, match="too long a clip to be heard whole: 50.0 min, of at most 32.9 min"):
        to_waveform(np.zeros(3_000_000, np.float32), RATE, source_rate=1000)


@pytest.mark.parametrize("source_rate", [8000, 44101])
def test_a_waveform_that_resampling_makes_infinite_is_refused(source_rate: int):
    loud = np.where(np.arange(100) % 50 < 25, 3.4e38, -3.4e38).astype(np.float32)
    with pytest.raises(AudioError, match="samples this loud cannot be resampled"):
        to_waveform(loud, RATE, source_rate=source_rate)
