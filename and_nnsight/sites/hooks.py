"""Collect through plain torch hooks, for loops that run the model themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from .site import Site, check_fired
from .wrappers import uncompiled


@contextmanager
def site_hooks(
    model: nn.Module, sites: Sequence[Site], on_activation: Callable[[Site, Tensor], None]
) -> Iterator[None]:
    """While open, each forward of the model hands each site's activation to `on_activation`.

    Code that torch.compile made passes hooks by: meanwhile the model runs as it was written.

    Raises SiteError on leaving, naming them, if sites never fired.
    """
    fired: set[str] = set()

    def watch(site: Site) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any = None) -> None:
            fired.add(site.name)
            on_activation(site, site.fold(inputs if site.side == "input" else output))

        return hook

    handles = []
    for site in sites:
        module = model.get_submodule(site.path)
        register = module.register_forward_hook if site.side == "output" else module.register_forward_pre_hook
        handles.append(register(watch(site)))
    try:
        with uncompiled():
            yield
        check_fired(sites, fired)
    finally:
        for handle in handles:
            handle.remove()
