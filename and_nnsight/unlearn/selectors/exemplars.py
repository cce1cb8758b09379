"""`db_top5`, `labels_top5`: what ocp sees and no more, the five highest clips of a unit, judged by other means.

`db` and `correlation` go by all clips of the run. These two are the fair comparison with `ocp`:

db_top5      the mean over the five of how well the clip's caption fits the concept's name: DB's score of a clip, a
             softmax over the known classes of the cosines of embedded texts
labels_top5  the share of the five whose label is the concept; found are units with at least three

A clip that is no evidence (see `dissection.evidence`) counts as one that does not fit. Units that tie are put in order
by all stored exemplars, then by these weighed by their strength.
"""

from __future__ import annotations

import torch

from ...dissection.dissection import Dissection
from ...explain.labels.concept_scores import score_concepts
from ...statistics.concept_scores import ConceptScores
from ..names import near_names, same_name
from ..unit_set import ChoiceError
from .exemplar_shares import MOST, clip_flags, shares, shares_of_clips
from .keys import ConceptQuery, Keys, RankedUnits, known_classes, site_keys


def by_top_labels(dissection: Dissection, query: ConceptQuery) -> RankedUnits:
    """Rank units by the labels of their five highest clips. Raises ChoiceError for a concept that labels no clip."""
    name = _class_of(dissection, query)
    labelled = [clip for clip, row in dissection.clips.items() if row.label == name]
    if not labelled:
        raise ChoiceError(f"no clip of {dissection.folder} is labelled {name!r}")
    flags = clip_flags(dissection, labelled)
    keys: Keys = {}
    for site in query.widths:
        keys |= site_keys(site, shares_of_clips(dissection, site, flags))
    mostly_labelled = frozenset(unit for unit, key in keys.items() if key[0] >= MOST)
    settings = {"rank": "share of the top 5 with the label, share of all stored exemplars, strength"}
    return RankedUnits(keys, settings, mostly_labelled)


def by_top_captions(dissection: Dissection, query: ConceptQuery) -> RankedUnits:
    """Rank all units by how well the captions of their five highest clips fit the concept.

    Raises ChoiceError for a concept that is no class of the dissection; what `score_concepts` raises.
    """
    name = _class_of(dissection, query)
    encoder = query.encoder or "words"
    scores = _scores(dissection, encoder)
    fits = torch.zeros(max(dissection.clips, default=0) + 1)
    fits[scores.clips] = scores.values[:, scores.names.index(name)]
    keys: Keys = {}
    for site in query.widths:
        clips = dissection.evidence(site, "top").ranked.clips
        fit = torch.where(clips >= 0, fits[clips.clamp(min=0)], 0.0)
        keys |= site_keys(site, shares(dissection, site, fit))
    return RankedUnits(
        keys, {"encoder": encoder, "rank": "mean fit of the top 5's captions, of all stored, by strength"}
    )


_LAST_SCORES: dict[int, tuple[Dissection, str, ConceptScores]] = {}


def _scores(dissection: Dissection, encoder: str) -> ConceptScores:
    """DB's scores of the clips for all known classes; those of the last dissection are kept, for the next concept."""
    last = _LAST_SCORES.get(0)
    if last is None or last[0] is not dissection or last[1] != encoder:
        scores = score_concepts(dissection, known_classes(dissection), "db", text_encoder=encoder, progress=False)
        last = _LAST_SCORES[0] = (dissection, encoder, scores)
    return last[2]


def _class_of(dissection: Dissection, query: ConceptQuery) -> str:
    classes = known_classes(dissection)
    name = same_name(query.concept, classes)
    if name is None:
        raise ChoiceError(
            f"{query.concept!r} is none of the concepts and labels of {dissection.folder}"
            f"{near_names(query.concept, classes)}"
        )
    return name
