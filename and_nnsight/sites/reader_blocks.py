"""The transformer blocks of what reads tokens: language models and decoders, found by their structure.

A block holds one attention over its own sequence, maybe a second one over an encoder's, and linear layers up and down:
two of them, or three where one gates another (SwiGLU). Of a mixture of experts it has no sites.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from torch import nn

from .experts import mixture_of
from .geometry import Geometry
from .heads import Heads, heads_of
from .names import HEADS_SIDE_BY_SIDE
from .site import Site
from .wrappers import in_features, is_linear, out_features, walk


@dataclass(frozen=True)
class Attention:
    """An attention of a block: the module whose first output is its own, and its output projection, with widths.

    inner  width of what the projection reads: heads side by side
    heads  how they divide it; None where the attention does not say
    """

    path: str
    projection: str
    inner: int
    width: int
    heads: Heads | None


@dataclass(frozen=True)
class ReaderMlp:
    """An MLP of a block, by paths; None where there is no such layer, or none that can be told from another.

    gate  what the activation function is of
    up    what it is multiplied by, where that is another layer
    """

    gate: str | None
    up: str | None
    down: str
    inner: int
    outer: int


@dataclass(frozen=True)
class ReaderBlock:
    """A block: its own attention first, then the one over an encoder's sequence, if it has one."""

    path: str
    attention: Attention
    cross: Attention | None
    mlp: ReaderMlp | None


def find_reader_blocks(model: nn.Module, root: str) -> tuple[ReaderBlock, ...]:
    """The blocks of the part of a model at the path `root`, in forward order; empty if it has no repeated block.

    Of several stacks that of the part itself is meant, not one of a tower inside it: the outermost, and the deepest of
    those.
    """
    stacks: dict[str, list[ReaderBlock]] = defaultdict(list)
    for _, path, module in walk(model.get_submodule(root)):
        if isinstance(module, nn.ModuleList):
            for name, child in module.named_children():
                place = ".".join(filter(None, (root, path, name)))
                block = _block(place, child)
                if block is not None:
                    stacks[place.rpartition(".")[0]].append(block)
    return tuple(max(stacks.values(), key=lambda stack: (-stack[0].path.count("."), len(stack)), default=()))


def reader_sites(blocks: tuple[ReaderBlock, ...], geometry: Geometry) -> tuple[Site, ...]:
    """The sites of blocks in forward order; all have the frames that `geometry` says."""
    return tuple(site for layer, block in enumerate(blocks) for site in _sites(block, layer, geometry))


def _sites(block: ReaderBlock, layer: int, geometry: Geometry) -> list[Site]:
    def site(name: str, path: str, side: str, width: int) -> Site:
        return Site(f"blocks.{layer}.{name}", path, "input" if side == "input" else "output", width, layer, geometry)

    def of_attention(attention: Attention, prefix: str) -> list[Site]:
        z = site(f"{prefix}{HEADS_SIDE_BY_SIDE}", attention.projection, "input", attention.inner)
        out = site(f"hook_{prefix}attn_out", attention.path, "output", attention.width)
        return [replace(z, heads=attention.heads), out]

    sites = of_attention(block.attention, "")
    if block.cross is not None:
        sites += of_attention(block.cross, "cross_")
    if block.mlp is not None:
        mlp = block.mlp
        before = (("mlp.hook_pre", mlp.gate), ("mlp.hook_pre_linear", mlp.up))
        sites += [site(name, path, "output", mlp.inner) for name, path in before if path is not None]
        sites.append(site("mlp.hook_post", mlp.down, "input", mlp.inner))
        sites.append(site("hook_mlp_out", mlp.down, "output", mlp.outer))
    return [*sites, site("hook_resid_post", block.path, "output", block.attention.width)]


def _block(path: str, module: nn.Module) -> ReaderBlock | None:
    """A module as a block; None if it is none."""
    cores = _attention_cores(module)
    if len(cores) not in (1, 2):
        return None
    attentions = [_attention(f"{path}.{inside}", core) for _, inside, core in cores]
    experts = mixture_of(module) is not None
    # What stands beside experts (shared ones, a router) is not the block's MLP.
    mlp = None if experts else _mlp(path, module, [name for name, _, _ in cores])
    if mlp is None and len(cores) == 1 and not experts:
        return None
    return ReaderBlock(path, attentions[0], attentions[1] if len(attentions) > 1 else None, mlp)


def _attention_cores(module: nn.Module) -> list[tuple[str, str, nn.Module]]:
    return [(name, path, each) for name, path, each in walk(module) if name and _is_attention(each)]


def _linears(module: nn.Module) -> list[tuple[str, str, nn.Module]]:
    return [(name, path, each) for name, path, each in walk(module) if is_linear(each)]


def _is_attention(module: nn.Module) -> bool:
    """Whether a module holds projections of an attention itself: in, fused or not, and out."""
    own = [each for name, _, each in _linears(module) if "." not in name]
    return len(own) >= 2 and any("head" in name for name in vars(module))


def _attention(path: str, core: nn.Module) -> Attention:
    """The output projection is the last by registration, but where a name says which it is."""
    own = [(name, inside, each) for name, inside, each in _linears(core) if "." not in name]
    named = [each for each in own if each[0] in ("o_proj", "out_proj", "o", "out", "dense", "linear_out")]
    _, inside, projection = (named or own)[-1]
    inner = in_features(projection)
    return Attention(path, f"{path}.{inside}", inner, out_features(projection), heads_of(core, inner))


def _mlp(path: str, module: nn.Module, cores: list[str]) -> ReaderMlp | None:
    """The linear layers outside of the attentions: down is the last that leads to the width of the stream."""
    outside = [
        (name, f"{path}.{inside}", each)
        for name, inside, each in _linears(module)
        if not any(name.startswith(f"{core}.") for core in cores)
    ]
    if len(outside) < 2:
        return None
    _, down, last = outside[-1]
    inner, width = in_features(last), out_features(last)
    before = [each for each in outside[:-1] if in_features(each[2]) == width]
    if not before:
        return None
    gate, up = _gate_and_up([(name, place) for name, place, each in before if out_features(each) == inner])
    return ReaderMlp(gate, up, down, inner, width)


def _gate_and_up(layers: list[tuple[str, str]]) -> tuple[str | None, str | None]:
    """The paths of what goes into the activation function and of what is multiplied by it, of layers by their names.

    A single layer is the first. A fused one of twice the width is both, and neither is told.
    """
    if len(layers) == 1:
        return layers[0][1], None
    gates = [place for name, place in layers if "gate" in name.rpartition(".")[2]]
    if len(layers) == 2 and len(gates) == 1:
        (other,) = (place for _, place in layers if place != gates[0])
        return gates[0], other
    return None, None
