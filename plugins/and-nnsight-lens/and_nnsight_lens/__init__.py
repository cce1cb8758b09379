"""Acoustic transformers in TransformerLens, and dissection through its hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bridged import BridgedModel as BridgedModel
    from .checked import HookError as HookError
    from .checked import run_with_hooks as run_with_hooks
    from .convert import from_transformer_lens as from_transformer_lens
    from .convert import to_transformer_lens as to_transformer_lens
    from .hooked_statistics import HookedStatistics as HookedStatistics
    from .registration import register as register

_HOMES = {
    "BridgedModel": "bridged",
    "HookError": "checked",
    "HookedStatistics": "hooked_statistics",
    "from_transformer_lens": "convert",
    "register": "registration",
    "run_with_hooks": "checked",
    "to_transformer_lens": "convert",
}
__all__ = [
    "BridgedModel",
    "HookError",
    "HookedStatistics",
    "from_transformer_lens",
    "register",
    "run_with_hooks",
    "to_transformer_lens",
]


def __getattr__(name: str) -> Any:
    """Import on first use: TransformerLens imports the adapters of this package on everybody's first boot."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
