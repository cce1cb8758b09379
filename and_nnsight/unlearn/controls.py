"""What choices of units are held against: random draws of units or of whole sites, and replicates of the clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..sites.site import Site
from .unit_set import ChoiceError, UnitChoice, matched, nothing_else


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
        """All draws of the first choice, of the second, and so on; each with a seed of its own.

        Raises ChoiceError for a choice that every draw would be.
        """
        widths = {name: site.width for name, site in sites.items()}
        drawn: list[UnitChoice] = []
        for place, choice in enumerate(choices):
            if self.draws and nothing_else(choice, widths):
                raise ChoiceError(
                    f"all units of {', '.join(choice.units)} are chosen, and there is no site like it to draw: every "
                    "random draw would be the choice itself. Measure it without (draws=0, --draws 0)"
                )
            first = self.seed + place * self.draws
            drawn += [matched(choice, widths, first + draw) for draw in range(self.draws)]
        return drawn
