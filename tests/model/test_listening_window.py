"""A window shorter than the checkpoint's own: heard through a cut table of positions, and put back afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel
from and_nnsight.model.listening_window import listening_window
from tests.families import FAMILIES


def opened(name: str) -> AudioModel:
    family = FAMILIES[name]
    return AudioModel(family.build(), feature_extractor=family.extractor())


def frames(model: AudioModel, seconds: float, length: float) -> torch.Tensor:
    """The first block's activations of noise of so many seconds in such a window."""
    window = listening_window(model, seconds)
    noise = np.random.default_rng(0).standard_normal(round(length * model.featuriser.sampling_rate)).astype(np.float32)
    got: list[torch.Tensor] = []
    sites = model.sites("blocks.0.mlp.hook_pre")
    with window.applied(model.wrapped):
        features = window.featuriser([noise])
        model.run(sites, features, lambda site, value: got.append(value))
    return got[0][0]


def test_whisper_hears_a_window_that_is_cut_and_its_own_again() -> None:
    model = opened("whisper")
    own = model.featuriser.window_seconds
    assert own is not None
    before = frames(model, own, 0.5)
    short = frames(model, own / 5, 0.5)
    assert len(short) == len(before) // 5
    torch.testing.assert_close(frames(model, own, 0.5), before, rtol=0, atol=0)
    assert model.featuriser.window_seconds == own


def test_an_error_inside_puts_everything_back() -> None:
    model = opened("whisper")
    window = listening_window(model, 0.4)
    tables = [module.embed_positions for module in model.wrapped.modules() if hasattr(module, "embed_positions")]
    positions = model.wrapped.config.max_source_positions
    with pytest.raises(KeyError), window.applied(model.wrapped):
        assert model.wrapped.config.max_source_positions < positions
        raise KeyError
    assert model.wrapped.config.max_source_positions == positions
    assert all(a is b for a, b in zip(
        tables, [module.embed_positions for module in model.wrapped.modules() if hasattr(module, "embed_positions")],
        strict=True,
    ))  # fmt: skip


def test_models_that_cannot_be_cut_keep_their_window_and_others_take_any() -> None:
    ast = opened("ast")
    window = listening_window(ast, 0.01)
    assert not window.shortened and window.seconds == ast.featuriser.window_seconds
    wav2vec2 = listening_window(opened("wav2vec2-post"), 1.5)
    assert not wav2vec2.shortened and wav2vec2.seconds == 1.5


def test_a_window_has_some_length() -> None:
    with pytest.raises(ValueError, match="some length"):
        listening_window(opened("ast"), 0)
