"""A model goes into a bridge and comes out as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from bridges import SUPPORTED, audio_model, encoder_path, heard, output
from torch import nn

from and_nnsight_lens import from_transformer_lens, to_transformer_lens
from and_nnsight_lens.plain import plain_view

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def structure(module: nn.Module) -> list[tuple[str, str]]:
    return [(path, type(child).__name__) for path, child in module.named_modules()]


@pytest.mark.parametrize("name", SUPPORTED)
def test_the_given_model_is_left_as_it_was(name: str) -> None:
    model = audio_model(name)
    module = model.wrapped
    before, weights, config = structure(module), copy.deepcopy(module.state_dict()), module.config.to_dict()
    bridge = to_transformer_lens(model)
    with torch.no_grad():
        for parameter in bridge.original_model.parameters():
            parameter.add_(1)
    assert structure(module) == before
    assert module.config.to_dict() == config
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in bridged_part(module, model).modules())


def bridged_part(module: nn.Module, model: object) -> nn.Module:
    return module.get_submodule(encoder_path(model).removesuffix("."))


def hooked(module: nn.Module) -> list[tuple[int, int]]:
    return [(len(child._forward_hooks), len(child._forward_pre_hooks)) for child in module.modules()]


@pytest.mark.parametrize("name", SUPPORTED)
def test_in_place_and_back(name: str) -> None:
    model = audio_model(name)
    module = model.wrapped
    part = bridged_part(module, model)
    before, weights, config = structure(module), set(module.state_dict()), module.config.to_dict()
    sound, rest = heard(name)
    with torch.inference_mode():
        expected = output(part(sound, **rest))
        hooks = hooked(part)  # some are transformers' own
        bridge = to_transformer_lens(module, copy=False)
        assert bridge.original_model is part
        assert structure(plain_view(part)) == structure(bridged_part(audio_model(name).wrapped, model))
        assert torch.equal(bridge(sound, **rest), expected)
        assert from_transformer_lens(bridge) is part
        assert torch.equal(output(part(sound, **rest)), expected)
    assert structure(module) == before
    assert set(module.state_dict()) == weights
    assert module.config.to_dict() == config
    assert hooked(part) == hooks


def test_a_bridge_can_be_copied() -> None:
    for name in ("ast", "whisper", "wavlm-post", "clap"):
        bridge = to_transformer_lens(audio_model(name))
        other = copy.deepcopy(bridge)
        sound, rest = heard(name)
        with torch.inference_mode():
            expected = bridge(sound, **rest)
            for parameter in bridge.original_model.parameters():
                parameter.zero_()
            assert torch.equal(other(sound, **rest), expected)
        assert other.run_with_cache(sound, **rest)[1]["post", 1].shape[-1] in (64, 128)


@pytest.mark.parametrize("name", ["ast", "whisper-classify", "clap", "wavlm-post"])
def test_a_model_that_is_in_a_bridge_already(name: str) -> None:
    """As happens to whoever runs a cell of a notebook twice."""
    model = audio_model(name)
    config = model.wrapped.config.to_dict()
    first = to_transformer_lens(model, copy=False)
    with pytest.raises(ValueError, match=r"in a bridge already.*from_transformer_lens\(bridge\)"):
        to_transformer_lens(model, copy=False)
    second = to_transformer_lens(model)
    assert structure(plain_view(second.original_model)) == structure(plain_view(first.original_model))
    sound, rest = heard(name)
    with torch.inference_mode():
        assert torch.equal(second(sound, **rest), first(sound, **rest))
    for bridge in (first, second):
        part = from_transformer_lens(bridge)
        assert structure(part) == structure(bridged_part(audio_model(name).wrapped, model))
        assert not any(before for _, before in hooked(part))
    assert model.wrapped.config.to_dict() == config


def test_edits_of_nnsight_are_not_lost_in_silence() -> None:
    model = audio_model("ast")
    with model.edit(inplace=True):
        model.site("blocks.0.mlp.hook_post")[:] = 0
    with pytest.raises(ValueError, match=r"has edits, which a bridge cannot carry: pass model\.wrapped"):
        to_transformer_lens(model)
    assert to_transformer_lens(model.wrapped).cfg.n_layers == 2


def test_an_architecture_without_an_adapter_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no adapter for SEWDForSequenceClassification; .*WavLMModel"):
        to_transformer_lens(audio_model("sew-d"))


def test_the_bridge_keeps_the_feature_extractor_and_the_attention_asked_for() -> None:
    model = audio_model("ast")
    bridge = to_transformer_lens(model, attention="sdpa")
    assert bridge.processor is model.featuriser.extractor
    assert bridge.original_model.config._attn_implementation == "sdpa"
    assert model.wrapped.config._attn_implementation == "eager"


def test_a_module_that_keeps_what_it_computed_is_copied() -> None:
    """As torch.nn.utils.weight_norm does: its weight is computed from two others, and torch copies leaves only."""
    module = audio_model("wavlm-pre").wrapped
    layer = next(part for part in module.modules() if isinstance(part, nn.Linear))
    layer.kept = layer.weight * 2
    bridge = to_transformer_lens(module)
    copied = next(part.kept for part in bridge.original_model.modules() if hasattr(part, "kept"))
    assert torch.equal(copied, layer.kept) and copied is not layer.kept
    assert layer.kept.grad_fn is not None


def test_of_an_audio_language_model_the_tower_is_bridged() -> None:
    from tests.composites import qwen2_audio

    model = qwen2_audio()
    bridge = to_transformer_lens(model)
    tower = model.get_submodule("model.audio_tower")
    assert type(bridge.original_model) is type(tower)
    features = torch.randn(1, 128, 3_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = bridge(features)
        assert torch.equal(output, tower(features).last_hidden_state)


def test_of_a_model_that_holds_parakeets_encoder_that_is_bridged() -> None:
    from tests.architectures.catalogue import architecture

    model = architecture("parakeet_ctc").build()
    bridge = to_transformer_lens(model)
    encoder = model.get_submodule("encoder")
    assert type(bridge.original_model) is type(encoder)
    features = torch.randn(1, 200, 80, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(bridge(features), encoder(features).last_hidden_state)
