"""What a listener is asked: of each claim its statement, the clips, and statements about other units to compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np

from ...dissection import Dissection
from ..claims import Claim
from .trials import Trials, draw_trials


@dataclass(frozen=True)
class Design:
    """How claims are put to the ear.

    share     a unit fires on the held-out clips in its top share
    excerpts  clips for detection, half of them of those on which the unit fires; None: 10, or 20 if statements are
              cheap to hear
    line_ups  questions about an intruder
    together  clips of a line-up on which the unit fires; the intruder comes on top
    others    claims about other units that each is compared with; None: 1, or 199 if statements are cheap to hear
    seed      of all that is drawn
    """

    share: float = 0.05
    excerpts: int | None = None
    line_ups: int = 5
    together: int = 4
    others: int | None = None
    seed: int = 0

    def settled(self, cheap: bool) -> Design:
        """The same for a listener, with statements that are cheap for it or not."""
        excerpts, others = (20, 199) if cheap else (10, 1)
        return replace(
            self,
            excerpts=excerpts if self.excerpts is None else self.excerpts,
            others=others if self.others is None else self.others,
        )

    def __post_init__(self) -> None:
        """Raise ValueError for a design that makes no sense."""
        if not (2 <= (self.excerpts or 10) <= 40 and self.line_ups >= 0 and self.together >= 2):
            raise ValueError(f"2 to 40 excerpts, and line-ups of 2 clips and the intruder at least, not {self}")
        if self.others is not None and self.others < 0:
            raise ValueError(f"others must be at least 0, it is {self.others}")


@dataclass(frozen=True)
class Plan:
    """All that is asked of a claim."""

    claim: Claim
    statement: str
    trials: Trials
    others: tuple[str, ...]

    @cached_property
    def hash(self) -> str:
        """Short hash of it: an answer to other questions does not stand."""
        content = [self.statement, asdict(self.trials), self.others]
        return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()

    def asked(self) -> Iterator[tuple[str | None, tuple[int, ...]]]:
        """Each statement, or none, with the clips that it is asked of."""
        if self.trials.clips:
            yield from ((text, self.trials.clips) for text in (self.statement, *self.others))
        yield from ((None, line_up.clips) for line_up in self.trials.line_ups)

    def heard(self) -> Iterator[int]:
        """The clips that it takes, some more than once."""
        yield from self.trials.clips
        for line_up in self.trials.line_ups:
            yield from line_up.clips


def plans(
    held_out: Dissection,
    claims: Sequence[Claim],
    clips: Sequence[int],
    design: Design,
    wanted: set[tuple[str, int]] | None,
) -> Iterator[Plan]:
    """The plans of the claims that are wanted, those of one unit together; they do not depend on which are wanted.

    The design must be settled.
    """
    excerpts, others = design.excerpts, design.others
    assert excerpts is not None and others is not None
    row_of = {clip: row for row, clip in enumerate(held_out.clips)}
    rows = [row_of[clip] for clip in clips]
    pools: dict[tuple[str, str], _Pool] = {}
    for site in dict.fromkeys(claim.site for claim in claims):
        of_site = [claim for claim in claims if claim.site == site]
        for source in dict.fromkeys(claim.source for claim in of_site):
            pools[site, source] = _Pool([claim for claim in of_site if claim.source == source])
        kept = held_out.activations(site)
        assert kept is not None  # checked before
        values = np.asarray(kept[rows], dtype=np.float32)
        for claim in sorted(of_site, key=lambda one: (one.unit, one.source)):
            if wanted is not None and (site, claim.unit) not in wanted:
                continue
            trials = draw_trials(
                values[:, claim.unit], clips, design.share, excerpts, design.line_ups, design.together,
                _random(design.seed, "clips", site, claim.unit),
            )  # fmt: skip
            pool = pools[site, claim.source]
            compared = pool.others(claim, others, _random(design.seed, "others", site, claim.unit, claim.source))
            yield Plan(claim, _statement(claim), trials, compared)


class _Pool:
    """What one source claims of a site's units."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        ordered = sorted(claims, key=lambda one: one.unit)
        self._statements = list({_statement(claim): claim.gist for claim in ordered}.items())

    def others(self, claim: Claim, count: int, random: np.random.Generator) -> tuple[str, ...]:
        """So many different statements that have none in common with the claim; else those that say something else."""
        gist = claim.gist
        order = [self._statements[place] for place in random.permutation(len(self._statements))]
        apart = (text for text, other in order if not other & gist)
        return tuple(islice(apart, count)) or tuple(islice((text for text, other in order if other != gist), count))


def _statement(claim: Claim) -> str:
    """What is said, without the number of clips that it was said of, which nobody can hear."""
    return " ".join(text for text, _ in claim.parts) or claim.text


def _random(seed: int, *of: object) -> np.random.Generator:
    """Drawn for this alone: which other units are asked about makes no difference."""
    key = hashlib.blake2b("\0".join(map(str, of)).encode("utf-8", "replace"), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(key, "little")])
