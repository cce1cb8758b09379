"""One of the two dissections of a comparison: its units, what is said of them, and whose clips share a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64
from scipy.stats import hypergeom

from ..dissection.dissection import Dissection
from ..share.unit_row import UnitRow
from ..share.unit_table import unit_table

At = tuple[str, int]


@dataclass(frozen=True)
class Side:
    """A dissection, its sites that are compared, and the clips that are.

    clips   their ids, in the order of the comparison; copies of others are left out
    number  of every clip of the dissection its place among those; of a copy that of the clip that it is one of
    """

    name: str
    dissection: Dissection
    sites: tuple[str, ...]
    clips: tuple[int, ...]
    number: Mapping[int, int]

    @cached_property
    def units(self) -> dict[At, UnitRow]:
        """Every unit of the sites, in forward order."""
        return {(row.site, row.unit): row for row in unit_table(self.dissection, self.sites)}

    @cached_property
    def exemplars(self) -> dict[At, frozenset[int]]:
        """The clips that are evidence of each unit's top, by their places."""
        sets: dict[At, frozenset[int]] = {}
        for site in self.sites:
            evidence = self.dissection.evidence_arrays(site, "top")
            clips, telling = evidence.ranked.clips, evidence.telling
            for unit in range(clips.shape[1]):
                sets[site, unit] = frozenset(self.number[clip] for clip in clips[telling[:, unit], unit].tolist())
        return sets

    @cached_property
    def label_p(self) -> dict[At, float]:
        """Of units with labelled exemplars: p that their commonest label is as common among them by chance.

        By the hypergeometric distribution, times the number of labels, since any might have been the commonest.
        """
        known = (self.dissection.clips[clip].label for clip in self.clips)
        labels = Counter(label for label in known if label)
        rows = [row for row in self.units.values() if row.common_label in labels]
        counts, of, among = (
            np.array(values, np.int64)
            for values in (
                [row.common_count or 0 for row in rows], [row.evidence for row in rows],
                [labels[str(row.common_label)] for row in rows],
            )
        )  # fmt: skip
        p: Float64[np.ndarray, " unit"] = np.minimum(
            1.0, len(labels) * hypergeom.sf(counts - 1, len(self.clips), among, of)
        )
        return {(row.site, row.unit): value for row, value in zip(rows, p.tolist(), strict=True)}


def words_of(row: UnitRow) -> tuple[str | None, str | None]:
    """What is said of a unit, and what says it: explanation, label, or clips."""
    clips = row.common_label and f"{row.common_label} in {row.common_count} of {row.evidence} clips"
    said = {"explanation": row.explanation, "label": row.label, "clips": clips}
    source = next((name for name, text in said.items() if text), None)
    return (None, None) if source is None else (said[source], source)


def model_name(dissection: Dissection) -> str:
    """What a dissection's model is called."""
    model = dissection.manifest.model
    return model.id or model.class_name or "a model"
