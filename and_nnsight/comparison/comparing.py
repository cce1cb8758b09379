"""`compare`: two dissections over the same clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.same_clips import paired_clips
from ..findings.site_selection import SiteSelection, select_sites
from .concepts import concept_rows, label_answers
from .matching import counterparts
from .responses import ActivationResponses, ExemplarResponses, Responses
from .result import Comparison
from .rows import FIRST, SECOND, ComparedUnitRow
from .sides import Side, model_name
from .site_rows import site_rows
from .units import LEVEL, Tested, unit_rows

ACTIVATIONS, EXEMPLARS = "activations", "exemplars"
WAYS = (ACTIVATIONS, EXEMPLARS)
LEAST = 0.5


def compare(
    first: Dissection,
    second: Dissection,
    *,
    sites: str | Iterable[str] | None = None,
    second_sites: str | Iterable[str] | None = None,
    by: str | None = None,
    least: float = LEAST,
    seed: int = 0,
) -> Comparison:
    """Which units of two dissections over the same clips answer to the same, and what is lost and gained.

    A unit's counterpart is the unit of the other dissection, at whatever site, whose answer to the clips correlates
    with its own most. Memory does not grow with the number of pairs of units.

    sites         names or globs, in both; None: all, but each neuron once (see `findings.site_selection.select_sites`)
    second_sites  those of the second, where they have other names
    by            "activations": over all clips, where both dissections keep them (`keep_activations`); "exemplars": by
                  the clips that are evidence of either's top; None: activations where they are kept
    least         the correlation from which on two units are said to answer to the same
    seed          of the random clips that counterparts are held against

    Raises DissectionError where the clips are not the same (see `dissection.same_clips`), for a pattern that matches no
    site, and where activations are asked for that were not kept; ValueError for numbers and words that make no sense.
    """
    if not 0 < least < 1:
        raise ValueError(f"least must be between 0 and 1, it is {least}")
    way = _way(first, second, by)
    selections = select_sites(first, sites), select_sites(second, sites if second_sites is None else second_sites)
    pairs = paired_clips(first, second)
    ours, theirs = _sides((first, second), (selections[0].sites, selections[1].sites), pairs)
    mine, others = _responses(way, ours), _responses(way, theirs)
    found = counterparts(mine, others, least, seed) if len(mine) and len(others) else (None, None)
    units = unit_rows(Tested(ours, mine, found[0]), Tested(theirs, others, found[1]), least)
    labelled = label_answers(ours, theirs)
    rows = [*site_rows(ours, units, labelled.first), *site_rows(theirs, units, labelled.second)]
    facts: dict[str, Any] = {
        "first": _about(ours, selections[0]), "second": _about(theirs, selections[1]), "clips": len(pairs),
        "copies": len(pairs) - len(ours.clips), "by": way, "least": least, "level": LEVEL, "seed": seed,
        "standings": {side: _standings(units, side) for side in (FIRST, SECOND)},
    }  # fmt: skip
    return Comparison(units, facts, concept_rows(ours, theirs, labelled, units, seed), rows)


def _standings(units: Iterable[ComparedUnitRow], side: str) -> dict[str, int]:
    return dict(Counter(row.standing for row in units if row.side == side))


def _way(first: Dissection, second: Dissection, by: str | None) -> str:
    if by not in (None, *WAYS):
        raise ValueError(f"by is {' or '.join(WAYS)}, not {by!r}")
    lacking = [dissection for dissection in (first, second) if not dissection.manifest.keep_activations]
    if by == ACTIVATIONS and lacking:
        raise DissectionError(
            f"{lacking[0].folder} keeps only each unit's extreme clips: dissect with keep_activations=True "
            "(--keep-activations) into a new folder, or compare by exemplars"
        )
    return by or (EXEMPLARS if lacking else ACTIVATIONS)


def _sides(
    dissections: tuple[Dissection, Dissection],
    sites: tuple[tuple[str, ...], tuple[str, ...]],
    pairs: Sequence[tuple[int, int]],
) -> tuple[Side, Side]:
    copies = dissections[0].copies
    distinct = [pair for pair in pairs if pair[0] not in copies]
    place = {clip: at for at, (clip, _) in enumerate(distinct)}
    numbers = [place[copies.get(clip, clip)] for clip, _ in pairs]
    first, second = (
        Side(
            (FIRST, SECOND)[side], dissections[side], sites[side], tuple(pair[side] for pair in distinct),
            {pair[side]: number for pair, number in zip(pairs, numbers, strict=True)},
        )
        for side in (0, 1)
    )  # fmt: skip
    return first, second


def _responses(way: str, side: Side) -> Responses:
    return ExemplarResponses(side) if way == EXEMPLARS else ActivationResponses(side)


def _about(side: Side, selection: SiteSelection) -> dict[str, Any]:
    manifest = side.dissection.manifest
    return {
        "folder": side.dissection.folder.name, "model": model_name(side.dissection), "k": manifest.k,
        "pool": manifest.pool, **selection.facts(),
    }  # fmt: skip
