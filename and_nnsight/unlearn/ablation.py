"""Ablate units while a model runs: as an nnsight edit, or under plain torch hooks. The checkpoint is not touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from nnsight.intervention.interleaver import OutOfOrderError
from torch import Tensor, nn

from ..dissection.dissection import Dissection
from ..model.audio_model import AudioModel
from ..model.bare import bare
from ..model.devices import device_of
from ..model.opening import known_sites, moved
from ..model.restoring import evaluating
from ..sites.hooks import site_hooks
from ..sites.site import Site, SiteError, find_sites, select_sites
from ..sites.wrappers import uncompiled
from .interventions import Intervention, SiteAblation, site_ablations
from .unit_set import ChoiceError, UnitChoice

Means = Mapping[str, Float[Tensor, " unit"]]


def ablate(
    model: AudioModel,
    choice: UnitChoice,
    how: str = "zero",
    *,
    found: Dissection | None = None,
    means: Means | None = None,
    gain: float | None = None,
    seed: int = 0,
) -> AudioModel:
    """A model whose units are ablated in every trace (an nnsight edit); the given one stays as it was.

    The two share their weights, which are not changed, so this costs no memory; `dissect` and all else take the result
    like any AudioModel.

    how    zero; mean: the unit's mean over all frames of a dataset, from `means` (float [unit] a site) or from `found`,
           a dissection with pool="mean"; resample: the activations of another clip of the batch, which `seed` draws;
           amplify: the units' own activations times `gain` (2 doubles them, −1 turns them over)

    A trace that is stopped before a site is reached leaves that site's units out of account. Raises ChoiceError for a
    site or unit that the model does not have; SiteError for a site that does not fire, or fires more than once a
    forward; ValueError for an unknown way, a gain that does not fit it,
    and where there are no means.
    """
    intervention = Intervention(how, gain, seed)
    sites = _in_firing_order(model, model_sites(model, [choice]))
    plan = [
        (ablation.site.path, ablation.site.side == "output", ablation)
        for ablation in site_ablations(sites, [choice], intervention, fills_of(sites, how, found, means))
    ]
    return _edited(model, plan)


Plan = list[tuple[str, bool, SiteAblation]]
"""Paths of modules, whether their output or their input changes, and how; in the order in which they fire."""


def _edited(model: AudioModel, plan: Plan) -> AudioModel:
    edit: Any = model.edit
    with edit() as (_, edited):
        _change(edited, plan)
    return edited


def _change(edited: AudioModel, plan: Plan) -> None:
    """Inside an edit: make the changes."""
    for path, at_output, ablation in plan:
        envoy = edited.envoy(path)
        try:
            if at_output:
                envoy.output = ablation(envoy.output)
            else:
                envoy.input = ablation(envoy.input)
        except OutOfOrderError:
            return  # the trace was stopped before this site: it is known that all fire, and in this order


def _in_firing_order(model: AudioModel, sites: Mapping[str, Site]) -> dict[str, Site]:
    """The sites in the order in which they fire, seen on a second of noise.

    Raises SiteError for one that does not fire (under plain hooks), or more than once: an edit changes the first time.
    """
    fired: Counter[str] = Counter()
    noise = torch.randn(model.featuriser.sampling_rate, generator=torch.Generator().manual_seed(0))
    features = moved(model.featuriser([noise.numpy()]), device_of(model.wrapped))

    def take(site: Site, value: Tensor) -> None:
        fired[site.name] += 1

    with torch.no_grad(), evaluating(model.wrapped), site_hooks(model.wrapped, list(sites.values()), take):
        model._call(**model._complete(features))
    if again := [name for name, times in fired.items() if times > 1]:
        raise SiteError(
            f"site {again[0]!r} fires {fired[again[0]]} times a forward, and an edit changes only the first"
        )
    return {name: sites[name] for name in fired}


@contextmanager
def ablating(
    model: AudioModel | nn.Module,
    choice: UnitChoice | Sequence[UnitChoice],
    how: str = "zero",
    *,
    found: Dissection | None = None,
    means: Means | None = None,
    gain: float | None = None,
    seed: int = 0,
) -> Iterator[None]:
    """While open, units are ablated in every forward of the module, by plain torch hooks.

    model   an AudioModel or the transformers module itself
    choice  units; or several choices, side by side: then the rows of every batch are all clips once a choice, one
            choice after another (`features.repeat(len(choices), 1, …)`), each ablated by its own
    how, found, means, gain, seed   as for `ablate`, and so are the errors
    """
    intervention = Intervention(how, gain, seed)
    choices = [choice] if isinstance(choice, UnitChoice) else list(choice)
    model = model if isinstance(model, AudioModel) else bare(model)
    sites = model_sites(model, choices)
    module = model.wrapped if isinstance(model, AudioModel) else model
    with hooked(module, site_ablations(sites, choices, intervention, fills_of(sites, how, found, means))):
        yield


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


def model_sites(model: AudioModel | nn.Module, choices: Sequence[UnitChoice]) -> dict[str, Site]:
    """The sites that the choices have units of, by name, in forward order; widths are known.

    Raises ChoiceError for units that the model does not have, SiteError for a site that it does not have.
    """
    names = list(dict.fromkeys(name for choice in choices for name in choice.units))
    if not names:
        return {}
    if isinstance(model, AudioModel):
        model.dispatch()
        chosen = known_sites(model, names, "max")
    else:
        chosen = select_sites(model, find_sites(model), names)
    sites = {site.name: site for site in chosen}
    widths = {name: site.width for name, site in sites.items()}
    if unknown := [name for name, width in widths.items() if not width]:
        raise ChoiceError(f"how many units {unknown[0]!r} has shows only in a run: give an AudioModel of the module")
    for choice in choices:
        choice.masks(widths)
    return sites


def fills_of(sites: Mapping[str, Site], how: str, found: Dissection | None, means: Means | None) -> dict[str, Tensor]:
    """What takes the place of the sites' units, float32 [unit]; nothing but for means.

    Raises ValueError where there are no means.
    """
    if how != "mean":
        return {}
    if means is None:
        if found is None:
            raise ValueError("mean needs each unit's mean: give means=, or found=, a dissection with pool='mean'")
        if found.manifest.pool != "mean":
            raise ValueError(
                f"{found.folder} keeps the mean of each clip's {found.manifest.pool}, not the mean over frames: "
                "dissect with pool='mean', or give means="
            )
        means = {name: found[name].mean for name in sites}
    fills = {}
    for name, site in sites.items():
        if name not in means or tuple(means[name].shape) != (site.width,):
            raise ValueError(f"means= has no {site.width} means for the units of {name!r}")
        if not bool(means[name].isfinite().all()):
            raise ValueError(f"units of {name!r} have no finite mean")
        fills[name] = means[name].to(torch.float32)
    return fills
