"""The sites of every part of a model, whichever of them is opened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from .blocks import SharedLayersError
from .geometry import Geometry
from .parts import Part, bare_parts, hearing
from .reader_blocks import find_reader_blocks, reader_sites
from .site import Site, find_sites


def find_parts(model: nn.Module, feature_extractor: Any = None) -> tuple[Part, ...]:
    """The parts of a model, in order of registration, each with its sites or the reason why it has none."""
    parts = bare_parts(model)
    hears = hearing(parts) is not None
    return tuple(_with_sites(model, part, feature_extractor, hears) for part in parts)


def _with_sites(model: nn.Module, part: Part, feature_extractor: Any, hears: bool) -> Part:
    """`hears`: whether some part of the model does, for others to read what it hears."""
    try:
        sites = _sites(model, part, feature_extractor, hears)
    except SharedLayersError as error:
        return replace(part, reason=str(error))
    reason = "" if sites else "no repeated block of self-attention and two linear layers"
    return replace(part, sites=tuple(site.name for site in sites), reason=reason)


def _sites(model: nn.Module, part: Part, feature_extractor: Any, hears: bool) -> tuple[Site, ...]:
    if part.hears or not part.path:
        return find_sites(model.get_submodule(part.path), feature_extractor)
    reading = find_reader_blocks(model, part.path) if hears else ()
    return reader_sites(reading, Geometry()) or find_sites(model, within=part.path)
