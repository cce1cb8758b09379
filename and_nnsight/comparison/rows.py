"""The tables of a comparison, a dataclass each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..dissection.table_row import TableRow

FIRST, SECOND = "first", "second"
MATCHED, SHARED, ALONE, UNDECIDED, UNTESTED = "matched", "shared", "alone", "undecided", "untested"
STANDINGS = (MATCHED, SHARED, ALONE, UNDECIDED, UNTESTED)
LOST, GAINED, FEWER, MORE = CHANGES = ("lost", "gained", "fewer", "more")
CLIPS, LABEL, WORD = "clips", "label", "word"


@dataclass(frozen=True)
class ComparedUnitRow(TableRow):
    """A unit of either dissection, and the unit of the other that answers to the same clips most.

    side         "first" or "second": which dissection it is of
    standing     matched: each is the other's counterpart, and both claims below hold. shared: likewise, but the
                 counterpart goes with another unit better. alone: no unit of the other answers to what it answers to
                 (of the first: lost; of the second: gained). undecided: neither can be said. untested: see `reason`
    correlation  with its counterpart over the clips, −1 to 1; `low`, `high` its 95 % interval (None: of exemplars)
    p, q         that its best counterpart is one by chance: random clips have one as good
    p_alone, q_alone  that there is a counterpart as good as `least`, though none is seen
    both q       false-discovery rate (Benjamini & Hochberg) over both claims of all units of the comparison
    other_site, other_unit  its counterpart
    in_place     correlation with the unit of the same site and index, where both were tested: of checkpoints of one
                 model, how much the unit itself has changed
    evidence, other_evidence, shared_clips   clips that are evidence of either's top, and of both
    words, words_from  what is said of it: its explanation, else its label, else of how many of its clips which label is
                 ("clips")
    other_words  the same of its counterpart
    best_clip, best_path  the first clip that is evidence, in its own dissection
    """

    table: ClassVar[str] = "compared_units"
    key: ClassVar[tuple[str, ...]] = ("side", "site", "unit")

    side: str
    site: str
    unit: int
    standing: str
    reason: str | None = None
    correlation: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    q: float | None = None
    p_alone: float | None = None
    q_alone: float | None = None
    other_site: str | None = None
    other_unit: int | None = None
    in_place: float | None = None
    evidence: int = 0
    other_evidence: int | None = None
    shared_clips: int | None = None
    words: str | None = None
    words_from: str | None = None
    other_words: str | None = None
    best_clip: int | None = None
    best_path: str | None = None

    @property
    def name(self) -> str:
        """Site and index, as on the command line."""
        return f"{self.site}:{self.unit}"


@dataclass(frozen=True)
class ComparedConceptRow(TableRow):
    """A concept, and how many units of either dissection answer to it.

    source      "clips": the label of the data that is over-represented among a unit's clips; "label": closed concepts
                that units were given; "word": words of explanations
    change      lost: units of the first answer to it, none of the second. gained: the reverse. fewer, more: of the
                second, which has some. None: it cannot be said. Of clips a unit answers where that holds (q ≤ 0.05 over
                all units), and a change is one that other clips would not undo (`q` ≤ 0.05). Of labels and words a unit
                answers where the claim held on held-out clips, and lost and gained are counts, without a test
    first_units, second_units    units of which it is said
    first_hold, second_hold      those of which it holds; None: not tested
    first_alone, second_alone    of the units of which it holds (not tested: is said), those that have no counterpart
    first_best, second_best      the unit that it fits best, SITE:UNIT
    difference  of clips: the share of units that answer to it, of the second less of the first; `low`, `high` its
                95 % interval over clips drawn anew; p, q: that it lies on the other side of zero (see
                `comparison.label_changes`). None: no unit of either answers
    first_count, second_count    of that unit's clips that are evidence, those with the label; first_of, second_of: of
                                 how many; first_q, second_q: the q of that. Of clips only
    """

    table: ClassVar[str] = "compared_concepts"
    key: ClassVar[tuple[str, ...]] = ("source", "concept")

    source: str
    concept: str
    change: str | None
    first_units: int
    second_units: int
    first_hold: int | None
    second_hold: int | None
    first_alone: int
    second_alone: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    q: float | None = None
    first_best: str | None = None
    first_count: int | None = None
    first_of: int | None = None
    first_q: float | None = None
    second_best: str | None = None
    second_count: int | None = None
    second_of: int | None = None
    second_q: float | None = None


@dataclass(frozen=True)
class ComparedSiteRow(TableRow):
    """A site of either dissection: how its units stand, and where their counterparts are.

    units        of the site; the next five are how many of them stand how
    correlation  mean over the units that were tested, with their counterparts; None: none was
    elsewhere    of the matched, those whose counterpart is at a site of another name
    moved        of the matched, those whose counterpart has the same site and another index
    nearest      the site of the other dissection at which most counterparts of matched and shared units are
    answer       units whose clips share a label beyond chance (q ≤ 0.05); None: the data has no labels
    labels       how many different ones those are
    """

    table: ClassVar[str] = "compared_sites"
    key: ClassVar[tuple[str, ...]] = ("side", "site")

    side: str
    site: str
    layer: int | None
    units: int
    matched: int
    shared: int
    alone: int
    undecided: int
    untested: int
    correlation: float | None
    elsewhere: int
    moved: int
    nearest: str | None
    answer: int | None
    labels: int | None
