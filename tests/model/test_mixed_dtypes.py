"""Models whose weights are of several dtypes: torch's own values where torch runs them, else one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from and_nnsight import AudioModel, ModelError, dissect
from and_nnsight.sites.hooks import site_hooks
from tests.families import FAMILIES
from tests.sounds_for_tests import noise

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
SITES = "blocks.*.hook_resid_post"


def norms_in_float32(module: nn.Module) -> None:
    module.to(torch.bfloat16)
    for child in module.modules():
        if isinstance(child, nn.LayerNorm):
            child.float()


def first_layer_in_bfloat16(module: nn.Module) -> None:
    next(child for child in module.modules() if isinstance(child, nn.Conv2d)).to(torch.bfloat16)


def tokens_in_bfloat16(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if name.endswith(("cls_token", "distillation_token", "position_embeddings", "masked_spec_embed")):
            parameter.data = parameter.data.bfloat16()


def linear_in_bfloat16(module: nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, nn.Linear):
            child.to(torch.bfloat16)


def norms_in_bfloat16(module: nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, nn.LayerNorm):
            child.to(torch.bfloat16)


def half(module: nn.Module) -> None:
    module.half()


def double(module: nn.Module) -> None:
    module.double()


def mixed(name: str, change: Callable[[nn.Module], None]) -> AudioModel:
    module = FAMILIES[name].build()
    change(module)
    return AudioModel(module, feature_extractor=FAMILIES[name].extractor())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ast", norms_in_float32), ("whisper-encoder", norms_in_float32), ("wav2vec2-post", norms_in_float32),
        ("ast", first_layer_in_bfloat16), ("ast", tokens_in_bfloat16), ("wav2vec2-post", tokens_in_bfloat16),
        ("ast", half), ("whisper-encoder", half), ("wav2vec2-post", half), ("wav2vec2-post", double),
    ],
)  # fmt: skip
def test_what_torch_runs_has_torchs_own_values(name: str, change: Callable[[nn.Module], None]) -> None:
    model = mixed(name, change)
    features = model.features(noise(1.0))
    seen: dict[str, Tensor] = {}
    model.run(model.sites(SITES), features, lambda site, value: seen.update({site.name: value.clone()}))
    bare: Any = FAMILIES[name].build()
    change(bare)
    (main, first), *rest = features.items()
    layer = next(child for child in bare.modules() if isinstance(child, nn.Conv1d | nn.Conv2d))
    own: dict[str, Tensor] = {}
    with (
        torch.no_grad(),
        site_hooks(bare, model.sites(SITES), lambda site, value: own.update({site.name: value.clone()})),
    ):
        bare(**{main: first.to(layer.weight.dtype), **dict(rest)})
    assert seen.keys() == own.keys() != set()
    assert all(torch.equal(seen[site], own[site]) and seen[site].dtype == own[site].dtype for site in own)


@pytest.mark.parametrize("change", [linear_in_bfloat16, norms_in_bfloat16])
@pytest.mark.parametrize("name", ["ast", "whisper-encoder", "wav2vec2-post"])
def test_what_torch_does_not_run_is_refused_with_what_to_do(
    name: str, change: Callable[[nn.Module], None], tmp_path: Path
) -> None:
    said = (
        r"the weights of this \w+ are partly in bfloat16 and float32, and its forward does not mix them .*pass dtype="
    )
    with pytest.raises(ModelError, match=said):
        dissect(mixed(name, change), [noise(0.5)], SITES, 1, out=tmp_path / "run", progress=False)
    with pytest.raises(ModelError, match=said):
        model = mixed(name, change)
        model.plain_forward(model.features(noise(0.5)))
    whole = dissect(
        mixed(name, change), [noise(0.5)], SITES, 1, out=tmp_path / "whole", progress=False, dtype="float32"
    )
    assert len(whole.clips) == 1
