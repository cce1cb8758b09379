"""Mixtures of experts: MLPs of which each token is sent to a few, so that their neurons are no axis of a tensor."""

from __future__ import annotations

from torch import nn

from .wrappers import walk


def mixture_of(module: nn.Module) -> str | None:
    """The path, in a block or a model, of its first mixture of experts; None where there is none."""
    paths = (path for name, path, _ in walk(module) if name.rpartition(".")[2] == "experts")
    return next((path.rpartition(".")[0] for path in paths), None)
