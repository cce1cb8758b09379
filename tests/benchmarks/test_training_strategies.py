"""The benchmark of training strategies still runs, and two trainings are told apart from one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.training_strategies import SELF_SUPERVISED, SUPERVISED, masked, run


def test_half_of_the_stretches_are_masked() -> None:
    features = torch.randn(200, 208, 4)
    hidden, mask = masked(features)
    assert 0.45 < float(mask.float().mean()) < 0.55
    assert (hidden[mask] == 0).all() and torch.equal(hidden[~mask], features[~mask])


@pytest.mark.slow
def test_every_model_is_measured_and_every_two(tmp_path: Path) -> None:
    result = run(per_class=1, epochs=1, layers=2, seeds=1, out=tmp_path, fresh=3)
    assert [(row["strategy"], row["seed"]) for row in result["models"]] == [(SUPERVISED, 0), (SELF_SUPERVISED, 0)]
    assert all(len(row["layers"]) == 2 and row["line"] is not None for row in result["models"])
    (pair,) = result["pairs"]
    assert 0 <= pair["matched"] + pair["shared"] + pair["alone"] <= 1 and pair["correlation"] < 1
