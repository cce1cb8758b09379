"""Find the transformer blocks of an acoustic model by their structure, not by the names of their modules.

transformers renames modules between releases; what stays is the shape: a repeated block that holds one self-attention
(at least three projections of the residual width) and a pair of linear layers, up and down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from torch import nn


@dataclass(frozen=True)
class FeedForward:
    """An up- and a down-projection: module paths, the inner width and the residual width.

    before_attention  whether it comes before the block's attention (a Conformer's first feed-forward)
    """

    name: str
    up: str
    down: str
    inner: int
    outer: int
    before_attention: bool


@dataclass(frozen=True)
class Block:
    """One transformer block: its path, the module whose (first) output is the attention's, and its feed-forwards."""

    path: str
    attention: str
    width: int
    feed_forwards: tuple[FeedForward, ...]

    @property
    def mlp(self) -> FeedForward:
        """The block's MLP: of several feed-forwards the widest, and of equals the last (a Conformer's second)."""
        return max(reversed(self.feed_forwards), key=lambda pair: pair.inner)


def find_blocks(model: nn.Module) -> tuple[Block, ...]:
    """The blocks of the model's acoustic transformer in forward order; empty if there is no repeated block.

    Blocks with cross-attention (decoders) and towers over a vocabulary (text encoders, language models) are left out.
    Of several stacks the one as deep as the config says is meant, else the deepest, else the first.
    """
    candidates: list[tuple[str, nn.Module]] = []
    others: list[str] = []
    for path, module in model.named_modules():
        if isinstance(module, (nn.ModuleList, nn.Sequential)):
            for index, child in module.named_children():
                child_path = f"{path}.{index}" if path else index
                cores = len(_attention_cores(child))
                if cores == 1 and _feed_forwards(child):
                    candidates.append((child_path, child))
                elif cores:
                    others.append(child_path)
    groups: dict[tuple[str, type], list[tuple[str, nn.Module]]] = defaultdict(list)
    for path, module in candidates:
        groups[(path.partition(".")[0] if _has_towers(model, candidates) else "", type(module))].append((path, module))
    stacks = [stack for stack in groups.values() if not _reads_tokens(model, stack, groups, others)]
    if not stacks:
        return ()
    # max keeps the first of equals: an encoder comes before its adapter.
    chosen = max(stacks, key=lambda stack: (len(stack) == _depth(model), len(stack)))
    return tuple(_describe(path, module) for path, module in chosen)


def find_head(model: nn.Module, blocks: tuple[Block, ...]) -> tuple[str, int] | None:
    """Path and width of the class head: the last child of the model that ends in one linear unit a class (or token).

    None for a model without a head, and for one that generates text: its logits belong to the decoder.
    """
    config = getattr(model, "config", None)
    if config is None or (getattr(config, "is_encoder_decoder", False) and _generates(model)):
        return None
    sizes = {getattr(config, "num_labels", None), getattr(config, "vocab_size", None)}
    for name, child in reversed(list(model.named_children())):
        if any(block.path == name or block.path.startswith(f"{name}.") for block in blocks):
            return None
        linears = [module for module in child.modules() if isinstance(module, nn.Linear)]
        if linears and linears[-1].out_features in sizes:
            return name, linears[-1].out_features
    return None


def _depth(model: nn.Module) -> int | None:
    config = getattr(model, "config", None)
    return getattr(getattr(config, "audio_config", config), "num_hidden_layers", None)


def _generates(model: nn.Module) -> bool:
    can_generate = getattr(model, "can_generate", None)
    return bool(can_generate()) if callable(can_generate) else False


