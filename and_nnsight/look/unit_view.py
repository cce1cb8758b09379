"""Everything that a page shows of a unit, whatever page it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..dissection.clip_names import clip_name, clip_names
from ..dissection.common_labels import LabelCount, LabelCounter
from ..dissection.dissection import Dissection
from ..dissection.exemplars import Exemplar
from ..dissection.firing import Firing
from ..explain.read.unit_card import Card, Effect, card
from ..explain.records.unit_selection import exemplar_span
from .claim_view import ClaimView, Standing, WordsView, explanation_view, label_views, word_views, words_claim
from .exemplar_view import ExemplarView, SideView, exemplar_view, shown_exemplars, side_view
from .remarks import NO_REMARKS, Remarks
from .site_view import SiteStanding, StatisticView
from .wording import digits_for

MOST_TOP, MOST_BOTTOM = 8, 4


@dataclass(frozen=True, eq=False)
class UnitView:
    """A unit as it is shown.

    layer         its block; None where it has none
    units         how many its site has
    explanation   in words; None where there are none
    lowly         the same of the clips that it responds least to
    claims        what else is claimed: labels, open concepts that were tested
    words         open concepts
    effects       what ablating it does
    firing        on which phones, words, speakers and pauses it fires
    emptied       whether calibration left nothing of its words
    failures      what could not be said, and why
    common        the label that its top clips share
    statistics    beside its site's
    selectivity   see `site_view.SELECTIVITY`
    mean          activation over all clips
    top, bottom   the clips that it responds to most and least
    note          what a person says of it
    """

    site: str
    index: int
    layer: int | None
    units: int
    explanation: ClaimView | None
    lowly: str | None
    claims: tuple[ClaimView, ...]
    words: tuple[WordsView, ...]
    effects: tuple[Effect, ...]
    firing: tuple[Firing, ...]
    emptied: bool
    failures: Mapping[str, str]
    common: LabelCount | None
    statistics: tuple[StatisticView, ...]
    selectivity: float
    mean: float
    top: SideView
    bottom: SideView
    note: str | None = None

    @property
    def standing(self) -> Standing:
        """How what is said of it stands: its words, or its first label where it has none."""
        first = self.explanation or next(iter(self.claims), None)
        return Standing.UNTESTED if first is None else first.standing

    @property
    def unsaid(self) -> str:
        """Why it has no words."""
        if reason := self.failures.get("words") or self.failures.get("calibration"):
            return f"No words: {reason}"
        if self.emptied:
            return "No words: all that its top clips share is true of the clips it responds least to as well."
        return "Not explained yet (and-nnsight explain)."

    @property
    def exemplars(self) -> tuple[ExemplarView, ...]:
        """All that are shown."""
        return self.top.exemplars + self.bottom.exemplars


class UnitViews:
    """Makes the views of a dissection's units, one after another, of what is known of all of them."""

    def __init__(
        self,
        dissection: Dissection,
        most_top: int = MOST_TOP,
        most_bottom: int = MOST_BOTTOM,
        remarks: Remarks = NO_REMARKS,
    ) -> None:
        """`most_top`, `most_bottom`: at most so many clips at either end. `remarks`: what persons add."""
        self.dissection, self._remarks = dissection, remarks
        self._most = most_top, most_bottom
        self._names, self._labels = clip_names(dissection), LabelCounter(dissection)
        self.standings = {site: SiteStanding(dissection, site) for site in dissection.sites}

    def shown(self, site: str, unit: int) -> tuple[Exemplar, ...]:
        """The exemplars that a view of the unit shows. Raises DissectionError if there is no such unit."""
        exemplars = self.dissection.unit(site, unit)
        top, bottom = shown_exemplars(exemplars.top, self._most[0]), shown_exemplars(exemplars.bottom, self._most[1])
        return top + bottom

    def view(self, site: str, unit: int, excerpt: float | None = None) -> UnitView:
        """Of a unit.

        excerpt  seconds around the moment at which it fires that can be played; None: whole clips

        Raises DissectionError if there is no such unit.
        """
        described = card(self.dissection, site, unit)
        exemplars = {each: self._exemplar(each, described, excerpt) for each in self.shown(site, unit)}
        words = words_claim(described)
        place = next(each for each in self.dissection.manifest.sites if each.name == site)
        return UnitView(
            site=site,
            index=unit,
            layer=place.layer,
            units=place.width,
            explanation=explanation_view(described),
            lowly=described.lowly,
            claims=(*label_views(described), *([] if words is None else [words])),
            words=tuple(word_views(described)),
            effects=described.effects,
            firing=described.firing,
            emptied=described.calibrated == "",
            failures=_failures(described),
            common=self._labels.commonest(described.unit.top),
            statistics=self.standings[site].of(unit),
            selectivity=float(self.standings[site].selectivity[unit]),
            mean=described.unit.mean,
            top=side_view("Responds most to", described.unit.top, described.unit.top_shortfall, exemplars),
            bottom=side_view("Responds least to", described.unit.bottom, described.unit.bottom_shortfall, exemplars),
            note=self._remarks.notes.get((site, unit)),
        )

    def _exemplar(self, exemplar: Exemplar, described: Card, excerpt: float | None) -> ExemplarView:
        seconds = self.dissection.clips[exemplar.clip].seconds
        span = exemplar_span(exemplar, seconds, excerpt)
        largest = max(abs(each.activation) for each in described.unit.top + described.unit.bottom)
        name = clip_name(exemplar, self._names)
        caption, credit = described.captions.get(exemplar), self._remarks.credits.get(exemplar.clip)
        return exemplar_view(exemplar, caption, name, digits_for(largest), seconds, span, credit)


def _failures(described: Card) -> Mapping[str, str]:
    """What could not be said; that there is nothing to calibrate where there is no summary goes without saying."""
    failures = dict(described.failures)
    if failures.pop("summary", None) is not None:
        failures.pop("calibration", None)
    sides = zip(("words", "words of the clips it responds least to"), described.unsaid, strict=True)
    return {name: reason for name, reason in sides if reason is not None} | failures
