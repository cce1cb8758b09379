"""Opens a checkpoint, and prints by how many bytes that raised the peak of this process's memory.

`python -m tests.model.peak_of_a_part FOLDER SMALL`: SMALL is a checkpoint of the same kind, which brings in the imports.
"""

from __future__ import annotations

import resource
import sys

from and_nnsight import AudioModel


def peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(folder: str, small: str) -> None:
    """Open the small one, then the large one."""
    AudioModel(small).dispatch()
    before = peak()
    AudioModel(folder, dispatch=True)
    print(peak() - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
