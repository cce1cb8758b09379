"""A run to be killed: `python killed_run.py MODEL AUDIO OUT`, with a checkpoint after every batch."""

import sys

import and_nnsight.run

if __name__ == "__main__":
    and_nnsight.run.CHECKPOINT_SECONDS = 0.0
    model, audio, out = sys.argv[1:]
    and_nnsight.run.dissect(model, audio, "all", 4, batch_size=3, out=out, progress=False, device="cpu")
