"""Sounds as FLAC: exact on the grid of 16 bits, else nearly, loud ones included; damage is seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.audio.errors import AudioError
from and_nnsight.audio.flac import decode_flac, encode_flac


def noise(samples: int, scale: float = 0.3, seed: int = 0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


@given(st.integers(1, 5000), st.integers(0, 99))
def test_samples_of_16_bits_come_back_as_they_were(samples: int, seed: int) -> None:
    pcm = np.random.default_rng(seed).integers(-(2**15), 2**15, samples).astype(np.float32) / 2**15
    back, rate = decode_flac(encode_flac(pcm, 16_000))
    assert rate == 16_000 and back.dtype == np.float32 and np.array_equal(back, pcm)


@given(st.floats(1e-6, 1e4), st.integers(1, 3000))
def test_any_samples_come_back_to_24_bits_of_their_peak(scale: float, samples: int) -> None:
    sound = noise(samples, scale)
    back, _ = decode_flac(encode_flac(sound, 48_000))
    assert np.abs(back - sound).max() <= 2.0**-23 * max(1.0, 2 * np.abs(sound).max())


def test_what_was_read_is_written_to_the_same_file() -> None:
    for sound in (noise(1000), noise(1000, 5.0), np.zeros(10, np.float32)):
        once = encode_flac(sound, 16_000)
        assert encode_flac(decode_flac(once)[0], 16_000) == once


def test_a_changed_byte_is_seen_wherever_samples_hang_on_it() -> None:
    content, sound = encode_flac(noise(400), 16_000), decode_flac(encode_flac(noise(400), 16_000))[0]
    unseen = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        try:
            back, _ = decode_flac(bytes(damaged))
        except AudioError:
            continue
        unseen += 1
        assert np.array_equal(back, sound), place
    assert unseen < len(content) / 10
    with pytest.raises(AudioError):
        decode_flac(content[:-20])
    with pytest.raises(AudioError):
        decode_flac(b"")
