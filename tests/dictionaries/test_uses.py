"""Latents where units go after a dissection: in measurements of what they do, in a live page's model, and by ear."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel, dissect, hear
from and_nnsight.demo import SAMPLING_RATE, make_sound, tiny_ast_path
from and_nnsight.look.explore.hearing import Hearer
from and_nnsight.unlearn import UnitChoice, ablate, ablated_outcomes
from tests import dictionaries_for_tests as write

pytestmark = pytest.mark.slow

LATENTS = 300
SITE = "blocks.2.hook_resid_post|sae:sae"
KINDS = ("bell", "low noise", "siren", "engine")


@pytest.fixture(scope="module")
def model() -> AudioModel:
    return AudioModel(str(tiny_ast_path()), dispatch=True)


@pytest.fixture
def clips(model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    monkeypatch.chdir(tmp_path)
    write.sae_lens(Path("sae"), "topk", model.sites("blocks.2.hook_resid_post")[0].width, LATENTS, k=10)
    labels = list(model.wrapped.config.id2label.values())
    sounds = [make_sound(kind, number).waveform for number in range(2) for kind in KINDS]
    return [
        {"audio": sound, "sampling_rate": SAMPLING_RATE, "label": labels[place % len(labels)]}
        for place, sound in enumerate(sounds)
    ]


def test_what_latents_do_is_what_each_clip_alone_says(model: AudioModel, clips: list[dict[str, object]]) -> None:
    rng = np.random.default_rng(0)
    choices = [UnitChoice({SITE: rng.choice(LATENTS, 60, replace=False).tolist()}) for _ in range(3)]
    outcomes = ablated_outcomes(model, clips, choices, batch_size=3, rows=9, progress=False)
    assert (outcomes.ablated.logit != outcomes.baseline.logit).any()
    for number, choice in enumerate(choices):
        changed = ablate(model, choice)
        for place, clip in enumerate(clips):
            with torch.no_grad(), changed.trace(clip["audio"], sampling_rate=SAMPLING_RATE):
                logits = changed.output.logits.save()
            expected = float(logits[0, outcomes.labels[place]])
            assert outcomes.ablated.logit[number, place] == pytest.approx(expected, abs=1e-4)


def test_a_live_page_hears_latents_as_the_dissection_did(
    model: AudioModel, clips: list[dict[str, object]], tmp_path: Path
) -> None:
    dissection = dissect(model, clips, SITE, k=2, out=tmp_path / "run", progress=False)
    hearer = Hearer(model, dissection, 1.0)
    unit = int(dissection[SITE].top.values[0].argmax())
    exemplar = dissection.unit(SITE, unit).top[0]
    sound = np.asarray(clips[exemplar.clip]["audio"])
    answer = next(each for each in hearer.whole(sound, LATENTS) if each.unit == unit)
    assert answer.activation == pytest.approx(exemplar.activation, abs=1e-4)
    other = (unit + 1) % LATENTS
    one, two = hearer.curves(sound, [(SITE, unit), (SITE, other)])
    assert float(one.deviation.max()) == pytest.approx(answer.deviation, rel=1e-4)
    assert (one.unit, two.unit) == (unit, other)
    strongest, followed = hearer.now(sound, 0.5, 3, [(SITE, unit)])
    assert len(followed) == 1
    assert len(strongest) <= 3


def test_a_latent_is_heard(model: AudioModel, clips: list[dict[str, object]], tmp_path: Path) -> None:
    dissection = dissect(model, clips, SITE, k=2, out=tmp_path / "run", progress=False)
    unit = int(dissection[SITE].top.values[0].argmax())
    exemplar = dissection.unit(SITE, unit).top[0]
    sound = clips[exemplar.clip]["audio"]
    heard = hear((SITE, unit), sound, model=model, sampling_rate=SAMPLING_RATE, steps=3, masks=1)
    assert heard.activations.original == pytest.approx(exemplar.activation, rel=1e-3)


MEMORY = """
import sys, torch
from and_nnsight.dictionaries.sae import open_sae
from and_nnsight.statistics.units import UnitStatistics
from tests.peak_memory import peak_bytes

torch.set_num_threads(1)
latents = 131_072
for kind in ("topk", "jumprelu"):
    held = []
    for width, frames, clips in ((1280, 128, 1), (16, 1500, 2)):
        held.append(open_sae(f"{sys.argv[1]}/{kind} {width}"))
        statistics = UnitStatistics({"site": latents}, k=4)
        activations, mask = torch.randn(1, frames, width), torch.ones(1, frames).bool()
        for clip in range(clips):
            statistics.update_parts("site", held[-1].parts(activations), torch.tensor([clip]), mask)
            statistics.finish_batch()
print(peak_bytes())
"""


def write_zeros(folder: Path, kind: str, width: int, latents: int) -> None:
    """A dictionary as SAELens saves it, of zeros that take no place on the disk and no time to make."""
    shapes = {"W_enc": (width, latents), "b_enc": (latents,), "W_dec": (latents, width), "b_dec": (width,)}
    header, end = {}, 0
    for name, shape in (shapes | {"threshold": (latents,)}).items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    folder.mkdir()
    with (folder / "sae_weights.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    settings = {"architecture": kind, "k": 32, "d_in": width, "d_sae": latents, "apply_b_dec_to_input": True}
    (folder / "cfg.json").write_text(json.dumps(settings), encoding="utf-8")


def test_131072_latents_of_whisper_large_stay_within_2_gb(tmp_path: Path) -> None:
    """The weights of its width are held while as many frames as it has go through: only their product is not made."""
    for kind in ("topk", "jumprelu"):
        for width in (1280, 16):
            write_zeros(tmp_path / f"{kind} {width}", kind, width, 131_072)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert int(done.stdout) < 2e9  # Python and torch included
