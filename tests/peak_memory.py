"""The most memory that this process has had."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_bytes() -> int:
    """Bytes of resident memory at its most.

    Not `getrusage`'s where there is /proc: a process takes that over from the one that started it, so that beside a
    large pytest it says nothing of its own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
