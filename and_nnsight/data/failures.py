"""What becomes of a clip that a dataset of the user's cannot load."""

from __future__ import annotations

from .items import Unusable
from .text import encodable

LOAD_ERRORS = (OSError, RuntimeError, ValueError, EOFError, MemoryError)
"""What libraries raise for a file that they cannot read: that clip's failure, not the run's."""


def load_failure(error: BaseException) -> Unusable:
    """In the place of the clip's audio: why there is none."""
    return Unusable(f"its dataset cannot load it: {type(error).__name__}: {encodable(str(error).strip())}"[:1_000])
