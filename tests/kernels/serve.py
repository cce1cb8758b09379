"""The server's side: `python serve.py FOLDER` runs FOLDER/kernels over FOLDER/cases.safetensors.

It has nnsight and torch, and neither our package nor what only that needs.
"""

import sys
from pathlib import Path

ABSENT = {"and_nnsight", "beartype", "einops", "jaxtyping"}
POOLINGS = ("max", "mean", "cls", "first", "last")


class Absent:
    """Says of packages that are installed that they are not."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def reduce(kernels, activations, mask, clips, pooling):
    values, frames, nonfinite = kernels["pool_frames"](activations, mask, pooling)
    found = {"values": values, "frames": frames, "nonfinite": nonfinite}
    for side in ("top", "bottom"):
        candidates = kernels["as_candidates"](values, clips, frames, side == "top")
        best = kernels["best_clips"](*candidates, 4, side == "top", False)
        found |= zip((f"{side}_values", f"{side}_clips", f"{side}_frames"), best, strict=True)
        found[f"{side}_ties"] = kernels["border_ties"](candidates[0], candidates[1], best[0], best[1])
    _, *moments = kernels["dyadic_nodes"](values, list(range(5, 5 + len(values))))
    found |= zip(("number", "total", "squares", "active"), moments, strict=True)
    return found


if __name__ == "__main__":
    sys.meta_path.insert(0, Absent)

    import torch
    from nnsight.intervention.serialization import loads
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    kernels = loads((folder / "kernels").read_bytes())
    parts, results = load_file(folder / "cases.safetensors"), {}
    for case in {name.partition("/")[0] for name in parts}:
        inputs = [parts[f"{case}/{part}"] for part in ("activations", "mask", "clips")]
        for pooling in POOLINGS:
            found = reduce(kernels, *inputs, pooling)
            results |= {f"{case}/{pooling}/{name}": tensor.contiguous() for name, tensor in found.items()}
    save_file(results, folder / "results.safetensors")
    assert not ABSENT & set(sys.modules)
