"""Ablate units while a model runs: as an nnsight edit, or under plain torch hooks. The checkpoint is not touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..dissection.dissection import Dissection
from ..model.audio_model import AudioModel
from ..model.devices import to_device
from ..model.edits import ModuleEdit, edited
from ..model.features import probe_features
from ..model.opening import hookable_sites
from ..sites.hooks import site_hooks
from ..sites.site import Site, SiteError, in_every_block
from .hooks import hooked
from .interventions import Intervention, changed_site, site_ablations
from .unit_set import ChoiceError, UnitChoice, kinds_of_whole_sites

Means = Mapping[str, Float[Tensor, " unit"]]


def ablate(
    model: AudioModel,
    choice: UnitChoice,
    how: str = "zero",
    *,
    dissection: Dissection | None = None,
    means: Means | None = None,
    gain: float | None = None,
    seed: int = 0,
) -> AudioModel:
    """A model whose units are ablated in every trace (an nnsight edit); the given one stays as it was.

    An attention head (`SITE|heads`) is its part of the site: that is zeroed, scaled, or replaced by its mean (which a
    dissection has of the site itself). A whole site is a choice of all its units (`UnitChoice.whole`).

    The two share their weights, which are not changed, so this costs no memory; `dissect` and all else take the result
    like any AudioModel.

    how    zero; mean: the unit's mean over all frames of a dataset, from `means` (float [unit] a site) or from
           `dissection`, made with pool="mean"; resample: the activations of another clip of the batch, which `seed`
           draws; amplify: the units' own activations times `gain` (2 doubles them, −1 turns them over)

    A trace that is stopped before a site is reached leaves that site's units out of account. Raises ChoiceError for a
    site or unit that the model does not have; SiteError for a site that does not fire, or fires more than once a
    forward; ValueError for an unknown way, a gain that does not fit it, and where there are no means.
    """
    intervention = Intervention(how, gain, seed)
    sites = _in_firing_order(model, model_sites(model, [choice]))
    ablations = site_ablations(sites, [choice], intervention, fills_of(sites, how, dissection, means))
    return edited(model, [ModuleEdit(one.site.path, one.site.side == "output", one) for one in ablations])


def _in_firing_order(model: AudioModel, sites: Mapping[str, Site]) -> dict[str, Site]:
    """The sites in the order in which they fire, seen on a second of noise.

    Raises SiteError for one that does not fire (under plain hooks), or more than once: an edit changes the first time.
    """
    fired: Counter[str] = Counter()
    features = to_device(probe_features(model.featuriser), model.device)

    def count(site: Site, value: Tensor) -> None:
        fired[site.name] += 1

    with torch.no_grad(), site_hooks(model.wrapped, list(sites.values()), count):
        model.plain_forward(features)
    again = [name for name, times in fired.items() if times > 1]
    if again:
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
    dissection: Dissection | None = None,
    means: Means | None = None,
    gain: float | None = None,
    seed: int = 0,
) -> Iterator[None]:
    """While open, units are ablated in every forward of the module, by plain torch hooks.

    model   an AudioModel or the transformers module itself
    choice  units; or several choices, side by side: then the rows of every batch are all clips once a choice, one
            choice after another (`features.repeat(len(choices), 1, …)`), each ablated by its own
    how, dissection, means, gain, seed   as for `ablate`, and so are the errors
    """
    intervention = Intervention(how, gain, seed)
    choices = [choice] if isinstance(choice, UnitChoice) else list(choice)
    module, sites = _sites_in(model, choices)
    with hooked(module, site_ablations(sites, choices, intervention, fills_of(sites, how, dissection, means))):
        yield


def model_sites(
    model: AudioModel | nn.Module, choices: Sequence[UnitChoice], *, alike: bool = False
) -> dict[str, Site]:
    """The sites that the choices have units of, by name, in forward order; widths are known.

    alike  of sites that a choice has whole, also those of the same kind and width, of which random ones are drawn

    Raises ChoiceError for units that the model does not have, SiteError for a site that it does not have.
    """
    _, sites = _sites_in(model, choices)
    widths = {name: site.width for name, site in sites.items()}
    kinds = kinds_of_whole_sites(choices, widths) if alike else []
    if not kinds:
        return sites
    _, candidates = hookable_sites(model, [*sites, *kinds])
    wanted = {(in_every_block(name), width) for name, width in widths.items()}
    return {
        site.name: site
        for site in candidates
        if site.name in sites or (in_every_block(site.name), site.width) in wanted
    }


def _sites_in(model: AudioModel | nn.Module, choices: Sequence[UnitChoice]) -> tuple[nn.Module, dict[str, Site]]:
    """The module that hooks go into, and the sites of the choices."""
    names = list(dict.fromkeys(name for choice in choices for name in choice.units))
    module, resolved = hookable_sites(model, names)
    sites = {site.name: site for site in resolved}
    widths = {name: site.width for name, site in sites.items()}
    unknown = [name for name, width in widths.items() if not width]
    if unknown:
        raise ChoiceError(f"how many units {unknown[0]!r} has shows only in a run: give an AudioModel of the module")
    for choice in choices:
        choice.masks(widths)
    return module, sites


def fills_of(
    sites: Mapping[str, Site], how: str, dissection: Dissection | None, means: Means | None
) -> dict[str, Tensor]:
    """What takes the place of the sites' units, float32, [unit] of each `changed_site`; nothing but for means.

    Raises ValueError where there are no means.
    """
    if how != "mean":
        return {}
    changed = {name: changed_site(site) for name, site in sites.items()}
    if means is None:
        means = _means_of(changed, dissection)
    fills = {}
    for name, site in changed.items():
        mean = means.get(site.name)
        if mean is None or tuple(mean.shape) != (site.width,):
            raise ValueError(f"means= has no {site.width} means for the units of {site.name!r}{_of_heads(name, site)}")
        if not bool(mean.isfinite().all()):
            raise ValueError(f"units of {site.name!r} have no finite mean")
        fills[name] = mean.to(torch.float32)
    return fills


def _means_of(changed: Mapping[str, Site], dissection: Dissection | None) -> Means:
    """Each unit's mean over frames, out of a dissection. Raises ValueError where it has none."""
    if dissection is None:
        raise ValueError("mean needs each unit's mean: give means=, or dissection=, one with pool='mean'")
    if dissection.manifest.pool != "mean":
        raise ValueError(
            f"{dissection.folder} keeps the mean of each clip's {dissection.manifest.pool}, not the mean over frames: "
            "dissect with pool='mean', or give means="
        )
    for name, site in changed.items():
        if site.name not in dissection.sites:
            raise ValueError(
                f"{dissection.folder} has no means of {site.name!r}{_of_heads(name, site)}: dissect that site too"
            )
    return {site.name: dissection[site.name].mean for site in changed.values()}


def _of_heads(name: str, site: Site) -> str:
    """Why the means of another site are wanted."""
    return "" if name == site.name else f", of which {name!r} are parts"
