"""Places where no dissection can be written: a sentence of ours, from Python as on the command line."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from and_nnsight import AudioModel, DissectionError, keep_exemplars
from and_nnsight.explain import explain
from and_nnsight.storage import make_folder
from tests.run.runs import files, made, quick
from tests.sounds_for_tests import noise

CLIPS = [noise(1.0, seed=seed) for seed in range(2)]


@pytest.fixture(scope="module")
def model() -> AudioModel:
    return made()


def a_file(path: Path) -> Path:
    path.write_text("a file")
    return path


def a_dangling_link(path: Path) -> Path:
    path.symlink_to(path.with_name("nowhere"))
    return path


def below_a_file(path: Path) -> Path:
    return a_file(path) / "run"


def below_a_dangling_link(path: Path) -> Path:
    return a_dangling_link(path) / "run"


def a_long_name(path: Path) -> Path:
    return path.with_name("long" * 100)


@pytest.mark.parametrize("place", [a_file, a_dangling_link, below_a_file, below_a_dangling_link, a_long_name])
def test_a_place_that_can_hold_no_folder_is_named(place: Any, model: AudioModel, tmp_path: Path) -> None:
    out = place(tmp_path / "place")
    with pytest.raises(DissectionError, match=r"place|long") as refused:
        quick(model, CLIPS, out)
    assert ": choose " in str(refused.value) or "is too long" in str(refused.value)
    assert "Errno" not in str(refused.value)


@pytest.mark.parametrize("ends_with", ["exemplars/sounds", "explanations"])
def test_a_dissection_that_may_only_be_read_says_so(
    ends_with: str, model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's refusal is put in its place, for tests may run as a user to whom nothing is forbidden."""
    dissection = quick(model, CLIPS, tmp_path / "run")
    before, make = files(dissection.folder), Path.mkdir

    def forbidden(path: Path, *options: Any, **named: Any) -> None:
        if path.is_relative_to(dissection.folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        make(path, *options, **named)

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(DissectionError, match="may not be opened or written to: check its permissions") as refused:
        if ends_with == "explanations":
            explain(dissection, units=[0], data=CLIPS, progress=False)
        else:
            keep_exemplars(dissection, [(dissection.sites[0], 0)], model, CLIPS, progress=False)
    assert str(dissection.folder) in str(refused.value)
    assert files(dissection.folder) == before


def test_a_disk_without_room_for_a_folder_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space left"):
        make_folder(tmp_path / "run", DissectionError)
