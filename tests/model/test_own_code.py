"""Modules and extractors of somebody's own are known by what they do; adapters by which of them are on."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from and_nnsight import AudioModel, DissectionError, dissect
from and_nnsight.model.fingerprint import changes, extractor_hash, structure_hash
from tests.families import FAMILIES, ast_extractor
from tests.model.test_peft import KINDS, adapted
from tests.run.runs import StopsAfter
from tests.sounds_for_tests import noise

SOURCE = """
import functools
import torch
from torch import nn

GAIN = 1.0
NAMES = ("a", "b")

def helper(value, times=2):
    return value * times * GAIN

def decorated(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments) + 0
    return inner

class Part:
    @staticmethod
    def shift(value):
        return value + 1

class Base(nn.Module):
    offset = 0.5
    def _scaled(self, value):
        return helper(value)

class Encoder(Base):
    order = [1, 2]
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self._private = 3
        self._act = torch.relu

    @property
    def factor(self):
        return 4

    @functools.lru_cache
    def cached(self):
        return 5

    @decorated
    def twice(self, value):
        return value * 6

    def forward(self, value, mode="x"):
        if mode in {"x", "y", "z", "w"}:
            value = Part.shift(self._scaled(value))
        return self._act(self.twice(self.linear(value)) * self.factor + self.cached() + self.offset)
"""


def encoder(source: str = SOURCE) -> nn.Module:
    module = types.ModuleType("somebodys_model")
    exec(source, module.__dict__)
    torch.manual_seed(0)
    return module.Encoder()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("value * times * GAIN", "value * times / GAIN"),
        ("GAIN = 1.0", "GAIN = 2.0"),
        ("times=2", "times=3"),
        ("value + 1", "value + 2"),
        ("offset = 0.5", "offset = 0.6"),
        ("order = [1, 2]", "order = [2, 1]"),
        ("return helper(value)", "return helper(value, 3)"),
        ("self._private = 3", "self._private = 4"),
        ("self._act = torch.relu", "self._act = torch.tanh"),
        ("return 4", "return 40"),
        ("return 5", "return 50"),
        ("value * 6", "value * 60"),
        ("function(*arguments) + 0", "function(*arguments) + 1"),
        ('"z"', '"v"'),
        ('mode="x"', 'mode="q"'),
        (" + self.cached()", " - self.cached()"),
    ],
)
def test_code_of_ones_own_is_known_by_what_it_does(before: str, after: str) -> None:
    assert before in SOURCE
    assert (
        structure_hash(encoder()) == structure_hash(encoder()) != structure_hash(encoder(SOURCE.replace(before, after)))
    )


def test_what_code_does_not_do_does_not_count() -> None:
    elsewhere = SOURCE.replace("GAIN = 1.0", "# A comment.\n\n\nGAIN = 1.0\nUNUSED = 7")
    assert structure_hash(encoder()) == structure_hash(encoder(elsewhere))


@pytest.mark.slow
def test_code_is_known_again_in_another_process() -> None:
    """Where sets of words come in another order."""
    order = list(set(map(str, range(50))))
    script = f"""
import types
from and_nnsight.model.fingerprint import structure_hash
import torch
module = types.ModuleType("somebodys_model")
exec({SOURCE!r}, module.__dict__)
torch.manual_seed(0)
print(structure_hash(module.Encoder()), list(set(map(str, range(50)))) != {order!r})
"""
    there = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.split() == [structure_hash(encoder()), "True"]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "norms"])
def test_an_adapter_that_is_off_is_another_model(kind: str) -> None:
    on, off = (adapted("wav2vec2-post", KINDS[kind]()) for _ in range(2))
    assert structure_hash(on) == structure_hash(off)
    off.base_model.disable_adapter_layers()
    assert structure_hash(on) != structure_hash(off)
    off.base_model.enable_adapter_layers()
    assert structure_hash(on) == structure_hash(off)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_which_of_several_adapters_are_on_is_the_model(tmp_path: Path) -> None:
    module = adapted("wav2vec2-post", KINDS["lora"]())
    module.add_adapter("second", KINDS["lora"]())
    hashes = []
    for on in ("default", "second", ["default", "second"]):
        module.base_model.set_adapter(on)
        hashes.append(structure_hash(module))
    assert len(set(hashes)) == 3
    module.base_model.set_adapter("default")
    model = AudioModel(module, feature_extractor=FAMILIES["wav2vec2-post"].extractor())
    run = {"sites": "blocks.0.mlp.hook_post", "k": 1, "out": tmp_path / "run", "progress": False}
    first = dissect(model, [noise(0.5)], **run)
    module.base_model.set_adapter("second")
    with pytest.raises(DissectionError, match="another model structure: its modules, their code, settings, adapters"):
        dissect(model, [noise(0.5)], **run)
    module.base_model.set_adapter("default")
    assert dissect(model, [noise(0.5)], **run).clips == first.clips


def test_an_extractor_of_ones_own_is_known_by_what_it_does() -> None:
    def made(gain: float) -> Any:
        class Extractor(type(ast_extractor())):
            by = gain

            def normalize(self, values: Any) -> Any:
                return super().normalize(values) * self.by

        return Extractor(num_mel_bins=64, max_length=208)

    assert extractor_hash(made(1.0)) == extractor_hash(made(1.0)) != extractor_hash(made(2.0))


@pytest.mark.parametrize("name", ["normalize", "_extract_fbank_features", "__call__"])
def test_a_replaced_function_of_an_extractors_class_is_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, extractor = FAMILIES["ast"].build(), ast_extractor()
    assert changes(module, extractor) == 0
    monkeypatch.setattr(type(extractor), name, lambda self, values, **options: values)
    assert changes(module, extractor) == 1


def test_a_replaced_function_that_an_extractors_source_imports_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.whisper import feature_extraction_whisper as source

    module, extractor = FAMILIES["whisper"].build(), FAMILIES["whisper"].extractor()
    assert changes(module, extractor) == 0
    monkeypatch.setattr(source, "mel_filter_bank", lambda **options: np.ones((2, 2)))
    assert changes(module, extractor) == 1
    assert AudioModel(module, feature_extractor=extractor).describe()["edits"] == 1


def _eager(model: AudioModel) -> None:
    model.wrapped.set_attn_implementation("eager")


def _short_products(model: AudioModel) -> None:
    torch.set_float32_matmul_precision("medium")


@pytest.mark.parametrize(
    ("change", "now"),
    [(_eager, "eager attention"), (_short_products, "sdpa attention, products in bf16")],
    ids=["attention", "products"],
)
def test_a_run_goes_on_with_the_arithmetic_that_it_was_begun_with_and_a_whole_one_is_returned(
    change: Callable[[AudioModel], None], now: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AudioModel(FAMILIES["ast"].build(), feature_extractor=ast_extractor())
    data = [noise(0.5, seed) for seed in range(4)]
    run = {"sites": "blocks.0.mlp.hook_post", "k": 1, "batch_size": 2, "resume": "trust", "progress": False}
    whole = dissect(model, data, out=tmp_path / "whole", **run)
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        dissect(model, iter(StopsAfter(data, 2, KeyboardInterrupt)), out=tmp_path / "begun", **run)
    precision = torch.get_float32_matmul_precision()
    try:
        change(model)
        with pytest.raises(DissectionError, match=f"model arithmetic is sdpa attention there, {now} here"):
            dissect(model, iter(data), out=tmp_path / "begun", **run)
        again = dissect(model, data, out=tmp_path / "whole", **run)
    finally:
        torch.set_float32_matmul_precision(precision)
    assert again.manifest == whole.manifest
