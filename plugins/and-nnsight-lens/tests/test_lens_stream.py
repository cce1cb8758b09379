"""What takes the residual stream apart gives parts that sum up to it, by sums of one's own, or is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from bridges import CONFORMERS, POST_NORM, PRE_NORM, bridged, heard
from torch import Tensor
from transformer_lens.tools.analysis import logit_lens

from and_nnsight_lens.residual import DecompositionError

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
CLAP = ["clap", "clap-audio"]
POOLED = ("qwen2-audio", "audio-flamingo-3")
SUMS = [name for name in PRE_NORM if name not in (*CLAP, *POOLED)]
NORMALISED = [*POST_NORM, *CONFORMERS]


@torch.no_grad()
def cached(name: str) -> tuple[Any, Any]:
    bridge = bridged(name)
    sound, rest = heard(name)
    return bridge, bridge.run_with_cache(sound, **rest)[1]


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def under(norm: str, stream: Tensor, bridge: Any) -> Tensor:
    """A norm of a stream before weight and bias, by torch itself."""
    path, _, last = norm.rpartition(".")
    owner = bridge.blocks[int(path.split(".")[1])] if path else bridge
    return torch.nn.functional.layer_norm(stream, stream.shape[-1:], eps=owner._modules[last].original_component.eps)


@torch.no_grad()
@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize(("layer", "mlp_input"), [(-1, False), (1, False), (1, True), (0, False)])
def test_parts_sum_up_to_the_stream(name: str, layer: int, mlp_input: bool) -> None:
    bridge, cache = cached(name)
    stream = {
        (-1, False): cache["blocks.1.hook_out"], (1, False): cache["blocks.1.hook_in"],
        (1, True): cache["blocks.1.ln2.hook_in"], (0, False): cache["blocks.0.hook_in"],
    }[layer, mlp_input]  # fmt: skip
    norm = {(-1, False): "ln_final", (1, True): "blocks.1.ln2"}.get((layer, mlp_input), f"blocks.{layer}.ln1")
    onto = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    for ln, where in itertools.product((False, True), (None, 3, slice(2, 5))):
        expected = under(norm, stream, bridge) if ln else stream
        expected = expected if where is None else expected[:, where]
        options: Any = {"layer": layer, "mlp_input": mlp_input, "apply_ln": ln, "pos_slice": where}
        parts, labels = cache.decompose_resid(**options, return_labels=True)
        assert len(parts) == len(labels) == len(set(labels))
        same(parts.sum(0), expected)
        for expand in (False, True):
            options["expand_neurons"] = expand
            parts, labels = cache.get_full_resid_decomposition(**options, return_labels=True)
            assert len(parts) == len(labels) == len(set(labels))
            same(parts.sum(0), expected)
            same(cache.get_full_resid_decomposition(**options, project_output_onto=onto).sum(0), expected @ onto)
            same(
                cache.get_full_resid_decomposition(**options, project_output_onto=onto[:, 0]).sum(0),
                expected @ onto[:, 0],
            )


@torch.no_grad()
@pytest.mark.parametrize("name", SUMS)
def test_streams_heads_neurons_and_norms(name: str) -> None:
    bridge, cache = cached(name)
    last = cache["blocks.1.hook_out"]
    streams, labels = cache.accumulated_resid(incl_mid=True, return_labels=True)
    assert labels == ["0_pre", "0_mid", "1_pre", "1_mid", "final_post"]
    for stream, hook in zip(
        streams,
        ("blocks.0.hook_in", "blocks.0.ln2.hook_in", "blocks.1.hook_in", "blocks.1.ln2.hook_in", "blocks.1.hook_out"),
        strict=True,
    ):
        assert torch.equal(stream, cache[hook])
    same(cache.accumulated_resid(apply_ln=True)[-1], cache["ln_final.hook_out"])
    for remainder in (
        cache.stack_head_results(incl_remainder=True),
        cache.stack_neuron_results(2, incl_remainder=True),
    ):
        same(remainder.sum(0), last)
    for layer in (0, 1):
        same(
            cache.apply_ln_to_stack(cache[f"blocks.{layer}.hook_in"][None], layer)[0],
            under(f"blocks.{layer}.ln1", cache[f"blocks.{layer}.hook_in"], bridge),
        )


@torch.no_grad()
@pytest.mark.parametrize("name", POOLED)
def test_a_stream_that_is_averaged_before_the_last_norm_adds_up_and_has_no_last_norm_of_its_own(name: str) -> None:
    bridge, cache = cached(name)
    last = cache["blocks.1.hook_out"]
    same(cache.decompose_resid(layer=-1).sum(0), last)
    same(cache.stack_head_results(incl_remainder=True).sum(0), last)
    normed = under("blocks.1.ln1", cache["blocks.1.hook_in"], bridge)
    same(cache.get_full_resid_decomposition(layer=1, apply_ln=True).sum(0), normed)
    assert cache["ln_final.hook_out"].shape[1] == last.shape[1] // 2
    for ask in (
        lambda: cache.accumulated_resid(apply_ln=True),
        lambda: cache.decompose_resid(layer=-1, apply_ln=True),
        lambda: cache.stack_head_results(apply_ln=True),
    ):
        with pytest.raises(DecompositionError, match="its last norm is of averages over frames"):
            ask()


def asks(cache: Any) -> dict[str, Callable[[], Any]]:
    """Each way to take a stream apart that goes wrong where its parts are no parts of it."""
    onto, some = torch.ones(32), cache["resid_pre", 1][None]
    return {
        "sum": cache.decompose_resid,
        "attention": lambda: cache.decompose_resid(mode="attn"),
        "full": lambda: cache.get_full_resid_decomposition(layer=1),
        "rest of heads": lambda: cache.stack_head_results(incl_remainder=True),
        "rest of neurons": lambda: cache.stack_neuron_results(1, incl_remainder=True),
        "biases": lambda: cache.model.accumulated_bias(1),
        "norm": lambda: cache.accumulated_resid(layer=1, apply_ln=True),
        "norm of a stack": lambda: cache.apply_ln_to_stack(some, layer=1),
        "norm of the MLP": lambda: cache.apply_ln_to_stack(some, layer=1, mlp_input=True),
        "norm of heads": lambda: cache.stack_head_results(layer=1, apply_ln=True),
        "norm of neurons": lambda: cache.stack_neuron_results(1, apply_ln=True, project_output_onto=onto),
        "logits": lambda: cache.logit_attrs(some, 1),
        "lens": lambda: cache.logit_lens(top_k=1),
    }


@torch.no_grad()
@pytest.mark.parametrize("name", NORMALISED)
def test_streams_that_are_no_sum_are_not_taken_apart(name: str) -> None:
    bridge = bridged(name)
    sound, rest = heard(name)
    output, cache = bridge.run_with_cache(sound, **rest)
    assert torch.equal(output, bridge(sound, **rest))
    assert isinstance(bridge.run_with_cache(sound, return_cache_object=False, **rest)[1], dict)
    for some in (cache, cache.apply_slice_to_batch_dim(slice(0, 1)), cache.to("cpu")):
        for what, ask in asks(some).items():
            with pytest.raises(DecompositionError) as refused:
                ask()
            assert bridge.cfg.architecture in str(refused.value), what
        with pytest.raises(DecompositionError, match=r"would not sum up .* because .*accumulated_resid\(\)"):
            some.decompose_resid()
    streams = cache.accumulated_resid(layer=-1)
    assert torch.equal(streams[-1], cache["resid_post", -1])
    heads = cache.stack_head_results()
    for layer in (0, 1):  # what each head adds in its own block is true of all of them
        own = heads[4 * layer : 4 * layer + 4].sum(0) + bridge.blocks[layer].attn.b_O
        same(own, cache["attn_out", layer])


@torch.no_grad()
@pytest.mark.parametrize("name", NORMALISED)
def test_the_middle_and_the_neurons_of_such_streams(name: str) -> None:
    bridge, cache = cached(name)
    if name in CONFORMERS:
        with pytest.raises(DecompositionError, match="no one stream between attention and MLP"):
            cache.accumulated_resid(incl_mid=True)
        with pytest.raises(DecompositionError, match="half of what its feed-forwards give"):
            cache.get_neuron_results(0)
        return
    assert torch.equal(cache.accumulated_resid(incl_mid=True)[1], cache["blocks.0.ln1.hook_in"])
    same(cache.get_neuron_results(0).sum(-2) + bridge.blocks[0].mlp.b_out, cache["mlp_out", 0])


@torch.no_grad()
@pytest.mark.parametrize("name", CLAP)
def test_streams_of_several_widths_are_not_stacked(name: str) -> None:
    bridge, cache = cached(name)
    for ask in (
        cache.accumulated_resid, cache.decompose_resid, cache.get_full_resid_decomposition, cache.stack_head_results,
        lambda: cache.stack_neuron_results(2), lambda: cache.stack_activation("post"), lambda: bridge.accumulated_bias(2),
        lambda: cache.logit_attrs(cache["resid_post", -1][None], 1),
    ):  # fmt: skip
        with pytest.raises(DecompositionError, match=bridge.cfg.architecture):
            ask()
    with pytest.raises(DecompositionError, match=r"width and length change .*cache\['resid_pre', layer\]"):
        cache.decompose_resid()
    same(cache.apply_ln_to_stack(cache["resid_post", -1][None])[0], cache["ln_final.hook_normalized"])


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in SUMS if name != "wav2vec2-ctc"])
def test_logits_that_are_not_read_off_single_positions_are_not_taken_apart(name: str) -> None:
    bridge, cache = cached(name)
    parts = cache.decompose_resid()
    for ask in (lambda: cache.logit_attrs(parts, 1), cache.logit_lens, lambda: bridge.tokens_to_residual_directions(1)):
        with pytest.raises(DecompositionError, match=r"has no head|has no logits that are ln_final and then unembed"):
            ask()
    with pytest.raises((ValueError, NotImplementedError)):  # TransformerLens's own refusal
        logit_lens(bridge, cache=cache)


@torch.no_grad()
def test_logits_of_each_frame_are_taken_apart() -> None:
    bridge, cache = cached("wav2vec2-ctc")
    sound, rest = heard("wav2vec2-ctc")
    logits = bridge(sound, **rest)
    constant = bridge.ln_final.b @ bridge.W_U + bridge.b_U
    for parts in (cache.decompose_resid(), cache.get_full_resid_decomposition()):
        same(cache.logit_attrs(parts, 7).sum(0) + constant[7], logits[..., 7])
        same(
            cache.logit_attrs(parts, 7, incorrect_tokens=3).sum(0) + constant[7] - constant[3],
            logits[..., 7] - logits[..., 3],
        )
    same(cache.logit_lens(positions=None).values[-1], logits)
    same(logit_lens(bridge, sound, positions=None).values[-1], bridge(sound))


@torch.no_grad()
def test_a_head_behind_one_more_layer_is_not_read_directly() -> None:
    import transformers
    from bridges import FAMILIES

    from and_nnsight_lens import to_transformer_lens

    config: Any = FAMILIES["wav2vec2-ctc"].build().config
    config.add_adapter, config.output_hidden_size = True, 32
    bridge = to_transformer_lens(transformers.Wav2Vec2ForCTC(config).eval())
    _, cache = bridge.run_with_cache(heard("wav2vec2-ctc")[0])
    with pytest.raises(DecompositionError, match="no logits that are ln_final and then unembed"):
        cache.logit_lens()


@pytest.mark.parametrize("name", ["ast", "whisper", "hubert-post", "wav2vec2-ctc", "clap"])
def test_weights_are_not_processed_and_nothing_is_changed(name: str) -> None:
    bridge = bridged(name)
    before = {key: value.clone() for key, value in bridge.original_model.state_dict().items()}
    for refused in (bridge.process_weights, bridge.enable_compatibility_mode):
        with pytest.raises(NotImplementedError, match=rf"is not for this {bridge.cfg.architecture}: folding"):
            refused()
    after = bridge.original_model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
