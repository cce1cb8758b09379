"""Kernels travel to a server as source text, and find there what they find here.

In processes of their own: this one has the package wrapped for type checks, which do not travel.
"""

from __future__ import annotations

import pickletools
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from and_nnsight.kernels import POOLINGS, dyadic_nodes, empty_topk, pool, topk_update
from tests.oracle import DTYPES, MASKS, VALUES, Stream, stream_of
from tests.warm_python import WarmPython

pytestmark = pytest.mark.slow

BYTECODE = {"CodeType", "_make_function", "_make_skeleton_class", "_make_skeleton_enum", "code"}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, warm_python: WarmPython) -> Path:
    folder = tmp_path_factory.mktemp("shipped")
    warm_python.run(Path(__file__).with_name("ship.py"), folder, cwd=folder)
    return folder


def serve(folder: Path) -> None:
    """In a new process, which has never imported our package."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("serve.py")), str(folder)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert finished.returncode == 0, finished.stderr


def text_of(payload: Path) -> set[str]:
    """Every string of a pickle, the names of what it calls among them."""
    operations = [(code.name, argument) for code, argument, _ in pickletools.genops(payload.read_bytes())]
    assert not {name for name, _ in operations} & {"GLOBAL", "INST"}, "names are strings of their own"
    return {argument for _, argument in operations if isinstance(argument, str)}


def drawn() -> dict[str, Stream]:
    """Every kind of value, mask and dtype, in batches of 0 to 9 clips."""
    kinds = enumerate(product(VALUES, MASKS, DTYPES))
    return {str(place): stream_of(place, place % 10, 1 + place % 7, 1 + place % 5, *kind) for place, kind in kinds}


def reduced(stream: Stream, pooling: str) -> dict[str, torch.Tensor]:
    pooled = pool(stream.activations, stream.mask, pooling)
    found = pooled._asdict()
    for side in ("top", "bottom"):
        state = empty_topk(4, pooled.values.shape[1], largest=side == "top")
        state = topk_update(state, pooled.values, stream.clips, pooled.frames, largest=side == "top")
        best = state._replace(**{name: getattr(state, name)[: len(stream)] for name in ("values", "clips", "frames")})
        found |= {f"{side}_{name}": tensor for name, tensor in best._asdict().items()}
    _, *moments = dyadic_nodes(pooled.values, list(range(5, 5 + len(stream))))
    return found | dict(zip(("number", "total", "squares", "active"), moments, strict=True))


def bits(tensor: torch.Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, tensor.numpy().tobytes()


def test_what_is_shipped_is_source_which_any_python_compiles(shipped: Path):
    assert not text_of(shipped / "kernels") & BYTECODE
    assert "_load_function" in text_of(shipped / "kernels")
    assert text_of(shipped / "unshippable") & BYTECODE, "a NamedTuple would have been noticed"


def test_a_server_without_the_package_finds_the_same_bits(shipped: Path):
    streams = drawn()
    parts = ("activations", "mask", "clips")
    cases = {f"{name}/{part}": getattr(stream, part) for name, stream in streams.items() for part in parts}
    save_file(cases, shipped / "cases.safetensors")
    serve(shipped)
    found = load_file(shipped / "results.safetensors")
    expected = {
        f"{name}/{pooling}/{part}": tensor
        for (name, stream), pooling in product(streams.items(), POOLINGS)
        for part, tensor in reduced(stream, pooling).items()
    }
    assert found.keys() == expected.keys()
    assert [name for name, tensor in expected.items() if bits(found[name]) != bits(tensor)] == []
