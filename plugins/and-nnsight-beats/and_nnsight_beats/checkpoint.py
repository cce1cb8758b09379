"""Checkpoints: the published .pt files, the AND paper's fine-tuned ones, and a folder with safetensors and JSON.

Nothing is unpickled but tensors, numbers, strings and containers of them.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from .config import PUBLISHED, BEATsConfig
from .model import BEATs

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


class CheckpointError(ValueError):
    """A file that is no BEATs checkpoint, or a damaged one; the message says which and why."""


def load(path: str | Path) -> BEATs:
    """The model in a checkpoint, on the CPU, in eval mode.

    path  a published .pt file ({"cfg", "model"}, and "label_dict" where it was fine-tuned), a state dict of the AND
          paper's (`beats.*` and `fc.*`; what tensors do not tell is taken from the published models, with a warning),
          or a folder that `save` wrote

    Raises CheckpointError for anything else.
    """
    path = Path(path).expanduser()
    try:
        cfg, weights, labels = _read_folder(path) if path.is_dir() else _read_file(path)
        weights = _published_names(weights)
        config = _config(cfg, weights, labels)
        module = BEATs(config)
        _fill(module, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return module


def save(module: BEATs, folder: str | Path) -> None:
    """Write `model.safetensors` and `config.json`, which `load` reads. Raises OSError if it cannot."""
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    # The blocks share one table of position biases, which safetensors writes as often as it is named.
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in module.state_dict().items()}
    safetensors.torch.save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})
    (folder / _CONFIG).write_text(json.dumps(module.config.to_dict(), indent=2) + "\n", encoding="utf-8")


def share(theirs: Any) -> BEATs:
    """A BEATs around the parameters of SpeechBrain's: the same tensors, so that a change in one is a change in both."""
    weights = theirs.state_dict()
    module = BEATs(_config(vars(theirs.cfg), weights, None))
    _fill(module, weights, assign=True)
    return module


def _read_file(path: Path) -> tuple[Mapping[str, Any] | None, Mapping[str, Any], Any]:
    if not path.is_file():
        raise CheckpointError("there is no such file or folder (checkpoints are not downloaded: give a local path)")
    _check_sums(path)
    content = _load(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"it holds a {type(content).__name__}, not a checkpoint")
    if "model" not in content and "cfg" not in content:
        return None, content, None
    cfg, weights = content.get("cfg"), content.get("model")
    if not isinstance(cfg, Mapping) or not isinstance(weights, Mapping):
        raise CheckpointError('a published BEATs checkpoint is {"cfg": dict, "model": state_dict}; this is another')
    return cfg, weights, content.get("label_dict")


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Weights only load failed" in str(error) and "GLOBAL" in str(error):
            raise CheckpointError(
                "it holds Python objects besides tensors, which could run code when they are read: not opened. Save it "
                'again as {"cfg": dict, "model": state_dict}'
            ) from error
        raise CheckpointError("it is not a file that torch.save wrote, or a damaged one") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError("it is not a file that torch.save wrote, or a damaged one") from error


def _check_sums(path: Path) -> None:
    """Hold an archive against the checksums that torch.save wrote into it, at which torch.load does not look."""
    if not zipfile.is_zipfile(path):
        return  # of a torch before 1.6, or no checkpoint: torch.load tells
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, RuntimeError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError("it is not a file that torch.save wrote, or a damaged one") from error
    if damaged is not None:
        raise CheckpointError(f"it is damaged: {damaged} in it has another checksum than was written. Fetch it again")


def _read_folder(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any], Any]:
    try:
        said = json.loads((path / _CONFIG).read_text(encoding="utf-8"))
        weights = safetensors.torch.load_file(path / _WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"no {_CONFIG} and {_WEIGHTS} can be read there: {str(error).splitlines()[0]}") from error
    if not isinstance(said, dict) or said.get("model_type") != "beats" or not isinstance(said.get("cfg"), dict):
        raise CheckpointError(f"its {_CONFIG} is another model's")
    return said["cfg"], weights, said.get("labels")


def _published_names(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights under the published names: the AND paper's model holds a `beats` and a head `fc`."""
    named: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"among its weights is {str(name)!r}, a {type(tensor).__name__}: no state dict")
        name = name.removeprefix("beats.")
        named["predictor." + name.removeprefix("fc.") if name.startswith("fc.") else name] = tensor
    if len(named) < len(weights):
        raise CheckpointError("it names some weights twice, with and without a prefix")
    return named


