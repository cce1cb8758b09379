"""There and back: a TransformerBridge around an acoustic transformer."""

from __future__ import annotations

import copy as copying
from types import SimpleNamespace
from typing import Any

from and_nnsight import AudioModel
from and_nnsight.model.bare import bare
from and_nnsight.sites.parts import bare_parts, hearing
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent
from transformer_lens.model_bridge.sources import build_bridge_from_module

from ._captured_outputs import undo_captures
from ._inputs import undo_features
from .plain import unwrap
from .registration import architecture_of, no_adapter, private_name


def to_transformer_lens(
    model: AudioModel | nn.Module, *, copy: bool = True, attention: str | None = None
) -> TransformerBridge:
    """A TransformerBridge around an acoustic transformer: no hub, no tokenizer.

    model      an AudioModel, a transformers module or a BEATs of and-nnsight-beats. Of a Whisper model that generates,
               the encoder is taken, as of Parakeet with a head; of CLAP and of audio language models, the audio tower
    copy       False: put the bridge's components into the given model itself, which saves its memory. It still runs and
               gives the same, but its modules have other paths, where no AudioModel looks for them;
               `from_transformer_lens` takes the components out again
    attention  "eager" or "sdpa"; None: as the model is. It only matters for rounding: hook points on scores and
               patterns fire under both, and fused attention is spelt out while something is hooked there

    The bridge takes features, as the model's feature extractor makes them: `bridge(features["input_values"])`; whatever
    the model calls its input. Its `processor` is the AudioModel's feature extractor. `dissect(bridge, data, …)` plays
    audio to it.

    Raises ValueError for an architecture without an adapter, naming those there are; for an AudioModel with edits,
    which a bridge cannot carry; for PEFT's layers, which are to be merged first; and, with copy=False, for a model that
    is in a bridge already.
    """
    module, extractor = _module_and_extractor(model)
    module = _audio_part(module)
    architecture = architecture_of(module)
    if architecture is None:
        raise ValueError(no_adapter(module))
    _no_adapters_inside(module)
    if copy:
        module = _copy(module)
        _take_out(module)  # of a bridge that it may be in
    elif any(isinstance(part, GeneralizedComponent) for part in module.modules()):
        raise ValueError(
            "this model is in a bridge already, which a second one would break: take it out with "
            "from_transformer_lens(bridge), or leave copy=True"
        )
    if attention is not None and hasattr(module, "set_attn_implementation"):
        module.set_attn_implementation(attention)
    name = str(getattr(module, "name_or_path", "") or "") or architecture
    bridge = build_bridge_from_module(module, private_name(architecture), hf_config=_sizes(module), model_name=name)
    bridge.cfg.architecture = architecture
    bridge.processor = extractor
    return bridge


def _module_and_extractor(model: AudioModel | nn.Module) -> tuple[nn.Module, Any]:
    """The module with its weights, and the feature extractor of an AudioModel. Raises ValueError for one with edits."""
    if isinstance(model, nn.Module):
        return bare(model), None
    if not isinstance(model, AudioModel):
        raise TypeError(f"a bridge goes around an AudioModel or a transformers module, not {type(model).__name__}")
    if model.edits:
        raise ValueError("this AudioModel has edits, which a bridge cannot carry: pass model.wrapped to go without")
    model.dispatch()
    return model.wrapped, model.own_extractor


def _no_adapters_inside(module: nn.Module) -> None:
    """Raise ValueError for a module that PEFT has put layers into."""
    if any(type(part).__module__.startswith("peft.") for part in module.modules()):
        raise ValueError(
            f"this {type(module).__name__} has PEFT's layers in it, whose part of the weights a bridge's W_O and W_out "
            "would leave out: put them into the weights first, with model = model.merge_and_unload()"
        )


def _copy(module: nn.Module) -> Any:
    """A copy of a module, also of one that keeps what it computed (weight_norm's weight): torch copies leaves only."""
    attributes = (value for part in module.modules() for value in vars(part).values())
    results = [value for value in attributes if isinstance(value, Tensor) and value.grad_fn]
    return copying.deepcopy(module, {id(result): result.detach().clone() for result in results})


def from_transformer_lens(bridge: TransformerBridge) -> nn.Module:
    """Take the bridge's components out of its model, in place, and give the model back as it was before.

    Weights are those of now. The bridge is of no use afterwards.
    """
    model: Any = bridge.original_model
    _take_out(model)
    return model


def _sizes(module: nn.Module) -> Any:
    """A config that TransformerLens may write to: transformers' own, or the sizes that and-nnsight-beats's tells."""
    config = getattr(module, "config", None)
    if config is None:
        raise ValueError(
            f"this {type(module).__name__} has no config: of a BEATs of SpeechBrain's, "
            "and_nnsight_beats.plugin.Beats().adapt(model) makes one that can be bridged"
        )
    if "d_model" in getattr(config, "attribute_map", {}):
        return SimpleNamespace(**vars(config))  # what is written to the config's d_model would go elsewhere
    if hasattr(config, "architectures"):
        return config
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return SimpleNamespace(**{name: getattr(config, name) for name in names})


def _take_out(model: nn.Module) -> None:
    undo_features(model)
    unwrap(model)
    undo_captures(model)


def _audio_part(model: nn.Module) -> Any:
    """The part of a model that hears, with its head if that makes one output a clip or frame of it."""
    name = type(model).__name__
    part: Any = model
    if name in ("WhisperModel", "WhisperForConditionalGeneration"):
        return part.get_encoder()
    if name == "ClapModel":
        return part.audio_model
    parakeet = next((module for module in model.modules() if type(module).__name__ == "ParakeetEncoder"), None)
    if parakeet is not None:
        return parakeet
    inside = hearing(bare_parts(model)) if architecture_of(model) is None and hasattr(model, "config") else None
    tower = None if inside is None else model.get_submodule(inside.path)
    return part if tower is None or architecture_of(tower) is None else tower
