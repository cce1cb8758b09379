"""`and-nnsight exemplars`: units by name, the room said before, and what was kept said after."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from and_nnsight import Dissection, dissect
from and_nnsight.cli import exemplars
from and_nnsight.cli._units import named_units
from tests.families import FAMILIES, ast_extractor
from tests.run.test_exemplars import wav_folder

WIDTHS = {"blocks.0.mlp.hook_post": 8, "blocks.1.mlp.hook_post": 4, "module:a:b": 3}


@pytest.mark.parametrize(
    ("named", "units"),
    [
        (["blocks.0.mlp.hook_post:3"], [("blocks.0.mlp.hook_post", 3)]),
        (["blocks.1.mlp.hook_post:0,2:4"], [("blocks.1.mlp.hook_post", unit) for unit in (0, 2, 3)]),
        (["blocks.*:1", "blocks.0.mlp.hook_post:1"], [(f"blocks.{block}.mlp.hook_post", 1) for block in (0, 1)]),
        (["module:a:b:0:2"], [("module:a:b", 0), ("module:a:b", 1)]),
        (["0,2"], [(site, unit) for site in WIDTHS for unit in (0, 2)]),
    ],
)
def test_units_are_named_by_site_and_indices(named: list[str], units: list[tuple[str, int]]) -> None:
    assert named_units(WIDTHS, named) == units


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("7", "units 0 to 3, not 7"), ("blocks.0.mlp.hook_post", "it has no index"), ("nowhere:1", "matches no site"),
        ("blocks.1.mlp.hook_post:4", "units 0 to 3, not 4"), ("blocks.0.mlp.hook_post:x", "units are indices such as"),
    ],
)  # fmt: skip
def test_what_names_no_unit_is_refused_in_words(named: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        named_units(WIDTHS, [named])


def test_sounds_are_kept_from_the_command_line(tmp_path: Path) -> None:
    FAMILIES["ast"].build().save_pretrained(tmp_path / "model")
    ast_extractor().save_pretrained(tmp_path / "model")
    folder = wav_folder(tmp_path / "audio")
    dissection = dissect(
        str(tmp_path / "model"), folder, "blocks.1.mlp.hook_post", 2, out=tmp_path / "run", progress=False
    )
    app = typer.Typer()
    exemplars.register(app)
    app.callback()(lambda: None)
    clip = dissection.unit("blocks.1.mlp.hook_post", 3).top[0].clip
    (folder / f"{clip:03}.wav").write_bytes(b"gone")
    command = ["exemplars", str(tmp_path / "run"), "--units", "blocks.1.mlp.hook_post:0:5", "--most", "1"]
    with pytest.warns(UserWarning, match="could not be kept"):
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "will write up to" in done.stderr
    assert f"not kept: {folder / f'{clip:03}.wav'}" in done.stdout
    assert "curves of 5 units" in done.stdout and f": {tmp_path / 'run' / 'exemplars'}" in done.stdout
    assert len(Dissection.load(tmp_path / "run").exemplars().clips) > 1
