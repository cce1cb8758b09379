"""What a checkpoint says of its model: the dictionary `cfg` of the published files, under transformers' names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MEL_BINS = 128

# What the published checkpoints share, and tensors alone do not tell.
PUBLISHED = {
    "activation_fn": "gelu",
    "deep_norm": True,
    "layer_norm_first": False,
    "max_distance": 800,
}
_DEFAULTS = {
    "input_patch_size": 16,
    "embed_dim": 512,
    "conv_bias": False,
    "encoder_layers": 12,
    "encoder_embed_dim": 768,
    "encoder_ffn_embed_dim": 3072,
    "encoder_attention_heads": 12,
    "conv_pos": 128,
    "conv_pos_groups": 16,
    "relative_position_embedding": False,
    "num_buckets": 320,
    "max_distance": 1280,
    "gru_rel_pos": False,
    "activation_fn": "gelu",
    "deep_norm": False,
    "layer_norm_first": False,
    "finetuned_model": False,
    "predictor_class": 527,
}
_COUNTS = tuple(name for name, value in _DEFAULTS.items() if type(value) is int)
_ACTIVATIONS = ("gelu", "gelu_fast", "gelu_accurate", "relu", "tanh", "linear")


@dataclass(frozen=True)
class BEATsConfig:
    """The published `cfg`, with BEATs's own defaults for what it does not name, and the classes' names.

    Raises ValueError for a `cfg` that cannot be built.
    """

    cfg: Mapping[str, Any]
    labels: tuple[str, ...] | None = field(default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cfg", {**_DEFAULTS, **self.cfg})
        for name in _COUNTS:
            value = self.cfg[name]
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"cfg[{name!r}] is {value!r}, not a whole number above zero")
        if self.cfg["activation_fn"] not in _ACTIVATIONS:
            raise ValueError(f"cfg['activation_fn'] is {self.cfg['activation_fn']!r}: one of {', '.join(_ACTIVATIONS)}")
        if self.cfg["layer_norm_first"]:
            # No published model has it; SpeechBrain leaves out the norm that the original then puts at the end.
            raise ValueError("cfg has layer_norm_first, under which BEATs's implementations differ: not supported")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"cfg has {self.num_attention_heads} heads for a width of {self.hidden_size}")
        if MEL_BINS % self.cfg["input_patch_size"]:
            raise ValueError(f"cfg['input_patch_size'] must divide the {MEL_BINS} mel bins")
        if self.labels is not None and len(self.labels) != self.num_labels:
            raise ValueError(f"{len(self.labels)} labels for {self.num_labels or 0} classes")

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return self.cfg["encoder_embed_dim"]

    @property
    def intermediate_size(self) -> int:
        """Width of the MLPs."""
        return self.cfg["encoder_ffn_embed_dim"]

    @property
    def num_hidden_layers(self) -> int:
        """Number of blocks."""
        return self.cfg["encoder_layers"]

    @property
    def num_attention_heads(self) -> int:
        """Heads a block."""
        return self.cfg["encoder_attention_heads"]

    @property
    def num_labels(self) -> int | None:
        """Number of classes; None without a head."""
        return self.cfg["predictor_class"] if self.cfg["finetuned_model"] else None

    @property
    def id2label(self) -> dict[int, str] | None:
        """The classes' names; None where the checkpoint has none."""
        return None if self.labels is None else dict(enumerate(self.labels))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "model_type": "beats",
            "cfg": dict(self.cfg),
            "labels": None if self.labels is None else list(self.labels),
        }
