"""A run to be killed: `python killed_run.py MODEL AUDIO OUT [SCORES]`, with a checkpoint after every batch.

With concepts' scores every activation is kept too.
"""

import sys

import and_nnsight.run

if __name__ == "__main__":
    and_nnsight.run.CHECKPOINT_SECONDS = 0.0
    model, audio, out, *scores = sys.argv[1:]
    options = {"concepts": scores[0], "keep_activations": True} if scores else {}
    and_nnsight.run.dissect(model, audio, "all", 4, batch_size=3, out=out, progress=False, device="cpu", **options)
