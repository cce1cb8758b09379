"""A phrase that some captions of a unit share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SharedPhrase:
    """A phrase that some captions share.

    key     of the phrase
    having  which of the captions have it, by place
    z       of its over-representation against the corpus and the unit's other end
    beyond  whether random captions are given a phrase so over-represented in 1 of 20 cases at most
    gain    nats by which these captions are likelier at their own rate of the phrase than at the rate of the layer's
            exemplars or of the corpus, whichever is nearer; negative where they have it more rarely
    common  that rate
    weights of all the captions in the gain, by place; they sum to 1
    """

    key: int
    having: frozenset[int]
    z: float
    beyond: bool
    gain: float
    common: float
    weights: tuple[float, ...]
