"""Change activations by plain torch hooks, in every forward of a module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from ..sites.wrappers import uncompiled
from .interventions import SiteAblation


@contextmanager
def hooked(module: nn.Module, ablations: Sequence[SiteAblation]) -> Iterator[None]:
    """While open, the changes are made in every forward of the module.

    Code that torch.compile made passes hooks by: meanwhile the module runs as it was written.
    """
    handles = []
    try:
        for ablation in ablations:
            target = module.get_submodule(ablation.site.path)
            if ablation.site.side == "output":
                handles.append(target.register_forward_hook(_at_output(ablation)))
            else:
                handles.append(target.register_forward_pre_hook(_at_input(ablation), with_kwargs=True))
        with uncompiled():
            yield
    finally:
        for handle in handles:
            handle.remove()


def _at_output(ablation: SiteAblation) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        return ablation(output)

    return hook


def _at_input(ablation: SiteAblation) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (ablation(args[0]), *args[1:]), kwargs
        name = next(iter(kwargs))
        return args, {**kwargs, name: ablation(kwargs[name])}

    return hook
