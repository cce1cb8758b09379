"""Encoders of dictionaries as they go up with every job: as few bytes as lose nothing, and no more than are allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..dictionaries.role import MARK, PortableDictionary
from ..sites.heads import Heads
from ..sites.site import Site, SiteError
from .payloads import as_bytes

_SETTINGS = ("scaling", "form", "group", "most_values")


def pack_encoders(sites: Sequence[Site], most_bytes: int) -> dict[str, dict[str, Any]]:
    """The encoders of the sites whose units are a dictionary's latents, by the names that the sites have there.

    Raises SiteError for a dictionary that does not travel, and for encoders that are more than so many bytes together.
    """
    packed: dict[int, dict[str, Any]] = {}
    of_site: dict[str, dict[str, Any]] = {}
    for site in sites:
        if isinstance(site.dictionary, Heads | None):
            continue
        encoder = _portable(site)
        which = id(encoder["encoder"])  # a file that several sites name is read once
        if which not in packed:
            packed[which] = _packed(encoder)
        of_site[as_served(site).name] = packed[which]
        _check_size(site, encoder_bytes(of_site), most_bytes)
    return of_site


def as_served(site: Site) -> Site:
    """A site as a server reads it: latents are made there of its tensor. Where files lie here, it is not told."""
    if isinstance(site.dictionary, Heads | None):
        return site
    which = site.dictionary.describe()["hash"]
    return replace(site, name=f"{site.tensor.name}{MARK}{which}", dictionary=None)


def encoder_bytes(packed: Mapping[str, Mapping[str, Any]]) -> int:
    """How many bytes go up with every job, before they are compressed."""
    distinct = {id(each): each for each in packed.values()}.values()
    return sum(len(array[2]) for each in distinct for array in each["tensors"].values())


def _portable(site: Site) -> dict[str, Any]:
    if isinstance(site.dictionary, PortableDictionary):
        return site.dictionary.portable()
    raise SiteError(
        f"{site.name!r}: how this dictionary makes its latents is code on this machine, which no server has: leave "
        "remote= out, or dissect the site itself there"
    )


def _packed(encoder: Mapping[str, Any]) -> dict[str, Any]:
    weights = encoder["encoder"]
    # A product's last bits hang on how its factors lie in memory.
    by_columns = not weights.is_contiguous()
    tensors = {
        "encoder": weights.T if by_columns else weights,
        "input_bias": encoder["input_bias"],
        **encoder["numbers"],
    }
    return {
        "tensors": {name: as_bytes(_smallest(value)) for name, value in tensors.items() if isinstance(value, Tensor)},
        "numbers": {name: value for name, value in encoder["numbers"].items() if not isinstance(value, Tensor)},
        "settings": {name: encoder[name] for name in _SETTINGS},
        "by_columns": by_columns,
    }


def _smallest(tensor: Tensor) -> Tensor:
    """Float32 that came out of a file of 16 bits, as 16 bits again."""
    halves = (tensor.to(dtype) for dtype in (torch.bfloat16, torch.float16))
    return next((half for half in halves if torch.equal(half.float(), tensor)), tensor)


def _check_size(site: Site, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise SiteError(
            f"{site.name!r}: encoders travel with every job, with this one {size / 1e6:,.2f} MB, and at most "
            f"{most_bytes / 1e6:,.2f} MB may: allow more with Remote(most_dictionary_bytes=…), or leave remote= out"
        )
