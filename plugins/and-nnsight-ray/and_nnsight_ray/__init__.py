"""`and_nnsight.dissect` over a Ray cluster: clips are decoded by CPU actors, the model runs in GPU actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .driver import dissect

__all__ = ["dissect"]


def __getattr__(name: str) -> Any:
    """At the first use: an actor that decodes needs none of it, and starts the sooner."""
    if name in __all__:
        from . import driver

        return getattr(driver, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