def _attention_cores(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Descendants that hold query, key and value projections of one width (or one fused projection) themselves."""
    return [(path, child) for path, child in module.named_modules() if path and _is_attention_core(child)]


def _is_attention_core(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return True
    linears = [child for child in module.children() if isinstance(child, nn.Linear)]
    if not linears:
        return False
    width = linears[0].in_features
    if any(child.in_features == width and child.out_features == 3 * width for child in linears):
        return hasattr(module, "num_heads") or hasattr(module, "num_attention_heads")
    return sum(child.in_features == width for child in linears) >= 3 and _looks_multi_headed(module)


def _looks_multi_headed(module: nn.Module) -> bool:
    return any("head" in name for name in vars(module))


def _core_width(core: nn.Module) -> int:
    if isinstance(core, nn.MultiheadAttention):
        return core.embed_dim
    return next(child.in_features for child in core.children() if isinstance(child, nn.Linear))


def _attention_output(block: nn.Module) -> tuple[str, int]:
    """Path (within the block) of the module whose first output is the attention's output, and its width.

    Where the core ends in its own projection, or passes that projection's weights to a functional call (WavLM), the
    core's own output is meant. BERT's layout keeps the projection beside the core, followed by a norm (SEW-D, CLAP):
    then it is that projection.
    """
    ((path, core),) = _attention_cores(block)
    width = _core_width(core)
    parent_path = path.rpartition(".")[0]
    if parent_path:
        for name, module in block.get_submodule(parent_path).named_modules():
            if isinstance(module, nn.Linear) and module.out_features == width and not _inside(name, path, parent_path):
                return f"{parent_path}.{name}", width
    return path, width


def _inside(name: str, core: str, parent: str) -> bool:
    return f"{parent}.{name}".startswith(f"{core}.")


def _feed_forwards(block: nn.Module) -> tuple[FeedForward, ...]:
    cores = _attention_cores(block)
    if len(cores) != 1:
        return ()
    attention, core = cores[0]
    width = _core_width(core)
    attention = attention.rpartition(".")[0] or attention
    order = {path: index for index, (path, _) in enumerate(block.named_modules())}
    linears = [
        (path, module)
        for path, module in block.named_modules()
        if isinstance(module, nn.Linear) and not path.startswith(f"{attention}.")
    ]
    pairs = []
    taken = ""
    for (up_path, up), (down_path, down) in pairwise(linears):
        if up_path == taken:
            continue  # the last pair's down-projection, which leads into the next where all widths are equal
        if up.in_features == width == down.out_features and up.out_features == down.in_features:
            taken = down_path
            before = order[up_path] < order[attention]
            pairs.append(FeedForward(_owner(up_path), up_path, down_path, up.out_features, width, before))
    return tuple(pairs)


def _owner(path: str) -> str:
    return path.partition(".")[0]


def _describe(path: str, block: nn.Module) -> Block:
    attention, width = _attention_output(block)
    pairs = tuple(replace(pair, up=f"{path}.{pair.up}", down=f"{path}.{pair.down}") for pair in _feed_forwards(block))
    return Block(path, f"{path}.{attention}", width, pairs)


def _has_towers(model: nn.Module, candidates: list[tuple[str, nn.Module]]) -> bool:
    return len({path.partition(".")[0] for path, _ in candidates}) > 1


def _reads_tokens(model: nn.Module, stack: list[tuple[str, nn.Module]], groups: dict, others: list[str]) -> bool:
    """Whether the tower around a stack of blocks embeds a vocabulary: then it reads text, not sound."""
    vocabularies = set(_vocabulary_sizes(getattr(model, "config", None)))
    inside = {path for path, _ in stack}
    outside = others + [path for group in groups.values() for path, _ in group if path not in inside]
    tower = stack[0][0]
    for ancestor in _ancestors(tower):
        if any(path == ancestor or path.startswith(f"{ancestor}.") or not ancestor for path in outside):
            break
        tower = ancestor
    return any(
        isinstance(module, nn.Embedding)
        and module.num_embeddings in vocabularies
        and not any(word in name for word in ("pos", "rel"))  # a table of positions may chance to have that size
        and not any(f"{tower}.{name}".strip(".").startswith(f"{path}.") for path in inside)
        for name, module in model.get_submodule(tower).named_modules()
    )


def _ancestors(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition(".")[0]
        yield path


def _vocabulary_sizes(config: Any) -> Iterator[int]:
    if config is None:
        return
    if isinstance(size := getattr(config, "vocab_size", None), int):
        yield size
    for name in getattr(type(config), "sub_configs", {}):
        yield from _vocabulary_sizes(getattr(config, name, None))
