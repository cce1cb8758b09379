"""A shard to be killed: `python killed_shard.py MODEL AUDIO OUT SHARD OPERATION SCORES`; see `killed_run`."""

import sys

from killed_run import KillsItself

import and_nnsight.run.dissect
import and_nnsight.run.session

if __name__ == "__main__":
    and_nnsight.run.session.CHECKPOINT_SECONDS = 0.0
    model, audio, out, shard, operation, scores = sys.argv[1:]
    kills = KillsItself(out, int(operation))
    sys.addaudithook(kills)
    and_nnsight.run.dissect.dissect(
        model, audio, "all", 4, batch_size=3, out=out, progress=False, device="cpu", concepts=scores,
        keep_activations=True, shard=None if shard == "none" else shard,
    )  # fmt: skip
    print(kills.seen)
