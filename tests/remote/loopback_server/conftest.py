"""A tiny AST on a loopback NDIF, as a client holds it and as it is here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from nnsight import TransformersModel
from nnsight.modeling import huggingface
from nnsight.schema.config import CONFIG

from tests.families import ast_config, ast_extractor
from tests.remote.loopback_server.stock_client import WAVE


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random AST."""
    folder = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    transformers.ASTForAudioClassification(ast_config()).save_pretrained(folder)
    ast_extractor().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's NDIF, no display, and the folder's name is its own: no hub is asked."""
    monkeypatch.setattr(CONFIG.API, "APIKEY", None)
    monkeypatch.setattr(CONFIG.APP, "REMOTE_LOGGING", False)
    monkeypatch.setitem(huggingface._ID_CACHE, str(folder), str(folder))


@pytest.fixture(scope="session")
def model(folder: Path) -> TransformersModel:
    """As a client holds it: without weights."""
    return TransformersModel(str(folder), task="audio-classification", feature_extractor=str(folder))


@pytest.fixture(scope="session")
def local(folder: Path) -> torch.Tensor:
    """The logits that the model gives here."""
    inputs = ast_extractor()(WAVE, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        return transformers.ASTForAudioClassification.from_pretrained(folder).eval()(**inputs).logits
