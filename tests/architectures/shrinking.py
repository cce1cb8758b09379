"""Small configs of any architecture: the class's own defaults, with widths, depths and heads made small by their names."""

from __future__ import annotations

import re
from typing import Any

WIDTH, INNER, LAYERS, HEADS = 32, 64, 2, 4
# The first pattern that a field's whole name matches; only whole numbers are replaced, and only by smaller ones.
_SMALL: tuple[tuple[str, int], ...] = (
    (r".*position_embedding.*|.*vocab.*token.*|.*_token_id|.*_idx|.*mel_bins|.*num_labels", 0),
    (r"(.*_)?vocab(ulary)?_size(_.*)?", 99),
    (r".*kv_heads|.*key_value_heads", HEADS),
    (r".*heads", HEADS),
    (r"(num_.*layers|.*_layers|.*depth|num_.*blocks)", LAYERS),
    (r"(.*_)?head_dim|attention_head_size", WIDTH // HEADS),
    (r"(.*_)?(intermediate_size|ffn_dim|ffn_hidden_size|intermediate_dim|intermediate_size_.*)", INNER),
    (r"(.*_)?(subsampling_conv_channels|downsample_hidden_size|num_filters|conv_channels)", 8),
    (r"(.*_)?(hidden_size|d_model|embed_dim|hidden_dim|output_dim|projection_dim|output_hidden_size|dim)", WIDTH),
    (r"(num_experts|n_routed_experts|num_local_experts|.*num_experts)", 4),
    (r"(.*_)?(codebook_size)", 32),
    (r"(.*_)?(codebook_dim)", 8),
)


def small(kind: type, **options: Any) -> Any:
    """A config of this class with small numbers; `options` are taken as they are (dicts: of a part's config)."""
    return kind(**{**_numbers(kind()), **_parts(kind, options), **options})


def _parts(kind: type, options: dict[str, Any]) -> dict[str, Any]:
    made = kind()
    parts = {}
    for name in getattr(kind, "sub_configs", {}):
        part = getattr(made, name, None)
        if part is not None and name not in options:
            parts[name] = small(type(part))
    return parts


def _numbers(config: Any) -> dict[str, int]:
    chosen = {}
    for name, value in vars(config).items():
        if not isinstance(value, int) or isinstance(value, bool) or name.startswith("_"):
            continue
        least = next((number for pattern, number in _SMALL if re.fullmatch(pattern, name)), 0)
        if least and value > least:
            chosen[name] = least
    return chosen
