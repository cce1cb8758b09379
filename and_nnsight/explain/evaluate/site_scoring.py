"""Claims about the units of one site after another, scored into a table: what they are held against, and how."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ...dissection.dissection import Dissection
from ..providers.embeddings import Embeddings
from ..providers.requests import CachedChat
from ..records.claim_rows import ScoreRow
from ..records.tables import Table
from ..roles import ChatOptions
from .baselines import Measured, features, fit_to_units, known_means
from .claims import Claim, pool_hash
from .held_out import HeldOutClips
from .held_out_units import HeldOutSite, HeldOutUnits
from .unit_scores import SiteScores, with_detection


@dataclass(frozen=True)
class Test:
    """How claims are put to the test: see `score`. Raises ValueError for numbers that make no sense."""

    share: float
    shuffles: int
    level: float
    seed: int
    most_clips: int | None

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share must lie between 0 and 1, it is {self.share}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1, it is {self.level}")
        if self.shuffles < 1 or 1 / (1 + self.shuffles) > self.level:
            raise ValueError(
                f"of {self.shuffles} shuffles no p can be as small as the level {self.level}: at least "
                f"{math.ceil(1 / self.level) - 1}"
            )
        if self.most_clips is not None and self.most_clips < 1:
            raise ValueError(f"most_clips must be at least 1, it is {self.most_clips}")


@dataclass(frozen=True)
class Bench:
    """What claims are held against: the clips that judge, and the acoustics of both dissections' clips.

    fitted_on  clips of the dissection that was explained, on which the nulls are fitted
    """

    dissection: Dissection
    held_out: Dissection
    judges: HeldOutClips
    ours: Measured
    theirs: Measured
    fitted_on: Sequence[int]
    share: float
    device: str | torch.device | None

    def held_out_site(self, site: str) -> HeldOutSite:
        """The held-out activations of a site's units."""
        fits = fit_to_units(self.dissection, site, self.ours, self.fitted_on)
        means = known_means(features(self.ours, self.fitted_on))
        return HeldOutSite(self.held_out, site, self.judges, self.theirs, means, fits, self.share, self.device)


@dataclass(frozen=True)
class Asker:
    """A chat model that is asked which captions a claim fits."""

    chat: CachedChat
    options: ChatOptions


@dataclass(frozen=True)
class Scoring:
    """Scores claims into the table, a site at a time."""

    table: Table[ScoreRow]
    bench: Bench
    embeddings: Embeddings
    test: Test
    asker: Asker | None

    def score_site(self, site: str, units: Collection[int], pools: Iterable[Mapping[int, Claim]]) -> None:
        """Score what is due of some units of a site. `pools`: of each source, all claims about the site's units."""
        due: list[tuple[str, Mapping[int, Claim], list[Claim]]] = []
        for pool in pools:
            hashed = pool_hash(pool)
            lacking = [claim for unit, claim in pool.items() if unit in units and _lacks(self.table, claim, hashed)]
            if lacking:
                due.append((hashed, pool, lacking))
        if not due:
            return
        held_out = self.bench.held_out_site(site)
        scorers = [self._scorer(held_out, pool) for _, pool, _ in due]
        every_unit = sorted({claim.unit for _, _, lacking in due for claim in lacking})
        for part in held_out.parts(every_unit):
            for (hashed, _, lacking), scorer in zip(due, scorers, strict=True):
                self._score([claim for claim in lacking if claim.unit in part], part, scorer, hashed)

    def _scorer(self, held_out: HeldOutSite, pool: Mapping[int, Claim]) -> SiteScores:
        return SiteScores(held_out, list(pool.values()), self.embeddings, self.test.shuffles, self.test.seed)

    def _score(self, claims: Sequence[Claim], units: HeldOutUnits, scorer: SiteScores, pool: str) -> None:
        rows = [replace(row, pool=pool) for row in scorer.rows(claims, units)]
        if self.asker is not None:
            rows = with_detection(rows, scorer, self.asker.chat, self.asker.options)
        self.table.add(rows)


def pools_of(every_claim: Iterable[Claim]) -> dict[str, list[dict[int, Claim]]]:
    """By site, and there by source, the claim about each unit."""
    pools: dict[str, dict[str, dict[int, Claim]]] = {}
    for claim in every_claim:
        pools.setdefault(claim.site, {}).setdefault(claim.source, {})[claim.unit] = claim
    return {site: list(of_site.values()) for site, of_site in pools.items()}


def _lacks(table: Table[ScoreRow], claim: Claim, pool: str) -> bool:
    row = table.get((claim.site, claim.unit, claim.source))
    return row is None or (row.text, row.pool) != (claim.text, pool) or row.detection_failure is not None
