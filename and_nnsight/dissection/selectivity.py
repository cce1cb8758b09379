"""How selective units are: whether a unit responds to a few clips far more than to the rest. The one home of that rule.

Of the standardised activations of a unit's top clips, (activation − mean) / standard deviation over all clips, the mean
over the K places of the list. A place that is no evidence (see `evidence`) counts as 0: a unit that fires on one clip
alone is not taken for one that tells a kind of sound from others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from .dissection import Dissection

_CANDIDATES_A_PLACE = 40


def selectivity(dissection: Dissection, site: str) -> Float32[Tensor, " unit"]:
    """Of each unit of a site, at least 0. Raises DissectionError for a site that was not dissected."""
    statistics, evidence = dissection[site], dissection.evidence(site, "top")
    above = (evidence.ranked.values - statistics.mean) / statistics.variance.sqrt()
    above = torch.where(evidence.telling, above, 0.0).nan_to_num(0.0, 0.0, 0.0)
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
        evidence = dissection.evidence(site, "top")
        clips = evidence.ranked.clips.masked_fill(~evidence.telling, -1)
        values, units = selectivity(dissection, site).sort(descending=True, stable=True)
        if among is not None:
            known = torch.tensor([(site, unit) in among for unit in units.tolist()], device="cpu")
            values, units = values[known], units[known]
        for value, unit in zip(values[:most].tolist(), units[:most].tolist(), strict=True):
            if value > 0:
                candidates.append(_Candidate(value, site, unit, clips[:, unit].tolist()))
    candidates.sort(key=lambda candidate: -candidate.value)
    return candidates[:most]
