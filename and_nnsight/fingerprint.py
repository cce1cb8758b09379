"""What a run was made with, as JSON: so that a folder can tell whether it is continued by the same run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

_LEFT_OUT = ("transformers_version", "_name_or_path", "dtype", "torch_dtype", "_attn_implementation")


def config_hash(model: nn.Module) -> str:
    """Short hash of the model's config (of its printed structure where it has none)."""
    config: Any = getattr(model, "config", None)
    values = config.to_dict() if hasattr(config, "to_dict") else {"structure": repr(model)}
    kept = {name: value for name, value in values.items() if name not in _LEFT_OUT}
    return _short(json.dumps(kept, sort_keys=True, default=str).encode())


def weights_hash(model: nn.Module) -> str:
    """Short hash of every byte of every parameter and buffer: a model with one unit ablated has another."""
    digest = hashlib.blake2b(digest_size=8)
    with torch.no_grad():
        for name, value in _state(model).items():
            for tensor in _tensors(value):
                digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
                digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _state(model: nn.Module) -> Mapping[str, Any]:
    """The model's weights, also of those that accelerate keeps elsewhere until they are needed."""
    state = model.state_dict()
    if not any(isinstance(value, torch.Tensor) and value.is_meta for value in state.values()):
        return state
    from accelerate.utils.modeling import get_state_dict_offloaded_model

    return get_state_dict_offloaded_model(model)


def _tensors(value: Any) -> list[torch.Tensor]:
    """The plain tensors in a state: quantised modules keep tuples there, and tensors with scales."""
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in _tensors(part)]
    if not isinstance(value, torch.Tensor):
        return []
    if not value.is_quantized:
        return [value]
    per_channel = value.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams)
    scale = value.q_per_channel_scales() if per_channel else torch.tensor(value.q_scale())
    zero = value.q_per_channel_zero_points() if per_channel else torch.tensor(value.q_zero_point())
    return [value.int_repr(), scale, zero]


def extractor_hash(extractor: Any) -> str:
    """Short hash of a feature extractor's settings."""
    values = extractor.to_dict() if hasattr(extractor, "to_dict") else {"extractor": repr(extractor)}
    return _short(json.dumps(values, sort_keys=True, default=str).encode())


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    found = {}
    for name in ("and-nnsight", "nnsight", "transformers", "torch", "torchaudio"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _short(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def describe_model(model: Any) -> dict[str, Any]:
    """Id, revision, class and hashes of an AudioModel, for the manifest."""
    module = model.wrapped
    return {
        "id": model.repo_id or type(module).__name__,
        "revision": model.revision,
        "class": type(module).__name__,
        "edits": len(model._edits),
        "config": config_hash(module),
        "weights": weights_hash(module),
        "features": extractor_hash(model.featuriser.extractor),
    }
