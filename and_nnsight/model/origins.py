"""Where functions come from: the libraries that a model is made with, or somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LIBRARIES = frozenset(
    {
        "accelerate",
        "and_nnsight",
        "and_nnsight_lens",
        "bitsandbytes",
        "nnsight",
        "peft",
        "torch",
        "torchao",
        "transformer_lens",
        "transformers",
    }
)


def root_package(function: Callable[..., Any]) -> str:
    """The package that a function, or the object that is called, comes from."""
    function = getattr(function, "func", function)  # functools.partial
    named = function if hasattr(function, "__qualname__") else type(function)
    return str(named.__module__).partition(".")[0]
