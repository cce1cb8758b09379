"""A bridge is used as any other: caches, filters, early stops, masks, ablations; and a hook that never fires is an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from bridges import PRE_NORM, SUPPORTED, TOWERS, audio_model, bridged, encoder_path, heard, output, points
from torch import Tensor

from and_nnsight_lens import HookError, run_with_hooks, to_transformer_lens
from and_nnsight_lens.plain import submodule

UNIT = 5
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def silence(tensor: Tensor, hook: Any) -> Tensor:
    tensor[..., UNIT] = 0
    return tensor


@pytest.mark.parametrize("name", SUPPORTED)
def test_ablation_through_a_hook_equals_ablation_through_a_plain_one(name: str) -> None:
    model, bridge = audio_model(name), bridged(name)
    sound, rest = heard(name)
    site = model.sites("blocks.1.mlp.hook_post")[0]

    def ablate(module: Any, args: Any) -> Any:
        changed = args[0].clone()
        changed[..., UNIT] = 0
        return (changed, *args[1:])

    encoder = model.wrapped.get_submodule(encoder_path(model).removesuffix("."))
    with torch.inference_mode():
        before = output(encoder(sound, **rest))
        model.wrapped.get_submodule(site.path).register_forward_pre_hook(ablate)
        expected = output(encoder(sound, **rest))
        assert torch.equal(bridge(sound, **rest), before)
        assert torch.equal(run_with_hooks(bridge, sound, [(site.name, silence)], **rest), expected)
        assert torch.equal(bridge(sound, **rest), before)
    assert not torch.equal(before, expected)


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_cache_under_a_filter_holds_what_was_named(name: str) -> None:
    bridge = bridged(name)
    sound, rest = heard(name)
    wanted = ["blocks.0.mlp.hook_post", "blocks.1.hook_resid_post"]
    _, cache = bridge.run_with_cache(sound, names_filter=wanted, **rest)
    assert set(cache.cache_dict) >= set(wanted)
    assert len({value.data_ptr() for value in cache.cache_dict.values()}) == 2
    _, called = bridge.run_with_cache(sound, names_filter=lambda name: name.endswith("mlp.out.hook_in"), **rest)
    assert torch.equal(called["blocks.0.mlp.out.hook_in"], cache["blocks.0.mlp.hook_post"])
    with pytest.raises(KeyError):
        bridge.run_with_cache(sound, names_filter=["blocks.0.mlp.hook_typo"], **rest)


@pytest.mark.parametrize("name", SUPPORTED)
def test_stopping_at_a_layer_gives_what_enters_it(name: str) -> None:
    bridge = bridged(name)
    sound, rest = heard(name)
    _, cache = bridge.run_with_cache(sound, **rest)
    assert torch.equal(bridge(sound, stop_at_layer=1, **rest), cache["blocks.1.hook_resid_pre"])


@pytest.mark.parametrize("name", ["wav2vec2-pre", "hubert-pre", "wavlm-pre", "wav2vec2-conformer", "data2vec"])
def test_an_attention_mask_keeps_padding_out(name: str) -> None:
    model, bridge = audio_model(name), bridged(name)
    sound, rest = heard(name, 1.0, 0.5)
    assert not rest["attention_mask"].all()
    with torch.inference_mode():
        expected = output(model.wrapped(sound.clone(), **rest))
        assert torch.equal(bridge(sound, **rest), expected)
        assert not torch.equal(bridge(sound), expected)
        mask = rest["attention_mask"]
        pattern = {}
        bridge.run_with_hooks(
            sound, fwd_hooks=[("blocks.0.attn.hook_pattern", lambda t, hook: pattern.update(own=t))], **rest
        )
    frames = int(pattern["own"].shape[-1] * mask[1].float().mean()) + 2
    assert pattern["own"][1, ..., frames:].abs().max() == 0
    assert pattern["own"][0, ..., frames:].abs().max() > 0


def test_a_hook_that_never_fires_is_an_error() -> None:
    bridge = bridged("ast")
    sound, rest = heard("ast")
    with pytest.raises(HookError, match=r"1 of 2 hooks never fired before layer 1.*: blocks\.1\.mlp\.hook_post"):
        hooks = [(f"blocks.{layer}.mlp.hook_post", silence) for layer in (0, 1)]
        run_with_hooks(bridge, sound, hooks, stop_at_layer=1, **rest)
    with pytest.raises(KeyError, match="hook_typo"):
        run_with_hooks(bridge, sound, [("blocks.0.mlp.hook_typo", silence)], **rest)
    with pytest.raises(ValueError, match=r"set_use_hook_mlp_in\(True\)"):
        run_with_hooks(bridge, sound, [("blocks.0.hook_mlp_in", silence)], **rest)
    with pytest.raises(KeyError, match="hook_result"):
        run_with_hooks(bridge, sound, [("blocks.0.attn.hook_result", silence)], **rest)
    assert run_with_hooks(bridge, sound, [("blocks.0.mlp.hook_post", silence)], **rest).shape == (2, 5)


WITH_FRAMES = [name for name in SUPPORTED if not name.startswith(("ast", "whisper", "clap", *TOWERS))]


@pytest.mark.parametrize("name", WITH_FRAMES)
def test_frames_can_be_put_in_behind_the_front_end(name: str) -> None:
    bridge = bridged(name)
    sound, rest = heard(name)
    given: dict[str, Any] = {}

    def keep(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        given["mask"], given["out"] = kwargs["attention_mask"], output.last_hidden_state

    encoder = submodule(bridge.original_model, bridge.adapter.frames_enter)
    handle = encoder.register_forward_hook(keep, with_kwargs=True)
    with torch.inference_mode():
        frames = bridge.run_with_cache(sound, **rest)[1]["feat_proj.hook_out"]
        handle.remove()
        before = frames.clone()
        assert torch.equal(bridge.encoder_output(frames, given["mask"]), given["out"])
        assert torch.equal(frames, before)
    with pytest.raises(ValueError, match=r"frames are \[clip, frame, unit\], not a tensor of 2 axes"):
        bridge.encoder_output(frames[0])


def test_frames_of_a_spectrogram_s_encoder() -> None:
    with pytest.raises(NotImplementedError, match="a WhisperEncoder has none"):
        bridged("whisper").encoder_output(torch.zeros(1, 10, 32))


@pytest.mark.parametrize("name", SUPPORTED)
def test_what_a_hook_kept_stays(name: str) -> None:
    """Models write zeros over padding, in place."""
    bridge = bridged(name)
    sound, rest = heard(name, 1.0, 0.5)
    kept: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(tensor: Tensor, hook: Any) -> None:
        kept[hook.name] = tensor, tensor.clone()

    bridge.set_use_hook_mlp_in(True)
    with torch.inference_mode():
        bridge.run_with_hooks(sound, fwd_hooks=[(key, keep) for key in points(bridge)], **rest)
    assert [name for name, (now, then) in kept.items() if not torch.equal(now, then)] == []


@pytest.mark.parametrize("name", SUPPORTED)
def test_gradients_come_through_every_hook(name: str) -> None:
    model, bridge = audio_model(name), bridged(name)
    sound, rest = heard(name)
    part = model.wrapped.get_submodule(encoder_path(model).removesuffix("."))
    output(part(sound, **rest)).square().sum().backward()
    seen: set[str] = set()

    def note(gradient: Tensor, hook: Any) -> None:
        assert torch.isfinite(gradient).all()
        seen.add(hook.name)

    names = [key for key in points(bridge) if key.startswith(("blocks.0.", "feat_proj."))]
    with bridge.hooks(bwd_hooks=[(key, note) for key in names if not key.endswith(NOT_IN_FORWARD)]):
        bridge(sound, **rest).square().sum().backward()
    assert {"blocks.0.attn.hook_pattern", "blocks.0.attn.o.hook_in", "blocks.0.mlp.out.hook_in"} <= seen
    ours = dict(zip((key for key, _ in part.named_parameters()), bridge.original_model.parameters(), strict=True))
    for key, parameter in part.named_parameters():
        gradient: Any = ours[key].grad
        if parameter.grad is None:
            assert gradient is None
        else:
            scale = 1e-5 * parameter.grad.abs().max() + 1e-6
            assert (gradient - parameter.grad).abs().max() <= scale, key


NOT_IN_FORWARD = ("hook_mlp_in", "hook_scale", "hook_normalized")  # behind a switch, or recomputed


@pytest.mark.parametrize("name", SUPPORTED)
def test_in_training_it_drops_what_the_plain_model_drops(name: str) -> None:
    model = audio_model(name)
    model.wrapped.train()
    bridge = to_transformer_lens(model)
    part = model.wrapped.get_submodule(encoder_path(model).removesuffix("."))
    sound, rest = heard(name)
    found = []
    for run in (lambda: output(part(sound, **rest)), lambda: bridge(sound, **rest)):
        torch.manual_seed(3)
        np.random.seed(3)
        found.append(run())
    assert bridge.original_model.training
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", SUPPORTED)
def test_in_bfloat16_it_gives_what_the_plain_model_gives(name: str) -> None:
    model = audio_model(name)
    model.wrapped.to(torch.bfloat16)
    bridge = to_transformer_lens(model)
    part = model.wrapped.get_submodule(encoder_path(model).removesuffix("."))
    sound, rest = heard(name)
    with torch.inference_mode():
        result, cache = bridge.run_with_cache(sound.bfloat16(), **rest)
        expected = output(part(sound.bfloat16(), **rest))
    assert bridge.cfg.dtype == cache["blocks.0.hook_resid_post"].dtype == torch.bfloat16
    torch.testing.assert_close(result, expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("name", SUPPORTED)
def test_an_error_in_a_hook_leaves_nothing_behind(name: str) -> None:
    bridge = bridged(name)
    sound, rest = heard(name)
    with torch.inference_mode():
        before = bridge(sound, **rest)

    def fail(tensor: Tensor, hook: Any) -> None:
        raise ZeroDivisionError

    hooks = {key: len(point._forward_hooks) for key, point in points(bridge).items()}
    for at in ("blocks.0.attn.hook_pattern", "blocks.1.attn.hook_z", "blocks.1.mlp.hook_post"):
        with pytest.raises(ZeroDivisionError):
            run_with_hooks(bridge, sound, [(at, fail)], **rest)
    assert {key: len(point._forward_hooks) for key, point in points(bridge).items()} == hooks
    with torch.inference_mode():
        assert torch.equal(bridge(sound, **rest), before)


@pytest.mark.parametrize("name", [name for name in PRE_NORM if not name.startswith("clap")])
def test_the_caches_own_arithmetic(name: str) -> None:
    bridge = bridged(name)
    sound, rest = heard(name)
    with torch.no_grad():
        _, cache = bridge.run_with_cache(sound, **rest)
        parts, labels = cache.decompose_resid(layer=-1, return_labels=True)
        torch.testing.assert_close(parts.sum(0), cache["resid_post", -1], atol=1e-5, rtol=1e-5)
        assert labels[:3] == ["embed", "0_attn_out", "0_mlp_out"]
        heads = cache.stack_head_results(layer=1)
        bias = bridge.blocks[0].attn.b_O
        torch.testing.assert_close(heads.sum(0) + bias, cache["attn_out", 0], atol=1e-5, rtol=1e-5)
        assert cache.stack_activation("post").shape[0] == 2
    assert bridge.W_in.shape == (2, 32, 64)
    assert bridge.cfg.attention_dir == "bidirectional"
    assert (bridge.cfg.n_layers, bridge.cfg.d_model, bridge.cfg.d_mlp, bridge.cfg.n_heads) == (2, 32, 64, 4)
