"""What claims predict of clips: how near each claim is to each clip's caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from ..providers.embeddings import Embeddings
from .claims import Claim

_STATEMENTS = 1024  # that are compared with all captions at once


def claim_predictions(
    claimed: Sequence[Claim], captions: Sequence[str], embeddings: Embeddings
) -> Float32[Tensor, "claim clip"]:
    """How near each claim is to each clip's caption: the mean over its statements by their weights.

    A cosine that texts with nothing in common have by chance is 0, where the encoder says which those are: else it
    would put the clips that a claim says nothing of, mostly the most, in an order of its own.
    """
    statements = list(dict.fromkeys(text for claim in claimed for text, _ in claim.parts))
    distinct = list(dict.fromkeys(captions))
    vectors = torch.from_numpy(embeddings([*statements, *distinct]))
    weights, of_captions = _weights(claimed, statements), vectors[len(statements) :].T
    near = torch.zeros(len(claimed), len(distinct))
    for part in torch.arange(len(statements)).split(_STATEMENTS):
        cosines = vectors[part] @ of_captions
        if embeddings.chance > 0:
            cosines = torch.where(cosines > embeddings.chance, cosines, 0.0)
        near += weights[:, part] @ cosines
    caption_of: Mapping[str, int] = {text: place for place, text in enumerate(distinct)}
    return near[:, [caption_of[caption] for caption in captions]]


def _weights(claimed: Sequence[Claim], statements: Sequence[str]) -> Float32[Tensor, "claim statement"]:
    """How much each statement counts in each claim: its part of the claim's weights."""
    place_of = {text: place for place, text in enumerate(statements)}
    weights = torch.zeros(len(claimed), len(statements))
    for row, claim in zip(weights, claimed, strict=True):
        total = sum(weight for _, weight in claim.parts) or 1.0
        for text, weight in claim.parts:
            row[place_of[text]] += weight / total
    return weights
