"""The concepts that a run compares units with: the scores of its clips for them."""

from __future__ import annotations

from pathlib import Path

from ..data import UNKNOWN, Source
from ..statistics.concept_scores import ConceptError, ConceptScores


def open_scores(concepts: ConceptScores | str | Path | None, source: Source) -> ConceptScores | None:
    """The scores of the source's clips. Raises ConceptError for those of other data."""
    if concepts is None:
        return None
    scores = concepts if isinstance(concepts, ConceptScores) else ConceptScores.load(concepts)
    made_for = scores.settings.get("dataset", UNKNOWN)
    if UNKNOWN not in (made_for, source.fingerprint) and made_for != source.fingerprint:
        raise ConceptError(
            f"the concept scores were made for other data (fingerprint {made_for}) than {source.name} "
            f"({source.fingerprint}): make them for this data"
        )
    return scores
