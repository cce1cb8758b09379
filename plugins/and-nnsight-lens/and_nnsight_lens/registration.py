"""Which adapter is whose, and how TransformerLens comes to know it."""

from __future__ import annotations

import inspect
from functools import wraps
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from transformer_lens.factories import architecture_adapter_factory as factory
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter

GROUP = "transformer_lens.architectures"
_OURS = __name__.partition(".")[0]
# Names that TransformerLens has an adapter for: ours are taken by `to_transformer_lens`, and elsewhere if asked for.
NATIVE = {
    "ASTForAudioClassification": "ast:ASTArchitectureAdapter",
    "HubertForCTC": "wav2vec2:Wav2Vec2ArchitectureAdapter",
    "HubertModel": "wav2vec2:Wav2Vec2ArchitectureAdapter",
    "Wav2Vec2ForCTC": "wav2vec2:Wav2Vec2ArchitectureAdapter",
    "Wav2Vec2Model": "wav2vec2:Wav2Vec2ArchitectureAdapter",
}
_PRIVATE = "and-nnsight-lens/"
_NAMES = "_and_nnsight_lens_names_architectures"


def adapters() -> dict[str, str]:
    """Every architecture (a transformers class name) that there is an adapter for, as "module:class"."""
    ours = {entry.name: entry.value for entry in entry_points(group=GROUP) if entry.value.startswith(f"{_OURS}.")}
    return ours | {name: f"{_OURS}.adapters.{home}" for name, home in NATIVE.items()}


def architecture_of(model: Any) -> str | None:
    """The architecture whose adapter fits a model: its class, or what that is derived from; None if there is none."""
    known = adapters()
    return next((base.__name__ for base in type(model).__mro__ if base.__name__ in known), None)


def no_adapter(model: Any) -> str:
    """What is said of a model that has none."""
    encoder = str(getattr(model, "base_model_prefix", ""))
    if architecture_of(getattr(model, encoder, None)) is not None:
        return f"no adapter for {type(model).__name__}, but for its encoder: pass model.{encoder}"
    return f"no adapter for {type(model).__name__}; there are adapters for {', '.join(sorted(adapters()))}"


def adapter_class(architecture: str) -> type[ArchitectureAdapter]:
    """The adapter of an architecture. Raises KeyError if there is none."""
    module, _, name = adapters()[architecture].partition(":")
    return getattr(import_module(module), name)


def register(*, replace_native: bool = False) -> tuple[str, ...]:
    """Make `TransformerBridge.boot_transformers(name, hf_model=model)` know the architectures; returns their names.

    TransformerLens finds the adapters of other packages by their entry points, but its `boot_transformers` asks a list
    that neither entry points nor `register_adapter` write to: this writes to both. From now on the class of a given
    model names its architecture, for its config may name another or, where the model was not loaded, none.
    `replace_native` also puts ours in the place of TransformerLens's own for AST, HuBERT and Wav2Vec2, whose hooks are
    partly on other tensors than their names say (see the README).
    """
    factory.ArchitectureAdapterFactory.discover_entry_points()
    names = [name for name in adapters() if replace_native or name not in NATIVE]
    for name in names:
        known: dict[str, Any] = factory.SUPPORTED_ARCHITECTURES
        known[name] = adapter_class(name)
        factory.ArchitectureAdapterFactory.register_adapter(name, adapter_class(name))
    _name_architectures()
    return tuple(sorted(names))


def _name_architectures() -> None:
    """Let `boot_transformers` take the architecture of a given model from its class, and say so where it knows none."""
    boot: Any = TransformerBridge.boot_transformers
    if getattr(boot, _NAMES, False):
        return
    signature = inspect.signature(boot)

    @wraps(boot)
    def boot_transformers(*args: Any, **kwargs: Any) -> Any:
        model: Any = signature.bind_partial(*args, **kwargs).arguments.get("hf_model")
        if getattr(model, "config", None) is None:
            return boot(*args, **kwargs)
        stated, architecture = getattr(model.config, "architectures", None), architecture_of(model)
        try:
            if architecture is not None:
                model.config.architectures = [architecture]
            return boot(*args, **kwargs)
        except ValueError as error:
            if "Could not determine supported architecture" in str(error):
                raise ValueError(
                    f"{no_adapter(model)}; its config names {stated}, which TransformerLens lacks"
                ) from error
            raise
        finally:
            model.config.architectures = stated

    setattr(boot_transformers, _NAMES, True)
    bridge = cast("Any", TransformerBridge)  # a method is replaced by one that takes any arguments
    bridge.boot_transformers = staticmethod(boot_transformers)


def private_name(architecture: str) -> str:
    """A name under which the factory has our adapter, whatever it has under the architecture's own."""
    factory.ArchitectureAdapterFactory.register_adapter(_PRIVATE + architecture, adapter_class(architecture))
    return _PRIVATE + architecture
