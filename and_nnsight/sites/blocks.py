"""Find the transformer blocks of an acoustic model by their structure, not by the names of their modules.

transformers renames modules between releases; what stays is the shape: a repeated block that holds one self-attention
(at least three projections of the residual width) and a pair of linear layers, up and down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

from torch import nn

from .audio_spec import takes_sound
from .heads import Heads, heads_of, output_projection
from .vocabulary import vocabulary_sizes
from .wrappers import children, in_features, is_linear, out_features, through, unadapted, walk


class SharedLayersError(ValueError):
    """A model whose blocks are one module that runs several times."""


@dataclass(frozen=True)
class FeedForward:
    """An up- and a down-projection: module paths, the inner width and the residual width.

    before_attention  whether it comes before the block's attention (a Conformer's first feed-forward)
    before_activation  units of the up-projection: twice the inner width where gate and up are one layer
    """

    name: str
    up: str
    down: str
    inner: int
    outer: int
    before_attention: bool
    before_activation: int


@dataclass(frozen=True)
class Projection:
    """An attention's output projection: module path, the width of what it reads, and the heads that lie there.

    heads  None where the attention does not say how heads divide it
    """

    path: str
    width: int
    heads: Heads | None


@dataclass(frozen=True)
class Block:
    """One transformer block: its path, the module whose (first) output is the attention's, and its feed-forwards.

    projection  the attention's output projection; None where it does not run as a module
    """

    path: str
    attention: str
    width: int
    feed_forwards: tuple[FeedForward, ...]
    projection: Projection | None = None

    @property
    def mlp(self) -> FeedForward:
        """The block's MLP: of several feed-forwards the widest, and of equals the last (a Conformer's second)."""
        return max(reversed(self.feed_forwards), key=lambda pair: pair.inner)


def find_blocks(model: nn.Module, reads_tokens: bool = False) -> tuple[Block, ...]:
    """The blocks of the model's acoustic transformer in forward order; empty if there is no repeated block.

    Blocks with cross-attention (decoders) and towers over a vocabulary (text encoders, language models) are left out;
    with `reads_tokens` the latter count. Of several stacks one outside a decoder is meant, of these the one as deep as
    the config says, else the deepest, else the first.

    Raises SharedLayersError where the blocks are one module.
    """
    candidates, others = _candidates(model)
    groups: dict[tuple[str, type], list[_Candidate]] = defaultdict(list)
    kinds, has_towers = _kinds_by_list(candidates), _has_towers(candidates)
    for candidate in candidates:
        tower = candidate.path.partition(".")[0] if has_towers else ""
        groups[(tower, kinds[candidate.path])].append(candidate)
    stacks = [stack for stack in groups.values() if reads_tokens or not _reads_tokens(model, stack, groups, others)]
    if not stacks:
        return ()
    # max keeps the first of equals: an encoder comes before its adapter.
    chosen = max(stacks, key=lambda stack: (not _decodes(stack), len(stack) == _depth(model), len(stack)))
    _refuse_shared(model, [block.path for block in chosen])
    return tuple(map(_describe, chosen))


def blocks_in(model: nn.Module, path: str) -> tuple[Block, ...]:
    """The blocks of the part of a model that stands at a path, by their paths in the model; it may read tokens."""

    def placed(pair: FeedForward) -> FeedForward:
        return replace(pair, up=f"{path}.{pair.up}", down=f"{path}.{pair.down}")

    return tuple(
        Block(
            f"{path}.{block.path}",
            f"{path}.{block.attention}",
            block.width,
            tuple(map(placed, block.feed_forwards)),
            block.projection and replace(block.projection, path=f"{path}.{block.projection.path}"),
        )
        for block in find_blocks(model.get_submodule(path), reads_tokens=True)
    )


class _Candidate(NamedTuple):
    """What may be a block: its path, its one attention and that one's name in it, and its feed-forwards by theirs."""

    path: str
    module: nn.Module
    core_name: str
    core: nn.Module
    feed_forwards: tuple[FeedForward, ...]


def _kinds_by_list(candidates: list[_Candidate]) -> dict[str, type]:
    """The class of each candidate; in a list that begins with blocks of a class of their own, that of its last."""
    last = {each.path.rpartition(".")[0]: type(through(each.module)[1]) for each in candidates}
    return {each.path: last[each.path.rpartition(".")[0]] for each in candidates}


def _candidates(model: nn.Module) -> tuple[list[_Candidate], list[str]]:
    """What stands in lists of modules and may be a block, and the paths of what has attention but is none."""
    candidates: list[_Candidate] = []
    others: list[str] = []
    for _, path, module in walk(model):
        if not isinstance(module, (nn.ModuleList, nn.Sequential)):
            continue
        for index, child in module.named_children():
            child_path = f"{path}.{index}" if path else index
            cores = _attention_cores(child)
            feed_forwards = _feed_forwards(child, *cores[0]) if len(cores) == 1 else ()
            if feed_forwards:
                candidates.append(_Candidate(child_path, child, *cores[0], feed_forwards))
            elif cores:
                others.append(child_path)
    return candidates, others


