"""`export --to delphi|neuronpedia` and `import`: what was written, and what is refused, in a sentence each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from and_nnsight import dissect, keep_exemplars
from and_nnsight.demo import make_sounds, tiny_ast_path
from tests.cli.commands import run_command

SITE = "blocks.1.mlp.hook_post"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "run"
    sounds = list(make_sounds(per_class=1))
    made = dissect(
        str(tiny_ast_path()), sounds, [SITE], k=3, out=out, keep_activations=True, device="cpu", progress=False
    )
    keep_exemplars(made, [(SITE, 1), (SITE, 2)], data=sounds, progress=False)
    return out


def test_delphi_and_back(folder: Path, tmp_path: Path) -> None:
    code, out, _ = run_command("export", folder, "--to", "delphi", "--out", tmp_path / "run", "--share", "0.2")
    assert code == 0
    assert "units over 32 clips (captions of the dataset), 0 explanations" in out and str(tmp_path / "run") in out
    assert json.loads((tmp_path / "run" / "contexts.json").read_text())["share"] == 0.2
    code, _, error = run_command("import", folder, tmp_path / "run")
    assert code == 2 and "has no explanation of delphi's" in error and error.count("\n") == 1
    (tmp_path / "run" / "explanations" / f"{SITE}_latent5.txt").write_text('"\\u001b[2JA bell rings."')
    code, out, _ = run_command("import", folder, tmp_path / "run")
    assert code == 0 and out == f"1 explanation of delphi: {folder / 'explanations'}\n"
    code, out, _ = run_command("show", folder, SITE, 5)
    assert "A bell rings." in out and "\x1b" not in out


def test_neuronpedia(folder: Path, tmp_path: Path) -> None:
    words = ("export", folder, "--to", "neuronpedia", "--out", tmp_path / "out", "--units", f"{SITE}:1,2", "--quiet")
    code, out, _ = run_command(*words, "--model-id", "Tiny AST")
    assert code == 0
    assert out == f"2 units of tiny-ast in 1-and-mlp-hook-post, 1 upload batch: {tmp_path / 'out'}\n"
    batch = json.loads((tmp_path / "out" / "upload" / "1-and-mlp-hook-post" / "batch-0.json").read_text())
    assert [feature["index"] for feature in batch["features"]] == [1, 2]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--to", "xlsx"), "unknown format 'xlsx': one of parquet, csv, delphi, neuronpedia, dataset"),
        (("--to", "csv", "--share", "0.2"), "--share is for --to delphi, not for csv"),
        (("--to", "delphi", "--model-id", "x"), "--model-id is for --to neuronpedia, not for delphi"),
        (("--to", "delphi", "--share", "3"), "the share of clips on which a unit fires lies between 0 and 1, not 3.0"),
        (("--to", "neuronpedia", "--units", f"{SITE}:1", "--sites", SITE), "name units (--units) or sites (--sites)"),
        (("--to", "neuronpedia", "--units", f"{SITE}:99999"), "has units 0 to"),
    ],
)
def test_what_makes_no_sense_is_refused(folder: Path, tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    code, _, error = run_command("export", folder, "--out", tmp_path / "out", *words)
    assert code == 2 and sentence in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
