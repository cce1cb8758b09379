"""delphi's own loader, explainer and scorer run on an export, and its explanations come back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from and_nnsight import Dissection
from and_nnsight.explain import card
from and_nnsight.share.delphi import ClipTokenizer, export_delphi, import_explanations
from tests.share.conftest import SITES

PACKAGES = os.environ.get("AND_NNSIGHT_DELPHI", "")
SCRIPT = Path(__file__).with_name("delphi_run.py")


@pytest.mark.slow
@pytest.mark.skipif(not PACKAGES, reason="delphi is not here: CONTRIBUTING.md says how to have it (AND_NNSIGHT_DELPHI)")
def test_delphi_reads_explains_and_scores_and_we_read_what_it_says(explained: Dissection, tmp_path: Path) -> None:
    dissection = Dissection.load(shutil.copytree(explained.folder, tmp_path / "dissection"))
    run, site, share = tmp_path / "run", SITES[0], 0.15
    export_delphi(dissection, run, share=share)
    words = [sys.executable, str(SCRIPT), PACKAGES, str(run), site]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    assert (told["buffers"], told["modules"]) == (2, sorted(SITES))
    clips, activations = ClipTokenizer(run).clips, dissection.activations(site)
    assert activations is not None and len(told["latents"]) >= 10
    texts = {clip: " ".join((dissection.clips[clip].caption or "").split()) for clip in clips}
    rows = {clip: row for row, clip in enumerate(dissection.clips)}
    for name, record in told["latents"].items():
        unit = int(name.removeprefix(f"{site}_latent"))
        ranked = sorted(clips, key=lambda clip: -float(activations[rows[clip], unit]))
        firing = ranked[: len(record["examples"])]
        assert len(firing) <= share * len(clips)
        assert record["frequency"] == pytest.approx(len(firing) / len(clips))
        assert [decoded for decoded, _ in record["examples"]] == [[texts[clip]] for clip in firing]
        excess = [value for _, (value,) in record["examples"]]
        values = [float(activations[rows[clip], unit]) for clip in firing]
        assert [first - last for first, last in pairwise(excess)] == pytest.approx(
            [first - last for first, last in pairwise(values)], abs=1e-5
        )
        silent = {texts[clip] for clip in ranked[len(firing) :]}
        assert record["not_active"] and all(text in silent for (text,) in record["not_active"])
        assert {activating for _, activating, _ in record["judged"]} == {True, False}
        for (text,), _, prediction in record["judged"]:
            assert prediction == (record["explanation"] in text.lower()), "its scorer saw the caption"
    imported = import_explanations(dissection, run / "explained")
    assert (imported.units, imported.failed) == (len(told["latents"]), 0)
    for name, record in told["latents"].items():
        unit = int(name.removeprefix(f"{site}_latent"))
        assert card(dissection, site, unit).calibrated == record["explanation"]
