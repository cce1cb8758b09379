"""Options by topic: a dataclass among a command's parameters is its fields on the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from and_nnsight.cli import _options
from and_nnsight.cli._option_groups import with_option_groups
from and_nnsight.data.options import DataOptions
from and_nnsight.run.options import RunOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    width: Annotated[int, typer.Option(help="How wide.", min=1)]
    height: Annotated[int, typer.Option("-h", help="How high.")] = 2
    deep: Annotated[bool, typer.Option("--deep", help="With depth.")] = False


calls: list[tuple[Path, Size, str]] = []
app = typer.Typer()


@app.command()
@with_option_groups
def build(folder: Annotated[Path, typer.Argument(metavar="DIR")], size: Size, colour: str = "red") -> None:
    """Build it."""
    calls.append((folder, size, colour))


def test_fields_are_options_where_the_group_stands() -> None:
    calls.clear()
    done = CliRunner().invoke(app, ["x", "--width", "3", "--deep", "--colour", "blue"])
    assert done.exit_code == 0, done.output
    assert calls == [(Path("x"), Size(width=3, height=2, deep=True), "blue")]
    listing = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    places = [listing.index(text) for text in ("Build it.", "--width", "How high.", "--deep", "--colour")]
    assert places == sorted(places)


@pytest.mark.parametrize("arguments", [["x"], ["x", "--width", "0"], ["x", "--width", "3", "--size", "1"]])
def test_what_a_field_demands_is_asked_for(arguments: list[str]) -> None:
    calls.clear()
    assert CliRunner().invoke(app, arguments).exit_code == 2
    assert not calls


@pytest.mark.parametrize(
    ("group", "filled"),
    [
        (_options.DataArguments, DataOptions),
        (_options.AudioDataArguments, DataOptions),
        (_options.LoaderArguments, RunOptions),
    ],
)
def test_shared_groups_have_the_fields_and_defaults_of_what_they_fill(group: type, filled: type) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(filled)}
    for field in dataclasses.fields(group):
        assert field.default == defaults[field.name]
