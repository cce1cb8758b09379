"""The command line as a user meets it, in this process."""

from __future__ import annotations

import contextlib
import io
import sys

import pytest

from and_nnsight.cli import main


def run_command(*words: object, columns: int = 200) -> tuple[int, str, str]:
    """`and-nnsight WORDS` in a terminal of so many columns: its exit code, what it printed, and its standard error."""
    out, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["and-nnsight", *map(str, words)])
        patch.setenv("COLUMNS", str(columns))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            main()
    return int(ended.value.code or 0), out.getvalue(), error.getvalue()
