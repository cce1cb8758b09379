from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio.functional

from and_nnsight.audio import resampling
from and_nnsight.audio.loading import AudioError, load
from and_nnsight.audio.resampling import resample
from tests.damaged import sound


@pytest.mark.slow
@pytest.mark.parametrize(("source_rate", "rate"), [(8000, 16000), (44100, 16000), (48000, 44100), (11025, 16000)])
def test_pieces_are_resampled_as_the_whole(source_rate: int, rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = sound(0.5, source_rate)
    whole = resample(samples, source_rate, rate)
    for piece in (1, 700, 1024, len(samples) - 1):
        monkeypatch.setattr(resampling, "_PIECE", piece)
        pieces = resample(samples, source_rate, rate)
        assert pieces.shape == whole.shape
        assert np.allclose(pieces, whole, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(1, 2), (441, 160), (160, 147), (3, 1), (1, 16), (50, 1)])
def test_without_a_table_the_filter_is_torchaudios(old: int, new: int) -> None:
    samples = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    expected = torchaudio.functional.resample(torch.from_numpy(samples), old, new).numpy()
    direct = resampling._resample_without_table(samples, old, new)
    assert direct.shape == expected.shape
    assert np.allclose(direct, expected, atol=1e-4)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] can't allocate memory\nmore")])
def test_what_goes_wrong_in_resampling_is_the_clips_failure(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("and_nnsight.audio.loading.resample", fail)
    with pytest.raises(AudioError, match=r"clip 3: cannot be resampled from 8000 to 16000 Hz: (MemoryError|\[enforce)"):
        load(sound(1.0, 8000), 16000, source_rate=8000, name="clip 3")
