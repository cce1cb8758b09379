"""An interrupted run over a folder: whatever changes in between is refused in words, or changes nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from and_nnsight import AudioModel, DissectionError
from and_nnsight.run.folder import RunFolder
from tests.run.runs import files, made, quick
from tests.sounds_for_tests import RATE, noise

_CLIPS = 6


def data(folder: Path) -> Path:
    """A folder of clips with labels and captions."""
    folder.mkdir()
    rows = ["file_name,label,caption"]
    for index in range(_CLIPS):
        soundfile.write(folder / f"c{index}.wav", noise(0.3, seed=index), RATE)
        rows.append(f"c{index}.wav,label {index},Caption {index}.")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def model() -> AudioModel:
    return made()


@pytest.fixture
def out(model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was interrupted after four of six clips."""
    original, batches = RunFolder.saw, iter(range(_CLIPS))

    def interrupted(*arguments: object) -> None:
        if next(batches) == 2:
            raise KeyboardInterrupt
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "saw", interrupted)
        patch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            quick(model, data(tmp_path / "clips"), tmp_path / "run", batch_size=2)
    assert (tmp_path / "run" / "progress" / "state.safetensors").exists()
    return tmp_path / "run"


def reorder(clips: Path) -> None:
    first, *rows = (clips / "metadata.csv").read_text().splitlines()
    (clips / "metadata.csv").write_text("\n".join([first, *reversed(rows)]))


def replace(clips: Path) -> None:
    """Another recording of the same length, copied with the time of the one before."""
    path = clips / "c1.wav"
    before = path.stat()
    soundfile.write(path, noise(0.3, seed=99), RATE)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_in_front(clips: Path) -> None:
    shutil.copy2(clips / "c3.wav", clips / "a.wav")
    first, *rows = (clips / "metadata.csv").read_text().splitlines()
    (clips / "metadata.csv").write_text("\n".join([first, "a.wav,a,A.", *rows]))


def rename_label(clips: Path) -> None:
    path = clips / "metadata.csv"
    path.write_text(path.read_text().replace("label 1", "label x"))


def rewrite_caption(clips: Path) -> None:
    path = clips / "metadata.csv"
    path.write_text(path.read_text().replace("Caption 5", "Another"))


@pytest.mark.parametrize("change", [reorder, replace, add_in_front, rename_label, rewrite_caption])
def test_changed_data_is_refused_untouched(model: AudioModel, out: Path, change: Callable[[Path], None]) -> None:
    clips, before = out.parent / "clips", files(out)
    change(clips)
    with pytest.raises(DissectionError) as refused:
        quick(model, clips, out, batch_size=2)
    assert str(refused.value) == (
        f"{out} holds a dissection with other settings (another dataset fingerprint: its clips, their order, files, "
        "labels or captions): choose a new folder"
    )
    assert files(out) == before


@pytest.mark.parametrize("name", ["moved", "clips2", "cli"])
def test_clips_that_were_moved_are_refused_and_back_in_their_place_taken(
    model: AudioModel, out: Path, name: str
) -> None:
    """Otherwise the first of them would keep paths at which there is nothing any more."""
    clips, moved, before = out.parent / "clips", out.parent / name, files(out)
    clips.rename(moved)
    with pytest.raises(
        DissectionError, match=rf"clips such as .*c0\.wav, which are in .*{name} now: move or link them "
    ):
        quick(model, moved, out, batch_size=2)
    assert files(out) == before
    clips.symlink_to(moved)
    whole = quick(model, clips, out.parent / "whole", batch_size=2)
    assert files(quick(model, clips, out, batch_size=2).folder) == files(whole.folder)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_run_that_was_moved_goes_on_in_batches_of_any_size(model: AudioModel, out: Path, batch_size: int) -> None:
    clips, moved = out.parent / "clips", out.parent / "another name"
    out.rename(moved)
    whole = quick(model, clips, out.parent / "whole", batch_size=2)
    assert files(quick(model, clips, moved, batch_size=batch_size).folder) == files(whole.folder)


def test_other_packages_are_said_when_a_run_goes_on_with_them(model: AudioModel, out: Path) -> None:
    path, clips = out / "manifest.json", out.parent / "clips"
    manifest = json.loads(path.read_text())
    manifest["versions"]["torch"] = "2.0.0"
    path.write_text(json.dumps(manifest))
    with pytest.warns(UserWarning, match=r"begun with torch 2\.0\.0 \(now .*\): the clips from here on may have other"):
        finished = quick(model, clips, out, batch_size=2)
    before = files(finished.folder)
    quick(model, clips, out, batch_size=2)  # what is complete does not go on
    assert files(out) == before
