"""The client's side: `python ship.py FOLDER` writes kernels as nnsight would send them to a server.

FOLDER/kernels has those that are meant for it. FOLDER/unshippable has one that is not: the methods of its NamedTuple
have no source and travel as bytecode.
"""

import sys
from pathlib import Path

import beartype  # noqa: F401  # before nnsight
import nnsight
from nnsight.intervention.serialization import dumps

from and_nnsight.kernels import as_candidates, best_clips, border_ties, dyadic_nodes, pool, pool_frames

if __name__ == "__main__":
    nnsight.register("and_nnsight")
    folder = Path(sys.argv[1])
    shipped = (as_candidates, best_clips, border_ties, dyadic_nodes, pool_frames)
    (folder / "kernels").write_bytes(dumps({kernel.__name__: kernel for kernel in shipped}))
    (folder / "unshippable").write_bytes(dumps(pool))
