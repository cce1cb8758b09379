"""`explain`, `caption`, `plugins`, and the card that `show` prints: what they say, and errors in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import soundfile

from and_nnsight import dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain import read_table
from tests.cli.commands import run_command as run
from tests.sounds_for_tests import RATE, noise

SITE = "blocks.3.mlp.hook_post"


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "tiny"
    dissect(str(tiny_ast_path()), list(make_sounds(3)), SITE, 6, out=out, progress=False)
    return out


@pytest.mark.slow
def test_explain_says_what_it_wrote_and_show_prints_the_card(dissected: Path) -> None:
    code, out, _ = run("explain", dissected, "--units", "0:20,30", "--quiet")
    assert code == 0
    for step in ("captions", "summaries", "calibrated", "concepts"):
        assert re.search(rf"^{step}: [\d,]+ rows", out, re.MULTILINE)
        assert (dissected / "explanations" / f"{step}.parquet").exists()
    code, out, _ = run("label", dissected, "--method", "labels", "--concepts", "labels", "--quiet")
    assert code == 0
    from and_nnsight import Dissection

    said = next(row for row in read_table(Dissection.load(dissected), "calibrated") if row.calibrated)
    code, out, _ = run("show", dissected, SITE, said.unit)
    assert code == 0
    assert "In words" in out
    assert said.kept[0] in out
    assert "Label by labels, cos_cubed" in out


def test_a_card_without_explanations_has_only_clips(dissected: Path, tmp_path: Path) -> None:
    import shutil

    plain = shutil.copytree(dissected, tmp_path / "plain", ignore=shutil.ignore_patterns("explanations"))
    code, out, _ = run("show", plain, SITE, 0)
    assert code == 0
    assert "Responds most to" in out
    assert "In words" not in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--units", "5-7"], "units are indices such as 5, 0:100 or 3,7,20:30, not '5-7'"),
        (["--units", "4:4"], "names no unit"),
        (["--units", "999"], "has units 0 to 255"),
        (["--sites", "blocks.9.*"], "no dissected site matches 'blocks.9.*'"),
        (["--step", "summary"], "unknown step 'summary'"),
        (["--summarizer", "keyword"], "unknown summarizer 'keyword': installed are keywords, llm"),
        (["--summarizer", "llm"], "summarizer 'llm' needs a chat"),
        (["--captioner", "column:words"], "words"),
        (["--captioner", "acoustic"], "data"),
    ],
)
def test_errors_of_use_are_one_sentence(dissected: Path, options: list[str], said: str) -> None:
    code, _, err = run("explain", dissected, "--quiet", *options)
    assert code == 2
    assert err.lstrip().startswith("error: ")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_plugins_lists_every_role_with_what_is_installed(columns: int) -> None:
    code, out, _ = run("plugins", columns=columns)
    assert code == 0
    for role in ("captioner", "summarizer", "chat model", "text encoder", "audio-text encoder", "model"):
        assert re.search(rf"^{role}", out, re.MULTILINE)
    for name in ("acoustic", "column", "keywords", "sentence-transformers", "words", "clap"):
        assert re.search(rf"^  {name} ", out, re.MULTILINE), "names are never cut"


def test_caption_measures_clips_before_they_are_dissected(tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for index in range(3):
        soundfile.write(folder / f"{index}.flac", noise(0.5, seed=index), RATE)
    out = tmp_path / "captions.parquet"
    code, said, _ = run("caption", folder, "--captioner", "acoustic", "--out", out, "--quiet")
    assert code == 0
    assert "captions: 3 rows" in said
    from and_nnsight.storage import read_parquet

    assert all(row["caption"] for row in read_parquet(out).to_pylist())
