"""Opens a checkpoint, and prints by how many bytes that raised the peak of this process's memory.

`python -m tests.model.peak_of_a_part FOLDER SMALL`: SMALL is a checkpoint of the same kind, which brings in the imports.
"""

from __future__ import annotations

import sys

from and_nnsight import AudioModel
from tests.peak_memory import peak_bytes


def main(folder: str, small: str) -> None:
    """Open the small one, then the large one."""
    AudioModel(small).dispatch()
    before = peak_bytes()
    AudioModel(folder, dispatch=True)
    print(peak_bytes() - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
