"""Settings that every test shares."""

from __future__ import annotations

# nnsight hangs a `save` on every object; beartype, which the import hook loads late, trips over it unless it is first.
import beartype  # noqa: F401
import pytest
import torch
from hypothesis import HealthCheck, settings

# Tiny models gain nothing from threads, and test processes side by side lose much by them.
torch.set_num_threads(1)

# A machine that is busy or held back draws examples slowly; that says nothing of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True, scope="session")
def offline() -> None:
    """No test may reach a hub."""
    import os

    os.environ["HF_HUB_OFFLINE"] = "1"
