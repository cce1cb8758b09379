"""Open whatever stands for a model: a name, a module, a plugin's object; with its weights, on its device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import plugins
from ..sites.parts import PartError
from ..sites.site import Site, find_sites, select_sites
from ..wording import first_line
from .adapter import ModelAdapter
from .audio_model import AudioModel
from .bare import bare
from .checkpoint import ModelError, no_model
from .devices import known_device, known_dtype, require_dtype, require_weights
from .readers.options import AS_USUAL, ReaderOptions
from .resolving import resolve_sites


def open_model(
    model: Any,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    part: str | None = None,
    reads: ReaderOptions = AS_USUAL,
) -> ModelAdapter:
    """The model that a run is on, with its weights loaded, on the device and in the dtype asked for.

    `model` is a ModelAdapter (an AudioModel, for example), a transformers module, a hub id or local folder,
    "name:argument" for the plugin of that name, or an object that a plugin takes in. `part` names the part of a
    composite model that is meant; None: the one that hears; `reads` says how it reads, if it does. Raises ValueError
    for anything else, PartError for a part that is not there.
    """
    if dtype is not None:
        dtype = known_dtype(dtype)
    if device is not None:
        device = known_device(device)
    if isinstance(model, (str, os.PathLike)):
        return _by_name(model, device, dtype, part, reads)
    adapter = _of_part(model, part) if isinstance(model, ModelAdapter) else _adapted(model, part, reads)
    refuse_unread(adapter, reads)
    if isinstance(adapter, AudioModel):
        adapter.dispatch()
        require_weights(adapter.wrapped)
    if dtype is not None or device is not None:
        adapter.wrapped.to(device=device, dtype=dtype)
    require_dtype(adapter.wrapped)
    return adapter


def open_audio_model(model: Any, device: str | torch.device | None, dtype: str | torch.dtype | None) -> AudioModel:
    """As `open_model`, where only an AudioModel will do: whoever changes activations. Raises ValueError for others."""
    adapter = open_model(model, device, dtype)
    if not isinstance(adapter, AudioModel):
        raise ValueError(
            f"{type(adapter).__name__} cannot be ablated here: give the AudioModel, or the transformers checkpoint"
        )
    return adapter


def open_servable(model: Any, *, local: bool, part: str | None = None) -> AudioModel:
    """A model without its weights, as the class that a server loads it as; `local`: nothing is loaded elsewhere.

    Raises ModelError for what a server cannot have, a part that reads among it.
    """
    if isinstance(model, AudioModel):
        _of_part(model, part)
        model.refuse_reader()
        return model
    if not isinstance(model, (str, Path)):
        raise ModelError(
            f"a {type(model).__name__} cannot run on a server: give a hub id, or an AudioModel that was opened by one"
        )
    audio_model = AudioModel(str(model), part=part)
    audio_model.refuse_reader()
    if local or audio_model.served_class() == audio_model.class_here:
        return audio_model
    try:
        # The class that the server has, so that paths are its paths.
        return AudioModel(str(model), task=audio_model.task, part=part)
    except Exception as error:  # transformers' pipelines raise anything
        raise ModelError(
            f"no server can load {model} for the task {audio_model.task!r}: {first_line(error)}"
        ) from error


def without_weights(model: str, part: str | None = None) -> ModelAdapter:
    """A model by its name, to look at its sites: a transformers model is not loaded, a plugin's is, on the CPU."""
    plugin, argument = _named_plugin(model)
    if plugin is None:
        return AudioModel(model, part=part)
    _refuse_part_of_plugin(part)
    return plugins.make("model", plugin).open(argument, device="cpu", dtype=None)


def hookable_sites(model: AudioModel | nn.Module, names: Sequence[str]) -> tuple[nn.Module, tuple[Site, ...]]:
    """The module that hooks go into, and the sites of these names, in forward order.

    Of a module alone, widths that show only in a run are 0. Raises SiteError for sites that are not there.
    """
    if isinstance(model, nn.Module):
        module = bare(model)
        return module, select_sites(module, find_sites(module), names) if names else ()
    if names:
        model.dispatch()
    return model.wrapped, resolve_sites(model, names, "max") if names else ()


def _by_name(
    model: str | os.PathLike[str],
    device: torch.device | None,
    dtype: torch.dtype | None,
    part: str | None,
    reads: ReaderOptions,
) -> ModelAdapter:
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plugin, argument = _named_plugin(model)
    if plugin is not None:
        _refuse_part_of_plugin(part)
        return plugins.make("model", plugin).open(argument, device=device, dtype=dtype)
    options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    adapter = AudioModel(str(model), dispatch=True, device=device, part=part, **reads.given, **options)
    refuse_unread(adapter, reads)
    return adapter


def is_opened(model: Any) -> bool:
    """Whether a model was opened already, by whichever part and however it reads."""
    return isinstance(model, ModelAdapter)


def refuse_unread(adapter: ModelAdapter, reads: ReaderOptions) -> None:
    """Raise ValueError where a model is to read in some way, and does not read, or was opened to read in another."""
    if not reads.given:
        return
    asked = ", ".join(f"{name}={value!r}" for name, value in reads.given.items())
    reader = getattr(adapter, "reader", None)
    if reader is None:
        raise ValueError(f"{asked}: these are of a part that reads: part='language_model' or part='decoder' (--part)")
    if any(getattr(reader.options, name) != value for name, value in reads.given.items()):
        raise ValueError(
            f"the model was opened to read in another way: open it with {asked}, as AudioModel(…, {asked})"
        )


def _of_part(adapter: ModelAdapter, part: str | None) -> ModelAdapter:
    """A model that was opened already. Raises PartError if that was by another part than the one asked for."""
    if part is not None and (adapter.part is None or part not in (adapter.part.name, adapter.part.path)):
        opened = "whole" if adapter.part is None else f"by its part {adapter.part.name!r}"
        raise PartError(f"the model was opened {opened}: open it with part={part!r}, as AudioModel(…, part={part!r})")
    return adapter


def _refuse_part_of_plugin(part: str | None) -> None:
    if part is not None:
        raise PartError("part= is for transformers models: what a plugin opens is one model, leave it out")


def _named_plugin(model: str | os.PathLike[str]) -> tuple[str | None, str]:
    """A colon parts a plugin's name from its argument, unless such a folder exists (or it is a drive's letter)."""
    plugin, colon, argument = str(model).partition(":")
    there = isinstance(model, str) and colon and len(plugin) > 1 and not Path(model).exists()
    return (plugin, argument) if there else (None, "")


def _adapted(value: Any, part: str | None, reads: ReaderOptions) -> ModelAdapter:
    """A model around an object: a plugin's, if one knows its kind, else an AudioModel around a module."""
    offered, broken = plugins.every("model")
    for _, plugin in offered:
        adapter = plugin.adapt(value)
        if adapter is not None:
            _refuse_part_of_plugin(part)
            return adapter
    if isinstance(value, nn.Module):
        try:
            return AudioModel(value, part=part, **reads.given)
        except ValueError as error:
            if not broken:
                raise
            raise ValueError(f"{error}; a plugin that may know it is broken: {'; '.join(broken)}") from error
    known = ", ".join(name for name, _ in offered) or "none"
    raise ValueError(
        f"{no_model(value)}; or something that a plugin for models knows (installed: "
        f"{'; broken: '.join([known, *broken])})"
    )
