"""A run to be killed: `python killed_run.py MODEL AUDIO OUT OPERATION [SCORES]`, with a checkpoint after every batch.

It kills itself at the OPERATION-th operation on files in OUT (0: never), says "begun" at the first, and at its end says
how many there were. With concepts' scores every activation is kept too. With the word "exemplars" in their place the
clips come as a stream, and the sounds of all exemplars are kept.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import and_nnsight.run.dissect
import and_nnsight.run.session

OPERATIONS = frozenset({"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "shutil.rmtree"})


class KillsItself:
    """Counts the operations on files in a folder, and ends the process at one of them."""

    def __init__(self, folder: str, operation: int) -> None:
        self.folder, self.operation, self.seen = folder, operation, 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in OPERATIONS or not str(arguments[0]).startswith(self.folder):
            return
        self.seen += 1
        if self.seen == 1:
            print("begun", flush=True)
        if self.seen == self.operation:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    and_nnsight.run.session.CHECKPOINT_SECONDS = 0.0
    model, audio, out, operation, *scores = sys.argv[1:]
    kills = KillsItself(out, int(operation))
    sys.addaudithook(kills)
    data: Any = audio
    options: dict[str, Any] = {"concepts": scores[0], "keep_activations": True} if scores else {}
    if scores == ["exemplars"]:
        data, options = iter(sorted(Path(audio).glob("*.wav"))), {"keep_exemplars": 2, "resume": "trust"}
    and_nnsight.run.dissect.dissect(
        model, data, "all", 4, batch_size=3, out=out, progress=False, device="cpu", **options
    )
    print(kills.seen)
