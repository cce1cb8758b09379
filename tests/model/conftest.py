"""A small AST as a checkpoint, and opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from and_nnsight import AudioModel
from tests.families import save_ast


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ast")
    return save_ast(folder)


@pytest.fixture
def model(checkpoint: Path) -> AudioModel:
    return AudioModel(str(checkpoint))
