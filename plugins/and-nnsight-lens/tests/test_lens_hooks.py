"""Every hook that a bridge has fires, and on the tensor that its name says."""

from __future__ import annotations

import pytest
import torch
from bridges import (
    CONFORMERS,
    POST_NORM,
    PRE_NORM,
    SUPPORTED,
    audio_model,
    bridged,
    component,
    everything,
    first,
    heard,
    paths,
    plain_hooks,
    points,
    wrapped,
)
from torch import Tensor

BOTH_ATTENTIONS = [
    (name, attention)
    for name in SUPPORTED
    for attention in ("eager", "sdpa")
    if attention == "eager" or not name.startswith(("clap", "wavlm"))  # which have no fused attention
]
# transformers' own WavLM mixes kinds of mask.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


@pytest.mark.parametrize(("name", "attention"), BOTH_ATTENTIONS)
def test_every_hook_fires_and_equals_a_plain_forward_hook(name: str, attention: str) -> None:
    model, bridge = audio_model(name, attention), bridged(name, attention)
    seen, expected, where = everything(bridge, name), plain_hooks(model, name), paths(bridge, model)
    assert sorted(seen) == sorted(points(bridge))
    tolerance = 0.0 if attention == "eager" else 1e-5
    compared = 0
    for hook, value in seen.items():
        side = hook.rpartition(".")[2]
        if side not in ("hook_in", "hook_out"):
            continue
        part = component(bridge, hook)
        path = where[id(wrapped(part))]
        if part.name is None:  # a feed-forward whose layers lie on the block: it is what they are together
            path = where[id(wrapped(getattr(part, "in" if side == "hook_in" else "out")))]
        if (path, "in") not in expected:
            assert "wavlm" in name and ".attn." in hook, hook  # projections that its code never calls
            continue
        plain = first(expected[path, side.removeprefix("hook_")])
        assert (value.reshape(plain.shape) - plain).abs().max() <= tolerance, hook
        compared += 1
    assert compared > 30


@pytest.mark.parametrize("name", SUPPORTED)
def test_attention_weights_are_what_their_names_say(name: str) -> None:
    seen = everything(bridged(name), name)
    expected = plain_hooks(model := audio_model(name), name)
    where = paths(bridge := bridged(name), model)
    for layer, block in enumerate(bridge.blocks):
        scores, pattern = (seen[f"blocks.{layer}.attn.hook_{part}"] for part in ("attn_scores", "pattern"))
        torch.testing.assert_close(scores.softmax(-1), pattern, atol=0, rtol=0)
        assert scores.min() < 0 < scores.max()
        returned = expected[where[id(wrapped(block.attn))], "out"]
        if len(returned) > 1 and isinstance(returned[1], Tensor):
            plain = returned[1]
            own = pattern.mean(1, keepdim=True).expand_as(plain) if name.startswith("wavlm") else pattern
            assert (own - plain).abs().max() <= (1e-7 if name.startswith("wavlm") else 0.0)


