from __future__ import annotations

import numpy as np
import pytest

from and_nnsight.audio.loading import AudioError, decode, load
from tests.audio.containers.damaging import ID3V1, RATE, whole


def promising(frames: int, content: bytes | None = None) -> bytes:
    file = bytearray(content or whole("flac", 3.0))
    fields = int.from_bytes(file[18:26], "big")
    file[18:26] = (fields & ~(2**36 - 1) | frames).to_bytes(8, "big")
    return bytes(file)


@pytest.mark.parametrize("end", [b"", ID3V1, bytes(500)])
def test_a_wrong_number_of_samples_is_seen(end: bytes) -> None:
    with pytest.raises(AudioError, match="says 20000 samples, its last frame ends with sample 48000"):
        decode(promising(20_000) + end)
    with pytest.raises(AudioError, match="is truncated: its header promises 50000 samples"):
        decode(promising(50_000) + end)
    assert len(decode(promising(48_000) + end)[0]) == 48_000


def test_a_number_that_was_never_filled_in_is_that_of_the_last_frame() -> None:
    samples, rate = decode(whole("flac", 3.0))
    assert np.array_equal(decode(promising(0))[0], samples)
    assert load(promising(0), rate, window=RATE).seconds == 3.0
    with pytest.raises(AudioError, match="truncated"):
        decode(promising(0)[:-300])


def test_a_cut_beyond_the_window_is_seen() -> None:
    content = whole("flac", 3.0)
    with pytest.raises(AudioError, match="truncated"):
        load(content[: len(content) * 2 // 3], RATE, window=RATE // 2)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000, 11111, 100_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_last_frames_are_found_whatever_their_form(rate: int, channels: int) -> None:
    content = whole("flac", 0.7, rate, channels)
    assert len(decode(content)[0]) == round(0.7 * rate)
    assert load(promising(0, content), rate, window=100).seconds == pytest.approx(0.7, abs=1e-4)
