"""Which units a finding is about, and what has been said of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..explain.evaluate.verdicts import Verdicts
from ..explain.records.claim_rows import ScoreRow
from ..explain.records.description_rows import CalibratedRow, ConceptRow, WordRow
from ..explain.records.reading import has_table, read_table, table_settings
from ..explain.records.unit_selection import chosen_units
from ..explain.text.acoustic_adjectives import is_basic
from ..explain.text.english import compounds
from ..explain.text.sentences import idea
from ..wording import agree, command
from ..wording import counted as say_counted

PARTS = ("adjective", "noun", "verb", "preposition")
BASIC, HIGH_LEVEL, LENGTH = "basic adjective", "high-level adjective", "length"
KINDS = (*PARTS, BASIC, HIGH_LEVEL, LENGTH)
"""What an explanation can be rich in: words of a part of speech; of acoustic adjectives, those of basic features of
sound and the others (see `explain.text.acoustic_adjectives`); or words of whatever kind, each as often as it comes."""

ASKED_NOT = 0
"""No explanation was ever asked for."""
NOT_SAID = 1
"""There is no summary of the unit's highly clips: the summarizer found nothing in common, or failed."""
NOTHING_LEFT = 2
"""There was a summary, and calibration dropped every sentence: all of it holds of the lowly clips too."""
SAID = 3
"""There is an explanation."""


@dataclass(frozen=True)
class Chosen:
    """The sites that a finding is about, in forward order, and why others were left out (a sentence; None: none were).

    layers  the index of each site's transformer block; None outside the blocks
    kinds   what a site is called in every block: `mlp.hook_pre` of `blocks.3.mlp.hook_pre`
    """

    sites: tuple[str, ...]
    layers: tuple[int | None, ...]
    kinds: tuple[str, ...]
    widths: tuple[int, ...]
    left_out: str | None

    @property
    def layer_of_unit(self) -> Int64[np.ndarray, " unit"]:
        """The layer of every unit, site by site; −1 outside the blocks."""
        return np.repeat([-1 if layer is None else layer for layer in self.layers], self.widths).astype(np.int64)

    @property
    def kind_of_unit(self) -> np.ndarray:
        """The kind of site of every unit, site by site."""
        return np.repeat(np.array(self.kinds, dtype=object), self.widths)

    @property
    def first(self) -> dict[str, int]:
        """The place of every site's unit 0 among all units."""
        ends = np.cumsum(self.widths).tolist()
        return {site: end - width for site, end, width in zip(self.sites, ends, self.widths, strict=True)}

    @property
    def units(self) -> int:
        """How many units there are in all."""
        return sum(self.widths)

    def facts(self) -> dict[str, Any]:
        """Sites and units, for the record."""
        return {"sites": list(self.sites), "left_out": self.left_out, "units": self.units}


def chosen_sites(found: Dissection, sites: str | Iterable[str] | None = None, *, in_blocks: bool = False) -> Chosen:
    """The sites that match names or globs.

    None: every site that was dissected, but each neuron once. Of MLPs dissected both before and after the activation
    function (hook_pre, hook_post), before it, as in the paper. The residual stream (hook_resid_post), which is the sum
    of what the other sites have written, is left out where any of those was dissected. With `in_blocks`, so are sites
    outside the blocks.

    Raises DissectionError for a pattern that matches no site, and where no site is left.
    """
    entries = {entry.name: entry for entry in found.manifest.sites}
    every = list(dict.fromkeys(site for site, _ in chosen_units(found, sites)))
    twice = _twice(every, entries, in_blocks) if sites is None else {}
    every = [site for site in every if not any(site in those for those in twice.values())]
    said = "; ".join(reason for reason, those in twice.items() if those)
    if not every:
        raise DissectionError(f"no site of {found.folder} is in a transformer block: name the sites that are meant")
    layers = tuple(entries[site].layer for site in every)
    kinds = tuple(_kind(site, layer) for site, layer in zip(every, layers, strict=True))
    widths = tuple(entries[site].width for site in every)
    return Chosen(tuple(every), layers, kinds, widths, f"left out: {said}" if said else None)


def _twice(sites: Sequence[str], entries: Mapping[str, Any], in_blocks: bool) -> dict[str, list[str]]:
    """The sites to leave out, by the reason."""
    inside = [site for site in sites if entries[site].layer is not None]
    streams = [site for site in inside if site.endswith(".hook_resid_post")]
    return {
        "hook_post, whose neurons are those of hook_pre": [
            site for site in sites if site.endswith(".hook_post") and f"{site[:-4]}pre" in sites
        ],
        "hook_resid_post, the sum of the others": streams if len(streams) < len(inside) else [],
        "sites outside the blocks": [site for site in sites if in_blocks and site not in inside],
    }


def _kind(site: str, layer: int | None) -> str:
    """A site's name without its block: `blocks.3.mlp.hook_pre` and `module:layers.3.fc1` lose the 3."""
    if layer is None:
        return site
    return ".".join("*" if part == str(layer) else part for part in site.split(".")).removeprefix("blocks.*.")


