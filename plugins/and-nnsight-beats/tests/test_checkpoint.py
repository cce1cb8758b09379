"""Checkpoints are read safely in every form; what is no BEATs checkpoint is refused with a reason."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from beats_for_tests import TINY, noise, published_weights, write_checkpoint
from torch import Tensor

from and_nnsight_beats import BEATs, CheckpointError, FilterBank, load, save

BIASES = "encoder.layers.0.self_attn.relative_attention_bias.weight"


def heard(module: BEATs) -> Any:
    with torch.no_grad():
        return module(**FilterBank()(noise(1.0)))


def logits(module: BEATs) -> Tensor:
    return heard(module).logits


def test_what_a_checkpoint_says_of_itself(frozen: Path, finetuned: Path) -> None:
    config = load(finetuned).config
    assert config.num_labels == 5
    assert config.id2label == {index: f"/m/0{index}" for index in range(5)}
    assert (config.hidden_size, config.intermediate_size, config.num_hidden_layers) == (32, 64, 3)
    assert load(frozen).config.num_labels is None
    assert not load(frozen).training


@pytest.mark.parametrize("checkpoint", ["frozen", "finetuned"], indirect=True)
def test_a_folder_with_safetensors_holds_the_same(checkpoint: Path, tmp_path: Path) -> None:
    module = load(checkpoint)
    save(module, tmp_path / "folder")
    assert sorted(file.name for file in (tmp_path / "folder").iterdir()) == ["config.json", "model.safetensors"]
    again = load(tmp_path / "folder")
    assert again.config == module.config
    assert torch.equal(heard(again).last_hidden_state, heard(module).last_hidden_state)


def test_the_papers_own_checkpoints(tmp_path: Path) -> None:
    """`beats.*` and `fc.*` in one state dict: the cfg stands in a pickle elsewhere, which is not needed."""
    path = write_checkpoint(tmp_path / "published.pt", classes=4)
    weights = torch.load(path, weights_only=True)["model"]
    theirs = OrderedDict(
        (f"fc.{name.removeprefix('predictor.')}" if name.startswith("predictor.") else f"beats.{name}", tensor)
        for name, tensor in weights.items()
    )
    torch.save(theirs, tmp_path / "and.pt")
    with pytest.warns(UserWarning, match="has no cfg: taking .*deep_norm=True.*max_distance=800"):
        module = load(tmp_path / "and.pt")
    assert torch.equal(logits(module), logits(load(path)))
    assert module.config.num_labels == 4


def test_a_linear_head_beside_a_frozen_encoder(tmp_path: Path) -> None:
    """A cfg that knows nothing of the head that stands in the weights."""
    path = write_checkpoint(tmp_path / "published.pt", classes=4)
    content = torch.load(path, weights_only=True)
    content["cfg"]["finetuned_model"] = False
    content["cfg"]["predictor_class"] = 527
    torch.save(content, tmp_path / "linear.pt")
    assert torch.equal(logits(load(tmp_path / "linear.pt")), logits(load(path)))


class Touch:
    """Unpickling this would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    torch.save({"cfg": {}, "model": {}, "payload": Touch(tmp_path / "touched")}, tmp_path / "beats.pt")
    with pytest.raises(CheckpointError, match="holds Python objects besides tensors.*not opened"):
        load(tmp_path / "beats.pt")
    assert not (tmp_path / "touched").exists()


def broken(tmp_path: Path, **changes: Any) -> Path:
    content = torch.load(write_checkpoint(tmp_path / "beats.pt", classes=5), weights_only=True)
    for name, change in changes.items():
        content[name] = change(content[name])
    torch.save(content, tmp_path / "broken.pt")
    return tmp_path / "broken.pt"


def without(*names: str) -> Any:
    return lambda old: {name: value for name, value in old.items() if name not in names}


