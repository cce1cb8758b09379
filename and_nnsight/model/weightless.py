"""Modules that are built from a config without weights, on the meta device."""

from __future__ import annotations

from collections.abc import Callable

from nnsight.modeling.mixins.meta import MetaDevice
from torch import nn

from .checkpoint import ModelError, reason


def described(build: Callable[[], nn.Module]) -> nn.Module:
    """A module that is built from a config. Raises ModelError for a config whose values make no model."""
    try:
        return weightless(build)
    except MemoryError:
        raise
    except Exception as error:  # transformers raises anything
        raise ModelError(f"the model cannot be built as its config describes it: {reason(error)}") from error


def weightless(build: Callable[[], nn.Module]) -> nn.Module:
    """A module on the meta device, where nnsight builds what is to have no weights yet."""
    try:
        module = build()
    except RuntimeError:
        # Some models compute with numbers while they are built (CLAP's drop-path rates): build those for real.
        with MetaDevice.real():
            module = build()
    # Parameters made by torch's legacy constructor (masked_spec_embed) are real wherever they are built.
    return module.to("meta")
