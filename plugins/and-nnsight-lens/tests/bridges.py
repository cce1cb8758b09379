"""Bridges around the repository's tiny models, and what plain forward hooks see in untouched ones."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from and_nnsight import AudioModel
from tests.families import FAMILIES as OURS
from tests.families import Family
from torch import Tensor, nn
from towers import towers
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources import build_bridge_from_module

from and_nnsight_lens import to_transformer_lens
from and_nnsight_lens.plain import plain, submodule

TOWERS = {family.name: family for family in towers()}
FAMILIES = OURS | TOWERS
SUPPORTED = [name for name in FAMILIES if name != "sew-d"]
POST_NORM = ["hubert-post", "wav2vec2-post", "wavlm-post", "unispeech", "sew", "data2vec"]
CONFORMERS = ["wav2vec2-bert", "wav2vec2-conformer", "parakeet"]
PRE_NORM = [name for name in SUPPORTED if name not in POST_NORM + CONFORMERS]


def audio_model(name: str, attention: str = "eager") -> AudioModel:
    family: Family = FAMILIES[name]
    module: Any = family.build()
    module.set_attn_implementation(attention)
    return AudioModel(module, feature_extractor=family.extractor())


@functools.cache
def _features(name: str, lengths: tuple[float, ...]) -> dict[str, Tensor]:
    model = audio_model(name)
    noise = np.random.default_rng(0)
    return model.features([noise.normal(size=int(s * model.sampling_rate)).astype(np.float32) for s in lengths])


def heard(name: str, *seconds: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The features of noise: what a bridge takes first, and the rest by name."""
    features = {key: value.clone() for key, value in _features(name, seconds or (1.0, 1.0)).items()}
    main = next(key for key in ("input_values", "input_features") if key in features)
    if name == "audio-flamingo-3" and "attention_mask" in features:  # as the model around it hands it the mask
        features["input_features_mask"] = features.pop("attention_mask")
    return features.pop(main), features


def bridged(name: str, attention: str = "eager") -> TransformerBridge:
    return to_transformer_lens(audio_model(name, attention))


def native(name: str) -> TransformerBridge:
    """TransformerLens's own adapter around a tiny model."""
    module: Any = audio_model(name).wrapped
    return build_bridge_from_module(module, type(module).__name__, hf_config=module.config)


def points(bridge: TransformerBridge) -> dict[str, HookPoint]:
    """Every hook point once, by its own name."""
    return {str(point.name): point for point in bridge.hook_dict.values()}


def everything(bridge: TransformerBridge, name: str, rest: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """What each hook point sees in one forward."""
    sound, given = heard(name)
    seen: dict[str, Tensor] = {}
    bridge.set_use_hook_mlp_in(True)  # the one hook that TransformerLens keeps behind a switch

    def keep(tensor: Tensor, hook: HookPoint) -> None:
        assert hook.name not in seen, f"{hook.name} fired twice"
        seen[str(hook.name)] = tensor

    with torch.inference_mode():
        bridge.run_with_hooks(sound, fwd_hooks=[(key, keep) for key in points(bridge)], **(given | (rest or {})))
    return seen


def plain_hooks(model: AudioModel, name: str) -> dict[tuple[str, str], Any]:
    """First input and output of every module of an untouched model, by path and side, through torch's own hooks."""
    sound, given = heard(name)
    seen: dict[tuple[str, str], Any] = {}

    def hook(path: str) -> Any:
        def keep(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            if (path, "in") in seen:
                return  # the decoder's
            seen[path, "in"] = args[0] if args else next(iter(kwargs.values()), None)
            seen[path, "out"] = output

        return keep

    for path, module in model.wrapped.named_modules():
        module.register_forward_hook(hook(path), with_kwargs=True)
    with torch.inference_mode():
        model.plain_forward({model.main_input: sound, **given})
    return seen


def paths(bridge: TransformerBridge, model: AudioModel) -> dict[int, str]:
    """The path in the plain model of each module that a bridge component wraps."""
    inside = encoder_path(model)
    return {
        id(submodule(bridge.original_model, path)): f"{inside}{path}" for path, _ in _encoder(model).named_modules()
    }


def component(bridge: TransformerBridge, hook: str) -> Any:
    return functools.reduce(getattr, hook.split(".")[:-1], bridge)


def encoder_path(model: AudioModel) -> str:
    """Where what is bridged lies in the model."""
    name = type(model.wrapped).__name__
    found = {
        "WhisperModel": "encoder.",
        "WhisperForConditionalGeneration": "model.encoder.",
        "ClapModel": "audio_model.",
    }
    return found.get(name, "")


def _encoder(model: AudioModel) -> nn.Module:
    return model.wrapped.get_submodule(encoder_path(model).removesuffix("."))


def first(value: Any) -> Tensor:
    while not isinstance(value, Tensor):
        value = value[0] if isinstance(value, (tuple, list)) else value.last_hidden_state
    return value


def output(result: Any) -> Tensor:
    """What a bridge returns of a model's output."""
    return result.logits if "logits" in result else result.last_hidden_state


def wrapped(part: Any) -> nn.Module:
    return plain(part)
