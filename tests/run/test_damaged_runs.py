"""A run whose own files were cut or changed says so; what the data holds of odd text and files neither ends nor hides."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import soundfile

from and_nnsight import AudioModel, ConceptScores, Dissection, DissectionError
from and_nnsight.run.folder import RunFolder
from tests.run.runs import StopsAfter, files, made, quick
from tests.sounds_for_tests import RATE, noise, ragged


@pytest.fixture(scope="module")
def model() -> AudioModel:
    return made()


def interrupted(model: AudioModel, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A run of eight clips that stopped after six, with a checkpoint after every two."""
    data = ragged(8)
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        quick(model, iter(StopsAfter(data, 6, KeyboardInterrupt)), out, batch_size=2)
    return data


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_last_line(content: bytes) -> bytes:
    return b"\n".join(content.rstrip(b"\n").split(b"\n")[:-1]) + b"\n"


def without_first_row(content: bytes) -> bytes:
    return content.split(b"\n", 1)[1]


def other_words(content: bytes) -> bytes:
    return content.replace(b"Noise number", b"Voice number")


def nothing(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [cut, without_last_line, without_first_row, other_words, nothing])
@pytest.mark.parametrize("segment", [0, 1])
def test_rows_that_are_cut_off_or_changed_are_noticed_before_the_run_goes_on(
    segment: int, damage: Callable[[bytes], bytes], model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = interrupted(model, tmp_path / "run", monkeypatch)
    path = tmp_path / "run" / "progress" / f"clips-{segment:06}.jsonl"
    whole = path.read_bytes()
    for content in (damage(whole), None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(DissectionError, match=f"{path} is cut off or changed: .* begin again in a new folder"):
            quick(model, iter(data), tmp_path / "run", batch_size=2, resume="trust")
    path.write_bytes(whole)
    resumed = quick(model, iter(data), tmp_path / "run", batch_size=2, resume="trust")
    assert files(resumed.folder) == files(quick(model, iter(data), tmp_path / "whole", batch_size=2).folder)


def test_segments_that_changed_places_are_noticed(
    model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = interrupted(model, tmp_path / "run", monkeypatch)
    one, two = (tmp_path / "run" / "progress" / f"clips-{index:06}.jsonl" for index in (0, 1))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    with pytest.raises(DissectionError, match="is cut off or changed"):
        quick(model, iter(data), tmp_path / "run", batch_size=2, resume="trust")


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_changed_or_cut_state_is_noticed(
    place: int, model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = interrupted(model, tmp_path / "run", monkeypatch)
    path = tmp_path / "run" / "progress" / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    for damaged in (bytes(content), cut(path.read_bytes()), b""):
        path.write_bytes(damaged)
        with pytest.raises(DissectionError, match="state.safetensors is damaged .*begin again in a new folder"):
            quick(model, iter(data), tmp_path / "run", batch_size=2, resume="trust")


def test_rows_of_another_run_are_noticed(model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = interrupted(model, tmp_path / "run", monkeypatch)
    path = tmp_path / "run" / "progress" / "clips-000000.jsonl"
    with pytest.raises(KeyboardInterrupt):
        others = [{**item, "caption": "Another clip"} for item in data]
        quick(model, iter(StopsAfter(others, 6, KeyboardInterrupt)), tmp_path / "other", batch_size=2)
    path.write_bytes((tmp_path / "other" / "progress" / path.name).read_bytes())
    with pytest.raises(DissectionError, match="lists of clips that this run did not write: .* again in a new folder"):
        quick(model, iter(data), tmp_path / "run", batch_size=2, resume="trust")


@pytest.mark.parametrize("copied", ["progress", "all but the manifest"])
def test_a_checkpoint_of_another_run_is_noticed(
    copied: str, model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole and undamaged, but under the manifest of a run over other data, or with other settings."""
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0)
    data, others = ragged(8), ragged(9)[1:]
    for clips, out in ((data, tmp_path / "run"), (others, tmp_path / "other")):
        _stopped(monkeypatch, model, clips, out)
    run, other = tmp_path / "run", tmp_path / "other"
    if copied == "progress":
        shutil.rmtree(run / "progress")
        shutil.copytree(other / "progress", run / "progress")
    else:
        shutil.copy(run / "manifest.json", other / "manifest.json")
        run = other
    before = files(run)
    with pytest.raises(DissectionError, match="progress holds a checkpoint of another run: .* begin again in a new"):
        quick(model, data, run, batch_size=2)
    assert {name: content for name, content in files(run).items() if name != ".lock"} == {
        name: content for name, content in before.items() if name != ".lock"
    }


def _stopped(monkeypatch: pytest.MonkeyPatch, model: AudioModel, data: list[Any], out: Path) -> None:
    original, batches = RunFolder.saw, iter(range(len(data)))

    def interrupted(*arguments: Any) -> None:
        if next(batches) == 3:
            raise KeyboardInterrupt
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "saw", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quick(model, data, out, batch_size=2)


@pytest.mark.parametrize("entry", ["path", "frames", "side", "layer"])
def test_sites_that_lie_elsewhere_are_another_run(entry: str, model: AudioModel, tmp_path: Path) -> None:
    """Frames decide which of them count, and their seconds; a manifest may be of another version, or edited."""
    out = quick(model, ragged(3), tmp_path / "run").folder
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["sites"][1][entry] = {"frames": {}, "layer": 7}.get(entry, "elsewhere")
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DissectionError, match=r"another module, or other frames, at blocks\.1\.mlp\.hook_post"):
        quick(model, ragged(3), out)


@pytest.mark.parametrize("place", ["header", "first", "middle", "last"])
def test_activations_that_changed_between_two_calls_are_noticed(
    place: str, model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, data = tmp_path / "run", ragged(8)
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0)
    run = partial(quick, model, out=out, batch_size=2, keep_activations=True, resume="trust")
    with pytest.raises(KeyboardInterrupt):
        run(iter(StopsAfter(data, 6, KeyboardInterrupt)))
    for path in (out / "activations").iterdir():
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[{"header": 20, "first": 128, "middle": len(whole) // 2, "last": -1}[place]] ^= 1
        path.write_bytes(bytes(changed))
        if place != "header":  # which is written anew
            with pytest.raises(
                DissectionError, match=f"{path} was changed since this run wrote it: choose a new folder"
            ):
                run(iter(data))
            path.write_bytes(whole)
        path.write_bytes(path.read_bytes() + b"rows that no checkpoint counted")
    resumed = run(iter(data))
    whole_run = quick(model, iter(data), tmp_path / "whole", batch_size=3, keep_activations=True)
    assert files(resumed.folder) == files(whole_run.folder)


def test_changed_results_are_noticed_when_they_are_read(model: AudioModel, tmp_path: Path) -> None:
    data = [*ragged(4), b"no sound"]
    scores = ConceptScores.from_labels({clip: f"{clip % 2}" for clip in range(5)})
    out = quick(model, data, tmp_path / "run", concepts=scores, keep_activations=True).folder
    site = "blocks.0.mlp.hook_post"
    reads: dict[str, Callable[[Dissection], Any]] = {
        f"sites/{site}.safetensors": lambda found: found[site],
        f"concepts/{site}.safetensors": lambda found: found.concept_statistics(site),
        "clips.parquet": lambda found: found.clips,
        "quarantine.jsonl": lambda found: found.quarantine,
    }
    for name, read in reads.items():
        whole = (out / name).read_bytes()
        changed = bytearray(whole)
        changed[len(whole) * 2 // 3] ^= 4
        for content in (bytes(changed), cut(whole)):
            (out / name).write_bytes(content)
            with pytest.raises(
                DissectionError, match=f"{name} is damaged .*: put a whole copy in its place, or dissect"
            ):
                read(Dissection.load(out))
        (out / name).write_bytes(whole)
        read(Dissection.load(out))
    kept = out / "activations" / f"{site}.npy"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DissectionError, match=r"hook_post.npy is damaged \(its values do not have their checksum"):
        Dissection.load(out).activations(site)
    kept.write_bytes(whole)
    found = Dissection.load(out)
    assert np.array_equal(found.activations(site), found.activations(site), equal_nan=True)
    kept.write_bytes(cut(whole))
    with pytest.raises(DissectionError, match=r"hook_post.npy is damaged"):
        Dissection.load(out).activations(site)


def test_a_file_of_another_dissection_is_noticed(model: AudioModel, tmp_path: Path) -> None:
    one, two = (quick(model, ragged(3 + more), tmp_path / f"{more}").folder for more in (0, 1))
    name = "sites/blocks.0.mlp.hook_post.safetensors"
    (one / name).write_bytes((two / name).read_bytes())
    with pytest.raises(DissectionError, match="is not the file that was written there: it has another checksum"):
        Dissection.load(one)["blocks.0.mlp.hook_post"]


@pytest.mark.parametrize("left", [b"", b"999999 another-host\n"])
def test_a_lock_that_was_left_behind_does_no_harm(
    left: bytes, model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / ".lock").write_bytes(left)
    data = interrupted(model, out, monkeypatch)
    (out / ".lock").write_bytes(left)
    resumed = quick(model, iter(data), out, batch_size=2, resume="trust")
    assert not (out / ".lock").exists()
    (out / ".lock").write_bytes(left)  # a process that was killed at its very end
    assert quick(model, iter(data), out, batch_size=2, resume="trust").clips == resumed.clips


@pytest.mark.parametrize("name", ["progress", "sites", ".lock"])
def test_files_and_folders_in_each_others_places_are_one_sentence(
    name: str, model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    data = interrupted(model, out, monkeypatch)
    path = out / name
    if name == ".lock":
        path.unlink(missing_ok=True)
        path.mkdir()
    else:
        shutil.rmtree(path, ignore_errors=True)
        path.write_text("x")
    with pytest.raises(DissectionError, match=f"{name} is a (file|folder) where .*: remove it"):
        quick(model, iter(data), out, batch_size=2, resume="trust")


def test_a_folder_of_somebodys_in_progress_is_left(
    model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    data = interrupted(model, out, monkeypatch)
    (out / "progress" / "mine").mkdir()
    quick(model, iter(data), out, batch_size=2, resume="trust")
    assert list((out / "progress").iterdir()) == [out / "progress" / "mine"]


ODD = ("\ud83d", "a\u2028b\u2029c\x85d\x0be", "nul\x00", "\ud83d\ude00", "plain")


def odd_clips() -> list[dict[str, Any]]:
    clips = [
        {"audio": noise(0.5, seed=index), "label": words, "caption": words, "path": f"{words}.wav"}
        for index, words in enumerate(ODD)
    ]
    return [*clips, {"audio": b"damaged", "path": "\udcff\u2028\ud83d.wav"}]


def test_odd_text_goes_through_a_run_its_resumption_and_its_reading(
    model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0)
    data = odd_clips()
    with pytest.raises(KeyboardInterrupt):
        quick(model, iter(StopsAfter(data, 2, KeyboardInterrupt)), tmp_path / "run", batch_size=1)
    found = quick(model, iter(data), tmp_path / "run", batch_size=1, resume="trust")
    assert files(found.folder) == files(quick(model, iter(data), tmp_path / "whole", batch_size=1).folder)
    found = Dissection.load(found.folder)
    expected = ["\ufffd", *ODD[1:3], "\U0001f600", "plain"]
    assert [row.caption for row in found.clips.values()] == expected
    assert [row.label for row in found.clips.values()] == expected
    assert [row.path for row in found.quarantine] == ["\\udcff\u2028\\ud83d.wav"]
    assert parquet.read_table(found.folder / "clips.parquet")["caption"].to_pylist() == expected
    from and_nnsight.explain import card, explain

    explain(found, progress=False)
    assert card(found, found.sites[0], 0).unit.top


def test_a_folder_whose_name_is_no_unicode_is_dissected_and_found_again(model: AudioModel, tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff"))
    root.mkdir()
    soundfile.write(os.fsencode(root / "a.wav"), noise(0.5), RATE)
    found = quick(model, root, tmp_path / "run")
    assert quick(model, root, tmp_path / "run").clips == found.clips
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["dataset"]["name"] == str(root)


def test_what_is_not_used_of_a_folder_is_in_the_manifest_and_said(
    model: AudioModel, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for index in range(4):
        soundfile.write(root / f"{index}.wav", noise(0.5, seed=index), RATE)
    (root / "e.m4a").write_bytes(b"x")
    (root / "notes.txt").write_text("x")
    with pytest.warns(UserWarning, match=r"data: 1 entry is not among the clips: .m4a is not read: .* e.m4a"):
        found = quick(model, root, tmp_path / "whole", progress=True, batch_size=2)
    assert "not sound, by the ending (1 × .txt); for example notes.txt" in capsys.readouterr().err
    assert [(row.reason[:10], row.count, row.example) for row in found.unused] == [
        (".m4a is no", 1, "e.m4a"), ("not sound,", 1, "notes.txt"),
    ]  # fmt: skip
    assert Dissection.load(found.folder).unused == found.unused == list(found.manifest.dataset.unused)
    # A folder of the data may be where the run goes, and what lies there then is not of the data.
    out, original, calls = root / "run", AudioModel.trace, 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(AudioModel, "trace", interrupted)
        with pytest.warns(UserWarning, match="not among"), pytest.raises(KeyboardInterrupt):
            quick(model, root, out, batch_size=2)
    for _ in range(2):
        with pytest.warns(UserWarning, match="not among"):
            quick(model, root, out, batch_size=2)
        assert files(out) == files(found.folder)
