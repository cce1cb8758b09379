"""Resampling of tensors against that of arrays: the same bits on the CPU, batches, gradients, any device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from and_nnsight.audio import resampling
from and_nnsight.audio.frontends import resample

from .test_devices import DEVICES

RATES = [(44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (22_050, 48_000), (16_000, 16_000)]


@pytest.mark.parametrize(("source", "wanted"), [*RATES, (44_101, 16_000)])
def test_a_waveform_has_the_bits_of_an_arrays(source: int, wanted: int) -> None:
    samples = np.random.default_rng(0).standard_normal(7_001).astype(np.float32)
    expected = resampling.resample(samples, source, wanted)
    assert torch.equal(resample(torch.from_numpy(samples), source, wanted), torch.from_numpy(expected))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("source", "wanted"), RATES)
def test_a_batch_on_any_device_is_near_it(source: int, wanted: int, device: str) -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal((3, 7_001)).astype(np.float32)
    expected = np.stack([resampling.resample(row, source, wanted) for row in samples])
    for dtype in (torch.float32, torch.float64):  # torchaudio's filter is in the dtype of what it filters
        resampled = resample(torch.from_numpy(samples).to(device, dtype), source, wanted)
        assert resampled.dtype == dtype
        assert np.abs(resampled.cpu().numpy() - expected).max() <= 1e-5


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_reach_the_samples(device: str) -> None:
    waveform = torch.randn(2, 900, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    point = waveform.to(device).requires_grad_()
    weights = torch.linspace(-1, 2, 327, dtype=torch.float64, device=device)
    (gradient,) = torch.autograd.grad((resample(point, 44_100, 16_000) * weights).sum(), point)
    way = torch.randn(2, 900, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(device)
    slope = (resample(way, 44_100, 16_000) * weights).sum()  # it is linear
    assert float((gradient * way).sum()) == pytest.approx(float(slope), rel=1e-9)


def test_rates_whose_filter_would_not_fit_are_refused_for_tensors_with_gradients() -> None:
    waveform = torch.zeros(1, 9_000, requires_grad=True)
    with pytest.raises(ValueError, match="44101 Hz cannot be resampled to 16000 Hz"):
        resample(waveform, 44_101, 16_000)
