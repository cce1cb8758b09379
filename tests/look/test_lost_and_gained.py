"""Lost and gained units can be heard: a report of either dissection, with the nearest unit of the other on each card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ASTForAudioClassification, AutoFeatureExtractor

from and_nnsight import AudioModel, Dissection, compare
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.look import write_lost_and_gained
from tests.run.runs import quick

SITE = "blocks.2.mlp.hook_post"


def dissected(folder: Path, changed: int) -> tuple[Dissection, AudioModel]:
    """The embedded model, so many units of a block changed, over 96 sounds."""
    model = ASTForAudioClassification.from_pretrained(tiny_ast_path())
    up: Any = model.audio_spectrogram_transformer.layers[2]
    weight = up.mlp.fc1.weight
    with torch.no_grad():
        weight[:changed] = torch.randn(changed, 64, generator=torch.Generator().manual_seed(0)) / 4
    opened = AudioModel(model.eval(), feature_extractor=AutoFeatureExtractor.from_pretrained(tiny_ast_path()))
    return quick(opened, sounds(), folder, sites=SITE, k=8, keep_activations=True), opened


def sounds() -> list[dict[str, object]]:
    return [
        {"array": sound.waveform, "sampling_rate": sound.sampling_rate, "label": sound.label}
        for sound in make_sounds(3, 5)
    ]


@pytest.mark.slow
def test_lost_and_gained_units_are_reports_with_their_nearest(tmp_path: Path) -> None:
    (first, model), (second, changed) = dissected(tmp_path / "first", 0), dissected(tmp_path / "second", 8)
    comparison = compare(first, second, least=0.8)
    lost = comparison.lost()
    assert lost and {row.unit for row in lost} <= set(range(8))
    reports = write_lost_and_gained(
        comparison, first, second, tmp_path / "pages", most=2, models=(model, changed), data=sounds(), progress=False
    )
    assert [report.path.name for report in reports] == ["lost.html", "gained.html"]
    assert reports[0].units == tuple((row.site, row.unit) for row in lost[:2]) and not reports[0].silent
    page = reports[0].path.read_text(encoding="utf-8")
    assert f"Lost: the nearest unit of the second dissection, {SITE} {lost[0].other_unit}" in page
    assert f"of the {len(lost)} units of the first (first) dissection" in page
    same = compare(first, first)
    assert write_lost_and_gained(same, first, first, tmp_path / "none", progress=False) == []
    assert not (tmp_path / "none").exists()
