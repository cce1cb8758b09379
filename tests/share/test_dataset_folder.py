"""A dissection as a dataset: what is in it, what is not, and what its card says."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some
from pyarrow import parquet

from and_nnsight import Dissection, DissectionError
from and_nnsight.dissection.decimals import shortest
from and_nnsight.dissection.hub import FOLDER
from and_nnsight.share.dataset_card import markdown
from and_nnsight.share.dataset_folder import DatasetFolder, DatasetOptions, write_dataset
from tests.cli.commands import run_command
from tests.share.conftest import HOSTILE, SITES
from tests.share.hub_client import files

WITH_SOUNDS = DatasetOptions(audio=True, license="CC BY 4.0 <b>|", best=5, exemplars=3)


@pytest.fixture(scope="module")
def written(in_a_folder: Dissection, tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    return write_dataset(in_a_folder, tmp_path_factory.mktemp("dataset") / "out", WITH_SOUNDS, name="me/neurons")


def rows_of(folder: Path, config: str) -> list[dict[str, Any]]:
    return parquet.read_table(folder / "data" / config / "train.parquet").to_pylist()


def test_exemplars_that_can_be_heard_come_first(in_a_folder: Dissection, written: DatasetFolder) -> None:
    rows = rows_of(written.folder, "exemplars")
    sounding = [row for row in rows if row["audio"] is not None]
    assert rows[: len(sounding)] == sounding and len(rows) == written.rows["exemplars"] == 320 * 8
    assert len({(row["site"], row["unit"]) for row in sounding}) == 5
    assert len({row["clip"] for row in sounding}) == written.clips
    for row in sounding:
        unit = in_a_folder.unit(row["site"], row["unit"])
        exemplar = unit.top[row["rank"]]
        assert row["evidence"] and (exemplar.clip, exemplar.activation) == (row["clip"], shortest(row["activation"]))
        samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        original, same_rate = soundfile.read(str(in_a_folder.clips[row["clip"]].path), dtype="float32")
        assert rate == same_rate and np.abs(samples - original).max() < 2**-14
    group = parquet.ParquetFile(written.folder / "data" / "exemplars" / "train.parquet").metadata.row_group(0)
    assert group.num_rows == len(sounding) <= 100


def test_the_explained_are_heard_before_others(in_a_folder: Dissection, written: DatasetFolder) -> None:
    explained = {row.key_values for row in in_a_folder.units() if row.explanation}
    rows = [row for row in rows_of(written.folder, "exemplars") if row["audio"]]
    heard = list(dict.fromkeys((row["site"], row["unit"]) for row in rows))
    assert set(heard[:2]) == explained and rows[0]["explanation"] in ("A bell rings <b>.", "A | sweep.")


def test_the_dissection_within_is_whole_and_names_no_place(in_a_folder: Dissection, written: DatasetFolder) -> None:
    whole = Dissection.load(written.folder / FOLDER)
    assert whole.clips[3].path == "sounds/03.wav"
    assert whole.manifest.model.id == "tiny_ast" and whole.manifest.dataset.name == "sounds"
    assert whole.unit(SITES[1], 3).top[0].clip == in_a_folder.unit(SITES[1], 3).top[0].clip
    place = str(in_a_folder.folder.parent).encode()
    for path in written.folder.rglob("*"):
        assert not path.is_file() or place not in path.read_bytes(), path


def test_as_it_is_where_that_is_wanted(in_a_folder: Dissection, tmp_path: Path) -> None:
    made = write_dataset(in_a_folder, tmp_path / "out", DatasetOptions(audio=False, keep_paths=True))
    assert files(tmp_path / "out" / FOLDER) == files(in_a_folder.folder)
    (line,) = (line for line in made.traces.lines() if "clips.parquet" in line)
    assert "stay in clips.parquet, for example" in line
    assert "audio" not in rows_of(tmp_path / "out", "exemplars")[0]


def test_the_card_is_read_by_the_hub_and_runs_nothing(written: DatasetFolder) -> None:
    text = (written.folder / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    about = yaml.safe_load(front)
    assert (about["license"], about["license_name"]) == ("other", "cc-by-4.0-b")
    assert [config["config_name"] for config in about["configs"]] == list(written.rows)
    assert [config["config_name"] for config in about["configs"] if config.get("default")] == ["exemplars"]
    assert "CC BY 4.0 &lt;b&gt;\\|" in body and "<b>" not in body and "<img" not in body
    assert f"{written.clips} clips of sounds can be heard" in body
    assert 'load_dataset("me/neurons", "units"' in body and 'Dissection.load("hf://datasets/me/neurons")' in body
    for line in body.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") in (3, 4), line


@settings(max_examples=40)
@given(text=some.text() | some.sampled_from([HOSTILE, "---\na: b", "http://a.b/c?key=hf_x", "![x](y)", "\x1b[2J"]))
def test_text_in_the_card_is_text(text: str) -> None:
    shown = markdown(text)
    assert "\n" not in shown and "<" not in shown and "\x1b" not in shown
    bare = shown.replace("\\\\", "")
    for mark in "`*_[]|#$@":
        assert bare.count(mark) == bare.count(f"\\{mark}"), mark


def test_sounds_are_a_choice_and_have_a_licence(in_a_folder: Dissection, tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match=r"say whether sounds of .*sounds go along: --audio .* or --no-audio"):
        write_dataset(in_a_folder, tmp_path / "out")
    with pytest.raises(DissectionError, match=r"say under which licence .*sounds is \(--license"):
        write_dataset(in_a_folder, tmp_path / "out", DatasetOptions(audio=True, license=" "))
    assert not (tmp_path / "out").exists()


def copy_of(dissection: Dissection, folder: Path) -> Path:
    made = write_dataset(dissection, folder, DatasetOptions(audio=False, keep_paths=True))
    return made.folder / FOLDER


def test_a_key_does_not_go_up(in_a_folder: Dissection, tmp_path: Path) -> None:
    run = copy_of(in_a_folder, tmp_path / "copy")
    (run / "findings").mkdir()
    (run / "findings" / "notes.json").write_text(json.dumps({"token": "hf_" + "a" * 34}), encoding="utf-8")
    with pytest.raises(DissectionError, match=r"nothing was written: findings/notes.json of .* looks like a key"):
        write_dataset(Dissection.load(run), tmp_path / "out", DatasetOptions(audio=False))
    assert not (tmp_path / "out").exists()


def test_without_sounds_nothing_that_can_be_heard_goes_up(in_a_folder: Dissection, tmp_path: Path) -> None:
    run = copy_of(in_a_folder, tmp_path / "copy")
    for name in ("exemplars/sounds/3.flac", "exemplars/maps/first/1 3.safetensors", "report.html", "shards/0-of-2/x"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(b"sound")
    made = write_dataset(Dissection.load(run), tmp_path / "out", DatasetOptions(audio=False, keep_paths=True))
    assert made.clips == 0
    assert files(tmp_path / "out" / FOLDER) == files(in_a_folder.folder)


def test_sounds_that_are_gone_are_told(in_a_folder: Dissection, tmp_path: Path) -> None:
    run = copy_of(in_a_folder, tmp_path / "copy")
    gone = Dissection.load(run)
    for clip, row in gone.clips.items():
        if clip != 31:
            object.__setattr__(row, "path", "/nowhere.wav")
    made = write_dataset(gone, tmp_path / "out", DatasetOptions(audio=True, license="mit"))
    assert set(made.failures) and 31 not in made.failures and made.clips == 1
    object.__setattr__(gone.clips[31], "path", "/nowhere.wav")
    with pytest.raises(DissectionError, match="pass data="):
        write_dataset(gone, tmp_path / "none", DatasetOptions(audio=True, license="mit"))
    assert not (tmp_path / "none").exists()


def test_the_command_says_what_it_wrote(in_a_folder: Dissection, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said, _ = run_command("export", in_a_folder.folder, "--to", "dataset", "--out", out, "--no-audio")
    assert code == 0 and "without sounds" in said and "→ sounds" in said and "README.md" in said
    code, _, error = run_command("export", in_a_folder.folder, "--to", "dataset", "--out", out, "--no-audio")
    assert code == 2 and "is there and not empty" in error
    code, _, error = run_command("export", in_a_folder.folder, "--to", "csv", "--out", tmp_path / "csv", "--no-audio")
    assert code == 2 and "--audio is for --to dataset, not for csv" in error


@pytest.mark.parametrize("kept", [False, True])
def test_sounds_that_are_not_in_the_table_are_not_counted_as_if(
    in_a_folder: Dissection, tmp_path: Path, kept: bool
) -> None:
    run = copy_of(in_a_folder, tmp_path / "copy")
    if kept:
        (run / "exemplars" / "sounds").mkdir(parents=True)
        soundfile.write(run / "exemplars" / "sounds" / "3.flac", np.zeros(1600), 16_000)
    options = DatasetOptions(audio=True, license="CC-BY-4.0", best=0)
    made = write_dataset(Dissection.load(run), tmp_path / "out", options)
    _, front, body = (made.folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    about = yaml.safe_load(front)
    assert [config["config_name"] for config in about["configs"] if config.get("default")] == ["units"]
    assert about["license"] == "cc-by-4.0" and "license_name" not in about
    assert "in the column `audio`" not in body and "audio plays" not in body and made.clips == kept
    assert ("exemplars/sounds/` holds 1 clip as the model hears them" in body) == kept
    assert ("are not handed on here" in body) != kept


def test_a_name_that_utf_8_has_no_place_for(in_a_folder: Dissection, tmp_path: Path) -> None:
    run = copy_of(in_a_folder, tmp_path / "copy")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["dataset"]["name"] = "caf\udce9"
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    made = write_dataset(Dissection.load(run), tmp_path / "out", DatasetOptions(audio=False))
    _, front, body = (made.folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(front)["pretty_name"].endswith("on caf?") and "of caf?:" in body
    assert Dissection.load(made.folder / FOLDER).manifest.dataset.name == "caf\udce9"
