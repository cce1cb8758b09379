"""`python compile_for_hopper.py`: compile every fused kernel for sm_90 and print, as JSON, what each takes of the chip.

Needs no GPU. In a process of its own, without Triton's interpreter.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from and_nnsight.kernels.triton import pooling, topk

TOOL = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
STATE = {"kept_values": "*fp32", "kept_clips": "*i64", "kept_frames": "*i32", "ties": "*i64"}
BATCH = {"values": "*fp32", "clips": "*i64", "frames": "*i32", "clip_count": "i32", "units": "i32"}
COUNTS = dict.fromkeys(("frame_count", "unit_count", "clip_stride", "frame_stride", "mask_stride"), "i32")


def resources(kernel, types: dict[str, str], constants: dict[str, Any], warps: int) -> dict[str, int]:
    """Registers a thread, and bytes of stack and local memory."""
    names = kernel.arg_names
    aligned = [name for name, kind in types.items() if kind.startswith("*") or name in ("unit_count", "units")]
    source = ASTSource(
        kernel,
        {name: types.get(name, "constexpr") for name in names},
        {(names.index(name),): value for name, value in constants.items()},
        {(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        dump = subprocess.run([TOOL, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    return {key: int(re.findall(rf"{key}:(\d+)", dump.stdout)[0]) for key in ("REG", "STACK", "LOCAL")}


def main() -> None:
    """Every kernel in each dtype that it reads, at the K of the paper and a large one."""
    used = {}
    for dtype in ("fp32", "bf16", "fp16"):
        types = {"activations": f"*{dtype}", "mask": "*i1", "values": "*fp32", "frames": "*i32", "nonfinite": "*i64"}
        block = {"FRAMES": pooling.FRAMES_AT_ONCE, "UNITS": pooling.UNITS_AT_ONCE, "STAGES": pooling.STAGES}
        used[f"pooling {dtype}"] = resources(pooling.pool_max_kernel, {**types, **COUNTS}, block, pooling.WARPS)
    for k in (16, 100):
        constants = {"SIGN": 1.0, "K": k, "UNITS": topk.UNITS_AT_ONCE}
        used[f"top-K {k}"] = resources(topk.topk_kernel, {**STATE, **BATCH}, constants, topk.WARPS)
    print(json.dumps(used))


if __name__ == "__main__":
    main()
