"""Clips that units were found by must not be those by which the units are measured."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..data import UNKNOWN, Clip, Source
from ..dissection.descriptions import AT_SERVER, DatasetDescription, ModelDescription
from ..dissection.dissection import Dissection
from ..dissection.same_clips import KnownClips, Origin
from .unit_set import UnitChoice

WAYS = ("refuse", "exclude", "allow")
_LISTED = ("folder", "file", "sequence")  # sources whose clips can be listed again, and without decoding them


class OverlapError(ValueError):
    """Data to measure by that the units were found by."""


def unseen(
    source: Source, dissection: Dissection | None, choices: Sequence[UnitChoice], overlap: str
) -> Callable[[Clip], bool]:
    """Says of each clip of a source whether it may be measured: whether the units were not found by it.

    Which clips those are, `same_clips` says: by samples, place or path. Hashes of samples are comparable because the
    data is decoded at the rate of the model that is measured, which is the one that was dissected. Without the
    dissection, what the choices say of their data is gone by: places alone. refuse: raise OverlapError at such a clip,
    and at once where it can be told before anything is decoded (the same data, or files of the same paths); exclude:
    leave it out; allow: warn. Raises ValueError for another way.
    """
    if overlap not in WAYS:
        raise ValueError(f"unknown way to treat an overlap {overlap!r}: one of {', '.join(WAYS)}")
    origin = Origin.of(source)
    known = None if dissection is None else KnownClips(dissection)
    limit = 0.0 if dissection is not None else _limit_of_the_choices(choices, origin)
    if overlap == "refuse" and known is not None and source.kind in _LISTED and source.fingerprint != UNKNOWN:
        known_before = known.first(((item.id, item.path) for item in source.items()), origin)
        if known_before is not None:
            raise _refusal(*known_before, source)
    warned: list[Clip] = []

    def may_be_measured(clip: Clip) -> bool:
        seen = clip.id < limit if known is None else known.has(clip.id, clip.path, clip.content, origin)
        if not seen or overlap == "exclude":
            return not seen
        if overlap == "refuse":
            raise _refusal(clip.id, clip.path, source)
        if not warned:
            warnings.warn(_warning(clip.id, clip.path, source), stacklevel=2)
        warned.append(clip)
        return True

    return may_be_measured


def _warning(clip: int, path: str | None, source: Source) -> str:
    return (
        f"clip {clip} ({path or 'no path'}) of {source.name} is one that the units were found by, so what ablating "
        "them does to it says little"
    )


def _refusal(clip: int, path: str | None, source: Source) -> OverlapError:
    return OverlapError(
        f"{_warning(clip, path, source)}: measure by other data or another split, or leave such clips out with "
        "overlap='exclude' (--overlap exclude)"
    )


def _limit_of_the_choices(choices: Sequence[UnitChoice], origin: Origin) -> float:
    """Up to which place the choices were found by this data; 0 where they were found by other data."""
    recorded = [choice.settings["dataset"] for choice in choices if choice.settings.get("dataset")]
    datasets = [DatasetDescription.from_json(dataset) for dataset in recorded]
    limits = [dataset.limit for dataset in datasets if Origin.of(dataset).is_same_data(origin)]
    return max((math.inf if limit is None else float(limit) for limit in limits), default=0.0)


def warn_of_another_model(dissection: Dissection | None, model: Mapping[str, Any], dtype: Any) -> None:
    """Warn where units were found in another model than the one that is measured, as it describes itself.

    Unit 7 of a site is another unit there, though there are as many. Weights of another precision are not compared.
    """
    if dissection is None:
        return
    there, here = dissection.manifest.model, ModelDescription.from_json(dict(model))
    names = ["class", "config", "features"]
    if dissection.manifest.dtype == str(dtype).removeprefix("torch."):
        names.append("weights")
    known = [name for name in names if there.get(name) not in (None, AT_SERVER)]
    if differing := [name for name in known if there.get(name) != here.get(name)]:
        warnings.warn(
            f"{dissection.folder} is a dissection of another model ({there.id}) than the one that is measured "
            f"({here.id}; other {', '.join(differing)}): its units need not be those of this one",
            stacklevel=3,
        )
