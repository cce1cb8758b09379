"""Mixtures of experts in what reads: their neurons are refused in a sentence, and what a mixture gives is read rightly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from and_nnsight import AudioModel, SiteError, dissect
from tests.reader_families import qwen2_audio

RATE = 16_000
EXPERTS: dict[str, dict[str, int]] = {
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 40},
    "qwen2_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 40, "shared_expert_intermediate_size": 56},
    "granitemoeshared": {"num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 56},
}  # fmt: skip


def model_of(kind: str, **options: int) -> AudioModel:
    """A Qwen2-Audio whose language model is a mixture of experts."""
    dense, processor = qwen2_audio()
    config: Any = dense.config
    text = {name: value for name, value in config.text_config.to_dict().items() if name in SHAPE}
    mixed = tf.Qwen2AudioConfig(
        audio_config=config.audio_config.to_dict(),
        text_config={"model_type": kind, **text, "head_dim": 12, **EXPERTS[kind], **options},
        audio_token_index=config.audio_token_index,
    )
    torch.manual_seed(0)
    module = tf.Qwen2AudioForConditionalGeneration(mixed).eval()
    return AudioModel(module, part="language_model", processor=processor)


SHAPE = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "pad_token_id", "eos_token_id",
)  # fmt: skip


@pytest.mark.parametrize("kind", EXPERTS)
def test_neurons_of_experts_are_refused_in_a_sentence(kind: str) -> None:
    model = model_of(kind)
    names = {site.name.partition(".")[2].partition(".")[2] for site in model.sites()}
    assert names == {"attn.hook_z", "hook_attn_out", "hook_resid_post"}  # and none of shared experts or routers
    for pattern in ("default", "blocks.*.mlp.hook_post"):
        with pytest.raises(SiteError, match="are mixtures of experts, and which neurons a token has depends on where"):
            model.sites(pattern)
    with pytest.raises(SiteError, match="near names"):
        model.sites("blocks.0.hook_residual")


def test_dense_blocks_between_keep_their_neurons() -> None:
    model = model_of("qwen3_moe", decoder_sparse_step=2)
    assert [site.name for site in model.sites("default")] == ["blocks.0.mlp.hook_post"]


def test_what_a_mixture_gives_is_read(tmp_path: Path) -> None:
    model = model_of("qwen2_moe")
    path = "model.language_model.layers.1.mlp"
    clip = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    found = dissect(model, [(clip, RATE)], [f"module:{path}"], k=1, out=tmp_path / "run", progress=False)
    features = model.features((clip, RATE))
    caught: list[Any] = []
    handle = model.wrapped.get_submodule(path).register_forward_hook(lambda _, __, output: caught.append(output))
    with torch.no_grad():
        model.wrapped(**features)
    handle.remove()
    given = caught[0][0] if isinstance(caught[0], tuple) else caught[0]
    of_sound = given.reshape(-1, given.shape[-1])[features["input_ids"][0] == 3]
    torch.testing.assert_close(found[f"module:{path}"].top.values[0], of_sound.max(0).values, atol=1e-5, rtol=1e-4)
