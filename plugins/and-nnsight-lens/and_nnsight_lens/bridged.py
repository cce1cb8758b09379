"""A bridge as `dissect` takes it: sites by the names of the bridge's hooks, activations through those hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from and_nnsight.model.accepted_inputs import accepted, needs_mask
from and_nnsight.model.adapter import ModelAdapter, OnActivation
from and_nnsight.model.devices import dtype_of
from and_nnsight.model.extractors import default_extractor
from and_nnsight.model.features import Features, Featuriser, make_featuriser
from and_nnsight.model.inputs import main_input
from and_nnsight.model.measured_frames import measured_frames
from and_nnsight.sites.names import HEADS_SIDE_BY_SIDE
from and_nnsight.sites.site import MODULE_PREFIX, Site, check_fired, find_sites, select_sites
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from .plain import plain_view, submodule

_MAIN = ("input_values", "input_features")
_MIRRORS = "_wire_symbolic_hooks"  # TransformerLens's own permanent hooks, which change nothing


class BridgedModel(ModelAdapter):
    """A TransformerBridge around an acoustic transformer, ours or TransformerLens's own.

    feature_extractor  transformers feature extractor; by default the bridge's `processor`, else what the model's
                       config calls for (with a warning)
    """

    def __init__(self, bridge: TransformerBridge, feature_extractor: Any = None) -> None:
        self.bridge = bridge
        view = self._view = plain_view(bridge.original_model)
        extractor = feature_extractor or bridge.processor or default_extractor(view)
        masked = needs_mask(bridge.original_model)
        self._featuriser = make_featuriser(view, getattr(extractor, "feature_extractor", extractor), masked)
        hooks = bridge.hook_dict
        found = tuple(site for site in find_sites(view, self._featuriser.extractor) if site.name in hooks)
        self._available = _with_seconds(found, view, self._featuriser)
        self.name = bridge.cfg.model_name

    @property
    def wrapped(self) -> nn.Module:
        """The bridged transformers module."""
        return self.bridge.original_model

    @property
    def featuriser(self) -> Featuriser:
        """The feature extraction."""
        return self._featuriser

    def sites(self, *patterns: str) -> tuple[Site, ...]:
        """The sites that the patterns name; each but `module:PATH` is also the name of a hook of the bridge."""
        return select_sites(self._view, self._available, patterns) if patterns else self._available

    def run(self, sites: Sequence[Site], features: Features, on_activation: OnActivation) -> None:
        """Run the bridge on features, with a hook at each site. Hooks that the user added to the bridge act too."""
        with torch.no_grad():  # what the model remembers of a forward must still train
            self.run_with_gradient(sites, features, on_activation)

    def run_with_gradient(self, sites: Sequence[Site], features: Features, on_activation: OnActivation) -> None:
        """As `run`, with gradients as far as they are enabled where it is called."""
        fired: set[str] = set()

        def watch(site: Site) -> Callable[[Any], None]:
            def note(value: Any) -> None:
                fired.add(site.name)
                on_activation(site, folded(site, value))

            return note

        named = [site for site in sites if not site.name.startswith(MODULE_PREFIX)]
        by_path = [site for site in sites if site.name.startswith(MODULE_PREFIX)]
        fwd_hooks: list[Any] = [(hook_name(site), _fwd_hook(watch(site))) for site in named]
        handles = [
            submodule(self.wrapped, site.path).register_forward_hook(_module_hook(watch(site))) for site in by_path
        ]
        try:
            self._run(features, fwd_hooks, None if handles else _last_layer(named))
        finally:
            for handle in handles:
                handle.remove()
        check_fired(sites, fired)

    def _run(self, features: Features, fwd_hooks: list[Any], last: int | None) -> None:
        dtype = dtype_of(self.wrapped)
        inputs = {n: v.to(dtype) if v.is_floating_point() else v for n, v in features.items()}
        main = next(name for name in _MAIN if name in inputs)
        stop = None if last is None or last + 1 >= len(self.bridge.blocks) else last + 1
        sound = inputs.pop(main)
        options: dict[str, Any] = {"return_type": None, "stop_at_layer": stop, **inputs}
        self.bridge.run_with_hooks(sound, fwd_hooks=fwd_hooks, **options)

    @property
    def edits(self) -> int:
        """Hooks that somebody added to the bridge."""
        points: dict[int, HookPoint] = {id(point): point for point in self.bridge.hook_dict.values()}
        return sum(
            _MIRRORS not in repr(hook) and _MIRRORS not in str(getattr(hook, "__name__", ""))
            for point in points.values()
            for hook in point._forward_hooks.values()
        )

    def describe(self) -> dict[str, Any]:
        """What the manifest says: the model, and through what it was heard."""
        return super().describe() | {"through": f"transformer-lens {version('transformer-lens')}"}


def _with_seconds(sites: tuple[Site, ...], view: nn.Module, featuriser: Featuriser) -> tuple[Site, ...]:
    """The sites, those with measured seconds whose frames neither structure nor config places."""
    if not any(site.layer is not None and site.geometry.kind == "unknown" for site in sites):
        return sites

    def inputs(module: nn.Module, features: Features) -> dict[str, Any]:
        return accepted(module, features, main_input(module))

    measured = measured_frames(view, featuriser, inputs)
    return tuple(site if site.layer is None else replace(site, geometry=measured) for site in sites)


def hook_name(site: Site) -> str:
    """The name of the hook at which a site's tensor is seen, also of one whose units are heads or latents."""
    return site.tensor.name


def folded(site: Site, value: Any) -> Tensor:
    """The site's tensor out of what its hook was given: TransformerLens gives heads an axis of their own."""
    own_axis = isinstance(value, Tensor) and value.ndim == 4 and hook_name(site).endswith(HEADS_SIDE_BY_SIDE)
    return site.fold(value.flatten(-2) if own_axis else value)


def _fwd_hook(note: Callable[[Any], None]) -> Callable[..., None]:
    def hook_fn(tensor: Tensor, hook: Any) -> None:
        note(tensor)

    return hook_fn


def _module_hook(note: Callable[[Any], None]) -> Callable[..., None]:
    def hook_fn(module: nn.Module, inputs: Any, output: Any) -> None:
        note(output)

    return hook_fn


def _last_layer(sites: Sequence[Site]) -> int | None:
    """The last block that has to run; None if what comes after the blocks has to run too."""
    layers = [site.layer for site in sites]
    return None if None in layers or not layers else max(layer for layer in layers if layer is not None)
