"""What the template of a card asks of the page that it stands on, for a page of one card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..drawing import ExemplarDrawing
from ..exemplar_view import ExemplarView
from ..site_view import SiteStanding
from ..sounds import Sound
from ..unit_view import UnitView

_HISTOGRAM = 96
"""Width of the site's histogram on a card."""


@dataclass(frozen=True)
class CardPage:
    """See `report_page.ReportPage`.

    number     of the dissection's first site among all sites of the page
    standings  of the dissection's sites, in forward order
    """

    maps = MappingProxyType[Any, Any]({})  # here they are made when a reader asks for one

    unit: UnitView
    sounds: Mapping[Any, Sound]
    drawings: Mapping[ExemplarView, ExemplarDrawing]
    number: int
    standings: Mapping[str, SiteStanding]

    def site_number(self, site: str) -> int:
        """A site's place among all sites of the page."""
        return self.number + list(self.standings).index(site)

    def depth(self, unit: UnitView) -> int:
        """Cards are not put into an order here."""
        return unit.index

    def place(self, unit: UnitView) -> str:
        """Where the unit stands in its card's histogram."""
        highest = max(float(each.selectivity.max(initial=0.0)) for each in self.standings.values()) or 1.0
        return f"{_HISTOGRAM * min(1.0, unit.selectivity / highest):.1f}"
