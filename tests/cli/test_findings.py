"""`findings`: what it writes and says, and errors in one sentence."""

from __future__ import annotations

import functools
import shutil
import sys
from pathlib import Path

import pytest

from and_nnsight import dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain import explain
from tests.cli.commands import run_command

pytestmark = pytest.mark.slow

OFFLINE = ("units_per_adjective", "adjectives_per_layer", "uninterpretable_units")


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "tiny"
    dissection = dissect(
        str(tiny_ast_path()), list(make_sounds(3)), ["blocks.0.hook_attn_out", "blocks.2.hook_attn_out"], 6, out=out,
        device="cpu", progress=False,
    )  # fmt: skip
    explain(dissection, progress=False)
    return out


run = functools.partial(run_command, "findings")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_tables_and_figures_are_written_and_summed_up(explained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said, err = run(explained, "--out", out)
    assert (code, err) == (0, "")
    for name in OFFLINE:
        assert {f"{name}.{kind}" for kind in ("parquet", "csv", "json", "png", "pdf")} <= names(out)
        assert f"{name}: {out / name}.csv" in said
    assert "units have a summary" in said and "11 clusters of" in said and "slope" in said
    assert f"{out}: tables and figures" in said
    assert "accuracy_by_word_type" not in said


def test_by_default_they_go_into_the_dissection(explained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(explained, tmp_path / "copy")
    code, _, _ = run(copy, "--only", "units_per_adjective")
    assert code == 0
    assert names(copy / "findings") == {
        f"units_per_adjective.{kind}" for kind in ("parquet", "csv", "json", "png", "pdf")
    }


def test_without_matplotlib_there_are_tables_and_a_word_on_how_to_get_the_figures(
    explained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, said, _ = run(explained, "--out", tmp_path / "out", "--only", "units_per_adjective")
    assert code == 0
    assert names(tmp_path / "out") == {f"units_per_adjective.{kind}" for kind in ("parquet", "csv", "json")}
    assert "no figures: figures need matplotlib, which is not installed: pip install 'and-nnsight[findings]'" in said


def test_what_cannot_be_made_is_said_and_the_rest_is_written(explained: Path, tmp_path: Path) -> None:
    some = ["--only", "uninterpretable_units", "--only", "adjectives_per_layer"]
    code, said, err = run(explained, "--out", tmp_path / "out", "--clusters", 9999, *some)
    assert code == 2
    assert err.startswith("error: not made: uninterpretable_units: the captions have")
    assert "9999 clusters" in err
    assert "adjectives_per_layer:" in said and "adjectives_per_layer.png" in names(tmp_path / "out")


def test_a_dissection_that_was_not_explained_is_told_the_command(explained: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(explained, tmp_path / "bare", ignore=shutil.ignore_patterns("explanations"))
    code, _, err = run(bare)
    assert code == 2
    assert f"run `and-nnsight explain {bare}` first" in err and "Traceback" not in err
    assert not (bare / "findings").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "units"], "unknown finding 'units': one of units_per_adjective, adjectives_per_layer"),
        (["--only", "accuracy_by_word_type"], "accuracy_by_word_type needs --model"),
        (["--model", "x"], "accuracy_by_word_type needs --model, the classifier that was dissected, and --data"),
        (
            ["--model", "x", "--data", "y", "--only", "accuracy_by_word_type", "--word-type", "adverb"],
            "types of words are adjective, noun, verb, preposition, basic adjective, high-level adjective, length, not",
        ),
        (["--sites", "blocks.9.*"], "no dissected site matches 'blocks.9.*'"),
        (["--only", "uninterpretable_units", "--text-encoder", "nonsense"], "unknown text encoder 'nonsense'"),
    ],
)
def test_errors_of_use_are_one_sentence(explained: Path, tmp_path: Path, options: list[str], said: str) -> None:
    code, _, err = run(explained, "--out", tmp_path / "out", *options)
    assert code == 2
    assert err.startswith("error: ") and said in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_dissection_is_refused(tmp_path: Path) -> None:
    code, _, err = run(tmp_path)
    assert code == 2 and "holds no dissection" in err


def test_accuracy_is_measured_where_there_is_a_model_and_data(explained: Path, tmp_path: Path) -> None:
    import soundfile

    folder = tmp_path / "sounds"
    for place, sound in enumerate(make_sounds(1)):
        (folder / sound.label).mkdir(parents=True)
        soundfile.write(folder / sound.label / f"{place}.wav", sound.waveform, sound.sampling_rate)
    out = tmp_path / "out"
    code, said, err = run(
        explained, "--out", out, "--model", tiny_ast_path(), "--data", folder, "--share", 0.2, "--draws", 2, "--device",
        "cpu", "--only", "accuracy_by_word_type", "--word-type", "noun", "--word-type", "length", "--quiet",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "held-out clips" in said and "matched random units" in said
    assert "accuracy_by_word_type.png" in names(out)


def test_every_finding_has_the_name_of_its_function_and_of_its_file() -> None:
    from and_nnsight import findings
    from and_nnsight.findings.names import FINDINGS

    assert all(callable(getattr(findings, name)) for name in FINDINGS)
    rows = (findings.AdjectiveRow, findings.LayerRow, findings.InterpretabilityRow, findings.PruningRow)
    assert tuple(row.table for row in rows) == FINDINGS


def test_help_says_what_there_is() -> None:
    code, said, _ = run("--help")
    assert code == 0
    for word in (*OFFLINE, "accuracy_by_word_type", "--clusters", "--dissected-too"):
        assert word in said
