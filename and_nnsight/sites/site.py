"""Sites: the named tensors of an acoustic transformer whose last axis is units."""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..dictionaries.role import MARK, Dictionary, open_dictionary
from ..portable import fold
from .audio_spec import declared_spec
from .blocks import Block, blocks_in, find_blocks, find_head, refuse_shared_parts
from .experts import mixture_of
from .frame_geometry import frame_geometry
from .geometry import FoldedGrid, Geometry, WholeClip
from .heads import Heads
from .names import HEAD, HEADS, HEADS_SIDE_BY_SIDE, PRESETS, matching_names

_OUTPUT_WIDTHS = ("out_features", "out_channels")
_CHANNEL_COUNTS = (*_OUTPUT_WIDTHS, "num_channels", "num_features")
MODULE_PREFIX = "module:"
_CHANNELS_FIRST = (nn.modules.conv._ConvNd, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


class SiteError(ValueError):
    """A site that does not exist, or that did not fire."""


@dataclass(frozen=True)
class Site:
    """A named tensor inside a model whose last axis is units; or the latents of a dictionary on one.

    name      TransformerLens's name for it (`blocks.3.mlp.hook_post`), or `module:PATH`; `SITE|DICTIONARY` for
              latents, `SITE|heads` for heads
    path      path of the module in the model
    side      whether it is that module's (first) output or its (first) input
    width     number of units; 0 where it cannot be known before the model runs (some `module:` sites)
    layer     index of the transformer block; None outside the blocks
    geometry  how its token axis lies on the time axis of a clip
    channels_first  whether units stand on the module's second axis (convolutions, named by module path)
    dictionary  its units are the latents of this dictionary on the tensor, or its heads; None: the tensor's own
    heads     which heads lie side by side on its last axis, as far as it is known

    A run hands over the tensor itself, as `fold` gives it: latents may be many times more, and are made of it where
    they are wanted, by `parts`, `chosen` or `units`.
    """

    name: str
    path: str
    side: Literal["input", "output"]
    width: int
    layer: int | None
    geometry: Geometry
    channels_first: bool = False
    dictionary: Dictionary | Heads | None = None
    heads: Heads | None = None

    @property
    def tensor(self) -> Site:
        """The site whose units are those of the tensor itself."""
        if self.dictionary is None:
            return self
        return replace(self, name=self.name.partition(MARK)[0], width=self.dictionary.width, dictionary=None)

    def through(self, chosen: str, dictionary: Dictionary | Heads) -> Site:
        """The latents of a dictionary, which goes by this name, on the site. Raises SiteError where it does not fit."""
        if self.width:
            check_width(self.name, self.width, dictionary)
        return replace(self, name=f"{self.name}{MARK}{chosen}", width=dictionary.latents, dictionary=dictionary)

    def parts(self, folded: Float[Tensor, "*frame width"]) -> Iterator[Float[Tensor, "*frame part"]]:
        """The activations of the site's units out of its tensor, in order, as many at a time as memory takes."""
        if self.dictionary is None:
            yield folded
        else:
            yield from self.dictionary.parts(folded)

    def units(self, folded: Float[Tensor, "*frame width"]) -> Float[Tensor, "*frame unit"]:
        """The activations of all the site's units out of its tensor: of a dictionary's latents a lot."""
        parts = list(self.parts(folded))
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

    def chosen(self, folded: Float[Tensor, "*frame width"], units: Sequence[int]) -> Float[Tensor, "*frame chosen"]:
        """The activations of some of the site's units out of its tensor."""
        return folded[..., list(units)] if self.dictionary is None else self.dictionary.encode(folded, units)

    @property
    def special_tokens(self) -> int:
        """How many leading positions of the token axis stand for no stretch of sound."""
        return self.geometry.special_tokens

    @property
    def windows(self) -> int:
        """How many windows a clip's tokens are cut into at this site (the attention of a Swin block), else 1."""
        return self.geometry.windows if isinstance(self.geometry, FoldedGrid) else 1

    def fold(self, value: Any) -> Tensor:
        """The site's tensor out of what the module took or returned: [clip, frame, unit], or [clip, unit] for logits.

        Raises SiteError if there is no floating-point tensor in it.
        """
        folded = fold(value, self.channels_first, self.windows, self.layer is not None)
        if folded is None:
            raise SiteError(f"site {self.name!r}: module {self.path!r} has no activation tensor on its {self.side}")
        return folded


def in_every_block(name: str) -> str:
    """The glob of the sites of a site's kind: of the same name in every block.

    Outside the blocks it is the name itself, and so it is of a dictionary's latents: a dictionary is of one site.
    """
    if name.partition(MARK)[2] not in ("", HEADS):
        return name
    return re.sub(r"^blocks\.\d+\.", "blocks.*.", name)


def check_width(name: str, width: int, dictionary: Dictionary | Heads) -> None:
    """Raise SiteError unless a dictionary is of activations as wide as those of the site of this name."""
    if dictionary.width != width:
        raise SiteError(
            f"the dictionary is of activations of {dictionary.width} units, and {name!r} has {width}: it was trained "
            "on another site, or on another model"
        )


def check_fired(sites: Sequence[Site], fired: Container[str]) -> None:
    """Raise SiteError, naming them, if not all sites are among those that fired."""
    missing = [site.name for site in sites if site.name not in fired]
    if missing:
        raise SiteError(f"{len(missing)} of {len(sites)} sites did not fire: {', '.join(missing[:5])}")


def clip_frame_unit(value: Tensor) -> Float[Tensor, "clip frame unit"]:
    """A folded value with a frame axis: one frame a clip where the site has none; further axes count as frames."""
    return value[:, None] if value.ndim == 2 else value.flatten(1, -2)


def frame_mask(site: Site, seconds: Sequence[float], frames: int) -> Bool[Tensor, "clip frame"]:
    """Which frames of the site count for clips of these lengths in seconds."""
    numbers = torch.tensor(seconds, dtype=torch.float64, device="cpu").numpy()
    return torch.from_numpy(site.geometry.valid(numbers, frames))


def find_sites(model: nn.Module, feature_extractor: Any = None, within: str = "") -> tuple[Site, ...]:
    """Every site of the model in forward order, found by structure. Empty if it has no repeated transformer block.

    `feature_extractor` supplies the hop of the spectrogram where the model's config does not hold it. `within` is the
    path of the part that is meant, of a composite model: its blocks alone, which may read tokens, without seconds.
    """
    if within:
        return _sites_within(model, within)
    blocks = find_blocks(model)
    sites: list[Site] = []
    for layer, block in enumerate(blocks):
        geometry = frame_geometry(model, block.path, feature_extractor)
        windowed = frame_geometry(model, block.path, feature_extractor, windowed=True)
        sites += _block_sites(block, layer, geometry, windowed)
    refuse_shared_parts(model, (site.path for site in sites))
    head = find_head(model, blocks) if blocks else None
    if head is not None:
        path, width = head
        sites.append(Site(HEAD, path, "output", width, None, _head_geometry(model, sites[-1].geometry)))
    return tuple(sites)


def _sites_within(model: nn.Module, path: str) -> tuple[Site, ...]:
    """The sites of a part that does not run on sound alone: where its positions lie in a clip only a run can tell."""
    sites: list[Site] = []
    for layer, block in enumerate(blocks_in(model, path)):
        sites += _block_sites(block, layer, Geometry(), Geometry())
    refuse_shared_parts(model, (site.path for site in sites))
    return tuple(sites)


def _head_geometry(model: nn.Module, blocks: Geometry) -> Geometry:
    """One value a clip; for CTC and the like the frames of the blocks, unless an adapter strides over them."""
    if not type(model).__name__.endswith(("ForCTC", "FrameClassification")):
        return WholeClip()
    return Geometry() if getattr(getattr(model, "config", None), "add_adapter", False) else blocks


def _block_sites(block: Block, layer: int, geometry: Geometry, windowed: Geometry) -> list[Site]:
    """A block's sites in forward order. `windowed` is the geometry of what comes out of its attention."""
    attention = _attention_sites(block, layer, windowed)
    sites: list[Site] = []
    for pair in block.feed_forwards:
        if not pair.before_attention and attention[-1] not in sites:
            sites += attention
        stem = f"blocks.{layer}.mlp" if pair == block.mlp else f"blocks.{layer}.{pair.name}"
        out = f"blocks.{layer}.hook_mlp_out" if pair == block.mlp else f"{stem}.hook_out"
        sites += [
            Site(f"{stem}.hook_pre", pair.up, "output", pair.before_activation, layer, geometry),
            Site(f"{stem}.hook_post", pair.down, "input", pair.inner, layer, geometry),
            Site(out, pair.down, "output", pair.outer, layer, geometry),
        ]
    sites += [] if attention[-1] in sites else attention
    return [*sites, Site(f"blocks.{layer}.hook_resid_post", block.path, "output", block.width, layer, geometry)]


def _attention_sites(block: Block, layer: int, geometry: Geometry) -> list[Site]:
    """What its output projection reads, where that runs as a module, and what comes out."""
    out = Site(f"blocks.{layer}.hook_attn_out", block.attention, "output", block.width, layer, geometry)
    projection = block.projection
    if projection is None:
        return [out]
    name = f"blocks.{layer}.{HEADS_SIDE_BY_SIDE}"
    z = Site(name, projection.path, "input", projection.width, layer, geometry, heads=projection.heads)
    return [z, out]


def select_sites(
    model: nn.Module, available: Sequence[Site], patterns: str | Iterable[str] = "default"
) -> tuple[Site, ...]:
    """The sites that any of the patterns names, in forward order.

    A pattern is a preset ("default": every mlp.hook_post; "paper": hook_attn_out, mlp.hook_pre, hook_mlp_out of every
    block and unembed.hook_out, or what the model says was recorded of it; "all"; "heads": those of every block), a glob
    over names, or `module:PATH` for the output of any module; `SITE|heads` for the attention heads that lie side by
    side in the sites that `SITE` names (`blocks.*.attn.hook_z`); `SITE|DICTIONARY`, for example
    `blocks.2.hook_resid_post|sae:PATH`, for the latents of a dictionary on one site.

    Raises PluginError for a dictionary that cannot be opened, SiteError for a pattern that names nothing, listing near
    names, and for heads where there are none.
    """
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    declared = declared_spec(model)
    presets = PRESETS if declared is None else {**PRESETS, "paper": declared.paper}
    chosen: dict[str, Site] = {}
    for pattern in patterns:
        chosen |= {site.name: site for site in _matching(model, available, pattern, presets)}
    if not chosen:
        raise SiteError("no site was asked for: name at least one pattern, for example 'default'")
    return tuple(sorted(chosen.values(), key=_forward_order(model, available)))


def _matching(
    model: nn.Module, available: Sequence[Site], pattern: str, presets: Mapping[str, tuple[str, ...]]
) -> list[Site]:
    """The sites that one pattern names. Raises SiteError if it names none."""
    globs = presets.get(pattern, (pattern,))
    if len(globs) == 1 and MARK in globs[0]:
        base, _, chosen = globs[0].partition(MARK)
        sites = _matching(model, available, base, presets)
        return _heads(model, sites) if chosen == HEADS else [_latents(sites, base, chosen)]
    if pattern.startswith(MODULE_PREFIX):
        return [_module_site(model, available, pattern)]
    named = set(matching_names((site.name for site in available), pattern, presets))
    if not named:
        raise SiteError(_nothing_named(model, available, pattern))
    return [site for site in available if site.name in named]


def _latents(sites: Sequence[Site], base: str, chosen: str) -> Site:
    """The latents of a dictionary on the one site that `base` names. Raises SiteError for several."""
    if len(sites) != 1:
        raise SiteError(
            f"{base!r} names {len(sites)} sites, and a dictionary is of one, for example "
            f"{sites[0].name + MARK + chosen!r}"
        )
    return sites[0].through(chosen, open_dictionary(chosen))


def _heads(model: nn.Module, sites: Sequence[Site]) -> list[Site]:
    """The heads that lie side by side in each of the sites. Raises SiteError for one in which none are known to."""
    return [site.through(HEADS, _heads_in(model, site)) for site in sites]


def _heads_in(model: nn.Module, site: Site) -> Heads:
    if site.heads is not None:
        return site.heads
    if site.name.endswith(HEADS_SIDE_BY_SIDE):
        raise SiteError(
            f"{site.name!r} has {site.width} units, and the attention of {type(model).__name__} does not say how its "
            "heads divide them: name its units themselves"
        )
    raise SiteError(
        f"no heads lie side by side in {site.name!r}: they do in 'blocks.{{i}}.{HEADS_SIDE_BY_SIDE}', so name "
        f"'blocks.*.{HEADS_SIDE_BY_SIDE}{MARK}{HEADS}', or the preset {HEADS!r}"
    )


def _forward_order(model: nn.Module, available: Sequence[Site]) -> Any:
    """A sort key: sites as they stand in `available`; modules among them in order of registration.

    A module's input comes before what is inside it, its output after.
    """
    last: dict[str, int] = {}
    first: dict[str, int] = {}
    for index, (path, _) in enumerate(model.named_modules()):
        first[path] = index
        parts = path.split(".")
        for depth in range(len(parts) + 1):
            last[".".join(parts[:depth])] = index

    def registered(site: Site) -> tuple[int, int, int]:
        if site.side == "input":
            return first[site.path], 0, 0
        return last[site.path], 1, -len(site.path)

    ranks = {(site.path, site.side): index for index, site in enumerate(available)}
    places = sorted((registered(site), rank) for rank, site in enumerate(available))

    def key(site: Site) -> tuple[int, tuple[int, int, int]]:
        own = registered(site)
        before = [rank for place, rank in places if place <= own]
        return ranks.get((site.path, site.side), max(before, default=-1)), own

    return key


def _module_site(model: nn.Module, available: Sequence[Site], pattern: str) -> Site:
    """The output of a module, by its path. Raises SiteError, with near paths, where there is none."""
    path = pattern.removeprefix(MODULE_PREFIX)
    modules = dict(model.named_modules())
    module = modules.get(path)
    if module is None or not path:
        near = difflib.get_close_matches(path, modules, n=5, cutoff=0.4)
        hint = f"; near names: {', '.join(near)}" if near else ""
        raise SiteError(f"the model has no module {path!r}{hint}")
    channels_first = isinstance(module, _CHANNELS_FIRST)
    width = _stated_width(module, _CHANNEL_COUNTS if channels_first else _OUTPUT_WIDTHS)
    around = [site for site in available if _is_block_around(site, path)]
    if channels_first or not around:
        return Site(pattern, path, "output", width, None, Geometry(), channels_first=channels_first)
    return Site(pattern, path, "output", width, around[-1].layer, around[-1].geometry)


def _stated_width(module: nn.Module, names: Sequence[str]) -> int:
    """How many units a module says that it gives; 0 where it does not say."""
    return next((int(getattr(module, name)) for name in names if getattr(module, name, 0)), 0)


def _is_block_around(site: Site, path: str) -> bool:
    return site.name.endswith("hook_resid_post") and (path == site.path or path.startswith(f"{site.path}."))


def _nothing_named(model: nn.Module, available: Sequence[Site], pattern: str) -> str:
    if not available:
        example = next((path for path, m in model.named_modules() if isinstance(m, nn.Linear)), "encoder.layers.3.fc1")
        return (
            f"{type(model).__name__} has no repeated transformer block, so it has no site {pattern!r}; "
            f"name sites by module path instead, for example {MODULE_PREFIX + example!r}"
        )
    if pattern.endswith(HEADS_SIDE_BY_SIDE) and not any(site.name.endswith(HEADS_SIDE_BY_SIDE) for site in available):
        return (
            f"no output projection runs as a module, clips first, in the attention of {type(model).__name__}, so what "
            "its heads give cannot be read: it has no site 'blocks.{i}." + HEADS_SIDE_BY_SIDE + "' "
            "(blocks.{i}.hook_attn_out is what they give together)"
        )
    mixture = mixture_of(model)
    if mixture is not None and any("mlp" in glob for glob in PRESETS.get(pattern, (pattern,))):
        return (
            f"no site matches {pattern!r}: the MLPs of {type(model).__name__} are mixtures of experts, and which "
            f"neurons a token has depends on where it is sent; name what a mixture gives, {MODULE_PREFIX + mixture!r}, "
            "or the 'heads', 'blocks.*.hook_attn_out' or 'blocks.*.hook_resid_post'"
        )
    names = [site.name for site in available]
    near = difflib.get_close_matches(pattern, names, n=5, cutoff=0.3) or names[:5]
    return (
        f"no site matches {pattern!r}; near names: {', '.join(near)} "
        f"(presets: {', '.join(PRESETS)}; any module: '{MODULE_PREFIX}PATH')"
    )
