"""Noise through the verdict: activations that were dealt out anew are a dissection like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from and_nnsight import dissect
from and_nnsight.demo import tiny_ast_path
from benchmarks.verdicts import activations_dealt_out
from tests.sounds_for_tests import noise


def test_every_clip_has_the_activations_of_another(tmp_path: Path) -> None:
    clips = [noise(0.5, seed=seed) for seed in range(6)]
    site = "blocks.1.mlp.hook_post"
    dissection = dissect(
        str(tiny_ast_path()), clips, [site], 2, out=tmp_path / "run", keep_activations=True, progress=False
    )
    before = np.array(dissection.activations(site))
    after = np.array(activations_dealt_out(dissection, np.random.default_rng(0)).activations(site))
    assert not np.array_equal(before, after)
    rows = [{row.tobytes() for row in activations} for activations in (before, after)]
    assert rows[0] == rows[1]
