"""A dissection of the embedded model with words, labels and verdicts."""

from __future__ import annotations

import pytest
import soundfile

from and_nnsight import Dissection, dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain import explain, label, score
from tests.explain.small_dissection import with_summaries

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


HOSTILE = '<img src=x onerror="alert(1)"> | [bold](http://x.test) `a` *b* ${{c}}: - "d"'


@pytest.fixture(scope="package")
def in_a_folder(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    """A dissection of sounds in files, one of which has a hostile label, with explanations."""
    out = tmp_path_factory.mktemp("folder")
    (out / "sounds").mkdir()
    lines = ["file_name,label"]
    for number, sound in enumerate(make_sounds(per_class=1)):
        soundfile.write(out / "sounds" / f"{number:02}.wav", sound.waveform, sound.sampling_rate)
        quoted = (HOSTILE if number == 0 else sound.label).replace('"', '""')
        lines.append(f'{number:02}.wav,"{quoted}"')
    (out / "sounds" / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    made = dissect(str(tiny_ast_path()), str(out / "sounds"), SITES, k=4, out=out / "run", device="cpu", progress=False)
    said = {(SITES[0], 3): ("A bell rings <b>.", "Noise."), (SITES[1], 40): ("A | sweep.", None)}
    return with_summaries(made, said)
