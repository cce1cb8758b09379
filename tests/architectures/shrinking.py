"""Small configs of any architecture: the class's own defaults, with widths, depths and heads made small by their names."""

from __future__ import annotations

import re
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig

WIDTH, INNER, LAYERS, HEADS, VOCABULARY = 32, 64, 2, 4, 99
_TOKEN = r".*token_id|.*token_index|.*_id"
# The first pattern that a field's whole name matches; only whole numbers are replaced, and only by smaller ones.
_SMALL: tuple[tuple[str, int], ...] = (
    (
        r".*position_embedding.*|.*vocab.*token.*|.*_idx|.*mel_bins|.*num_labels|num_feat_extract_layers|(feature_projection_)?input_dim|.*offset",
        0,
    ),
    (r"num_conv_pos_embeddings", 16),
    (r"num_conv_pos_embedding_groups", 4),
    (r"upsample_groups", WIDTH),
    (r"(.*_)?vocab(ulary)?_size(_.*)?", VOCABULARY),
    (r".*kv_heads|.*key_value_heads", HEADS),
    (r".*heads", HEADS),
    (r"(num_.*layers|.*_layers|.*depth|num_.*blocks)", LAYERS),
    (r"(.*_)?head_dim|attention_head_size", WIDTH // HEADS),
    (r"(.*_)?(intermediate_size|ffn_dim|ffn_hidden_size|intermediate_dim|intermediate_size_.*)", INNER),
    (r"(.*_)?(subsampling_conv_channels|downsample_hidden_size|num_filters|conv_channels)", 8),
    (r"(.*_)?(hidden_size|d_model|embed_dim|hidden_dim|output_dim|projection_dim|output_hidden_size|dim)", WIDTH),
    (r"(num_experts|n_routed_experts|num_local_experts|.*num_experts)", 4),
    (r"(.*_)?(codebook_size)", 32),
)


def small(kind: type, **options: Any) -> Any:
    """A config of this class with small numbers; `options` are taken as they are (dicts: of a part's config)."""
    parts = _parts(kind, options)
    return kind(**{**_numbers(kind()), **options, **parts})


def _parts(kind: type, options: dict[str, Any]) -> dict[str, Any]:
    """The configs of a config's parts, small; what options say of a part is said of it."""
    made = kind()
    parts: dict[str, Any] = {}
    for name, declared in getattr(kind, "sub_configs", {}).items():
        chosen = dict(options.get(name, {}))
        part = type(getattr(made, name, None))
        if "model_type" in chosen:
            part = CONFIG_MAPPING[chosen.pop("model_type")]
        elif part is type(None) and "audio" in name and declared is not AutoConfig:
            part = declared
        if part is not type(None):
            parts[name] = small(part, **chosen)
    return parts


def _numbers(config: Any) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    token = VOCABULARY
    for name, value in vars(config).items():
        if name == "conv_dim" and isinstance(value, list | tuple):
            chosen[name] = [16] * len(value)
        if not isinstance(value, int) or isinstance(value, bool) or name.startswith("_"):
            continue
        if re.fullmatch(_TOKEN, name) and value >= VOCABULARY:
            token -= 1
            chosen[name] = token
            continue
        least = next((number for pattern, number in _SMALL if re.fullmatch(pattern, name)), 0)
        if least and value > least:
            chosen[name] = least
    return chosen
