"""A dissection of the embedded model with words, labels and verdicts."""

from __future__ import annotations

import pytest

from and_nnsight import Dissection, dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain import explain, label, score

SITES = ["blocks.0.mlp.hook_post", "blocks.2.hook_mlp_out"]


def dissected_sounds() -> list:
    """What `explained` was dissected over: it has no files that it could be read from again."""
    return list(make_sounds(per_class=3, seed=0))


@pytest.fixture(scope="package")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    out = tmp_path_factory.mktemp("share")
    sounds, others = dissected_sounds(), list(make_sounds(per_class=3, seed=1))
    made = dissect(
        tiny_ast_path(), sounds, SITES, k=4, out=out / "run", keep_activations=True, device="cpu", progress=False
    )
    held_out = dissect(
        tiny_ast_path(), others, SITES, k=4, out=out / "held", keep_activations=True, device="cpu", progress=False
    )
    explain(made, units=range(12), progress=False)
    label(made, "labels", method="db", units=range(8), progress=False)
    score(made, held_out, data=sounds, held_out_data=others, progress=False)
    return made
