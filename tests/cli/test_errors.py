"""What a user is told of errors: one sentence, and a traceback only where it was asked for."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import pytest
import torch

from and_nnsight import __version__
from and_nnsight.cli import main
from and_nnsight.cli._errors import sentence
from and_nnsight.cli._units import unit_indices
from and_nnsight.data.workers import WorkerDied
from and_nnsight.dissection.clip_names import clip_names
from and_nnsight.dissection.clips import ClipRow
from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.remote import Remote, RemoteRunError
from and_nnsight.run.resources import memory_for_exemplars
from tests.bare_dissection import bare_dissection


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), "the disk is full, at /a/b: make room and", 2),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full: make room and", 2),
        (FileNotFoundError(errno.ENOENT, "No such file", "a"), "a: there is no such file or folder", 2),
        (FileNotFoundError(errno.ENOENT, "No such file"), "the folder that this command was started in is gone", 2),
        (
            PermissionError(errno.EACCES, "Denied", "a"),
            "a: it may not be opened or written to: check its permissions",
            2,
        ),
        (FileNotFoundError("no such file of concepts"), "no such file of concepts", 2),
        (DissectionError("as it is"), "as it is", 2),
        (RemoteRunError("at http://me:secret@host"), "at http://…@host", 1),
        (WorkerDied("a worker process died: take fewer"), "a worker process died: take fewer", 2),
        (MemoryError(), "there is not enough memory for this: take fewer sites", 2),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory", 2),
        (KeyError("x"), "and-nnsight did not expect this (KeyError: 'x'): please report it", 1),
        (AssertionError(), "and-nnsight did not expect this (AssertionError): please report it", 1),
        (json.JSONDecodeError("Expecting value", "", 0), "and-nnsight did not expect this (JSONDecodeError", 1),
    ],
)
def test_every_error_is_a_sentence(error: Exception, text: str, code: int) -> None:
    shown, exit_code = sentence(error)
    assert text in shown
    assert exit_code == code
    assert "\n" not in shown


def test_what_nobody_expected_is_a_sentence_too_and_a_traceback_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(folder: Path) -> None:
        raise KeyError("surprise at http://me:secret@host")

    monkeypatch.setattr(Dissection, "load", broken)
    monkeypatch.setattr(sys, "argv", ["and-nnsight", "show", "x", "y", "0"])
    monkeypatch.delenv("AND_NNSIGHT_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as stopped:
        main()
    error = capsys.readouterr().err
    assert stopped.value.code == 1
    assert error.count("\n") == 1 and "Traceback" not in error and "secret" not in error
    monkeypatch.setenv("AND_NNSIGHT_TRACEBACK", "1")
    with pytest.raises(KeyError):
        main()


def test_the_version_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["and-nnsight", "--version"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    assert capsys.readouterr().out == f"and-nnsight {__version__}\n"


def test_a_run_that_the_machine_has_not_the_memory_for_is_refused() -> None:
    with pytest.raises(ValueError, match="1,000,000,000 clips at either end of 3,072 units takes .* TB of memory, and"):
        memory_for_exemplars(10**9, 3_072, torch.device("cpu"))
    with pytest.raises(ValueError, match="take a smaller k or fewer sites"):
        memory_for_exemplars(10**40, 1, torch.device("cpu"))
    assert memory_for_exemplars(16, 55_346, torch.device("cpu")) is None


def test_units_that_no_site_has_are_refused_before_they_are_listed() -> None:
    with pytest.raises(ValueError, match="no site has 99,999,999,999 units"):
        unit_indices("0:99999999999")


def test_clips_are_named_by_as_much_of_their_paths_as_tells_them_apart() -> None:
    paths = ["/data/a/1/x.wav", "/data/b/1/x.wav", "/data/a/2/x.wav", "/data/y.wav", "C:\\s\\z.wav", "a/x.wav", None]
    dissection = bare_dissection(Path("unused"))
    dissection.__dict__["clips"] = {clip: ClipRow(clip, path, None, None, 1.0) for clip, path in enumerate(paths)}
    assert clip_names(dissection) == {
        "/data/a/1/x.wav": "a/1/x.wav",
        "/data/b/1/x.wav": "b/1/x.wav",
        "/data/a/2/x.wav": "2/x.wav",
        "/data/y.wav": "y.wav",
        "C:\\s\\z.wav": "z.wav",
        "a/x.wav": "a/x.wav",
    }


def test_settings_of_a_server_are_shown_without_its_password() -> None:
    remote = Remote("http://me:secret@host:5000", api_key="secret")
    assert "secret" not in repr(remote)
    assert remote.shown == "http://…@host:5000"
    assert remote.host == "http://me:secret@host:5000"
    with pytest.raises(ValueError, match="is no server") as error:
        Remote("ftp://me:secret@host")
    assert "secret" not in str(error.value)
