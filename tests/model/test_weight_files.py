"""Weights are hashed from the file that they lie in, as long as they are those of the file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from and_nnsight.model import weight_files
from and_nnsight.model.fingerprint import weights_hash
from and_nnsight.model.weight_files import WeightFiles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere weights are read where they are")
SHAPE = (512, 600)  # more than is read where it is, however large a page


def mapped(path: Path) -> Tensor:
    """A matrix as transformers has it: in a file, until it is written to."""
    size = SHAPE[0] * SHAPE[1]
    return torch.from_file(str(path), shared=False, size=size + 64, dtype=torch.float32)[64:].view(SHAPE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "the weights.bin"
    torch.randn(SHAPE[0] * SHAPE[1] + 64, generator=torch.Generator().manual_seed(0)).numpy().tofile(path)
    return path


def content(tensor: Tensor) -> bytes:
    return b"".join(map(bytes, WeightFiles().blocks(tensor)))


def is_resident(tensor: Tensor) -> bool:
    """Whether more than a corner of it is in memory."""
    start, within = tensor.data_ptr(), False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        low, dash, high = first.partition("-")
        if dash and rest:
            within = int(low, 16) <= start < int(high, 16)
        elif within and line.startswith("Rss:"):
            return int(line.split()[1]) * 1024 > tensor.nbytes // 2
    raise AssertionError("it is in no mapping")


def test_a_mapped_matrix_is_read_from_its_file_and_stays_out_of_memory(path: Path) -> None:
    matrix = mapped(path)
    expected = path.read_bytes()[4 * 64 :]
    assert content(matrix) == expected
    assert not is_resident(matrix)
    assert bytes(matrix.view(-1).view(torch.uint8).numpy().data) == expected
    assert is_resident(matrix)


def test_what_was_written_to_is_read_where_it_is(path: Path) -> None:
    matrix = mapped(path)
    before = content(matrix)
    matrix[-1, -1] += 1
    after = content(matrix)
    assert after[:-4] == before[:-4]
    assert after == matrix.numpy().tobytes() != before


def test_parts_and_turned_matrices_have_their_own_bytes(path: Path) -> None:
    matrix = mapped(path)
    assert content(matrix[10:500]) == matrix[10:500].numpy().tobytes()
    assert content(matrix.T) == matrix.T.contiguous().numpy().tobytes()
    assert content(matrix[0, :5]) == matrix[0, :5].numpy().tobytes()
    assert content(torch.zeros(0)) == b""


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_a_file_that_went_away_under_the_weights_is_not_read(path: Path, change: str) -> None:
    matrix = mapped(path)
    expected = matrix.clone()
    path.unlink()
    if change == "replaced":
        path.write_bytes(os.urandom(4 * (matrix.numel() + 64)))
    assert content(matrix) == expected.numpy().tobytes()


def test_the_hash_is_the_same_from_the_file_and_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(600, 512)
    save_file(layer.state_dict(), tmp_path / "model.safetensors")
    in_memory = weights_hash(layer)
    file = tmp_path / "model.safetensors"
    header = (8 + int.from_bytes(file.read_bytes()[:8], "little")) // 4
    whole = torch.from_file(str(file), shared=False, size=header + 601 * 512, dtype=torch.float32)
    weight = whole[header + 512 :].view(512, 600)
    assert torch.equal(weight, layer.weight)
    layer.weight = nn.Parameter(weight)
    assert weights_hash(layer) == in_memory
    monkeypatch.setattr(weight_files, "_MAPPINGS", tmp_path / "no such file")
    assert weights_hash(layer) == in_memory
    with torch.no_grad():
        layer.weight[0, 0] += 1
    monkeypatch.undo()
    assert weights_hash(layer) != in_memory
