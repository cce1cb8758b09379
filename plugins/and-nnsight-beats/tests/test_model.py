"""The module computes what SpeechBrain's does, with clips on the first axis and without one clip changing another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from beats_for_tests import library, noise, write_checkpoint
from torch import Tensor, nn

from and_nnsight_beats import BEATs, FilterBank, load

VARIANTS = {
    "published": {},
    "no projection": {"embed_dim": 32},
    "no position bias": {"relative_position_embedding": False, "gru_rel_pos": False},
    "ungated": {"gru_rel_pos": False},
    "not deep": {"deep_norm": False},
    "biased": {"conv_bias": True},
    "relu": {"activation_fn": "relu"},
}


def run(module: BEATs, waves: list[np.ndarray]) -> Any:
    with torch.inference_mode():
        return module(**FilterBank()(waves))


def theirs(path: Path, waves: np.ndarray) -> Any:
    with torch.inference_mode():
        return library(path).extract_features(torch.from_numpy(waves), torch.ones(len(waves)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_speechbrain_bit_for_bit(variant: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "beats.pt", classes=5, **VARIANTS[variant])
    wave = noise(1.5)[None]
    hidden, probabilities, _ = theirs(path, wave)
    ours = run(load(path), list(wave))
    assert torch.equal(ours.last_hidden_state, hidden)
    assert torch.equal(torch.sigmoid(ours.logits), probabilities)


def test_a_batch_equals_speechbrains(finetuned: Path) -> None:
    """Rows of a matrix product stand in another order there: the last bit may differ."""
    waves = np.stack([noise(1.5, seed=seed) for seed in range(3)])
    hidden, probabilities, _ = theirs(finetuned, waves)
    ours = run(load(finetuned), list(waves))
    torch.testing.assert_close(ours.last_hidden_state, hidden, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.sigmoid(ours.logits), probabilities, rtol=1e-6, atol=1e-6)


def test_a_frozen_checkpoint_has_no_logits(frozen: Path) -> None:
    wave = noise(1.0)[None]
    ours = run(load(frozen), list(wave))
    assert "logits" not in ours
    assert torch.equal(ours.last_hidden_state, theirs(frozen, wave)[0])


def test_logits_are_the_mean_over_patches_of_the_linear_head(finetuned: Path) -> None:
    module = load(finetuned)
    ours = run(module, [noise(1.0)])
    head: Any = module.predictor
    with torch.inference_mode():
        by_patch = nn.functional.linear(ours.last_hidden_state, head.weight, head.bias)
    torch.testing.assert_close(ours.logits, by_patch.mean(1))


def test_a_padded_clip_is_what_it_is_alone(finetuned: Path) -> None:
    module = load(finetuned)
    lengths = [0.9, 0.175, 2.3, 1.07]
    waves = [noise(seconds, seed=i) for i, seconds in enumerate(lengths)]
    together = run(module, waves)
    for row, wave in enumerate(waves):
        alone = run(module, [wave])
        patches = alone.last_hidden_state.shape[1]
        assert patches == ((len(wave) - 400) // 160 + 1) // 16 * 8
        torch.testing.assert_close(together.last_hidden_state[row, :patches], alone.last_hidden_state[0])
        torch.testing.assert_close(together.logits[row], alone.logits[0])


def test_a_longer_neighbour_changes_nothing_that_stands_in_it(finetuned: Path) -> None:
    """The same rows beside another neighbour: to the bit, since the padded shapes are the same."""
    module = load(finetuned)
    one, other = (run(module, [noise(0.9), noise(2.0, seed=seed)]) for seed in (1, 2))
    assert torch.equal(one.logits[0], other.logits[0])
    assert not torch.equal(one.logits[1], other.logits[1])


def test_every_module_has_clips_first(frozen: Path) -> None:
    module = load(frozen)
    shapes: dict[str, torch.Size] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            shapes[name] = first.shape

        return hook

    for name, child in module.encoder.layers.named_modules():
        # The attention's own projections are SpeechBrain's, which counts patches first.
        if name and not isinstance(child, nn.ModuleList) and ".self_attn." not in name:
            child.register_forward_hook(keep(name))
    run(module, [noise(1.0, seed=i) for i in range(2)])
    assert len(shapes) == 3 * 9
    assert all(shape[:2] == (2, 48) for shape in shapes.values()), shapes


def test_features_are_speechbrains(frozen: Path) -> None:
    waves = np.stack([noise(1.0), noise(1.0, seed=1)])
    expected = library(frozen).preprocess(torch.from_numpy(waves))
    features = FilterBank()(list(waves))
    assert torch.equal(features["input_values"], expected)
    assert features["attention_mask"].all()
    assert (FilterBank().mean, FilterBank().deviation) == (15.41663, 6.55582)


def test_each_clips_spectrogram_is_its_own() -> None:
    short, long = noise(0.5), noise(1.0, seed=1)
    features = FilterBank()([short, long])
    alone = FilterBank()(short)["input_values"][0]
    assert torch.equal(features["input_values"][0, : len(alone)], alone)
    assert features["attention_mask"].sum(1).tolist() == [48, 98]


def test_a_waveform_may_be_read_only_or_a_tensor() -> None:
    wave = noise(0.5)
    expected = FilterBank()(wave)["input_values"]
    wave.flags.writeable = False
    assert torch.equal(FilterBank()([wave])["input_values"], expected)
    assert torch.equal(FilterBank()(torch.tensor(wave))["input_values"], expected)


def test_another_sampling_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="16000 Hz, not at 48000"):
        FilterBank()([noise(1.0)], sampling_rate=48_000)


def test_gradients_are_the_models_own(tmp_path: Path) -> None:
    """Fine-tuned checkpoints ask training to scale gradients by 0.6 a block; finite differences know nothing of it."""
    # SpeechBrain's gelu computes in float32.
    module = load(write_checkpoint(tmp_path / "beats.pt", classes=5, activation_fn="tanh")).double()
    features = FilterBank()([noise(0.5)])
    values = features["input_values"].double().requires_grad_()
    step = torch.randn(values.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def logit(shift: float) -> Tensor:
        return module(values + shift * step, features["attention_mask"]).logits[0, 0]

    (gradient,) = torch.autograd.grad(logit(0.0), values)
    with torch.no_grad():
        difference = (logit(1e-5) - logit(-1e-5)) / 2e-5
    torch.testing.assert_close((gradient * step).sum(), difference, rtol=1e-4, atol=1e-8)