@dataclass(frozen=True)
class Explained:
    """What has been said of the units of chosen sites; arrays go over all units, site by site.

    status      ASKED_NOT, NOT_SAID, NOTHING_LEFT or SAID
    words       how many distinct words of each of `KINDS` (adjectives: acoustic ones only) its explanation has
    most        how many exemplars a summary is made of, where all are evidence; None: not known
    fewer       whether fewer of the unit's exemplars are evidence
    holds       whether its explanation predicts its clips, more than loudness and the like do (the table `scores`):
                1 yes, 0 no, −1 not scored or judged, or scored when it said something else
    uncalibrated  units whose lowly clips have no summary, so that nothing could be dropped
    untested    adjectives without a verdict whether they are acoustic: they are nobody's
    rows        the rows of the table `concepts` that are of these units
    """

    chosen: Chosen
    status: Int64[np.ndarray, " unit"]
    words: dict[str, Int64[np.ndarray, " unit"]]
    most: int | None
    fewer: Bool[np.ndarray, " unit"]
    holds: Int64[np.ndarray, " unit"]
    uncalibrated: int
    untested: int
    rows: list[ConceptRow]
    made_with: dict[str, Any]

    @property
    def summarised(self) -> Bool[np.ndarray, " unit"]:
        """Units with a summary, whether or not calibration left anything of it."""
        return self.status >= NOTHING_LEFT

    def counts(self, among: Bool[np.ndarray, " unit"] | None = None) -> dict[str, int]:
        """How many units there are, and how many of them have what."""
        among = np.ones(len(self.status), bool) if among is None else among
        status = self.status[among]
        return {
            "units": len(status),
            "with_summary": int((status >= NOTHING_LEFT).sum()),
            "of_fewer_clips": int((self.fewer & self.summarised & among).sum()),
            "nothing_left": int((status == NOTHING_LEFT).sum()),
            "no_summary": int((status == NOT_SAID).sum()),
            "never_explained": int((status == ASKED_NOT).sum()),
        }

    def facts(self) -> dict[str, Any]:
        """Sites, counts and settings, for the record."""
        counts = self.counts()
        return {
            **self.chosen.facts(),
            **counts,
            "clips_of_a_summary": self.most,
            "scored": int((self.holds >= 0).sum()),
            "hold": int((self.holds == 1).sum()),
            "uncalibrated": self.uncalibrated,
            "untested_adjectives": self.untested,
            "concepts": self.made_with,
        }


def counted(counts: Mapping[str, Any]) -> str:
    """How many units have a summary and how many have none, in words."""
    have, units = counts["with_summary"], say_counted(counts["units"], "unit")
    said = f"{have:,} of {units} {agree(have, 'has', 'have')} a summary"
    among = {
        f"from fewer than {counts.get('clips_of_a_summary')} clips": counts["of_fewer_clips"],
        "nothing after calibration": counts["nothing_left"],
    }
    if several := [f"{count:,} {what}" for what, count in among.items() if count]:
        said += f" (of them {', '.join(several)})"
    if counts["no_summary"]:
        said += f"; without one: {counts['no_summary']:,}"
    if counts["never_explained"]:
        said += f"; never explained: {counts['never_explained']:,}"
    if counts.get("scored"):
        said += f"; {counts['hold']:,} of the {counts['scored']:,} that were scored hold"
    return said


def explained(found: Dissection, sites: str | Iterable[str] | None = None, *, in_blocks: bool = False) -> Explained:
    """Read what has been said of the units of sites (see `chosen_sites`).

    Raises DissectionError, which names the command to run, where there are no calibrated summaries or no concepts yet,
    or where the concepts were drawn out of other summaries.
    """
    chosen = chosen_sites(found, sites, in_blocks=in_blocks)
    calibrated, concepts = read_table(found, CalibratedRow), read_table(found, ConceptRow)
    made_with = table_settings(found, "concepts")
    if "calibrated" in made_with and made_with["calibrated"] != table_settings(found, "calibrated"):
        raise DissectionError(
            f"the concepts in {found.folder} are of earlier summaries: run "
            f"`{command('explain', found.folder, '--step', 'concepts')}` first"
        )
    first = chosen.first
    status = np.full(chosen.units, ASKED_NOT, np.int64)
    words = {kind: np.zeros(chosen.units, np.int64) for kind in KINDS}
    uncalibrated = 0
    for row in calibrated:
        if row.site in first:
            place = first[row.site] + row.unit
            status[place] = NOT_SAID if row.calibrated is None else SAID if row.kept else NOTHING_LEFT
            uncalibrated += bool(row.kept and row.failure)
            words[LENGTH][place] = sum(len(compounds(idea(sentence))) for sentence in row.kept or ())
    holds = np.full(chosen.units, -1, np.int64)
    scores = read_table(found, ScoreRow) if has_table(found, "scores") else []
    verdicts = Verdicts(row for row in scores if row.source == "explanation" and row.failure is None)
    for row in calibrated if len(verdicts) else ():
        known = verdicts(row.site, row.unit, "explanation", row.calibrated)
        if row.site in first and known is not None:
            holds[first[row.site] + row.unit] = known.holds
    rows = [row for row in concepts if row.site in first]
    for row in rows:
        for kind in _kinds(row):
            words[kind][first[row.site] + row.unit] += 1
    untested = sum(1 for row in read_table(found, WordRow) if row.failure) if has_table(found, "words") else 0
    most = table_settings(found, "summaries").get("k")
    fewer = np.zeros(chosen.units, bool)
    if most is not None:
        counts = [found.evidence(site, "top", most).counts().numpy() for site in chosen.sites]
        fewer = np.concatenate(counts) < most
    return Explained(chosen, status, words, most, fewer, holds, uncalibrated, untested, rows, made_with)


def _kinds(row: ConceptRow) -> Sequence[str]:
    """The kinds of words, but for length, that a row of `concepts` counts in."""
    if row.part != "adjective":
        return (row.part,)
    return ("adjective", BASIC if is_basic(row.word) else HIGH_LEVEL) if row.acoustic else ()
