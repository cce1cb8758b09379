"""Selectors of current work, by the activations of all clips and their labels. They need kept activations.

Let a be a unit's pooled activation of a clip, m(c) its mean over the clips of class c, m and s its mean and standard
deviation (population) over all clips, and P(c) the share of the clips of class c with a > 0. For the concept c:

frequency  P(c) minus the share of all other clips with a > 0. Activation probability, LAP, of emotion-sensitive neurons
           (Zhao et al., arXiv 2601.03115) is P(c) alone, which a unit that is always active maximises for every class
entropy    units are assigned to the class with the highest P, and ranked by H = - sum over classes of p log p, with
           p = P / sum of P, the lowest first: audio activation probability entropy, AAPE (Kawamura et al., arXiv
           2602.15307; after LAPE, Tang et al., ACL 2024). So that every class has units enough for a share of all, the
           units of which the class is the second highest follow, then the third, and so on; units that are not active
           on any clip of the class are not found
deviation  (m(c) - m) / s: mean activation difference, MAD (arXiv 2601.03115, there not divided by s; sites have
           different scales)
contrast   (m(c) - highest m of the other classes) / s: contrastive selection, CAS (arXiv 2601.03115; by its abstract
           and a summary of it, the formula is ours)

Clips without a label belong to no class, and count among all clips. Clips on which a unit is not finite are left out
for it. Where pooling makes every unit active on every clip (max over frames), frequency and entropy cannot tell units
apart: pool by the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ..names import near_names, same_name
from ..unit_set import ChoiceError
from .keys import ConceptQuery, Keys, RankedUnits, site_keys

PerUnit = Float64[np.ndarray, " unit"]


class ClassStatistics(NamedTuple):
    """What a site's units do on the clips of each class; NaN where there is no finite clip.

    means    mean activation of each class's clips
    active   share of each class's clips with an activation above zero
    mean, deviation   over all clips: mean, and standard deviation (population)
    others_active     share of the clips not of the class with an activation above zero
    """

    means: Float64[np.ndarray, "label unit"]
    active: Float64[np.ndarray, "label unit"]
    mean: PerUnit
    deviation: PerUnit
    others_active: Float64[np.ndarray, "label unit"]


def class_statistics(
    activations: Float64[np.ndarray, "clip unit"], labels: Int64[np.ndarray, " clip"], classes: int
) -> ClassStatistics:
    """The statistics of a site. labels: the number of each clip's class, −1 for none."""
    finite = np.isfinite(activations)
    values = np.where(finite, activations, 0.0)
    member = (labels[:, None] == np.arange(classes)).astype(np.float64).T
    count, above = member @ finite, (finite & (values > 0)).astype(np.float64)
    every = finite.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = values.sum(0) / every
        deviation = np.sqrt((np.where(finite, values - mean, 0.0) ** 2).sum(0) / every)
        in_class = member @ above
        return ClassStatistics(
            member @ values / count,
            in_class / count,
            mean,
            deviation,
            (above.sum(0) - in_class) / (every - count),
        )


def frequency(statistics: ClassStatistics, label: int) -> tuple[PerUnit, ...]:
    """The share of the class's clips on which a unit is active, minus that of all others."""
    return (statistics.active[label] - statistics.others_active[label],)


def entropy(statistics: ClassStatistics, label: int) -> tuple[PerUnit, ...]:
    """Minus how many classes have a higher probability, then minus the entropy over classes; NaN where it is zero."""
    own = statistics.active[label]
    higher = (statistics.active > own).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        normed = statistics.active / np.nansum(statistics.active, 0)
        uncertain = -np.nansum(np.where(normed > 0, normed * np.log(normed), 0.0), 0)
    active = own > 0
    return np.where(active, -higher, np.nan), np.where(active, -uncertain, np.nan)


def deviation(statistics: ClassStatistics, label: int) -> tuple[PerUnit, ...]:
    """How far the class's mean lies above the mean of all clips, in standard deviations; NaN for a constant unit."""
    return (_in_deviations(statistics.means[label] - statistics.mean, statistics),)


def contrast(statistics: ClassStatistics, label: int) -> tuple[PerUnit, ...]:
    """How far the class's mean lies above the highest of the other classes, in standard deviations of all clips."""
    others = np.delete(statistics.means, label, 0)
    highest = np.where(np.isnan(others), -np.inf, others).max(0, initial=-np.inf)
    return (_in_deviations(statistics.means[label] - np.where(np.isinf(highest), np.nan, highest), statistics),)


def _in_deviations(distance: PerUnit, statistics: ClassStatistics) -> PerUnit:
    return np.where(
        statistics.deviation > 0, distance / np.where(statistics.deviation > 0, statistics.deviation, 1), np.nan
    )


Selector = Callable[[ClassStatistics, int], tuple[PerUnit, ...]]
SELECTORS: dict[str, Selector] = {
    "frequency": frequency, "entropy": entropy, "deviation": deviation, "contrast": contrast,
}  # fmt: skip


def by_activations(dissection: Dissection, query: ConceptQuery, method: str) -> RankedUnits:
    """Rank units by one of the four.

    Raises DissectionError where activations were not kept; ChoiceError for a concept that is no label of the clips, and
    where no unit can be ranked.
    """
    classes = sorted({row.label for row in dissection.clips.values() if row.label is not None})
    name = same_name(query.concept, classes)
    if name is None:
        hint = near_names(query.concept, classes) if classes else "; the clips have no labels"
        raise ChoiceError(f"no clip of {dissection.folder} is labelled {query.concept!r}{hint}")
    number_of = {label: number for number, label in enumerate(classes)}
    labels = np.array(
        [-1 if row.label is None else number_of[row.label] for row in dissection.clips.values()], dtype=np.int64
    )
    keys: Keys = {}
    for site in query.widths:
        statistics = class_statistics(_activations(dissection, site, method), labels, len(classes))
        parts = SELECTORS[method](statistics, number_of[name])
        keys |= site_keys(site, [torch.from_numpy(part) for part in parts])
    if not keys:
        raise ChoiceError(f"{method} ranks no unit of these sites for {name!r}")
    return RankedUnits(keys, {"labels": len(classes), "rank": RANKS[method]})


def _activations(dissection: Dissection, site: str, method: str) -> Float64[np.ndarray, "clip unit"]:
    activations = dissection.activations(site)
    if activations is None:
        raise DissectionError(
            f"{method} goes by the activations of all clips, and {dissection.folder} has kept none: dissect again "
            "with --keep-activations (keep_activations=True) into a new folder"
        )
    return np.asarray(activations, np.float64)


RANKS = {
    "frequency": "share of the class's clips on which the unit is active, minus that of the others",
    "entropy": "place of the class among the unit's activation probabilities, then their entropy, lowest first",
    "deviation": "mean on the class's clips minus the mean of all, in standard deviations",
    "contrast": "mean on the class's clips minus the highest of other classes, in standard deviations",
}
