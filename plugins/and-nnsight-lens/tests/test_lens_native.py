"""Where TransformerLens's own adapters put a hook on another tensor than its name says, and ours do not.

Each test states both sides: one that fails on "native" says that TransformerLens has changed.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from bridges import audio_model, bridged, heard, native
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformer_lens.model_bridge.supported_architectures.hubert import HubertArchitectureAdapter


def cached(bridge: TransformerBridge, name: str) -> Any:
    sound, rest = heard(name)
    with torch.no_grad():
        return bridge.run_with_cache(sound, **rest)[1]


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def test_the_middle_of_a_post_norm_block() -> None:
    theirs, ours = cached(native("hubert-post"), "hubert-post"), cached(bridged("hubert-post"), "hubert-post")
    for cache, off in ((theirs, True), (ours, False)):
        middle = cache["blocks.0.hook_resid_pre"] + cache["blocks.0.hook_attn_out"]
        assert (far(cache["blocks.0.hook_resid_mid"], middle) > 0.01) == off


def test_what_enters_the_first_block_of_a_pre_norm_model() -> None:
    theirs, ours = cached(native("wav2vec2-pre"), "wav2vec2-pre"), cached(bridged("wav2vec2-pre"), "wav2vec2-pre")
    assert far(theirs["hook_embed"], theirs["blocks.0.hook_resid_pre"]) > 0.1
    assert torch.equal(ours["hook_embed"], ours["blocks.0.hook_resid_pre"])
    parts = ours.decompose_resid(layer=-1)
    assert far(parts.sum(0), ours["blocks.1.hook_resid_post"]) < 1e-5
    assert far(theirs.decompose_resid(layer=-1).sum(0), theirs["blocks.1.hook_resid_post"]) > 0.1


def test_scores_before_the_softmax() -> None:
    theirs, ours = cached(native("ast"), "ast"), cached(bridged("ast"), "ast")
    at = "blocks.1.attn.hook_{}".format
    assert far(theirs[at("attn_scores")].sum(-1), torch.tensor(1.0)) < 1e-5  # a pattern
    assert far(ours[at("attn_scores")].softmax(-1), ours[at("pattern")]) == 0
    assert far(ours[at("pattern")], theirs[at("pattern")]) < 1e-6


@torch.no_grad()
def test_an_edit_of_the_pattern() -> None:
    sound, rest = heard("ast")

    def flat(pattern: torch.Tensor, hook: Any) -> torch.Tensor:
        return torch.full_like(pattern, 1 / pattern.shape[-1])

    for bridge, heeded in ((native("ast"), False), (bridged("ast"), True), (bridged("ast", "sdpa"), True)):
        name = "blocks.1.attn.hook_pattern"
        before = bridge(sound, **rest)
        if heeded:
            after = bridge.run_with_hooks(sound, fwd_hooks=[(name, flat)], **rest)
        else:
            with pytest.warns(UserWarning, match="edit is discarded"):
                after = bridge.run_with_hooks(sound, fwd_hooks=[(name, flat)], **rest)
        assert (far(after, before) > 1e-7) == heeded


def test_heads_of_wavlm() -> None:
    module: Any = copy.deepcopy(audio_model("wavlm-pre").wrapped)
    adapted = build_bridge_from_module(
        module, "HubertModel", hf_config=module.config
    )  # what a subclass of the HuBERT adapter would do
    assert isinstance(adapted.adapter, HubertArchitectureAdapter)
    sound, _ = heard("wavlm-pre")

    def silenced(z: torch.Tensor, hook: Any) -> torch.Tensor:
        z[:, :, 1] = 0
        return z

    name = "blocks.1.attn.hook_z"
    for bridge, heeded in ((adapted, False), (bridged("wavlm-pre"), True)):
        with torch.inference_mode():
            after = bridge.run_with_hooks(sound, fwd_hooks=[(name, silenced)])
            assert (far(after, bridge(sound)) > 1e-4) == heeded


def test_layer_norms_of_ast_are_torch_s_own() -> None:
    sound, rest = heard("ast")
    with torch.inference_mode():
        plain = audio_model("ast").wrapped(input_values=sound, **rest).logits
        assert torch.equal(bridged("ast")(sound, **rest), plain)
        assert 0 < far(native("ast")(sound, **rest), plain) < 1e-5


def test_hooks_that_cannot_fire_are_there_in_theirs_and_not_in_ours() -> None:
    dead = {f"blocks.0.attn.hook_{part}" for part in ("hidden_states", "result", "q_input", "attn_in")}
    assert dead <= set(native("hubert-post").hook_dict)
    assert not dead & set(bridged("hubert-post").hook_dict)


def test_attentions_of_the_bridged_model() -> None:
    sound, rest = heard("ast")
    for bridge, times in ((native("ast"), 2), (bridged("ast"), 1)):
        with torch.no_grad():
            found = bridge.original_model(input_values=sound, output_attentions=True, **rest).attentions
        assert len(found) == times * bridge.cfg.n_layers


def test_the_norm_behind_pre_norm_blocks() -> None:
    theirs, ours = cached(native("wav2vec2-ctc"), "wav2vec2-ctc"), cached(bridged("wav2vec2-ctc"), "wav2vec2-ctc")
    assert torch.equal(ours.accumulated_resid(apply_ln=True)[-1], ours["ln_final.hook_out"])
    with pytest.raises((IndexError, KeyError)):
        theirs.accumulated_resid(apply_ln=True)


def test_what_was_kept_before_padding_is_written_over() -> None:
    for bridge, stays in ((native("wav2vec2-pre"), False), (bridged("wav2vec2-pre"), True)):
        sound, rest = heard("wav2vec2-pre", 1.0, 0.5)
        kept: list[torch.Tensor] = []

        def keep(tensor: torch.Tensor, hook: Any, kept: list[torch.Tensor] = kept) -> None:
            kept.extend((tensor, tensor.clone()))

        with torch.no_grad():
            bridge.run_with_hooks(sound, fwd_hooks=[("feat_proj.hook_out", keep)], **rest)
        assert torch.equal(*kept) == stays
