"""Two dissections with planted units: the explained, and the held-out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from and_nnsight import Dissection
from tests.explain.evaluate.scored import SAID
from tests.explain.scored_dissection import OTHER, SITE, UNITS, written
from tests.explain.small_dissection import with_summaries


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    dissection = written(folder / "found", seed=1)
    written(folder / "held", seed=2, clips=200)
    said = {(SITE, UNITS.index(name)): (text, None) for name, text in SAID.items()}
    with_summaries(dissection, said | {(OTHER, 0): ("Dog barking.", None), (OTHER, 1): ("Church bell.", None)})
    return folder


@pytest.fixture
def pair(made: Path, tmp_path: Path) -> tuple[Dissection, Dissection]:
    shutil.copytree(made, tmp_path / "two")
    return Dissection.load(tmp_path / "two" / "found"), Dissection.load(tmp_path / "two" / "held")
