"""`and-nnsight train-sae`, as it is typed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from and_nnsight.cli import main
from small_training import SITE

from and_nnsight_sae import Training


def test_the_command_trains_and_says_how_good_it_is(
    model: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"train-sae {model} {sounds} --site {SITE} --width 48 -k 4 --steps 5 --held-out 0.3 --quiet --out {tmp_path}/sae"
    monkeypatch.setattr(sys, "argv", ["and-nnsight", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    shown, training = capsys.readouterr().out, Training.read(tmp_path / "sae")
    assert training is not None and training.description["of"]["settings"]["steps"] == 5
    assert f"held out   {training.held_out.explained_variance:.1%} of the variance explained" in shown
    assert f"'{SITE}|sae:{tmp_path}/sae'" in shown, "how to dissect it"


def test_errors_are_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"train-sae {tmp_path}/none {tmp_path} --site {SITE} --width 48 -k 49 --out {tmp_path}/sae"
    monkeypatch.setattr(sys, "argv", ["and-nnsight", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: k=49 of 48 latents cannot be active: take fewer\n"
