"""Two dissections with a file for every clip: the explained, and the held-out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from and_nnsight import Dissection
from and_nnsight.dissection.files import activation_file
from tests.explain.audible_dissection import audible
from tests.explain.evaluate.listening.scripted import MANY, said_of
from tests.explain.scored_dissection import OTHER, SITE, UNITS
from tests.explain.small_dissection import with_summaries


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Units that fire by chance, each with a name of its own; the held-out clips are files."""
    folder = tmp_path_factory.mktemp("heard")
    dissection = audible(folder / "explained", seed=1, others=MANY)
    held_out = audible(folder / "held", seed=2, clips=200, others=MANY)
    values = np.array(held_out.activations(OTHER))
    values[values >= np.sort(values, 0)[-20]] += 20  # far above the others: every unit fires on one clip in ten
    np.save(activation_file(held_out.folder, OTHER), values)
    said = {(OTHER, unit): (said_of(unit), None) for unit in range(MANY)}
    with_summaries(dissection, said | {(SITE, UNITS.index("constant")): ("Sound number 900.", None)})
    return folder


@pytest.fixture
def pair(made: Path, tmp_path: Path) -> tuple[Dissection, Dissection]:
    shutil.copytree(made / "explained", tmp_path / "explained")
    return Dissection.load(tmp_path / "explained"), Dissection.load(made / "held")
