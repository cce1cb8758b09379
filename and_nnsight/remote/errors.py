"""What a server says of a job that failed (the words are ndif 0.1.2's): whether it may pass, and what to do."""

from __future__ import annotations

from .server import one_line

# The server's own trouble: the same job, sent again, may well work.
_PASSING = ("try again later", "reconnecting", "restart", "evicted", "preempted")
# A payload that was damaged on its way; one that names what the server does not have stays unreadable.
_DAMAGED = ("zstderror", "unpicklingerror", "eoferror")
# Ends of tracebacks that tell of a machine in trouble, not of the code that ran.
_OF_THE_DEVICE = ("device-side assert", "illegal memory access")
_OF_THE_SANDBOX = ("Connection", "BrokenPipeError", "TimeoutError", "RuntimeError: runner")


def is_transient(error: str) -> bool:
    """Whether a job's error looks like the server's own trouble, which may pass."""
    low = error.lower()
    if not error.lstrip().startswith("Traceback"):
        damaged = "could not be read" in low and any(word in low for word in _DAMAGED)
        return damaged or any(word in low for word in _PASSING)
    died = "ray/sandbox/" in error and last_line(error).startswith(_OF_THE_SANDBOX)
    return died or any(word in low for word in _OF_THE_DEVICE)


def explain_error(error: str) -> str:
    """A server's error in one sentence, with what to do about it where that is known."""
    line, low = last_line(error), error.lower()
    if "out of memory" in low or "outofmemory" in low:
        return f"the server ran out of memory: lower batch_size, or ask for fewer sites ({line})"
    if "no module at" in low or "unknownpersistentid" in low or "'module:" in low:
        return (
            "the server's model has other modules than this one: install the server's versions of transformers and "
            f"nnsight here ({line})"
        )
    if "execution timeout" in low:
        return f"the job took longer than the server allows: lower clips_per_job ({line})"
    if low.startswith("could not deploy"):
        return f"the server cannot load this model ({line})"
    if "cancelled" in low:
        return f"the server, or whoever runs it, stopped the job ({line})"
    return f"a job failed at the server: {line}"


def last_line(error: str) -> str:
    """The line that says most: a traceback's last, and of anything else the first."""
    lines = [line for line in error.strip().splitlines() if line.strip()]
    if not lines:
        return "it does not say why"
    return one_line(lines[-1] if lines[0].startswith("Traceback") else lines[0])
