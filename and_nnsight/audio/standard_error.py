"""What a decoder writes to the standard error output by itself: libmpg123 does so of a damaged frame, and goes on."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_STANDARD_ERROR = 2
_LOCK = threading.RLock()  # the output is one for the whole process
_MARK = "[src/libmpg123/"


@contextmanager
def decoder_messages() -> Iterator[list[str]]:
    """Keep libmpg123 from the terminal; on leaving, the list holds its lines, and those of others are passed on."""
    messages: list[str] = []
    with _LOCK:
        try:
            before = os.dup(_STANDARD_ERROR)
        except OSError:  # the process has no such output
            yield messages
            return
        try:
            with tempfile.TemporaryFile() as file:
                os.dup2(file.fileno(), _STANDARD_ERROR)
                try:
                    yield messages
                finally:
                    os.dup2(before, _STANDARD_ERROR)
                    file.seek(0)
                    others = _sort(file.read().decode("utf-8", "surrogateescape"), messages)
                    with suppress(OSError):
                        os.write(before, others.encode("utf-8", "surrogateescape"))
        finally:
            os.close(before)


def _sort(text: str, messages: list[str]) -> str:
    """Put the decoder's lines into the list; give the others."""
    lines = text.splitlines(keepends=True)
    messages += [line.strip() for line in lines if line.startswith(_MARK)]
    return "".join(line for line in lines if not line.startswith(_MARK))
