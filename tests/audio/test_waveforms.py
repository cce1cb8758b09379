"""Values that are audio: each gives the same waveform."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from and_nnsight.audio.loading import to_waveform
from tests.audio.tones import RATE, TONE, Decoder
from tests.damaged import encode


def pcm(samples: np.ndarray, dtype: type = np.int16) -> np.ndarray:
    return (samples * 2.0 ** (8 * np.dtype(dtype).itemsize - 1)).round().astype(dtype)


def test_every_kind_of_value_gives_the_same_waveform(tone_file: Path):
    encoded = tone_file.read_bytes()
    values = {
        "str": str(tone_file),
        "path": tone_file,
        "bytes": encoded,
        "bytearray": bytearray(encoded),
        "memoryview": memoryview(encoded),
        "float32": TONE,
        "float64": TONE.astype(np.float64),
        "strided": np.repeat(TONE, 2)[::2],
        "reversed twice": TONE[::-1].copy()[::-1],
        "big-endian": TONE.astype(">f4"),
        "read-only": np.frombuffer(TONE.tobytes(), np.float32),
        "torch": torch.from_numpy(TONE),
        "torch with gradient": torch.from_numpy(TONE).requires_grad_(),
        "list": TONE.tolist(),
        "tuple": tuple(TONE.tolist()),
        "one channel first": TONE[None],
        "one channel last": TONE[:, None],
        "two channels first": np.stack([TONE, TONE]),
        "two channels last": np.stack([TONE, TONE], axis=1),
        "array": {"array": TONE, "sampling_rate": RATE, "path": None},
        "array as a list": {"array": TONE.tolist(), "sampling_rate": RATE},
        "raw": {"raw": TONE, "sampling_rate": RATE},
        "encoded": {"bytes": encoded, "path": "gone.wav"},
        "encoded at a path": {"bytes": None, "path": str(tone_file)},
        "decoder": Decoder(torch.from_numpy(TONE)[None], RATE),
        "reader": SimpleNamespace(read_bytes=lambda: encoded),
    }
    for kind, value in values.items():
        waveform = to_waveform(value, RATE)
        assert waveform.dtype == np.float32, kind
        assert waveform.shape == TONE.shape, kind
        assert waveform.flags.c_contiguous, kind
        assert waveform.flags.writeable, kind
        assert np.array_equal(waveform, TONE), kind


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype):
    half = torch.from_numpy(TONE).to(dtype)
    assert np.array_equal(to_waveform(half, RATE), half.float().numpy())


@settings(deadline=None)
@given(arrays.arrays(np.int16, st.integers(1, 50)))
def test_pcm_of_16_bits_survives_the_round_trip(samples: np.ndarray):
    waveform = to_waveform(samples, RATE)
    assert np.array_equal(waveform * 2**15, samples)
    assert np.array_equal(to_waveform(encode(samples, RATE), RATE), waveform), "as a file's samples are scaled"


@settings(deadline=None)
@given(arrays.arrays(np.int32, st.integers(1, 50)))
def test_pcm_of_32_bits_is_scaled_without_overflow(samples: np.ndarray):
    waveform = to_waveform(samples, RATE)
    assert np.abs(waveform).max() <= 1
    assert np.array_equal(waveform, (samples / 2.0**31).astype(np.float32))


@settings(deadline=None)
@given(arrays.arrays(np.uint8, st.integers(1, 50)))
def test_pcm_of_8_bits_has_its_zero_at_128(samples: np.ndarray):
    assert np.array_equal(to_waveform(samples, RATE) * 128 + 128, samples)
    assert np.array_equal(to_waveform(torch.from_numpy(samples), RATE), to_waveform(samples, RATE))


@pytest.mark.parametrize(
    ("dtype", "lowest", "highest"),
    [(np.int8, -1.0, 127 / 128), (np.int16, -1.0, 32767 / 32768), (np.int32, -1.0, 1.0), (np.uint8, -1.0, 127 / 128)],
)
def test_the_ends_of_a_pcm_range_are_full_scale(dtype: type, lowest: float, highest: float):
    ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
    assert to_waveform(ends, RATE).tolist() == [lowest, highest]


def test_channels_are_mixed_by_their_mean():
    left, right = TONE, -0.5 * TONE
    for stereo in (np.stack([left, right]), np.stack([left, right], axis=1)):
        assert np.allclose(to_waveform(stereo, RATE), TONE / 4, atol=1e-7)
    assert np.allclose(to_waveform(encode(np.stack([left, right], 1), RATE, "WAV", "FLOAT"), RATE), TONE / 4, atol=1e-7)
    assert not to_waveform(np.stack([pcm(TONE), -pcm(TONE)]), RATE).any(), "PCM is scaled before it is mixed"


def test_loud_channels_do_not_overflow_when_mixed():
    loud = np.full((2, 100), 3e38, np.float32)
    assert np.allclose(to_waveform(loud, RATE), 3e38)


def test_a_waveform_in_order_is_not_copied_and_any_other_leaves_the_callers_alone():
    assert to_waveform(TONE, RATE) is TONE
    frozen = TONE.copy()
    frozen.flags.writeable = False
    for value in (frozen, pcm(TONE), {"array": TONE, "sampling_rate": 8000}):
        before = pickle.dumps(value)
        to_waveform(value, RATE)[:] = 0
        assert pickle.dumps(value) == before
