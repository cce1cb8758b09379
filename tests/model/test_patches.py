"""Functions of libraries that somebody replaced are counted among a model's edits; the libraries' own doings are not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.audio_spectrogram_transformer import modeling_audio_spectrogram_transformer as source

from and_nnsight import AudioModel, DissectionError, dissect
from and_nnsight.model.fingerprint import changes
from and_nnsight.model.patches import replaced_functions
from tests.families import FAMILIES, ast_extractor
from tests.sounds_for_tests import noise


def own(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **options: function(*arguments, **options)


class Threshold(nn.Module):
    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return torch.relu(value)


@pytest.mark.parametrize(
    ("place", "name", "by"),
    [
        (F, "gelu", own), (F, "gelu", lambda function: F.relu), (torch, "softmax", own), (torch.Tensor, "softmax", own),
        (F, "gelu", lambda function: functools.partial(function, approximate="tanh")),
        (source, "eager_attention_forward", own), (source.ASTEmbeddings, "get_shape", own),
    ],
)  # fmt: skip
def test_replaced_functions_are_seen_and_no_longer_once_they_are_put_back(
    place: Any, name: str, by: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FAMILIES["ast"].build()
    assert replaced_functions(model) == [] and changes(model) == 0
    with monkeypatch.context() as patch:
        patch.setattr(place, name, by(getattr(place, name)))
        (replaced,) = replaced_functions(model)
        assert replaced.endswith(name)
        assert changes(model) > 0
    assert changes(model) == 0


def test_an_attention_of_ones_own_is_seen_by_its_name_in_the_config() -> None:
    from transformers import AttentionInterface

    model: Any = FAMILIES["ast"].build()
    AttentionInterface.register("somebodys", own(source.eager_attention_forward))
    model.config._attn_implementation = "somebodys"
    assert replaced_functions(model) == ["attention 'somebodys'"]


@pytest.mark.slow
def test_what_a_compiled_forward_leaves_in_the_source_is_no_replacement() -> None:
    model = FAMILIES["ast"].build().eval()
    features = dict(ast_extractor()(noise(0.5), sampling_rate=16_000, return_tensors="pt"))
    before = set(vars(source))
    with torch.no_grad():
        torch.compile(model, backend="eager")(**features)
    assert replaced_functions(model) == [], set(vars(source)) - before


def test_names_that_a_source_does_not_use_are_no_replacements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "__compiled_fn_1", lambda: None, raising=False)
    assert replaced_functions(FAMILIES["ast"].build()) == []


def test_modules_of_ones_own_are_no_replacements() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Threshold(), nn.GELU())
    assert replaced_functions(model) == []


def test_a_run_is_not_continued_with_a_replaced_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = AudioModel(FAMILIES["ast"].build(), feature_extractor=ast_extractor())
    run = functools.partial(dissect, model, [noise(1.0)], "blocks.0.hook_resid_post", 1, out=tmp_path, progress=False)
    first = run()
    monkeypatch.setattr(F, "gelu", own(F.gelu))
    with pytest.raises(DissectionError, match="model edits .*: 0 there, 1 here"):
        run()
    monkeypatch.undo()
    assert run().clips == first.clips
