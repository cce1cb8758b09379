"""Names of sites, and what stands for several of them: presets and globs. The one home of these rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

HEAD = "unembed.hook_out"
"""The site of a classifier's logits."""
HEADS = "heads"
"""What stands behind the mark where units are whole heads."""
HEADS_SIDE_BY_SIDE = "attn.hook_z"
"""What attention's output projection reads: one head beside the other."""
PAPER = ("*.hook_attn_out", "*.mlp.hook_pre", "*.hook_mlp_out", HEAD)
PRESETS = {
    "default": ("*.mlp.hook_post",),
    "paper": PAPER,
    "all": ("*",),
    "heads": (f"*{HEADS_SIDE_BY_SIDE}|{HEADS}",),  # of a decoder's cross-attention, too
}


def matching_names(names: Iterable[str], pattern: str, presets: Mapping[str, tuple[str, ...]] = PRESETS) -> list[str]:
    """Those of the names that a preset or a glob stands for, or the one that it is."""
    globs = presets.get(pattern, (pattern,))
    return [name for name in names if any(name == glob or fnmatchcase(name, glob) for glob in globs)]
