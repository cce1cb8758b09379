"""`label` and `concept-scores` as a user meets them."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest

from and_nnsight import ConceptScores, Dissection, dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain.records.reading import read_table
from tests.cli.commands import run_command

HEAD = "unembed.hook_out"


@pytest.fixture(scope="module")
def folder_of_sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import soundfile

    folder = tmp_path_factory.mktemp("sounds")
    lines = ["file_name,label,caption"]
    for index, sound in enumerate(make_sounds(1)):
        soundfile.write(folder / f"{index:02}.wav", sound.waveform, sound.sampling_rate)
        lines.append(f'{index:02}.wav,{sound.label},"{sound.caption}"')
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def dissected(folder_of_sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "tiny"
    dissect(str(tiny_ast_path()), folder_of_sounds, HEAD, 4, out=out, progress=False, device="cpu")
    return out


@pytest.fixture
def folder(dissected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(dissected, tmp_path / "run")


run = functools.partial(run_command, columns=160)


@pytest.mark.slow
def test_label_shows_the_closest_units_and_writes_the_table(folder: Path) -> None:
    code, out, _ = run("label", folder, "--concepts", "labels", "--top", 3, "--quiet")
    assert code == 0
    assert "32 units labelled" in out
    assert "32 from top-K only: a variant of the similarity over each unit's extreme clips" in out
    rows = read_table(Dissection.load(folder), "labels")
    assert len(rows) == 32 * 3
    best = max(rows, key=lambda row: row.score)
    assert best.concept in out and f"{best.score:.3f}" in out


def test_scores_are_made_before_a_run_and_used_by_label(folder: Path, folder_of_sounds: Path, tmp_path: Path) -> None:
    file = tmp_path / "scores.safetensors"
    options = ["--concepts", "labels", "--method", "labels", "--out", file, "--quiet"]
    code, out, _ = run("concept-scores", folder_of_sounds, *options)
    assert code == 0
    assert f"32 clips, 32 concepts: {file}" in out
    assert "dissect MODEL" in out
    assert ConceptScores.load(file).method == "labels"
    code, out, _ = run("label", folder, "--scores", file, "--units", "0:3", "--quiet")
    assert (code, "3 units labelled" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["label", "{run}"], "name either --concepts or a file of --scores"),
        (["label", "{run}", "--concepts", "list.txt"], "no such file of concepts: list.txt"),
        (["label", "{run}", "--concepts", "labels", "--method", "tab"], "tab needs an audio-text encoder"),
        (["label", "{run}", "--concepts", "labels", "--method", "icl"], "icl needs a chat model"),
        (["label", "{run}", "--concepts", "labels", "--similarity", "dot"], "unknown similarity 'dot'"),
        (
            ["label", "{run}", "--concepts", "labels", "--similarity", "pearson"],
            "pearson needs every clip's activations",
        ),
        (["label", "{run}", "--concepts", "a,b", "--sites", "nope"], "no dissected site matches 'nope'"),
        (["label", "{run}", "--scores", "{run}/clips.parquet"], "holds no concept scores"),
        (["label", "{none}", "--concepts", "a,b"], "holds no dissection"),
        (["concept-scores", "{none}", "--concepts", "a,b", "--out", "{none}.safetensors"], "no such file or folder"),
    ],
)
def test_errors_are_one_sentence(arguments: list[str], sentence: str, folder: Path, tmp_path: Path) -> None:
    places = {"run": folder, "none": tmp_path / "none"}
    code, _, error = run(*[part.format(**places) for part in arguments], "--quiet")
    assert code == 2
    (line,) = error.strip().splitlines()
    assert line.startswith("error: ") and sentence in line


def test_ctrl_c_keeps_the_sites_that_are_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from and_nnsight.explain.labels import label

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    run("label", folder, "--concepts", "labels", "--quiet")
    before = (folder / "explanations" / "labels.parquet").read_bytes()
    monkeypatch.setattr(label, "unit_similarity", interrupted)
    code, _, error = run("label", folder, "--concepts", "labels", "--quiet")
    assert (code, error.strip()) == (130, "stopped; the same command goes on from here")
    assert (folder / "explanations" / "labels.parquet").read_bytes() == before
