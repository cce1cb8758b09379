"""Collect through an nnsight trace: the model's code is untouched, and nothing is kept but [clip, unit] a site."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from nnsight.intervention.interleaver import OutOfOrderError
from torch import Tensor

from ..sites.site import Site, SiteError
from .audio_model import AudioModel
from .features import Features


def run_trace(
    model: AudioModel, sites: Sequence[Site], features: Features, take: Callable[[Site, Tensor], None]
) -> None:
    """Run the model on features up to the last site, and hand each site's activation to `take` as it is produced.

    Sites must be in forward order. Raises SiteError, naming the site, if one does not fire.
    """
    reached: list[str] = []
    try:
        with torch.no_grad():  # not inference mode: what a model remembers of a forward must still train
            _trace(model, sites, features, take, reached)
    except OutOfOrderError as error:
        site = sites[len(reached)]
        raise SiteError(
            f"site {site.name!r} did not fire: module {site.path!r} never ran as a module, "
            "or ran before the sites asked for ahead of it"
        ) from error


def _trace(
    model: AudioModel,
    sites: Sequence[Site],
    features: Features,
    take: Callable[[Site, Tensor], None],
    reached: list[str],
) -> None:
    envoys = [(site, model.envoy(site.path)) for site in sites]
    with model.trace(features) as tracer:
        for site, envoy in envoys:
            value = envoy.output if site.side == "output" else envoy.input
            reached.append(site.name)
            take(site, site.fold(value))
        tracer.stop()
