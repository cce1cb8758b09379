"""Sparse autoencoders for acoustic transformers, trained with SAELens's own trainer on `and_nnsight`'s streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import TrainingError
    from .report import Training
    from .run import train_sae

__all__ = ["Training", "TrainingError", "train_sae"]
_HOMES = {"Training": "report", "TrainingError": "errors", "train_sae": "run"}


def __getattr__(name: str) -> Any:
    """At the first use: the command line shows its help without SAELens, which takes seconds to import."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
