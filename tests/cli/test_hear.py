"""`and-nnsight hear`: sound files, numbers and a picture of a unit's map; one sentence where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner, Result

from and_nnsight import Dissection, dissect
from and_nnsight.cli import app
from and_nnsight.demo import SAMPLING_RATE, make_sound, tiny_ast_path

pytestmark = pytest.mark.slow

SITE = "blocks.2.mlp.hook_post"


@pytest.fixture(scope="module")
def dissection(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    folder = tmp_path_factory.mktemp("hear")
    (folder / "sounds").mkdir()
    for label in ("bell", "low noise", "siren"):
        soundfile.write(folder / "sounds" / f"{label}.wav", make_sound(label, 0).waveform, SAMPLING_RATE)
    return dissect(str(tiny_ast_path()), folder / "sounds", sites=SITE, k=2, out=folder / "run", progress=False)


def run(dissection: Dissection, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["hear", str(dissection.folder), *map(str, arguments)])


def test_it_writes_sounds_a_picture_and_numbers(dissection: Dissection, tmp_path: Path) -> None:
    result = run(dissection, "--unit", f"{SITE}:227", "--out", tmp_path / "heard", "--masks", 3)
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "heard").iterdir())
    assert names == ["kept.flac", "map.json", "map.png", "original.flac", "removed.flac"]
    numbers = json.loads((tmp_path / "heard" / "map.json").read_text())
    exemplar = dissection.unit(SITE, 227).top[0]
    assert numbers["frame"] == exemplar.frame
    assert numbers["original"] == pytest.approx(exemplar.activation, abs=1e-4)
    assert "of the spectrogram kept" in result.output


def test_another_clip_is_heard_where_the_unit_is_highest_on_it(dissection: Dissection, tmp_path: Path) -> None:
    (clip,) = {0, 1, 2} - {exemplar.clip for exemplar in dissection.unit(SITE, 227).top}
    result = run(dissection, "--unit", f"{SITE}:227", "--clip", clip, "--out", tmp_path, "--masks", 1)
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "map.json").read_text())
    assert numbers["original"] < dissection.unit(SITE, 227).top[-1].activation
    assert len(numbers["moved"]) == 1


def test_what_is_asked_wrongly_is_an_error_of_use(dissection: Dissection, tmp_path: Path) -> None:
    cases = {
        ("--unit", SITE): "SITE:INDEX",
        ("--unit", f"{SITE}:1,2"): "--unit is one unit",
        ("--unit", f"{SITE}:999"): "units 0 to 255",
        ("--unit", f"{SITE}:227", "--clip", "77"): "clip 77",
        ("--unit", f"{SITE}:227", "--model", "nowhere/at-all"): "nowhere/at-all",
    }
    for arguments, words in cases.items():
        result = run(dissection, *arguments, "--out", tmp_path)
        assert isinstance(result.exception, ValueError), (arguments, result.output)
        assert words in str(result.exception)
