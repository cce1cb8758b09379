"""BEATs on the bridge: and-nnsight-beats has the model, this package the adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from and_nnsight import AudioModel, dissect
from bridges import first, points, wrapped
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from and_nnsight_lens import from_transformer_lens, run_with_hooks, to_transformer_lens
from and_nnsight_lens.plain import submodule
from and_nnsight_lens.residual import DecompositionError

beats = pytest.importorskip("and_nnsight_beats", reason="and-nnsight-beats is not installed")
# SpeechBrain builds with it: with torch before 2.14 it says so, as in the tests of and-nnsight-beats itself.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.nn.utils.weight_norm. is deprecated:FutureWarning")
CFG = {
    "encoder_layers": 2, "embed_dim": 16, "encoder_embed_dim": 32, "encoder_ffn_embed_dim": 64,
    "encoder_attention_heads": 4, "conv_pos": 8, "conv_pos_groups": 4, "num_buckets": 32, "max_distance": 800,
    "relative_position_embedding": True, "gru_rel_pos": True, "deep_norm": True,
}  # fmt: skip
HEAD = {"finetuned_model": True, "predictor_class": 5}


def model(**cfg: Any) -> AudioModel:
    torch.manual_seed(0)
    return AudioModel(beats.BEATs(beats.BEATsConfig({**CFG, **cfg})))


def noise(*seconds: float) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [0.1 * random.standard_normal(int(16_000 * s)).astype(np.float32) for s in seconds]


def heard(*seconds: float) -> tuple[Tensor, dict[str, Tensor]]:
    features = beats.FilterBank()(noise(*seconds))
    return features.pop("input_values"), features


def everything(bridge: TransformerBridge, *seconds: float) -> dict[str, Tensor]:
    sound, rest = heard(*seconds)
    seen: dict[str, Tensor] = {}
    bridge.set_use_hook_mlp_in(True)

    def keep(tensor: Tensor, hook: Any) -> None:
        assert hook.name not in seen, f"{hook.name} fired twice"
        seen[hook.name] = tensor

    with torch.inference_mode():
        run_with_hooks(bridge, sound, [(name, keep) for name in points(bridge)], **rest)
    return seen


@torch.inference_mode()
@pytest.mark.parametrize("head", [{}, HEAD], ids=["bare", "head"])
def test_every_hook_fires_and_equals_a_plain_one(head: dict[str, Any]) -> None:
    untouched = model(**head).wrapped
    bridge = to_transformer_lens(model(**head))
    seen = everything(bridge, 1.0, 0.5)
    plain: dict[tuple[str, str], Any] = {}

    def hook(path: str) -> Any:
        def keep(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            entering = args[0] if args else next(iter(kwargs.values()), None)
            # Cloned: queries are scaled in place afterwards.
            plain[path, "hook_in"] = entering.clone() if isinstance(entering, Tensor) else entering
            plain[path, "hook_out"] = output.clone() if isinstance(output, Tensor) else output

        return keep

    for path, module in untouched.named_modules():
        module.register_forward_hook(hook(path), with_kwargs=True)
    sound, rest = heard(1.0, 0.5)
    expected = untouched(sound, **rest)
    where = {id(submodule(bridge.original_model, path)): path for path, _ in untouched.named_modules()}
    compared = 0
    for name, value in seen.items():
        owner, _, side = name.rpartition(".")
        part: Any = bridge
        for step in owner.split("."):
            part = getattr(part, step)
        if side not in ("hook_in", "hook_out") or part.name is None:
            continue
        there = first(plain[where[id(wrapped(part))], side])
        if owner.endswith((".attn.q", ".attn.k", ".attn.v", ".attn.o")):
            there = there.transpose(0, 1)
        assert (value.reshape(there.shape) - there).abs().max() == 0, name
        compared += 1
    assert compared > 40
    assert torch.equal(bridge(sound, **rest), expected.logits if head else expected.last_hidden_state)


@torch.inference_mode()
def test_attention_and_the_stream_are_what_their_names_say() -> None:
    bridge = to_transformer_lens(model())
    seen = everything(bridge, 1.0, 0.5)
    alpha = (2 * 2) ** 0.25
    for layer in range(2):
        at = {name.removeprefix(f"blocks.{layer}."): value for name, value in seen.items()}
        assert torch.equal(at["attn.hook_attn_scores"].softmax(-1), at["attn.hook_pattern"])
        assert at["attn.hook_pattern"].shape == (2, 4, 48, 48)
        assert at["attn.hook_pattern"][1, ..., 24:].abs().max() == 0  # patches that the shorter clip does not have
        z = at["attn.hook_pattern"] @ at["attn.v.hook_out"].transpose(1, 2)
        torch.testing.assert_close(at["attn.o.hook_in"], z.transpose(1, 2), atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(at["hook_in"] * alpha + at["attn.hook_out"], at["ln1.hook_in"])
        torch.testing.assert_close(at["ln1.hook_out"] * alpha + at["mlp.out.hook_out"], at["ln2.hook_in"])
        assert torch.equal(at["ln2.hook_out"], at["hook_out"])
    assert torch.equal(seen["embed_ln.hook_out"], seen["blocks.0.hook_in"])


@torch.no_grad()
def test_its_stream_is_no_sum() -> None:
    bridge = to_transformer_lens(model())
    sound, rest = heard(1.0, 0.5)
    _, cache = bridge.run_with_cache(sound, **rest)
    for ask in (
        cache.decompose_resid, cache.get_full_resid_decomposition, lambda: cache.stack_head_results(incl_remainder=True),
        lambda: cache.accumulated_resid(layer=1, apply_ln=True), lambda: bridge.accumulated_bias(1),
    ):  # fmt: skip
        with pytest.raises(DecompositionError, match="BEATs"):
            ask()
    assert torch.equal(cache.accumulated_resid(incl_mid=True)[1], cache["blocks.0.ln1.hook_in"])
    heads = cache.stack_head_results()
    torch.testing.assert_close(heads[:4].sum(0) + bridge.blocks[0].attn.b_O, cache["attn_out", 0])
    cfg = bridge.cfg
    assert (cfg.n_layers, cfg.d_model, cfg.d_mlp, cfg.n_heads, cfg.d_head, cfg.n_ctx) == (2, 32, 64, 4, 8, 0)
    assert (cfg.d_vocab, cfg.act_fn, cfg.positional_embedding_type, cfg.post_embedding_ln) == (-1, "gelu", "conv", True)


@torch.inference_mode()
@pytest.mark.parametrize("hook", ["attn.hook_z", "attn.hook_pattern", "attn.hook_q", "mlp.hook_post", "hook_resid_mid"])
def test_edits_act(hook: str) -> None:
    bridge = to_transformer_lens(model())
    sound, rest = heard(1.0)
    before = bridge(sound, **rest)
    after = run_with_hooks(bridge, sound, [(f"blocks.1.{hook}", lambda tensor, hook: tensor.roll(1, -1))], **rest)
    assert (after - before).abs().max() > 1e-4
    assert torch.equal(bridge(sound, **rest), before)


def test_a_dissection_is_the_same_through_hooks(tmp_path: Path) -> None:
    sounds, options = noise(1.0, 0.5, 2.0, 1.0), {"sites": "all", "k": 2, "progress": False}
    one = dissect(model(**HEAD), sounds, out=tmp_path / "nnsight", **options)
    two = dissect(to_transformer_lens(model(**HEAD)), sounds, out=tmp_path / "hooks", **options)
    assert one.sites == two.sites and "unembed.hook_out" in one.sites
    for site in one.sites:
        assert torch.equal(one[site].top.clips, two[site].top.clips)
        assert torch.equal(one[site].top.values, two[site].top.values)
        assert torch.equal(one[site].variance, two[site].variance)


def test_in_place_and_back() -> None:
    module, (sound, rest) = model(**HEAD).wrapped, heard(1.0)
    before = [(path, type(child)) for path, child in module.named_modules()]
    with torch.inference_mode():
        expected = module(sound, **rest).logits
        bridge = to_transformer_lens(module, copy=False, attention="eager")
        assert torch.equal(bridge(sound, **rest), expected)
        assert from_transformer_lens(bridge) is module
        assert torch.equal(module(sound, **rest).logits, expected)
    assert [(path, type(child)) for path, child in module.named_modules()] == before


def test_a_model_of_speechbrain_s_is_refused_with_what_to_do() -> None:
    theirs = type("BEATs", (nn.Module,), {})()  # of the same name, with a `cfg` instead of a config
    with pytest.raises(ValueError, match=r"has no config: of a BEATs of SpeechBrain's, .*Beats\(\)\.adapt\(model\)"):
        to_transformer_lens(theirs)
