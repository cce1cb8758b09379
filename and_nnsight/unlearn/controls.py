"""What choices of units are held against: random draws, as many units of every site, and replicates of the clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..sites.site import Site
from .unit_set import UnitChoice, matched


@dataclass(frozen=True)
class Comparison:
    """Random draws beside every choice, and replicates of the clips. Raises ValueError where one is below 0."""

    draws: int
    bootstrap: int
    seed: int

    def __post_init__(self) -> None:
        for name in ("draws", "bootstrap"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, it is {getattr(self, name)}")

    def controls(self, choices: Sequence[UnitChoice], sites: Mapping[str, Site]) -> list[UnitChoice]:
        """All draws of the first choice, of the second, and so on; each with a seed of its own."""
        widths = {name: site.width for name, site in sites.items()}
        return [
            matched(choice, widths, self.seed + place * self.draws + draw)
            for place, choice in enumerate(choices)
            for draw in range(self.draws)
        ]
