"""How selective units are: whether a unit responds to a few clips far more than to the rest. The one home of that rule.

Of the standardised activations of a unit's top clips, (activation − mean) / standard deviation over all clips, the mean
over the K places of the list. A place that is no evidence (see `evidence`) counts as 0: a unit that fires on one clip
alone is not taken for one that tells a kind of sound from others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from .dissection import Dissection

_CANDIDATES_A_PLACE = 40


def selectivity(dissection: Dissection, site: str) -> Float32[np.ndarray, " unit"]:
    """Of each unit of a site, at least 0. Raises DissectionError for a site that was not dissected."""
    statistics, evidence = dissection.arrays(site), dissection.evidence_arrays(site, "top")
    with np.errstate(divide="ignore", invalid="ignore"):  # of a unit that never varies, or was never finite
        above = (evidence.ranked.values - statistics.mean) / np.sqrt(statistics.variance)
    above = np.where(evidence.telling & np.isfinite(above), above, np.float32(0))
    places = max(1, min(len(above), statistics.count))
    return above.sum(0) / places


def most_selective_units(
    dissection: Dissection,
    most: int,
    sites: Sequence[str] | None = None,
    units: Collection[tuple[str, int]] | None = None,
) -> list[tuple[str, int]]:
    """Site and index of the most selective units, of these sites and units (None: all), taking turns, the best first.

    Hundreds of units may answer to the same few clips, and all be more selective than any other. So a unit counts half
    once one like it was taken, a third after two, and so on; alike are units of which at least half of the clips that
    are evidence are the same. A unit without evidence is left out; ties go by the order of sites and indices.
    """
    sites = dissection.sites if sites is None else sites
    candidates = _candidates(dissection, most * _CANDIDATES_A_PLACE, sites, units)
    values = np.array([candidate.value for candidate in candidates])
    clips = np.array([candidate.clips for candidate in candidates])
    evidence = (clips >= 0).sum(1, keepdims=True) if len(clips) else clips
    alike = np.zeros(len(candidates))
    chosen: list[tuple[str, int]] = []
    for _ in range(min(most, len(candidates))):
        best = int(np.argmax(values / (1 + alike)))
        chosen.append((candidates[best].site, candidates[best].unit))
        shared = np.isin(clips, clips[best][clips[best] >= 0]).sum(1, keepdims=True)
        alike += (2 * shared >= evidence)[:, 0]
        values[best] = -np.inf
    return chosen


@dataclass(frozen=True)
class _Candidate:
    """A unit with evidence. `clips`: those of its top that are evidence, else −1."""

    value: float
    site: str
    unit: int
    clips: list[int]


def _candidates(
    dissection: Dissection, most: int, sites: Sequence[str], among: Collection[tuple[str, int]] | None
) -> list[_Candidate]:
    """The most selective units, alike or not."""
    candidates: list[_Candidate] = []
    for site in sites:
        evidence = dissection.evidence_arrays(site, "top")
        clips = np.where(evidence.telling, evidence.ranked.clips, -1)
        values = selectivity(dissection, site)
        units = np.argsort(-values, kind="stable")
        if among is not None:
            units = units[np.array([(site, unit) in among for unit in units.tolist()], bool)]
        units = units[:most]
        for value, unit in zip(values[units].tolist(), units.tolist(), strict=True):
            if value > 0:
                candidates.append(_Candidate(value, site, unit, clips[:, unit].tolist()))
    candidates.sort(key=lambda candidate: -candidate.value)
    return candidates[:most]
