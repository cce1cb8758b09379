"""The parts of a composite model, found by structure: which piece hears, which reads text, which speaks.

A part is a transformers model inside of a model, with a config and an input of its own; one that only holds other parts
(a thinker, a codec) is named by what it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from .audio_spec import inputs_of, names_sound, takes_sound
from .vocabulary import vocabulary_sizes

WHOLE = "whole"
"""The name of the only part of a model that is not composite, whose path is empty."""
_OWN_STACK = "language_model"
_CODES = ("codes", "code", "latents", "spectrogram")


class PartError(ValueError):
    """A part that a model does not have, or that cannot be opened; the message lists those that it has."""


@dataclass(frozen=True)
class Part:
    """A piece of a composite model.

    name        what `part=` calls it: its path without what only wraps ("audio_tower", "thinker.language_model")
    path        where its module stands in the whole model; "" for the whole
    class_name  class of that module
    hears       whether sound goes into it from outside: features or samples, not another part's output
    reads       whether it embeds tokens: text, or codes that stand for sound
    speaks      whether it makes sound, or codes of it
    sites       names of the sites that are found in it, in forward order
    reason      why it has no sites; "" where it has some
    """

    name: str
    path: str
    class_name: str
    hears: bool
    reads: bool
    speaks: bool
    sites: tuple[str, ...] = field(default=(), repr=False)
    reason: str = ""

    @property
    def does(self) -> str:
        """What it does, in a word or two: "hears", "reads, speaks"; "" for one that does none (a vision tower)."""
        return ", ".join(word for word in ("hears", "reads", "speaks") if getattr(self, word))


def bare_parts(model: nn.Module) -> tuple[Part, ...]:
    """The parts of a model in order of registration, without their sites; one, the whole, if it is not composite."""
    inside = inner_model_path(model)
    places = list(_leaves(model.get_submodule(inside), inside)) if is_model(model.get_submodule(inside)) else [""]
    if len(places) < 2:
        return (_described(model, "", WHOLE),)
    return tuple(_described(model, path, _name(model, path)) for path in places)


def inner_model_path(model: nn.Module) -> str:
    """Path of the first transformers model in a module: "" if it is one itself, or if there is none."""
    return next((path for path, module in model.named_modules() if is_model(module)), "")


def hearing(parts: Iterable[Part]) -> Part | None:
    """The part that hears: of several (an encoder beside a codec's) the first. None where none does."""
    return next((part for part in parts if part.hears), None)


def named_part(parts: tuple[Part, ...], name: str) -> Part:
    """The part of this name, path, or end of a name that is no other's. Raises PartError, listing all, for none."""
    exact = [part for part in parts if name in (part.name, part.path)]
    matching = exact or [part for part in parts if _ends(part, name)]
    if len(matching) == 1:
        return matching[0]
    there = "; ".join(f"{part.name} ({part.does or 'no sound'})" for part in parts)
    if matching:
        raise PartError(f"{name!r} names {len(matching)} parts, give the whole name: {there}")
    raise PartError(f"the model has no part {name!r}; it has {there}")


def _ends(part: Part, name: str) -> bool:
    return bool(name) and any(f".{whole}".endswith(f".{name}") for whole in (part.name, part.path))


def is_model(module: nn.Module) -> bool:
    """Whether a module is a transformers model: it has a config, and says what goes in."""
    return hasattr(type(module), "main_input_name") and hasattr(module, "config")


def _inner_models(model: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The nearest models inside of a model, with their paths in the whole."""
    for name, child in model.named_children():
        inside = _join(path, name)
        if is_model(child):
            yield inside, child
        else:
            yield from _inner_models(child, inside)


def _leaves(model: nn.Module, path: str) -> Iterator[str]:
    """Paths of the parts in a model: those of the models in it if they are several, else its own."""
    inner = list(_inner_models(model, path))
    leaves = [leaf for inside, child in inner for leaf in _leaves(child, inside)]
    own = path if _has_own_stack(model, path, [inside for inside, _ in inner]) else None
    several = len(leaves) > 1 or (own is not None and len(leaves) > 0)
    if several and own is not None:
        yield own
    yield from leaves if several else [path]


def _has_own_stack(model: nn.Module, path: str, inner: list[str]) -> bool:
    """Whether a model embeds tokens and has layers itself, outside of the models in it."""
    own = [module for name, module in model.named_modules() if _is_apart(_join(path, name), inner)]
    layers = [child for module in own if isinstance(module, nn.ModuleList) for child in module]
    embeds = any(isinstance(module, nn.Embedding) for module in own)
    return embeds and any(len(list(child.children())) > 1 for child in layers)


def _is_apart(place: str, inner: list[str]) -> bool:
    """Whether a module is neither inside of a model nor around one."""
    return not any(_is_inside(place, each) or _is_inside(each, place) for each in inner)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _is_inside(path: str, around: str) -> bool:
    return f"{path}.".startswith(f"{around}.")


def _name(model: nn.Module, path: str) -> str:
    """A part's path without the names under which transformers' heads hold the model that they are around."""
    kept: list[str] = []
    holder = model
    for name in path.split("."):
        child = holder.get_submodule(name)
        if not (is_model(holder) and is_model(child) and name == getattr(type(holder), "base_model_prefix", "")):
            kept.append(name)
        holder = child
    return ".".join(kept) or _OWN_STACK


def _described(model: nn.Module, path: str, name: str) -> Part:
    module = model.get_submodule(path)
    around = [model.get_submodule(each) for each in _ancestors(path)] or [module]
    inputs = inputs_of(type(module))
    embeds = _embeds_tokens(module)
    hears = _hears(module, embeds) and any(takes_sound(type(each)) for each in around)
    reads = embeds or "input_ids" in inputs
    speaks = not hears and (_knows_codes(module) or _upsamples(module) if reads else _is_of_sound(module))
    return Part(name, path, type(module).__name__, hears, reads, speaks)


def _is_of_sound(module: nn.Module) -> bool:
    inputs = inputs_of(type(module))
    says = "audio" in _modalities(module) or names_sound(str(getattr(module, "main_input_name", "")))
    return says or (bool(inputs) and inputs[0].endswith(_CODES))


def _knows_codes(module: nn.Module) -> bool:
    """Whether the tokens of a module are codes of sound: its config counts codebooks, or names a codec."""
    names = vars(getattr(module, "config", None) or object)
    return any(word in name for name in names for word in ("codebook", "codec"))


def _hears(module: nn.Module, embeds: bool) -> bool:
    """Whether a module, by what its forward takes, is what sound goes into: no tokens, codes or others' output."""
    inputs = inputs_of(type(module))
    first = inputs[0] if inputs else str(getattr(module, "main_input_name", ""))
    if first == "input_ids" or embeds or "encoder_hidden_states" in inputs or first.endswith(_CODES):
        return False
    if takes_sound(type(module)):
        return True
    says = _modalities(module) == ("audio",) or names_sound(str(getattr(module, "main_input_name", "")))
    return says and not _upsamples(module)


def _upsamples(module: nn.Module) -> bool:
    """Whether a module makes more of its frames, as one does that ends in samples."""
    return any(isinstance(child, nn.ConvTranspose1d) for child in module.modules())


def _modalities(module: nn.Module) -> tuple[str, ...]:
    says: Any = getattr(module, "input_modalities", ())
    return (says,) if isinstance(says, str) else tuple(says or ())


def _embeds_tokens(module: nn.Module) -> bool:
    """Whether a module has an embedding, outside of parts inside it, of as many entries as its vocabulary."""
    sizes = set(vocabulary_sizes(getattr(module, "config", None)))
    return any(
        isinstance(child, nn.Embedding) and child.num_embeddings in sizes and "pos" not in name
        for name, child in module.named_modules()
    )


def _ancestors(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition(".")[0]
        yield path
