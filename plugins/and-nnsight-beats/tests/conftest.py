"""Settings that every test shares, and small random checkpoints."""

from __future__ import annotations

from pathlib import Path

# nnsight hangs a `save` on every object; beartype, which the import hook loads late, trips over it unless it is first.
import beartype  # noqa: F401
import pytest
import torch
from beats_for_tests import write_checkpoint

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def offline() -> None:
    """No test may reach a hub."""
    import os

    os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published checkpoint without a head."""
    return write_checkpoint(tmp_path_factory.mktemp("frozen") / "BEATs.pt")


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published checkpoint with a head of five classes."""
    return write_checkpoint(tmp_path_factory.mktemp("finetuned") / "BEATs_finetuned.pt", classes=5)


@pytest.fixture
def checkpoint(request: pytest.FixtureRequest, frozen: Path, finetuned: Path) -> Path:
    """The one that the test asks for by name."""
    return {"frozen": frozen, "finetuned": finetuned}[request.param]
