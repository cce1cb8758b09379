"""Commands of other distributions are spelled as ours are; a broken one is named, and one that is not here says how."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Annotated

import pytest
import typer

from and_nnsight import plugins
from and_nnsight.cli import main


def shout(words: Annotated[list[str], typer.Argument()], times: int = 1) -> None:
    """Say it loudly."""
    if times < 1:
        raise ValueError("times must be at least 1")
    print(" ".join(words).upper() * times)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """What is installed: a command, one of the name of ours, and one whose module is not there."""
    entries = []
    for name, value in (("shout", f"{__name__}:shout"), ("dissect", f"{__name__}:shout"), ("lost", "no_such_thing:it")):
        made = EntryPoint(name, value, "and_nnsight.commands")
        vars(made)["dist"] = SimpleNamespace(name="some-plugin")
        entries.append(made)
    monkeypatch.setattr(plugins, "_scan", lambda: tuple(entries))
    monkeypatch.setenv("COLUMNS", "200")
    return entries


def ends(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["and-nnsight", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("registry")
def test_a_plugins_command_runs_with_its_options_and_its_errors_are_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(monkeypatch, "shout", "a", "b", "--times", "2") == 0
    assert capsys.readouterr().out == "A BA B\n"
    assert ends(monkeypatch, "shout", "a", "--times", "0") == 2
    assert capsys.readouterr().err == "error: times must be at least 1\n"
    assert ends(monkeypatch, "shout", "--help") == 0
    assert "Say it loudly." in capsys.readouterr().out
    assert ends(monkeypatch, "shout", "a", "--loud") == 2
    assert "no such option" in capsys.readouterr().err


@pytest.mark.usefixtures("registry")
def test_the_list_holds_them_after_ours_and_names_a_broken_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(monkeypatch, "--help") == 0
    listed = capsys.readouterr().out
    assert listed.index("findings") < listed.index("shout") and "Say it loudly." in listed
    assert "Cannot be used here: command 'lost' of some-plugin cannot be loaded: ModuleNotFoundError" in listed
    assert "Keep, for every unit of the sites" in listed, "a plugin does not take the place of a command of ours"
    assert ends(monkeypatch, "lost", "file", "--any", "thing") == 2
    assert "error: command 'lost' of some-plugin cannot be loaded" in capsys.readouterr().err


def test_a_command_that_lies_elsewhere_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "_scan", tuple)
    for words in (["m", "d", "--site", "s", "--width", "8"], ["--help"], []):
        assert ends(monkeypatch, "train-sae", *words) == 2
        assert "pip install and-nnsight-sae, in an environment without and-nnsight-lens" in capsys.readouterr().err
    assert ends(monkeypatch, "train-se") == 2
    assert "no such command 'train-se'" in capsys.readouterr().err
