"""`unlearn` as a user meets it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import transformers as tf

from and_nnsight import ConceptScores, dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain import explain, label
from and_nnsight.unlearn import Measurement, UnitChoice
from tests.cli.commands import run_command

pytestmark = pytest.mark.slow

SITES = ["blocks.2.mlp.hook_post", "blocks.3.mlp.hook_post"]
CLASSES = ("bell", "engine", "drum", "white noise")


def folder_of(sounds: Path, seed: int) -> Path:
    import soundfile

    lines = ["file_name,label,caption"]
    for place, sound in enumerate(make_sounds(2, seed, CLASSES)):
        soundfile.write(sounds / f"{place:02}.wav", sound.waveform, sound.sampling_rate)
        lines.append(f'{place:02}.wav,{sound.label},"{sound.caption}"')
    (sounds / "metadata.csv").write_text("\n".join(lines) + "\n")
    return sounds


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("seen"), 5)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("held_out"), 6)


@pytest.fixture(scope="module")
def folder(seen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "tiny"
    scores = ConceptScores.from_labels({place: CLASSES[place % 4] for place in range(8)})
    dissection = dissect(str(tiny_ast_path()), seen, SITES, 3, out=out, progress=False, device="cpu", concepts=scores)
    explain(dissection, units=range(64), progress=False)
    label(dissection, "labels", method="db", progress=False)
    return out


run = functools.partial(run_command, "unlearn", columns=180)


QUICK = ("--draws", 2, "--bootstrap", 20, "--quiet", "--device", "cpu")


def test_unlearn_compares_methods_with_chance_and_keeps_every_number(
    folder: Path, held_out: Path, tmp_path: Path
) -> None:
    out_folder = tmp_path / "measured"
    code, out, _ = run(tiny_ast_path(), folder, "--concept", "bell", "--data", held_out, "--method", "db",
        "--method", "correlation", "--method", "random", "--count", 12, "--out", out_folder, *QUICK,
    )  # fmt: skip
    assert code == 0
    assert "bell by correlation: 12 of 512 units, at 2 sites" in out
    assert "8 clips, accuracy" in out
    assert "excess over controls" in out
    assert "of 2" in out
    assert "random units of the same layers" in out
    measured = Measurement.load(out_folder)
    assert [choice.method for choice in measured.choices] == ["db", "correlation", "random"]
    assert measured.choices[2].counts == measured.choices[0].counts
    assert [row.class_name for row in measured.rows()] == ["bell"] * 3


def test_unlearn_exports_a_checkpoint_that_transformers_loads(folder: Path, tmp_path: Path) -> None:
    saved = tmp_path / "without"
    code, out, _ = run(tiny_ast_path(), folder, "--concept", "bell", "--method", "correlation", "--count", 5,
        "--export", saved, "--device", "cpu",
    )  # fmt: skip
    assert code == 0
    assert "from_pretrained" in out
    assert tf.AutoModelForAudioClassification.from_pretrained(saved).config.num_labels == 32
    assert UnitChoice.from_json(json.loads((saved / "unlearned.json").read_text())["choice"]).count == 5


def test_unlearn_amplifies_measures_and_exports_the_louder_units(folder: Path, held_out: Path, tmp_path: Path) -> None:
    saved = tmp_path / "louder"
    code, out, _ = run(tiny_ast_path(), folder, "--concept", "bell", "--count", 8, "--how", "amplify", "--gain",
        2, "--data", held_out, "--out", tmp_path / "measured", "--export", saved, *QUICK,
    )  # fmt: skip
    assert code == 0
    assert "bell by ocp: 8 of 512 units" in out
    assert "with those amplified by 2 of ocp" in out
    assert Measurement.load(tmp_path / "measured").provenance.gain == 2
    assert json.loads((saved / "unlearned.json").read_text())["gain"] == 2
    assert tf.AutoModelForAudioClassification.from_pretrained(saved).config.num_labels == 32


def test_nothing_is_written_where_an_overlap_is_refused(folder: Path, seen: Path, tmp_path: Path) -> None:
    code, _, error = run(tiny_ast_path(), folder, "--concept", "bell", "--method", "correlation", "--count", 4,
        "--data", seen, "--out", tmp_path / "measured", "--export", tmp_path / "without", *QUICK,
    )  # fmt: skip
    assert (code, "--overlap exclude" in error) == (2, True)
    assert not list(tmp_path.iterdir())


def test_units_of_ones_own_and_several_concepts(folder: Path, held_out: Path, tmp_path: Path) -> None:
    UnitChoice({SITES[0]: [1, 2]}).save(tmp_path / "mine.json")
    code, out, _ = run(tiny_ast_path(), folder, "--concept", "ringing", "--class", "bell", "--units",
        tmp_path / "mine.json", "--data", held_out, *QUICK,
    )  # fmt: skip
    assert code == 0
    assert "ringing by own: 2 of 512 units" in out
    code, out, _ = run(tiny_ast_path(), folder, "--concept", "bell", "--concept", "engine", "--method",
        "correlation", "--share", 0.05, "--data", held_out, *QUICK,
    )  # fmt: skip
    assert code == 0
    assert "engine by correlation: 26 of 512 units" in out
    assert "classes" in out


def test_errors_of_use_are_one_sentence(folder: Path, seen: Path, held_out: Path) -> None:
    model = tiny_ast_path()
    said = {
        ("--concept", "bell"): "name --data to measure by, or --export",
        ("--concept", "bell", "--data", seen, "--method", "correlation", "--count", 4): "--overlap exclude",
        ("--concept", "xylophone", "--data", held_out): "no caption carries 'xylophon', for 'xylophone'",
        ("--concept", "bell", "--data", held_out, "--method", "entropy", "--count", 4): "--keep-activations",
        ("--concept", "bell", "--data", held_out, "--how", "amplify"): "amplify needs a gain",
        ("--concept", "bell", "--data", held_out, "--gain", 2): "is for amplify, not for zero",
        ("--concept", "bell", "--how", "resample", "--export", "x"): "--export holds units at zero or amplified",
        ("--concept", "bell", "--data", held_out, "--method", "tab"): "run `and-nnsight label",
        ("--concept", "a", "--concept", "b", "--data", held_out, "--words", "c"): "are for one --concept",
        ("--concept", "a", "--units", "f.json", "--count", 3, "--data", held_out): "--units are your own",
    }
    for arguments, expected in said.items():
        code, _, error = run(model, folder, *arguments, *QUICK)
        assert (code, expected in error, error.count("\n")) == (2, True, 1), error


def test_unlearn_is_repeated_by_the_folder_alone(folder: Path, held_out: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    code, out, _ = run(tiny_ast_path(), folder, "--concept", "bell", "--data", held_out, "--method", "correlation",
        "--count", 12, "--out", first, *QUICK,
    )  # fmt: skip
    assert code == 0
    code, again, _ = run("--config", folder, "--out", tmp_path / "again", "--quiet")
    assert code == 0
    assert again.replace(str(tmp_path / "again"), str(first)) == out
    assert Measurement.load(tmp_path / "again").rows() == Measurement.load(first).rows()
