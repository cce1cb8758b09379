"""BEATs for and_nnsight: `dissect("beats:CHECKPOINT", …)`, or in Python `load(path)` and `AudioModel(module)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoint import CheckpointError, load, save
    from .config import BEATsConfig
    from .filterbank import FilterBank
    from .model import BEATs, BEATsOutput

__all__ = ["BEATs", "BEATsConfig", "BEATsOutput", "CheckpointError", "FilterBank", "load", "save"]

_HOMES = {
    "BEATs": "model",
    "BEATsConfig": "config",
    "BEATsOutput": "model",
    "CheckpointError": "checkpoint",
    "FilterBank": "filterbank",
    "load": "checkpoint",
    "save": "checkpoint",
}


def __getattr__(name: str) -> Any:
    # The core shows every object it does not know to every plugin: importing this package must cost nothing.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