def _refuse_shared(model: nn.Module, paths: list[str]) -> None:
    """Raise SharedLayersError where one block stands at several places of its list: a path then names all its runs."""
    for parent in {path.rpartition(".")[0] for path in paths}:
        layers = list(model.get_submodule(parent)._modules.values())
        if len({id(layer) for layer in layers}) < len(layers):
            raise SharedLayersError(
                f"{type(model).__name__} runs one block several times (one module stands at several places of its "
                "layers), and a site could not say which run is meant: give every place its own, as in "
                f"nn.ModuleList(copy.deepcopy(layer) for layer in {parent or 'layers'})"
            )


def refuse_shared_parts(model: nn.Module, paths: Iterable[str]) -> None:
    """Raise SharedLayersError where two blocks hold one and the same module: it is known by its first path alone."""
    named = {path for path, _ in model.named_modules()}
    missing = next((path for path in paths if path not in named), None)
    if missing is not None:
        raise SharedLayersError(
            f"{type(model).__name__} runs one module in several of its layers ({missing} stands in an earlier layer, "
            "too), and a site could not say which run is meant: give every layer its own, as in copy.deepcopy(model."
            f"{missing})"
        )


def find_head(model: nn.Module, blocks: tuple[Block, ...]) -> tuple[str, int] | None:
    """Path and width of the class head: the last child of the model that ends in one linear unit a class (or token).

    None for a model without a head, and for one that generates text: its logits belong to the decoder.
    """
    config = getattr(model, "config", None)
    if config is None or _is_headless(model, config):
        return None
    sizes = {getattr(config, "num_labels", None), getattr(config, "vocab_size", None)}
    for name, child in reversed(list(model.named_children())):
        if any(f"{block.path}.".startswith(f"{name}.") for block in blocks):
            return None
        widths = [out_features(module) for _, _, module in walk(child) if is_linear(module)]
        if widths and widths[-1] in sizes:
            return name, widths[-1]
    return None


def _decodes(stack: list[_Candidate]) -> bool:
    """Whether a stack is in a decoder: a codec's has no cross-attention, and may be as deep as the config says."""
    return "decoder" in stack[0].path.rpartition(".")[0]


def _is_headless(model: nn.Module, config: Any) -> bool:
    if getattr(config, "is_encoder_decoder", False) and _generates(model):
        return True
    # An encoder alone: what it has of a vocabulary's size works in its midst.
    return type(model).__module__.startswith("transformers.") and "For" not in type(model).__name__


def _depth(model: nn.Module) -> int | None:
    config = getattr(model, "config", None)
    return getattr(getattr(config, "audio_config", config), "num_hidden_layers", None)


def _generates(model: nn.Module) -> bool:
    can_generate = getattr(model, "can_generate", None)
    return bool(can_generate()) if callable(can_generate) else False


