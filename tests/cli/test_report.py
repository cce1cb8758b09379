"""`and-nnsight report`: a file, how large it is, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from and_nnsight import dissect, keep_exemplars
from and_nnsight.cli import report
from and_nnsight.demo import make_sounds, tiny_ast_path

pytestmark = pytest.mark.slow

SITE = "blocks.3.mlp.hook_post"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    sounds = list(make_sounds(per_class=1))
    dissection = dissect(str(tiny_ast_path()), sounds, [SITE], k=2, out=folder, device="cpu", progress=False)
    keep_exemplars(dissection, [(SITE, 1), (SITE, 2)], data=sounds, progress=False)
    return folder


def call(*arguments: object):
    app = typer.Typer()
    report.register(app)
    app.callback()(lambda: None)
    return CliRunner().invoke(app, ["report", *map(str, arguments), "--quiet"])


def test_it_writes_the_units_that_are_named(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "r.html"
    result = call(folder, "--units", f"{SITE}:1", "--units", f"{SITE}:2:3", "--out", out)
    assert result.exit_code == 0, result.output
    assert "2 units" in result.output and f"open it in a browser: {out}" in result.output.replace("\n", "")
    assert out.read_text(encoding="utf-8").count('<article class="unit"') == 2


def test_it_says_where_it_cannot_be_as_small_as_asked(folder: Path, tmp_path: Path) -> None:
    result = call(folder, "--units", f"{SITE}:1", "--megabytes", 0.01, "--out", tmp_path / "r.html")
    assert "more than --megabytes 0.01" in result.output and "cut to 1 s" in result.output


def test_what_units_hear_is_counted_or_said_why_not(folder: Path, tmp_path: Path) -> None:
    arguments = ("--units", f"{SITE}:1", "--maps", 1, "--out", tmp_path / "r.html")
    result = call(folder, *arguments)
    assert result.exit_code == 0 and "1 unit with what it hears" in result.output, result.output
    result = call(folder, "--units", f"{SITE}:2", "--maps", 1, "--model", "/nowhere/else", "--out", tmp_path / "r.html")
    assert "what units hear could not be made: " in result.output and "/nowhere/else" in result.output


def test_another_file_is_replaced_where_that_is_asked_for(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.html").write_text("mine")
    arguments = (folder, "--units", f"{SITE}:1", "--out", tmp_path / "thesis.html")
    assert "--overwrite" in str(call(*arguments).exception)
    assert call(*arguments, "--overwrite").exit_code == 0


def test_it_says_what_it_lacks(folder: Path, tmp_path: Path) -> None:
    """The clips of these units were not kept, and what was dissected lay in memory."""
    result = call(folder, "--best", 20, "--out", tmp_path / "r.html")
    assert "--data" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--units", "nonsense"], "nonsense"), (["--units", f"{SITE}:1", "--search", "x"], "not both")],
)
def test_errors_of_use(folder: Path, tmp_path: Path, arguments: list[str], complaint: str) -> None:
    result = call(folder, *arguments, "--out", tmp_path / "r.html")
    assert isinstance(result.exception, ValueError) and complaint in str(result.exception)
