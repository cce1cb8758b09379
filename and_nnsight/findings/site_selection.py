"""Which sites a finding is about: each neuron once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int64

from ..dictionaries.role import MARK
from ..dissection.descriptions import SiteDescription
from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..explain.records.description_rows import CalibratedRow, ConceptRow
from ..explain.records.unit_selection import chosen_units

UnitRow = TypeVar("UnitRow", CalibratedRow, ConceptRow)


@dataclass(frozen=True)
class SiteSelection:
    """The sites that a finding is about, in forward order, and why others were left out (a sentence; None: none were).

    layers  the index of each site's transformer block; None outside the blocks
    kinds   what a site is called in every block: `mlp.hook_pre` of `blocks.3.mlp.hook_pre`
    """

    sites: tuple[str, ...]
    layers: tuple[int | None, ...]
    kinds: tuple[str, ...]
    widths: tuple[int, ...]
    left_out: str | None

    @property
    def layer_of_unit(self) -> Int64[np.ndarray, " unit"]:
        """The layer of every unit, site by site; −1 outside the blocks."""
        return np.repeat([-1 if layer is None else layer for layer in self.layers], self.widths).astype(np.int64)

    @property
    def kind_of_unit(self) -> np.ndarray:
        """The kind of site of every unit, site by site."""
        return np.repeat(np.array(self.kinds, dtype=object), self.widths)

    @cached_property
    def first(self) -> dict[str, int]:
        """The place of every site's unit 0 among all units."""
        ends = np.cumsum(self.widths).tolist()
        return {site: end - width for site, end, width in zip(self.sites, ends, self.widths, strict=True)}

    @property
    def units(self) -> int:
        """How many units there are in all."""
        return sum(self.widths)

    def every_unit(self) -> Iterator[tuple[str, int]]:
        """Site and index of every unit, site by site."""
        for site, width in zip(self.sites, self.widths, strict=True):
            yield from ((site, unit) for unit in range(width))

    def rows(self, rows: Iterable[UnitRow]) -> list[UnitRow]:
        """Those of a table's rows that are of these sites."""
        return [row for row in rows if row.site in self.first]

    def place(self, row: CalibratedRow | ConceptRow) -> int | None:
        """The place of a row's unit among all units; None if it is of another site."""
        first = self.first.get(row.site)
        return None if first is None else first + row.unit

    def facts(self) -> dict[str, Any]:
        """Sites and units, for the record."""
        return {"sites": list(self.sites), "left_out": self.left_out, "units": self.units}


def select_sites(
    dissection: Dissection, sites: str | Iterable[str] | None = None, *, in_blocks: bool = False
) -> SiteSelection:
    """The sites that match names or globs.

    None: every site that was dissected, but each neuron once: heads and latents only where the units of their own site
    were not dissected. Of MLPs dissected both before and after the activation
    function (hook_pre, hook_post), before it, as in the paper. The residual stream (hook_resid_post), which is the sum
    of what the other sites have written, is left out where any of those was dissected. With `in_blocks`, so are sites
    outside the blocks.

    Raises DissectionError for a pattern that matches no site, and where no site is left.
    """
    entries = {entry.name: entry for entry in dissection.manifest.sites}
    every = list(dict.fromkeys(site for site, _ in chosen_units(dissection, sites)))
    left_out = _superfluous(every, entries, in_blocks) if sites is None else {}
    reasons = "; ".join(dict.fromkeys(left_out.values()))
    every = [site for site in every if site not in left_out]
    if not every:
        raise DissectionError(
            f"no site of {dissection.folder} is in a transformer block: name the sites that are meant"
        )
    layers = tuple(entries[site].layer for site in every)
    kinds = tuple(_kind(site, layer) for site, layer in zip(every, layers, strict=True))
    widths = tuple(entries[site].width for site in every)
    return SiteSelection(tuple(every), layers, kinds, widths, f"left out: {reasons}" if reasons else None)


def _superfluous(sites: Sequence[str], entries: Mapping[str, SiteDescription], in_blocks: bool) -> dict[str, str]:
    """The sites to leave out, each with the reason, in the order of the reasons."""
    outside = [site for site in sites if entries[site].layer is None]
    inside = [site for site in sites if site not in outside]
    streams = _named(".hook_resid_post", inside)
    activated = [site for site in _named(".hook_post", sites) if f"{site.removesuffix('post')}pre" in sites]
    others = [site for site in sites if MARK in site and site.partition(MARK)[0] in sites]
    reasons = {
        "heads and latents of sites whose own units are there": others,
        "hook_post, whose neurons are those of hook_pre": activated,
        "hook_resid_post, the sum of the others": streams if len(streams) < len(inside) else [],
        "sites outside the blocks": outside if in_blocks else [],
    }
    return {site: reason for reason, of_reason in reasons.items() for site in of_reason}


def _named(ending: str, sites: Sequence[str]) -> list[str]:
    return [site for site in sites if site.endswith(ending)]


def _kind(site: str, layer: int | None) -> str:
    """A site's name without its block: `blocks.3.mlp.hook_pre` and `module:layers.3.fc1` lose the 3."""
    if layer is None:
        return site
    return ".".join("*" if part == str(layer) else part for part in site.split(".")).removeprefix("blocks.*.")
