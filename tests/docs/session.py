"""Runs the blocks of README and the guides in one process and one folder, and prints a line of JSON for each.

`python -m tests.docs.session` in an empty folder, with the repository on the path. It is a process of its own because a
reader has neither our type checks nor our warnings.
"""

from __future__ import annotations

import gc
import io
import json
import os
import shlex
import sys
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from tests.docs.pages import PAGES, Block, blocks


def main() -> None:
    for page in PAGES:
        shared = {"__name__": "__main__"}  # later blocks of a page go on from earlier ones
        for block in blocks(page):
            if block.runs and not run(block, shared):
                break
        if page is PAGES[0]:  # what imports have left is not looked through for cycles again and again
            gc.collect()
            gc.freeze()


def run(block: Block, shared: dict[str, object]) -> bool:
    printed, aside, began, failure = io.StringIO(), io.StringIO(), time.monotonic(), None
    with redirect_stdout(printed), redirect_stderr(aside):
        try:
            if block.language == "python":
                run_python(block, shared)
            else:
                for command in block.commands:
                    run_command(command)
        except BaseException:
            failure = traceback.format_exc() + aside.getvalue()
    told = {"page": block.page, "line": block.line, "printed": printed.getvalue(), "failure": failure}
    print(json.dumps(told | {"seconds": round(time.monotonic() - began, 1)}), flush=True)
    return failure is None


def run_python(block: Block, shared: dict[str, object]) -> None:
    # From a file: nnsight reads a trace's source from disk. Its lines are those of the page.
    file = Path(f"{block.page.replace('/', '_')}_{block.line}.py").absolute()
    file.write_text(block.code, encoding="utf-8")
    exec(compile(block.code, file, "exec"), shared)


def run_command(line: str) -> None:
    from and_nnsight.cli import main as command_line

    words = shlex.split(line, comments=True)
    if words[0] != "and-nnsight":
        raise ValueError(f"{line!r} is no command of ours: mark the block as not run")
    sys.argv, code = words, 0
    try:
        command_line()
    except SystemExit as end:
        code = end.code
    if code:
        raise RuntimeError(f"{line} ended with {code}")


if __name__ == "__main__":
    os.fsync = os.fstat  # nobody cuts the power: `impatient` in tests/conftest.py
    with suppress(BrokenPipeError):
        main()