def also(**new: Any) -> Any:
    return lambda old: {**old, **new}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": without("patch_embedding.weight")}, "no BEATs checkpoint: .* no patch_embedding.weight"),
        ({"model": lambda old: {}}, "no BEATs checkpoint: among its 0 weights"),
        ({"model": without("encoder.layers.1.fc2.bias")}, "do not fit: Missing key.*encoder.layers.1.fc2.bias"),
        ({"model": also(extra=torch.zeros(1))}, "do not fit: Unexpected key.*extra"),
        ({"model": without("predictor.weight", "predictor.bias")}, "finetuned_model is True there and False here"),
        ({"model": also(**{"encoder.layers.2.fc1.bias": torch.zeros(3)})}, r"do not fit: size mismatch for .*fc1.bias"),
        ({"model": also(**{BIASES: torch.zeros(3)})}, "table of position biases has 1 axes, not 2"),
        ({"model": also(**{"quantize.codebook": torch.zeros(3)})}, "one of BEATs's tokenizers"),
        ({"model": also(**{"patch_embedding.weight": "none"})}, "'patch_embedding.weight', a str: no state dict"),
        ({"model": lambda old: list(old)}, "this is another"),
        ({"model": lambda old: old | {"fc.weight": old["predictor.weight"]}}, "names some weights twice"),
        ({"cfg": lambda old: None}, "this is another"),
        ({"cfg": also(encoder_layers=12)}, "two models': encoder_layers is 12 there and 3 here"),
        ({"cfg": also(encoder_layers=10**9)}, "two models'"),
        ({"cfg": also(encoder_embed_dim="32")}, "'encoder_embed_dim'.* is '32', not a whole number"),
        ({"cfg": also(encoder_attention_heads=5)}, "5 heads for a width of 32"),
        ({"cfg": also(activation_fn="glu")}, "activation_fn.* is 'glu': one of gelu"),
        ({"cfg": also(deep_norm=False, layer_norm_first=True)}, "layer_norm_first.* not supported"),
        ({"label_dict": without(3)}, "label_dict lacks class 3 of 5"),
    ],
)
def test_a_broken_checkpoint_says_what_is_wrong(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"broken\.pt: (?s:.)*{message}"):
        load(broken(tmp_path, **changes))


def test_files_of_other_kinds(tmp_path: Path, finetuned: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file or folder .*not downloaded"):
        load(tmp_path / "nothing.pt")
    for name, content in {"empty": b"", "text": b"not a checkpoint", "cut": finetuned.read_bytes()[:5000]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{name}: it is not a file that torch.save wrote, or a damaged one"):
            load(tmp_path / name)
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(CheckpointError, match="holds a Tensor, not a checkpoint"):
        load(tmp_path / "tensor.pt")
    torch.save({"epoch": 3}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="'epoch', a int: no state dict"):
        load(tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"no config.json and model.safetensors can be read there"):
        load(tmp_path)


def test_damaged_folders(tmp_path: Path, finetuned: Path) -> None:
    folder = tmp_path / "folder"
    save(load(finetuned), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "wav2vec2"}))
    with pytest.raises(CheckpointError, match=r"config.json is another model's"):
        load(folder)
    (folder / "config.json").write_text(json.dumps({**config, "labels": ["one"]}))
    with pytest.raises(CheckpointError, match="1 labels for 5 classes"):
        load(folder)
    (folder / "config.json").write_text(json.dumps(config))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="can be read there"):
        load(folder)


@pytest.mark.parametrize("seed", range(8))
def test_a_file_with_flipped_bytes_loads_or_is_refused(seed: int, finetuned: Path, tmp_path: Path) -> None:
    """Never another error than ours."""
    content = bytearray(finetuned.read_bytes())
    for place in np.random.default_rng(seed).integers(0, len(content), 40):
        content[place] ^= 0xFF
    (tmp_path / "flipped.pt").write_bytes(content)
    try:
        load(tmp_path / "flipped.pt")
    except CheckpointError as error:
        assert "flipped.pt" in str(error)


def test_numbers_that_were_damaged_on_their_way_are_not_taken(finetuned: Path, tmp_path: Path) -> None:
    table = torch.load(finetuned, weights_only=True)["model"]["encoder.layers.1.fc1.weight"]
    content = bytearray(finetuned.read_bytes())
    content[content.index(table.numpy().tobytes()) + 100] ^= 0xFF
    (tmp_path / "flipped.pt").write_bytes(content)
    torch.load(tmp_path / "flipped.pt", weights_only=True)  # which sees nothing
    with pytest.raises(CheckpointError, match=r"flipped\.pt: it is damaged: .*/data/\d+ in it has another checksum"):
        load(tmp_path / "flipped.pt")


def test_files_of_an_old_torch_are_read(finetuned: Path, tmp_path: Path) -> None:
    torch.save(torch.load(finetuned, weights_only=True), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(logits(load(tmp_path / "old.pt")), logits(load(finetuned)))


def test_published_weights_bear_the_published_names() -> None:
    names = set(published_weights(TINY))
    assert {"encoder.pos_conv.0.weight_g", "encoder.pos_conv.0.weight_v", "patch_embedding.weight"} <= names
    assert "encoder.layers.2.self_attn.relative_attention_bias.weight" in names
