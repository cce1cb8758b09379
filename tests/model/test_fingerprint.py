"""What a run recognises of a model: whatever changes its values is another model, or one that cannot be recognised."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from and_nnsight import AudioModel, DissectionError, dissect
from and_nnsight.model.fingerprint import changes, extractor_hash, structure_hash
from tests.families import FAMILIES, ast_extractor
from tests.sounds_for_tests import noise

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*forward. was replaced after nnsight wrapped:UserWarning"),
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning"),
]


def made(name: str = "ast") -> AudioModel:
    family = FAMILIES[name]
    return AudioModel(family.build(), feature_extractor=family.extractor())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_is_the_same_before_and_after_a_run_and_however_it_was_opened(name: str, tmp_path: Path) -> None:
    model = made(name)
    before = model.describe()
    clips = [noise(1.0), noise(1.5, seed=1)]
    dissect(model, clips, "blocks.0.hook_resid_post", 1, out=tmp_path / "run", progress=False)
    assert model.describe() == before
    assert before["edits"] == 0
    assert structure_hash(FAMILIES[name].build()) == before["structure"]


def test_a_saved_model_is_the_one_that_was_saved(tmp_path: Path) -> None:
    module = FAMILIES["ast"].build()
    module.save_pretrained(tmp_path)
    ast_extractor().save_pretrained(tmp_path)
    loaded = AudioModel(str(tmp_path), dispatch=True).describe()
    ours = AudioModel(module, feature_extractor=ast_extractor()).describe()
    assert {name: loaded[name] for name in ("structure", "weights", "edits")} == {
        name: ours[name] for name in ("structure", "weights", "edits")
    }


def _layer(module: nn.Module) -> Any:
    return module.audio_spectrogram_transformer.layers[0]


def _activation(module: nn.Module) -> None:
    mlp = _layer(module).mlp
    name = next(name for name, child in mlp.named_modules() if "GELU" in type(child).__name__)
    setattr(mlp, name, nn.ReLU())


def _function(module: nn.Module) -> None:
    _layer(module).mlp.extra = torch.tanh


def _nameless(module: nn.Module) -> None:
    _layer(module).mlp.extra = lambda values: values * 2


def _scale(module: nn.Module) -> None:
    _layer(module).attention.scaling = 0.25


def _buffer(module: nn.Module) -> None:
    _layer(module).register_buffer("offset", torch.ones(2), persistent=False)


def _config(module: nn.Module) -> None:
    module.config.hidden_dropout_prob = 0.7


@pytest.mark.parametrize("change", [_activation, _function, _nameless, _scale, _buffer, _config])
def test_what_weights_do_not_show_is_another_model(change: Callable[[nn.Module], None], tmp_path: Path) -> None:
    dissect(made(), [noise(0.5)], k=1, out=tmp_path / "run", progress=False)
    module = FAMILIES["ast"].build()
    change(module)
    with pytest.raises(DissectionError, match="another model (structure|config)"):
        changed = AudioModel(module, feature_extractor=ast_extractor())
        dissect(changed, [noise(0.5)], k=1, out=tmp_path / "run", progress=False)


def test_values_of_a_buffer_that_is_not_saved_and_code_without_a_name_count() -> None:
    hashes = set()
    for change in (0.0, 1.0):
        module = FAMILIES["ast"].build()
        _layer(module).register_buffer("offset", torch.full((2,), change), persistent=False)
        hashes.add(structure_hash(module))
    for function in (lambda values: values * 2, lambda values: values * 3):
        module = FAMILIES["ast"].build()
        _layer(module).mlp.extra = function
        hashes.add(structure_hash(module))
    assert len(hashes) == 4


class _Scaled:
    def __init__(self, by: float) -> None:
        self.by = by

    def __call__(self, values: Any) -> Any:
        return values * self.by


def _scaling(by: float) -> Callable[[Any], Any]:
    def scaled(values: Any) -> Any:
        return values * by

    return scaled


@pytest.mark.parametrize(
    "pair",
    [
        (functools.partial(F.gelu, approximate="tanh"), functools.partial(F.gelu, approximate="none")),
        (_scaling(1.0), _scaling(2.0)),
        (_Scaled(1.0), _Scaled(2.0)),
        (_Scaled(1.0).__call__, _Scaled(2.0).__call__),
        (torch.ones(2), torch.zeros(2)),
        (np.ones(2), np.zeros(2)),
        ({"scale": 1.0}, {"scale": 2.0}),
        ({1, 2}, {1, 3}),
        (torch.float32, torch.float16),
        ([F.gelu], [F.relu]),
    ],
    ids=["partial", "closure", "object", "method", "tensor", "array", "dict", "set", "dtype", "list"],
)
def test_what_an_attribute_carries_along_counts(pair: tuple[Any, Any]) -> None:
    hashes = []
    for value in (*pair, pair[0]):
        module = FAMILIES["ast"].build()
        _layer(module).mlp.extra = value
        hashes.append(structure_hash(module))
    assert hashes[0] == hashes[2] != hashes[1]


def test_the_arrays_and_the_class_of_an_extractor_count() -> None:
    class Other(type(ast_extractor())):
        pass

    changed = ast_extractor()
    changed.mel_filters = np.ones(3)
    hashes = {extractor_hash(each) for each in (ast_extractor(), ast_extractor(), changed, Other())}
    assert len(hashes) == 3


def _silenced(module: nn.Module, inputs: Any, output: Any) -> Any:
    return output * 0


class _Silencer:
    def __call__(self, module: nn.Module, *values: Any) -> Any:
        return None


def _forward(self: nn.Module, values: torch.Tensor) -> torch.Tensor:
    return values


HAND_MADE: list[Callable[[Any], Any]] = [
    lambda layer: layer.register_forward_hook(_silenced),
    lambda layer: layer.register_forward_hook(_Silencer()),
    lambda layer: layer.register_forward_hook(functools.partial(_silenced)),
    lambda layer: layer.register_forward_pre_hook(lambda module, inputs: None),
    lambda layer: setattr(layer.mlp, "forward", lambda values: values),
    lambda layer: setattr(layer.mlp, "forward", MethodType(_forward, layer.mlp)),
    lambda layer: setattr(layer.mlp, "extra_repr", lambda: "mine"),
]


@pytest.mark.parametrize("wrapped_first", [False, True])
@pytest.mark.parametrize("change", HAND_MADE)
def test_hooks_and_replaced_methods_are_counted(change: Callable[[Any], Any], wrapped_first: bool) -> None:
    module = FAMILIES["ast"].build()
    model = AudioModel(module, feature_extractor=ast_extractor()) if wrapped_first else None
    change(_layer(module))
    model = model or AudioModel(module, feature_extractor=ast_extractor())
    assert changes(module) == 1
    assert model.describe()["edits"] == 1


def test_a_forward_that_a_class_was_given_from_outside_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    module = FAMILIES["ast"].build()
    assert changes(module) == 0
    monkeypatch.setattr(type(_layer(module)), "forward", _forward)
    assert changes(module) == 2  # one a layer


def test_a_class_that_was_changed_is_counted_also_behind_nnsights_own_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made()
    before = model.describe()["edits"]
    monkeypatch.setattr(nn.LayerNorm, "forward", _forward)
    assert made().describe()["edits"] > before == 0


def test_hooks_on_all_modules_are_counted() -> None:
    for register in (register_module_forward_hook, register_module_forward_pre_hook):
        handle = register(_Silencer())
        try:
            assert changes(FAMILIES["ast"].build()) == 1
        finally:
            handle.remove()


def test_hooks_that_libraries_put_in_are_not_somebodys() -> None:
    module = FAMILIES["ast"].build()
    nn.utils.spectral_norm(_layer(module).mlp.fc1)
    module.enable_input_require_grads()
    assert changes(module) == 0


def test_a_model_with_a_hook_is_not_continued_unless_the_caller_vouches_for_it(tmp_path: Path) -> None:
    clips, out = [noise(0.5), noise(0.5, seed=1)], tmp_path / "run"
    model = made()
    dissect(model, clips, k=1, out=out, progress=False)
    handle = _layer(model.wrapped).register_forward_hook(_silenced)
    with pytest.raises(DissectionError, match="model edits .*: 0 there, 1 here"):
        dissect(model, clips, k=1, out=out, progress=False)
    hooked = dissect(model, clips, k=1, out=tmp_path / "hooked", progress=False)
    for _ in range(2):
        with pytest.raises(
            DissectionError, match='edits, hooks, replaced forwards or functions, which.*pass resume="trust"'
        ):
            dissect(model, clips, k=1, out=tmp_path / "hooked", progress=False)
        again = dissect(model, clips, k=1, out=tmp_path / "hooked", progress=False, resume="trust")
        assert again.clips == hooked.clips
    handle.remove()
    site = hooked.sites[0]
    assert np.isfinite(hooked[site].mean.numpy()).all()
    assert dissect(model, clips, k=1, out=out, progress=False).clips == hooked.clips
