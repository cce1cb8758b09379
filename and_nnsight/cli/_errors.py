"""What a user of the command line is told of an error: one sentence, which names the file and says what to do."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from ..wording import advice

TRACEBACK = "AND_NNSIGHT_TRACEBACK"
_DISK = {errno.ENOSPC, errno.EDQUOT}
_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "Unable to allocate")


def sentence(error: Exception) -> tuple[str, int]:
    """The sentence for an error, and the exit code: 2 for errors of use, 1 for a server's and for those of our own."""
    text = " ".join(str(error).split())
    if hasattr(error, "format_message"):
        return _usage_sentence(error), int(getattr(error, "exit_code", 2))
    if _is_a(error, "remote.settings", "RemoteRunError"):
        return text, 1
    if _is_lack_of_memory(error, text):
        return "there is not enough memory for this: take fewer sites, a smaller -k, or a smaller --batch-size", 2
    if isinstance(error, OSError) and error.errno is not None:
        return _file_sentence(error), 2
    if text and _is_for_the_user(error):
        return text, 2
    detail = type(error).__name__ + (f": {text[:300]}" if text else "")
    return (
        f"and-nnsight did not expect this ({detail}): please report it, with what {TRACEBACK}=1 shows before the same "
        "command",
        1,
    )


def _usage_sentence(error: Any) -> str:
    """What the command's words lack or have too much: the parser's own word for it, and where the options are listed.

    The parser is click's, of its own or inside typer, so that its errors are known by what they can do.
    """
    said = " ".join(str(error.format_message()).split()).rstrip(".")
    context = getattr(error, "ctx", None)
    where = "and-nnsight" if context is None else context.command_path
    return f"{said[:1].lower()}{said[1:]}: {where} --help lists what there is"


def wants_traceback() -> bool:
    """Whether whoever runs the command asked to see where an error comes from."""
    return os.environ.get(TRACEBACK, "") not in ("", "0")


def _is_a(error: Exception, module: str, name: str) -> bool:
    """Whether an error is of one of our kinds. Nothing is imported: it may have come before anything could be."""
    kind = getattr(sys.modules.get(f"and_nnsight.{module}"), name, None)
    return kind is not None and isinstance(error, kind)


def _is_lack_of_memory(error: Exception, text: str) -> bool:
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


def _is_for_the_user(error: Exception) -> bool:
    """Whether an error's own text was written for whoever runs the command."""
    if _is_a(error, "data.workers", "WorkerDied"):
        return True
    return isinstance(error, (ValueError, OSError)) and not _is_raw(error)


def _is_raw(error: Exception) -> bool:
    """Whether an error is a library's own and says nothing to a user: a decoder's, a bare conversion's."""
    import json

    import pyarrow

    raw = (json.JSONDecodeError, UnicodeError, pyarrow.ArrowException)
    return isinstance(error, raw) or type(error).__module__.partition(".")[0] in ("safetensors", "safetensors_rust")


def _file_sentence(error: OSError) -> str:
    paths = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    if error.errno in _DISK:
        place = f", at {paths}" if paths else ""
        return f"the disk is full{place}: make room and run the same command again"
    if paths:
        return f"{paths}: {advice(error)}"
    if error.errno in (errno.ENOENT, errno.ESTALE):
        return "the folder that this command was started in is gone: change to one that exists"
    return f"{error.strerror or error}: run the same command again, it goes on from there"