def _config(cfg: Mapping[str, Any] | None, weights: Mapping[str, Tensor], labels: Any) -> BEATsConfig:
    """The config that `cfg` says, held against the tensors' shapes; of shapes and the published models without one."""
    sizes = _sizes(weights)
    if cfg is None:
        warnings.warn(
            "this checkpoint has no cfg: taking "
            + ", ".join(f"{name}={value}" for name, value in PUBLISHED.items())
            + ", as the published BEATs models have it, and the rest from the tensors' shapes",
            UserWarning,
            stacklevel=4,
        )
        cfg = PUBLISHED | sizes
    if sizes["finetuned_model"] and not cfg.get("finetuned_model"):
        # A linear head that was trained on a frozen encoder, whose cfg stayed as it was.
        cfg = {**cfg, "finetuned_model": True, "predictor_class": sizes["predictor_class"]}
    try:
        config = BEATsConfig(dict(cfg))
        odd = [
            f"{name} is {config.cfg[name]!r} there and {size!r} here"
            for name, size in sizes.items()
            if config.cfg[name] != size
        ]
        if odd:
            raise CheckpointError(f"its cfg and its weights are two models': {'; '.join(odd)}")
        return BEATsConfig(config.cfg, _labels(labels, config.num_labels))
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the tensors' shapes tell of `cfg`. Raises CheckpointError if they are no BEATs's."""
    block = "encoder.layers.0."
    weight_norm = "encoder.pos_conv.0.parametrizations.weight.original1"
    conv = weight_norm if weight_norm in weights else "encoder.pos_conv.0.weight_v"
    _refuse_others(
        weights, {"patch_embedding.weight": 4, conv: 3, f"{block}fc1.weight": 2, f"{block}self_attn.q_proj.weight": 2}
    )
    embedded, _, patch, _ = weights["patch_embedding.weight"].shape
    width, grouped, positions = weights[conv].shape
    sizes: dict[str, Any] = {
        "input_patch_size": patch,
        "embed_dim": embedded,
        "conv_bias": "patch_embedding.bias" in weights,
        "encoder_layers": len({name.split(".")[2] for name in weights if name.startswith("encoder.layers.")}),
        "encoder_embed_dim": width,
        "encoder_ffn_embed_dim": len(weights[f"{block}fc1.weight"]),
        "conv_pos": positions,
        "conv_pos_groups": width // max(grouped, 1),
        "gru_rel_pos": f"{block}self_attn.grep_a" in weights,
        "relative_position_embedding": f"{block}self_attn.relative_attention_bias.weight" in weights,
        "finetuned_model": "predictor.weight" in weights,
    }
    if sizes["relative_position_embedding"]:
        table = weights[f"{block}self_attn.relative_attention_bias.weight"]
        if table.ndim != 2:
            raise CheckpointError(f"its table of position biases has {table.ndim} axes, not 2")
        sizes["num_buckets"], sizes["encoder_attention_heads"] = table.shape
    if sizes["finetuned_model"]:
        sizes["predictor_class"] = len(weights["predictor.weight"])
    return sizes


def _refuse_others(weights: Mapping[str, Tensor], needed: Mapping[str, int]) -> None:
    """Raise CheckpointError for weights of something else; `needed`: names that an encoder has, with how many axes."""
    if any(name.startswith(("quantize.", "embeds.")) for name in weights):
        raise CheckpointError("it is one of BEATs's tokenizers; give the encoder's checkpoint")
    for name, axes in needed.items():
        if name not in weights or weights[name].ndim != axes:
            raise CheckpointError(f"it is no BEATs checkpoint: among its {len(weights)} weights is no {name}")


def _labels(labels: Any, classes: int | None) -> tuple[str, ...] | None:
    """Class names in order, from the published {index: name} or from a list; None where there are none."""
    if not labels or classes is None:
        return None
    if isinstance(labels, Mapping):
        try:
            labels = [labels[index] for index in range(classes)]
        except KeyError as error:
            raise CheckpointError(f"its label_dict lacks class {error} of {classes}") from error
    return tuple(str(label) for label in labels)


def _fill(module: nn.Module, weights: Mapping[str, Tensor], assign: bool = False) -> None:
    try:
        module.load_state_dict(dict(weights), assign=assign)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise CheckpointError(f"its weights do not fit: {' '.join(lines)[:500]}") from error