@torch.inference_mode()
@pytest.mark.parametrize("name", SUPPORTED)
def test_queries_keys_values_and_results_of_heads(name: str) -> None:
    bridge = bridged(name)
    seen = everything(bridge, name)
    for layer, block in enumerate(bridge.blocks):
        entering = seen[f"blocks.{layer}.attn.hook_in"]
        for part in "qkv":
            if part != "v" and getattr(wrapped(block.attn), "position_embeddings_type", None) == "rotary":
                continue  # rotated before the projection
            direct = wrapped(getattr(block.attn, part))(entering)
            value = seen[f"blocks.{layer}.attn.{part}.hook_out"]
            assert value.ndim == 4
            torch.testing.assert_close(value.flatten(2), direct, atol=1e-6, rtol=1e-6)
        pattern = seen[f"blocks.{layer}.attn.hook_pattern"]
        z = pattern @ seen[f"blocks.{layer}.attn.v.hook_out"].transpose(1, 2)
        torch.testing.assert_close(seen[f"blocks.{layer}.attn.o.hook_in"], z.transpose(1, 2), atol=1e-6, rtol=1e-6)
        out = wrapped(block.attn.o)(seen[f"blocks.{layer}.attn.o.hook_in"].flatten(2))
        torch.testing.assert_close(seen[f"blocks.{layer}.attn.hook_out"], out, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", PRE_NORM)
def test_the_stream_of_pre_norm_blocks_adds_up(name: str) -> None:
    bridge = bridged(name)
    sound, rest = heard(name)
    _, cache = bridge.run_with_cache(sound, **rest)
    for layer, block in enumerate(bridge.blocks):
        pre, middle, post, attention, mlp = (
            cache[f"blocks.{layer}.hook_{part}"]
            for part in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
        )
        if not name.startswith("clap"):  # whose attention output is in windows
            torch.testing.assert_close(pre + attention, middle, atol=1e-6, rtol=1e-6)
        added = cache[f"blocks.{layer}.adapter_layer.hook_out"] if "adapter_layer" in block._modules else 0
        torch.testing.assert_close(middle + mlp + added, post, atol=1e-6, rtol=1e-6)
        if layer and not name.startswith("clap"):
            torch.testing.assert_close(pre, cache[f"blocks.{layer - 1}.hook_resid_post"], atol=0, rtol=0)
    if not name.startswith("clap"):
        embedded = cache["hook_embed"]
        torch.testing.assert_close(embedded, cache["blocks.0.hook_resid_pre"], atol=0, rtol=0)


@pytest.mark.parametrize("name", POST_NORM)
def test_the_stream_of_post_norm_blocks_adds_up(name: str) -> None:
    bridge = bridged(name)
    sound, rest = heard(name)
    _, cache = bridge.run_with_cache(sound, **rest)
    for layer in range(len(bridge.blocks)):
        here = {part: cache[f"blocks.{layer}.{part}"] for part in (
            "hook_resid_pre", "hook_attn_out", "hook_resid_mid", "ln1.hook_out", "hook_mlp_out", "ln2.hook_in",
            "ln2.hook_out", "hook_resid_post")}  # fmt: skip
        torch.testing.assert_close(here["hook_resid_pre"] + here["hook_attn_out"], here["hook_resid_mid"])
        torch.testing.assert_close(here["ln1.hook_out"] + here["hook_mlp_out"], here["ln2.hook_in"])
        torch.testing.assert_close(here["ln2.hook_out"], here["hook_resid_post"], atol=0, rtol=0)
    torch.testing.assert_close(cache["hook_embed"], cache["blocks.0.hook_resid_pre"], atol=0, rtol=0)


@pytest.mark.parametrize("name", CONFORMERS)
def test_the_stream_of_conformer_blocks_adds_up(name: str) -> None:
    bridge = bridged(name)
    sound, rest = heard(name)
    _, cache = bridge.run_with_cache(sound, **rest)
    # Elsewhere the convolution's norm is inside it.
    first, conv = ("feed_forward1", "conv_ln") if name == "parakeet" else ("ffn1", "conv")
    for layer in range(len(bridge.blocks)):

        def at(part: str, layer: int = layer) -> Tensor:
            return cache[f"blocks.{layer}.{part}"]

        torch.testing.assert_close(at("hook_resid_pre") + 0.5 * at(f"{first}.hook_out"), at("ln1.hook_in"))
        torch.testing.assert_close(at("ln1.hook_in") + at("hook_attn_out"), at(f"{conv}.hook_in"))
        torch.testing.assert_close(at(f"{conv}.hook_in") + at("conv.hook_out"), at("ln2.hook_in"))
        torch.testing.assert_close(at("ln2.hook_in") + 0.5 * at("hook_mlp_out"), at("ln_out.hook_in"))
        torch.testing.assert_close(at("ln_out.hook_out"), at("hook_resid_post"), atol=0, rtol=0)
    assert "blocks.0.hook_resid_mid" not in bridge.hook_dict
    torch.testing.assert_close(cache["hook_embed"], cache["blocks.0.hook_resid_pre"], atol=0, rtol=0)


@pytest.mark.parametrize(("name", "attention"), BOTH_ATTENTIONS)
def test_an_edit_at_any_hook_of_a_block_changes_its_output(name: str, attention: str) -> None:
    bridge = bridged(name, attention)
    bridge.set_use_hook_mlp_in(True)
    sound, rest = heard(name)

    def changed(tensor: Tensor, hook: object) -> Tensor:
        return tensor + 100 * torch.rand(tensor.shape, generator=torch.Generator().manual_seed(0))

    with torch.inference_mode():
        before = bridge(sound, stop_at_layer=1, **rest)
        for hook in points(bridge):
            if not hook.startswith("blocks.0.") or hook.endswith(("hook_scale", "hook_normalized", "hook_out")):
                continue  # TransformerLens warns that an edit inside a norm leaves torch's own
            after = bridge.run_with_hooks(sound, fwd_hooks=[(hook, changed)], stop_at_layer=1, **rest)
            assert (after - before).abs().max() > 1e-4, hook
        assert torch.equal(bridge(sound, stop_at_layer=1, **rest), before)
