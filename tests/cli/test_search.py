"""`and-nnsight search`: a table of units, and one sentence where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from and_nnsight.cli import search
from tests.explain.small_dissection import small_dissection, with_summaries


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    app = typer.Typer()
    search.register(app)
    app.callback()(lambda: None)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object):
        return CliRunner().invoke(app, ["search", str(tmp_path / "run"), *map(str, arguments)])

    return call


@pytest.fixture
def explained(tmp_path: Path) -> Path:
    dissection = small_dissection(tmp_path / "run")
    with_summaries(
        dissection,
        {
            ("first", 0): ("[bold]Telephone[/bold] ring \x1b[2J(3 of 5).", "x"),
            ("second", 1): ("Dogs barking (5 of 5).", "x"),
        },
    )
    return dissection.folder


def test_search_shows_units_with_scores_explanations_and_clips(run, explained: Path) -> None:
    result = run("telephone", "--most", 1)
    assert result.exit_code == 0
    assert "first" in result.output
    assert "[bold]Telephone[/bold] ring" in result.output, "text from a model is data, not markup"
    assert "\x1b[2J" not in result.output
    assert "label_0" in result.output
    assert f"and-nnsight show {explained} first 0" in result.output
    assert "Dogs" not in result.output


def test_search_says_where_it_finds_nothing(run, explained: Path) -> None:
    result = run("[red]giraffe")
    assert result.exit_code == 0
    assert "No unit's explanation or label has anything of '[red]giraffe'." in result.output
    assert "No unit" in run("telephone", "--sites", "second").output


def test_an_error_of_use_is_a_value_error_that_the_command_line_turns_into_a_sentence(run, explained: Path) -> None:
    assert isinstance(run(" ").exception, ValueError)
    assert isinstance(run("dog", "--text-encoder", "nonsense").exception, ValueError)
    assert isinstance(run("dog", "--sites", "third").exception, ValueError)


def test_help_says_what_to_give(run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "dog barking" in result.output
