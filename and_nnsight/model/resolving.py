"""The sites that were asked for, as they are when the model runs: their order, and what only a run can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..sites.geometry import FoldedGrid, Geometry
from ..sites.site import MODULE_PREFIX, Site, SiteError, check_width
from .adapter import ModelAdapter
from .features import Features, probe_features

Shapes = Callable[[Any, Sequence[Site], Features], Mapping[str, torch.Size]]


def resolve_sites(
    model: ModelAdapter, patterns: str | Iterable[str], pool: str, shapes: Shapes | None = None
) -> tuple[Site, ...]:
    """The sites asked for, with what only a run can tell of sites named by module path.

    `shapes` gives the sites' shapes in the order in which they fire; by default the model is run on a second of noise.
    Raises SiteError for sites that are not there, ValueError where the feature extractor is not this model's.
    """
    featuriser = model.featuriser  # the frames' seconds hang on the feature extractor: have it first
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    sites = model.sites(*patterns) if patterns else ()
    if not sites:
        raise SiteError("no site was asked for: name at least one pattern, for example 'default'")
    features = probe_features(featuriser)
    model.check_features(features)
    if any(site.name.startswith(MODULE_PREFIX) for site in sites):
        sites = _probed(model, sites, features, shapes or type(model).shapes)
    _check_pool(sites, pool)
    return sites


def _check_pool(sites: Sequence[Site], pool: str) -> None:
    """Raise SiteError where a site has no token that the pooling could take."""
    without_cls = [site.name for site in sites if not site.special_tokens]
    if pool == "cls" and without_cls:
        raise SiteError(f"pool='cls' needs a special token at position 0, which {without_cls[0]!r} does not have")
    windowed = [site.name for site in sites if isinstance(site.geometry, FoldedGrid) and site.geometry.windows > 1]
    if pool in ("first", "last") and windowed:
        raise SiteError(f"pool={pool!r}: the tokens of {windowed[0]!r} stand in windows, not in order of time")


def _probed(model: ModelAdapter, sites: Sequence[Site], features: Features, shapes: Shapes) -> tuple[Site, ...]:
    """The sites in the order in which they fire, with widths, and with seconds where frames are those of a block.

    Raises SiteError for sites that do not fire.
    """
    blocks = [site for site in model.sites() if site.name.endswith(("hook_resid_post", "hook_attn_out"))]
    shape_of = shapes(model, [*blocks, *sites], features)
    order = list(shape_of)
    probed = []
    for site in sorted(sites, key=lambda site: order.index(site.name)):
        geometry, width = site.geometry, shape_of[site.name][-1]
        if site.dictionary is not None:
            check_width(site.name, width, site.dictionary)
            width = site.width
        if site.name.startswith(MODULE_PREFIX):
            geometry = _block_geometry(site, blocks, shape_of)
        probed.append(replace(site, width=width, geometry=geometry))
    return tuple(probed)


def _block_geometry(site: Site, blocks: Sequence[Site], shape_of: Mapping[str, torch.Size]) -> Geometry:
    """The geometry of a block with as many frames as the site, its own block's if it is one of them."""
    frames = shape_of[site.name][1:-1]
    alike = [block for block in blocks if shape_of[block.name][1:-1] == frames]
    if not alike or not frames:
        return Geometry()
    own = [block for block in alike if block.layer == site.layer and block.geometry == site.geometry]
    return (own or alike)[-1].geometry
