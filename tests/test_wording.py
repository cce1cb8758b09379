"""Counts agree with their nouns, and commands can be pasted."""

from __future__ import annotations

import shlex

import pytest

from and_nnsight.wording import agree, command, counted, first_line


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 clips"), (1, "1 clip"), (2, "2 clips"), (1_200, "1,200 clips"), (10**9, "1,000,000,000 clips")],
)
def test_counts_agree_with_their_nouns(count: int, said: str) -> None:
    assert counted(count, "clip") == said


def test_plurals_and_verbs_of_their_own() -> None:
    assert counted(2, "batch", "batches") == "2 batches"
    assert [agree(count, "is", "are") for count in (0, 1, 2)] == ["are", "is", "are"]


@pytest.mark.parametrize("folder", ["runs/a", "it's a run", "a;b", "$HOME", "-x", "ü", 'say "hi"', "a\nb"])
def test_a_command_is_read_by_a_shell_as_it_was_meant(folder: str) -> None:
    assert shlex.split(command("show", folder, "blocks.*", 3)) == ["and-nnsight", "show", folder, "blocks.*", "3"]


def test_a_command_holds_no_password() -> None:
    assert command("dissect", "http://me:secret@host/x") == "and-nnsight dissect 'http://…@host/x'"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError("We couldn't connect to 'https://huggingface.co' to load\nCheck"),
            "it was not downloaded before, and",
        ),
        (OSError("Couldn't reach 'a/b' on the Hub (OfflineModeIsEnabled)"), "it was not downloaded before, and"),
        (ValueError("no such thing\nfor developers"), "no such thing"),
        (KeyError(), "KeyError"),
    ],
)
def test_the_first_line_of_an_error_is_for_whoever_reads_it(error: Exception, line: str) -> None:
    assert first_line(error).startswith(line)
    assert "huggingface.co" not in first_line(error)
