"""Front ends away from the extractor's arithmetic: batched on every device that is there, in float64 on a GPU.

`pytest -m gpu` runs those that need a GPU. What they may differ in is the extractor's own rounding of float32, which
shows where a spectrum is far below the rest of its frame, and where a bin does not move at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight.audio.frontends import FrontEnd, front_end
from and_nnsight.audio.frontends.interface import padded

from .extractors import EXTRACTORS, own, sounds

pytestmark = pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])]


def noises(front: FrontEnd) -> list[torch.Tensor]:
    """Sounds whose every bin holds something that moves: what rounding does to the others is not the device's."""
    random = np.random.default_rng(0)
    most = front.window_samples or 20_000
    lengths = [most, most - 1, max(most // 2, front.minimum_samples + 3_000), most]
    return [torch.from_numpy((0.1 * random.standard_normal(length)).astype(np.float32)) for length in lengths]


@contextmanager
def nothing_waits(device: str) -> Iterator[None]:
    """Raise where something waits for the GPU."""
    if device != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def on(device: str, front: FrontEnd, clips: list[torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The batched features of clips; the first call brings the constants there, the second waits for nothing."""
    batch, lengths = padded(clips)
    there = batch.to(device, dtype)
    front.batch(there, lengths)
    with nothing_waits(device):
        features = front.batch(there, lengths)
    return {name: value.cpu() for name, value in features.items()}


@pytest.fixture(params=EXTRACTORS)
def pair(request: pytest.FixtureRequest) -> tuple[Any, FrontEnd]:
    extractor = EXTRACTORS[request.param]()
    return extractor, front_end(extractor)


@pytest.mark.parametrize("device", DEVICES)
def test_features_of_noise_are_the_extractors_but_for_its_rounding(pair: tuple[Any, FrontEnd], device: str) -> None:
    extractor, front = pair
    clips = noises(front)
    features = on(device, front, clips, torch.float32)
    expected = own(extractor, front, [clip.numpy() for clip in clips])
    assert features.keys() == expected.keys()
    for name, value in features.items():
        assert (value.dtype, value.shape) == (expected[name].dtype, expected[name].shape)
        # A GPU computes in float64: what is left is the extractor's own rounding to float32, another on every processor.
        tolerance = front.tolerance if device == "cpu" else 10 * front.tolerance
        assert torch.allclose(value.double(), expected[name].double(), rtol=1e-6, atol=tolerance)


@pytest.mark.parametrize("device", DEVICES)
def test_any_sound_is_as_in_float64_on_the_cpu(pair: tuple[Any, FrontEnd], device: str) -> None:
    """Within 1e-6, and 1e-5 is what a trial on the device allows."""
    _, front = pair
    clips = [torch.from_numpy(clip)[: front.window_samples] for clip in sounds(front, 0)]
    features, exact = on(device, front, clips, torch.float64), on("cpu", front, clips, torch.float64)
    for name, value in features.items():
        assert torch.allclose(value.double(), exact[name].double(), rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("device", DEVICES)
def test_a_clip_does_not_depend_on_those_beside_it(pair: tuple[Any, FrontEnd], device: str) -> None:
    _, front = pair
    first, *others = noises(front)
    together = on(device, front, [first, *(clip[: len(first)] for clip in others)], torch.float64)
    alone = on(device, front, [first], torch.float64)
    for name, value in alone.items():
        assert torch.allclose(value[0].double(), together[name][0].double(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_reach_a_waveform_on_the_device(pair: tuple[Any, FrontEnd], device: str) -> None:
    _, front = pair
    waveform = noises(front)[0].to(device).requires_grad_()
    values = next(iter(front([waveform], front.sampling_rate).values()))
    assert values.device == waveform.device
    values.square().sum().backward()
    assert waveform.grad is not None and waveform.grad.isfinite().all() and waveform.grad.any()
