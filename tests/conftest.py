"""Settings that every test shares."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

# nnsight hangs a `save` on every object; beartype, which the import hook loads late, trips over it unless it is first.
import beartype  # noqa: F401
import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.remote.loopback import clean_environment
from tests.type_checks import check_package
from tests.warm_python import WarmPython

check_package("and_nnsight")

# Told to keep nothing that it compiles, every process that a test starts would compile the whole package again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Without a GPU the fused kernels run in Triton's interpreter, which must be chosen before anything imports Triton.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

# Tiny models gain nothing from threads, and test processes side by side lose much by them.
torch.set_num_threads(1)

# A machine that is busy or held back draws examples slowly; that says nothing of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """What imports have left lives as long as the tests: it is not looked through again and again for cycles."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def impatient() -> Iterator[None]:
    """No test waits for a disk: what a process has written outlives the process, and no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(autouse=True, scope="session")
def offline() -> None:
    """No test may reach a hub."""
    os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    """Where scripts run as a user's do; offline, and without the user's settings of NDIF."""
    folder = tmp_path_factory.mktemp("scripts")
    config = folder / "nnsight-none.yaml"
    config.touch()
    python = WarmPython(folder, clean_environment(NNSIGHT_CONFIG=str(config)))
    try:
        yield python
    finally:
        python.close()