def _attention_cores(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Descendants that hold query, key and value projections of one width (or one fused projection) themselves."""
    return [(name, child) for name, _, child in walk(module) if name and _is_attention_core(child)]


def _is_attention_core(module: nn.Module) -> bool:
    if isinstance(unadapted(module), nn.MultiheadAttention):
        return True
    linears = _own_linears(module)
    if not linears:
        return False
    width = in_features(linears[0])
    projections = [child for child in linears if in_features(child) == width]
    if any(out_features(child) == 3 * width for child in projections):
        return hasattr(module, "num_heads") or hasattr(module, "num_attention_heads")
    return len(projections) >= 3 and _looks_multi_headed(module)


def _own_linears(module: nn.Module) -> list[nn.Module]:
    return [child for child in children(module) if is_linear(child)]


def _looks_multi_headed(module: nn.Module) -> bool:
    return any("head" in name for name in vars(module))


def _core_width(core: nn.Module) -> int:
    attention = unadapted(core)
    if isinstance(attention, nn.MultiheadAttention):
        return attention.embed_dim
    linears = _own_linears(core)
    width, heads = in_features(linears[0]), out_features(linears[0])
    # A first block may lead from the features' width to the model's: what its attention gives has the latter.
    outputs = {out_features(child) for child in linears[3:] if in_features(child) == heads}
    return outputs.pop() if len(outputs) == 1 and len(linears) == 4 else width


def _attention_output(block: nn.Module, core_name: str, core: nn.Module) -> tuple[str, int]:
    """Name (within the block) of the module whose first output is the attention's output, and its width.

    Where the core ends in its own projection, or passes that projection's weights to a functional call (WavLM), the
    core's own output is meant. BERT's layout keeps the projection beside the core, followed by a norm (SEW-D, CLAP):
    then it is that projection.
    """
    width = _core_width(core)
    parent = core_name.rpartition(".")[0]
    for name, _, module in walk(block) if parent else ():
        beside = name.startswith(f"{parent}.") and not name.startswith(f"{core_name}.")
        if beside and is_linear(module) and out_features(module) == width:
            return name, width
    return core_name, width


def _feed_forwards(block: nn.Module, core_name: str, core: nn.Module) -> tuple[FeedForward, ...]:
    """The pairs of linear layers outside the attention that lead to an inner width and back, by their names."""
    width = _core_width(core)
    attention = core_name.rpartition(".")[0] or core_name
    order = {name: index for index, (name, _, _) in enumerate(walk(block))}
    pairs: list[FeedForward] = []
    for up, down in pairwise(_linears_outside(block, attention)):
        if pairs and up.name == pairs[-1].down:
            continue  # it leads into the next layer where all widths are equal
        if _lead_back(up, down, width):
            before = order[up.name] < order[attention]
            pairs.append(FeedForward(_owner(up.name), up.name, down.name, down.reads, width, before, up.gives))
    return tuple(_around_attention(pairs))


class _Linear(NamedTuple):
    """A linear layer: its name in the block, and the widths of what it reads and gives."""

    name: str
    reads: int
    gives: int


def _linears_outside(block: nn.Module, attention: str) -> list[_Linear]:
    return [
        _Linear(name, in_features(module), out_features(module))
        for name, _, module in walk(block)
        if is_linear(module) and not name.startswith(f"{attention}.")
    ]


def _lead_back(up: _Linear, down: _Linear, width: int) -> bool:
    """Whether two layers lead from a width to an inner one and back; gate and up may be one layer of twice that."""
    is_fused = up.gives == 2 * down.reads and "gate" in up.name
    return up.reads == width == down.gives and (up.gives == down.reads or is_fused)


def _around_attention(pairs: list[FeedForward]) -> list[FeedForward]:
    """Of two equal feed-forwards the first runs before the attention: a Conformer may register both before it."""
    if len(pairs) != 2 or pairs[0].inner != pairs[1].inner or not all(pair.before_attention for pair in pairs):
        return pairs
    return [pairs[0], replace(pairs[1], before_attention=False)]


def _owner(name: str) -> str:
    return name.partition(".")[0]


def _describe(block: _Candidate) -> Block:
    """A block by the true paths of its modules."""
    true = {name: f"{block.path}.{inside}" for name, inside, _ in walk(block.module)}
    attention, width = _attention_output(block.module, block.core_name, block.core)
    pairs = tuple(replace(pair, up=true[pair.up], down=true[pair.down]) for pair in block.feed_forwards)
    return Block(block.path, true[attention], width, pairs, _projection(block, true))


def _projection(block: _Candidate, true: Mapping[str, str]) -> Projection | None:
    projection = output_projection(block.module, block.core_name)
    if projection is None:
        return None
    name, linear = projection
    width = in_features(linear)
    return Projection(true[name], width, heads_of(block.core, width))


def _has_towers(candidates: list[_Candidate]) -> bool:
    return len({each.path.partition(".")[0] for each in candidates}) > 1


def _reads_tokens(model: nn.Module, stack: list[_Candidate], groups: dict, others: list[str]) -> bool:
    """Whether the tower around a stack of blocks embeds a vocabulary: then it reads text, not sound."""
    inside = {block.path for block in stack}
    for ancestor in filter(None, _ancestors(stack[0].path)):
        kind = type(model.get_submodule(ancestor))
        if hasattr(kind, "main_input_name") and takes_sound(kind):  # an encoder beside a decoder, which reads
            return _embeds_vocabulary(model, ancestor, inside)
    outside = others + [each.path for group in groups.values() for each in group if each.path not in inside]
    return _embeds_vocabulary(model, _tower_around(stack[0].path, outside), inside)


def _tower_around(path: str, outside: list[str]) -> str:
    """The outermost module around a block that has none of the other blocks in it."""
    tower = path
    for ancestor in _ancestors(path):
        if any(not ancestor or other == ancestor or other.startswith(f"{ancestor}.") for other in outside):
            break
        tower = ancestor
    return tower


def _embeds_vocabulary(model: nn.Module, tower: str, blocks: set[str]) -> bool:
    """Whether a tower has an embedding, outside its blocks, of as many entries as a vocabulary of the config."""
    vocabularies = set(vocabulary_sizes(getattr(model, "config", None)))
    return any(
        isinstance(module, nn.Embedding)
        and module.num_embeddings in vocabularies
        and not any(word in name for word in ("pos", "rel"))  # a table of positions may chance to have that size
        and not any(f"{tower}.{name}".strip(".").startswith(f"{path}.") for path in blocks)
        for name, module in model.get_submodule(tower).named_modules()
    )


def _ancestors(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition(".")[0]
        yield path
