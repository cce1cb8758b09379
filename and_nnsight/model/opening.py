"""Before a run: the model on its device, the sites as they are when it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import plugins
from ..sites.geometry import FoldedGrid, Geometry
from ..sites.hooks import site_hooks
from ..sites.site import MODULE_PREFIX, Site, SiteError
from .adapter import ModelAdapter
from .audio_model import AudioModel
from .devices import device_of, known_device, known_dtype, require_weights
from .features import Features, check_fit
from .restoring import eval_mode


def open_model(
    model: Any, device: str | torch.device | None, dtype: str | torch.dtype | None
) -> AudioModel | ModelAdapter:
    """The model that a run is on, with its weights loaded, on the device and in the dtype asked for.

    `model` is an AudioModel, a ModelAdapter, a transformers module, a hub id or local folder, "name:argument" for the
    plugin of that name, or an object that a plugin takes in. Raises ValueError for anything else.
    """
    if dtype is not None:
        dtype = known_dtype(dtype)
    if device is not None:
        device = known_device(device)
    if isinstance(model, (str, os.PathLike)):
        return _opened(model, device, dtype)
    made = model if isinstance(model, (AudioModel, ModelAdapter)) else _adapted(model)
    if isinstance(made, AudioModel):
        made.dispatch()
        require_weights(made.wrapped)
    if dtype is not None or device is not None:
        made.wrapped.to(device=device, dtype=dtype)
    return made


def without_weights(model: str) -> AudioModel | ModelAdapter:
    """A model by its name, to look at its sites: a transformers model is not loaded, a plugin's is, on the CPU."""
    plugin, argument = _named_plugin(model)
    return (
        AudioModel(model) if plugin is None else plugins.make("model", plugin).open(argument, device="cpu", dtype=None)
    )


def _opened(
    model: str | os.PathLike[str], device: torch.device | None, dtype: torch.dtype | None
) -> AudioModel | ModelAdapter:
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plugin, argument = _named_plugin(model)
    if plugin is not None:
        return plugins.make("model", plugin).open(argument, device=device, dtype=dtype)
    options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    return AudioModel(str(model), dispatch=True, device=device, **options)


def _named_plugin(model: str | os.PathLike[str]) -> tuple[str | None, str]:
    """A colon parts a plugin's name from its argument, unless such a folder exists (or it is a drive's letter)."""
    plugin, colon, argument = str(model).partition(":")
    there = isinstance(model, str) and colon and len(plugin) > 1 and not Path(model).exists()
    return (plugin, argument) if there else (None, "")


def _adapted(value: Any) -> AudioModel | ModelAdapter:
    """A model around an object: a plugin's, if one knows its kind, else an AudioModel around a module."""
    offered, broken = plugins.every("model")
    for _, plugin in offered:
        if (made := plugin.adapt(value)) is not None:
            return made
    if isinstance(value, nn.Module):
        return AudioModel(value)
    if isinstance(getattr(value, "model", None), nn.Module):  # a pipeline, a trainer
        raise ValueError(f"{type(value).__name__} is no model, but holds one: give its .model")
    known = ", ".join(name for name, _ in offered) or "none"
    raise ValueError(
        f"{type(value).__name__} is no model: give an AudioModel, a transformers module, a hub id or local folder, or "
        f"something that a plugin for models knows (installed: {'; broken: '.join([known, *broken])})"
    )


Run = Callable[[Any, Sequence[Site], Features], Mapping[str, torch.Size]]


def resolve_sites(
    model: AudioModel | ModelAdapter, patterns: str | Iterable[str], pool: str, run: Run | None = None
) -> tuple[Site, ...]:
    """The sites asked for, with what only a run can tell of sites named by module path.

    `run` gives the sites' shapes in the order in which they fire; by default the model is run on a second of noise.
    Raises SiteError for sites that are not there, ValueError where the feature extractor is not this model's.
    """
    model.featuriser  # noqa: B018  # the frames' seconds hang on the feature extractor: have it first
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    chosen = model.sites(*patterns) if patterns else ()
    if not chosen:
        raise SiteError("no site was asked for: name at least one pattern, for example 'default'")
    noise = torch.randn(model.featuriser.sampling_rate, generator=torch.Generator().manual_seed(0))
    features = model.featuriser([noise.numpy()])
    if isinstance(model, AudioModel):
        check_fit(model.wrapped, features.get(model.main_input))
    if any(site.name.startswith(MODULE_PREFIX) for site in chosen):
        chosen = _probed(model, chosen, features, run or _shapes)
    if pool == "cls" and (without := [site.name for site in chosen if not site.special_tokens]):
        raise SiteError(f"pool='cls' needs a special token at position 0, which {without[0]!r} does not have")
    windowed = [site.name for site in chosen if isinstance(site.geometry, FoldedGrid) and site.geometry.windows > 1]
    if pool in ("first", "last") and windowed:
        raise SiteError(f"pool={pool!r}: the tokens of {windowed[0]!r} stand in windows, not in order of time")
    return chosen


def _probed(
    model: AudioModel | ModelAdapter, sites: tuple[Site, ...], features: Features, run: Run
) -> tuple[Site, ...]:
    """The sites in the order in which they fire, with widths, and with seconds where frames are those of a block.

    Raises SiteError for sites that do not fire.
    """
    blocks = [site for site in model.sites() if site.name.endswith(("hook_resid_post", "hook_attn_out"))]
    shapes = run(model, [*blocks, *sites], features)
    order = list(shapes)
    probed = []
    for site in sorted(sites, key=lambda site: order.index(site.name)):
        geometry, frames = site.geometry, shapes[site.name][1:-1]
        if site.name.startswith(MODULE_PREFIX):
            alike = [block for block in blocks if shapes[block.name][1:-1] == frames]
            here = [block for block in alike if block.layer == site.layer and block.geometry == site.geometry]
            geometry = (here or alike)[-1].geometry if alike and frames else Geometry()
        probed.append(replace(site, width=shapes[site.name][-1], geometry=geometry))
    return tuple(probed)


def _shapes(model: AudioModel | ModelAdapter, sites: Sequence[Site], features: Features) -> Mapping[str, torch.Size]:
    """Shapes at sites in the order in which they fire: plain hooks need no order."""
    features = to_device(features, device_of(model.wrapped))
    shapes: dict[str, torch.Size] = {}

    def take(site: Site, value: Tensor) -> None:
        shapes.setdefault(site.name, value.shape)

    with torch.no_grad(), eval_mode(model.wrapped):
        if isinstance(model, AudioModel):
            with site_hooks(model.wrapped, sites, take):
                model._call(**model._complete(features))
        else:
            model.listen(sites, features, take)
    return shapes


def to_device(features: Features, device: torch.device) -> Features:
    """Features on a device; to a GPU from pinned memory, without waiting for the copy."""
    if device.type != "cuda":
        return {name: tensor.to(device) for name, tensor in features.items()}
    return {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in features.items()}
