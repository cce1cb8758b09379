from __future__ import annotations

import struct

import numpy as np
import pytest

from and_nnsight.audio.limits import HIGHEST_RATE, LOWEST_RATE, MOST_SAMPLES, Limit, checked_channels, checked_rate
from and_nnsight.audio.loading import AudioError, load
from and_nnsight.audio.resampling import resample
from tests.damaged import encode, sound

RATE = 16000


@pytest.mark.parametrize("rate", [LOWEST_RATE, 8000, 44100.0, HIGHEST_RATE])
def test_rates_of_sound_are_taken(rate: float) -> None:
    assert checked_rate(rate) == rate


@pytest.mark.parametrize("rate", [0, 1, LOWEST_RATE - 1, HIGHEST_RATE + 1, 10**11, float("nan"), float("inf"), -8000])
def test_other_rates_are_refused_wherever_they_are_said(rate: float) -> None:
    with pytest.raises(AudioError, match="Hz is no rate of sound"):
        checked_rate(rate)
    if rate in (1, 999, 10**11):
        for value in ({"array": sound(1.0, RATE), "sampling_rate": rate}, {"raw": [0.5] * 99, "sampling_rate": rate}):
            with pytest.raises(AudioError, match="clip 3: .* Hz is no rate of sound"):
                load(value, RATE, name="clip 3")
        with pytest.raises(AudioError, match="Hz is no rate of sound"):
            load(sound(1.0, RATE), RATE, source_rate=int(rate))


@pytest.mark.parametrize("channels", [0, 257, 65535])
def test_channels_that_no_clip_has_are_refused(channels: int) -> None:
    with pytest.raises(AudioError, match="channels are not those of a clip"):
        checked_channels(channels)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 44101, 96000])
def test_a_window_needs_no_more_than_is_read_for_it(rate: int) -> None:
    samples = sound(3.0, rate)
    whole = resample(samples, rate, RATE)
    beginning = resample(samples[: Limit(RATE, 8000).frames(rate)], rate, RATE)
    assert np.allclose(beginning[:8000], whole[:8000], atol=1e-6)
    assert Limit(RATE, 8000).frames(rate) < 0.51 * rate + 20


def test_what_is_heard_whole_takes_bounded_memory_at_any_rate() -> None:
    for rate in (LOWEST_RATE, 8000, 44100, 192_000, HIGHEST_RATE):
        frames = Limit(RATE).frames(rate)
        assert frames + frames * RATE / rate <= MOST_SAMPLES
        assert Limit(RATE, 10**12).frames(rate) == frames, "a window is no reason to read more"
    assert Limit(RATE).frames(RATE) / RATE > 1000, "seventeen minutes"


def test_a_clip_that_is_too_long_is_refused_without_a_window_and_begun_with_one() -> None:
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 2**32 - 1, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16,
                         b"data", 2**31 - 2**20)  # fmt: skip
    long = {"array": np.broadcast_to(np.float32(0.5), 10**9), "sampling_rate": RATE}
    with pytest.raises(AudioError, match=r"too long a clip to be heard whole: 1,041\.7 min, of at most 17\.5 min"):
        load(long, RATE)
    clip = load(long, RATE, window=RATE)
    assert (len(clip.samples), clip.seconds) == (RATE, 62_500.0)
    with pytest.raises(AudioError, match="is truncated"):
        load(header + encode(sound(1.0, RATE), RATE)[44:], RATE, window=RATE)


def test_a_list_or_tensor_that_is_not_heard_is_not_converted() -> None:
    values = np.zeros(10**6, np.int16)
    clip = load(values, RATE, window=100)
    assert (len(clip.samples), clip.seconds) == (100, 62.5)
    stereo = load(np.zeros((2, 10**6), np.int16), RATE, window=100)
    assert (len(stereo.samples), stereo.seconds) == (100, 62.5)
