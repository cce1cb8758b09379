"""A choice of units, whatever made it, and random units to compare it with."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ..dissection.dissection import Dissection
from ..sites.site import Site, in_every_block
from ..storage import write_json
from ..wording import Brief, counted

OWN, RANDOM, WHOLE = "own", "random", "whole"
_KIND = "and-nnsight unit choice 1"


class ChoiceError(ValueError):
    """Units that cannot be chosen, or that do not fit the model or the dissection; the message says what to do."""


@dataclass(frozen=True)
class UnitChoice(Brief):
    """Units of one or several sites.

    units     the indices of each site's units, ascending, whatever order they were given in; sites without any are
              left out
    method    what chose them, for example "ocp"; "own" for a list of one's own
    concept   what they were chosen for
    settings  what they were chosen with, as JSON

    Raises ChoiceError for an index that is negative or no whole number.
    """

    units: Mapping[str, Sequence[int]]
    method: str = OWN
    concept: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        units: dict[str, tuple[int, ...]] = {}
        for site, indices in self.units.items():
            distinct = sorted({_index(site, index) for index in indices})
            if distinct:
                units[str(site)] = tuple(distinct)
        object.__setattr__(self, "units", units)
        object.__setattr__(self, "settings", json.loads(json.dumps(dict(self.settings))))

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, Any]], method: str = OWN, concept: str | None = None) -> UnitChoice:
        """The choice of (site, index) pairs, in any order."""
        units: dict[str, list[int]] = {}
        for site, index in pairs:
            units.setdefault(site, []).append(_index(site, index))
        return cls(units, method, concept)

    @classmethod
    def whole(cls, sites: Iterable[Site], concept: str | None = None) -> UnitChoice:
        """All units of some sites, for example `UnitChoice.whole(model.sites("blocks.3.hook_mlp_out"))`.

        Random draws beside it are other sites of the same kind: see `matched`. Raises ChoiceError for a site whose
        units are not counted before a run.
        """
        units = {site.name: range(site.width) for site in sites}
        uncounted = [name for name, every in units.items() if not every]
        if uncounted:
            raise ChoiceError(f"how many units {uncounted[0]!r} has shows only in a run: list them, UnitChoice({{…}})")
        return cls(units, WHOLE, concept, {"whole": list(units)})

    def __hash__(self) -> int:
        units = sorted((site, tuple(indices)) for site, indices in self.units.items())
        return hash((self.method, self.concept, tuple(units)))

    @property
    def counts(self) -> dict[str, int]:
        """How many units of each site."""
        return {site: len(indices) for site, indices in self.units.items()}

    @property
    def count(self) -> int:
        """How many units in all."""
        return sum(self.counts.values())

    def masks(self, widths: Mapping[str, int]) -> dict[str, Bool[Tensor, " unit"]]:
        """For each site with chosen units, whether unit i is chosen, at place i.

        widths: how many units each site has. Raises ChoiceError for a site or a unit that is not there.
        """
        masks = {}
        for site, indices in self.units.items():
            if site not in widths:
                raise ChoiceError(f"there is no site {site!r}, of which units are chosen; there are {_named(widths)}")
            if indices[-1] >= widths[site]:
                raise ChoiceError(f"site {site!r} has units 0 to {widths[site] - 1}, not {indices[-1]}")
            mask = torch.zeros(widths[site], dtype=torch.bool)
            mask[list(indices)] = True
            masks[site] = mask
        return masks

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON."""
        units = {site: list(indices) for site, indices in self.units.items()}
        return {
            "kind": _KIND,
            "method": self.method,
            "concept": self.concept,
            "settings": dict(self.settings),
            "units": units,
        }

    @classmethod
    def from_json(cls, value: Any) -> UnitChoice:
        """What `to_json` gave. Raises ChoiceError for anything else."""
        if not isinstance(value, Mapping) or value.get("kind") != _KIND:
            raise ChoiceError("this is no choice of units that this version reads")
        return cls(value["units"], value["method"], value["concept"], value["settings"])

    def save(self, path: str | Path) -> None:
        """Write a JSON file, whole or not at all."""
        write_json(Path(path).expanduser(), self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> UnitChoice:
        """Read what `save` wrote. Raises ChoiceError for any other file, FileNotFoundError for none."""
        path = Path(path).expanduser()
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ChoiceError(f"{path} holds no choice of units: {error}") from error

    def __repr__(self) -> str:
        named = "" if self.concept is None else f" for {self.concept!r}"
        return (
            f"UnitChoice({self.method!r}{named}: {counted(self.count, 'unit')} of {counted(len(self.counts), 'site')})"
        )


def matched(
    choice: UnitChoice, widths: Dissection | Mapping[str, int], seed: int = 0, *, apart: bool = False
) -> UnitChoice:
    """Random units, as many of every site as the choice has: what the choice would be if it were chance.

    For a site of which all units are chosen it is a random site: whole, as wide, and of the same name in some block.

    widths  the dissection, or how many units each site has
    apart   draw from the units (or sites) that are not in the choice; otherwise from all, so that some may be

    A site's draw depends on the seed and the site alone, not on the other sites. Raises ChoiceError for a site or unit
    that is not there, and with `apart` where the other units are too few.
    """
    known = widths.widths() if isinstance(widths, Dissection) else widths
    masks = choice.masks(known)
    whole = _whole_sites(masks, known)
    drawn = _other_sites(whole, masks, known, seed, apart)
    wholly = {site for sites in whole.values() for site in sites}
    for site, mask in masks.items():
        if site not in wholly:
            units = (~mask).nonzero()[:, 0].numpy() if apart else np.arange(len(mask))
            drawn[site] = _draw(units, int(mask.sum()), seed, site, f"{len(mask)} units of {site!r}")
    like = {"method": choice.method, "concept": choice.concept}
    return UnitChoice(drawn, RANDOM, choice.concept, {"like": like, "seed": seed, "apart": apart})


def _other_sites(
    whole: Mapping[tuple[str, int], Sequence[str]],
    masks: Mapping[str, Bool[Tensor, " unit"]],
    widths: Mapping[str, int],
    seed: int,
    apart: bool,
) -> dict[str, Sequence[int]]:
    """All units of random sites that are like those of a kind, as many as these; see `matched`."""
    drawn: dict[str, Sequence[int]] = {}
    for (kind, width), sites in whole.items():
        beside = set(masks) if apart else set(masks) - set(sites)  # what is chosen in part keeps a draw of its own
        pool = [name for name in _alike(sites[0], widths) if name not in beside]
        places = _draw(np.arange(len(pool)), len(sites), seed, kind, f"sites like {sites[0]!r} ({kind})")
        drawn |= {pool[place]: range(width) for place in places}
    return drawn


def kinds_of_whole_sites(choices: Iterable[UnitChoice], widths: Mapping[str, int]) -> list[str]:
    """Globs of the sites that are like those of which a choice has all units."""
    whole = (site for choice in choices for site, mask in choice.masks(widths).items() if mask.all())
    return list(dict.fromkeys(kind for kind in map(in_every_block, whole) if "*" in kind))


def nothing_else(choice: UnitChoice, widths: Mapping[str, int]) -> bool:
    """Whether a choice has all units of its sites, and of all sites that are like them: no other can be drawn."""
    masks = choice.masks(widths)
    alike = {other for site in masks for other in _alike(site, widths)}
    return bool(masks) and alike <= set(masks) and all(bool(mask.all()) for mask in masks.values())


def _whole_sites(
    masks: Mapping[str, Bool[Tensor, " unit"]], widths: Mapping[str, int]
) -> dict[tuple[str, int], list[str]]:
    """The sites of which all units are chosen and that others are like, by kind and width."""
    whole: dict[tuple[str, int], list[str]] = {}
    for site, mask in masks.items():
        if bool(mask.all()) and len(_alike(site, widths)) > 1:
            whole.setdefault((in_every_block(site), len(mask)), []).append(site)
    return whole


def _alike(site: str, widths: Mapping[str, int]) -> list[str]:
    """The sites of a site's kind and width, itself among them."""
    kind = in_every_block(site)
    return [name for name, width in widths.items() if width == widths[site] and in_every_block(name) == kind]


def _draw(pool: np.ndarray, wanted: int, seed: int, name: str, what: str) -> list[int]:
    """So many of a pool, by the seed and the name. Raises ChoiceError where it is too small."""
    if wanted > len(pool):
        raise ChoiceError(f"{wanted} of the {what} are chosen: there are no {wanted} others to draw")
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return [int(index) for index in rng.choice(pool, wanted, replace=False)]


def _index(site: str, index: Any) -> int:
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or index < 0:
        raise ChoiceError(f"a unit is a whole number from 0 on, not {index!r} (site {site!r})")
    return int(index)


def _named(sites: Iterable[str]) -> str:
    names = list(sites)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
