"""What models, sites and data are called at Neuronpedia, whose names are of small letters, digits and dashes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...dissection.descriptions import SiteDescription
from ...dissection.dissection import Dissection
from ...storage import short_hash
from .schema import length

_BLOCK = re.compile(r"^blocks\.\d+\.")
_LONGEST_SET = 100
_CUT = "…"


@dataclass(frozen=True)
class SourceName:
    """A site as Neuronpedia names it: the same place in every block is a set, in one block a source of that set."""

    layer: int
    set_name: str

    @property
    def id(self) -> str:
        """Of the source."""
        return f"{self.layer}-{self.set_name}"


def model_name(dissection: Dissection, wanted: str | None) -> str:
    """The id of the model: as wanted, else made of its name. Raises ValueError where there is none."""
    name = slug(wanted or display_name(dissection))
    if not name:
        raise ValueError("the dissection does not name its model: name it for Neuronpedia (--model-id)")
    return name


def display_name(dissection: Dissection) -> str:
    """The model's name without the folders of this machine."""
    return Path(dissection.manifest.model.id or "").name


def dataset_name(dissection: Dissection) -> str | None:
    """The data's name: a hub id as it is, of a path the last part."""
    name = dissection.manifest.dataset.name
    path = Path(name or "")
    return (path.name if path.is_absolute() else name) or None


def source_names(dissection: Dissection, sites: Iterable[str]) -> Mapping[str, SourceName]:
    """The source of each site. Raises ValueError for a site outside the blocks, and where two would be one."""
    names: dict[str, SourceName] = {}
    for site in sites:
        about = dissection.manifest.site(site)
        if about is None or about.layer is None:
            raise ValueError(
                f"Neuronpedia's sources are of layers, and {site!r} lies in none: choose sites in blocks (--sites "
                "'blocks.*')"
            )
        names[site] = SourceName(about.layer, _set_name(about))
    for site, name in names.items():
        if other := next((each for each, of_it in names.items() if of_it == name and each != site), None):
            raise ValueError(f"{site!r} and {other!r} would both be {name.id!r} at Neuronpedia: export one of them")
    return names


def _set_name(site: SiteDescription) -> str:
    place, mark, _ = site.name.partition("|")
    dictionary = site.dictionary or {}
    of = f"-{dictionary.get('library', 'latents')}-{site.width}" if mark else ""
    name = slug(f"and-{_BLOCK.sub('', place)}{of}")
    return name if len(name) <= _LONGEST_SET else f"{name[: _LONGEST_SET - 17]}-{short_hash(name)}"


def slug(name: str) -> str:
    """Small letters, digits, and single dashes between them."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def identifier(*of: object) -> str:
    """An id in the form of those of Neuronpedia's database; the same for the same thing."""
    return "c" + short_hash("\0".join(map(str, of)), 12)


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters (as JavaScript counts), cut between words, with … where it was cut."""
    clean = " ".join(text.encode("utf-8", "replace").decode().replace("\0", " ").split())
    if length(clean) <= most:
        return clean
    end = most - 1
    while length(clean[:end]) > most - 1:
        end -= 1
    cut = clean[:end]
    whole_words = cut if clean[end].isspace() else cut.rpartition(" ")[0]
    return (whole_words or cut).rstrip() + _CUT
