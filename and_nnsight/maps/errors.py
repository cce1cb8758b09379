"""What a listenable map cannot be made of."""

from __future__ import annotations


class MapError(ValueError):
    """A unit, clip or model that no listenable map can be made of; the message says why, and what to do."""
