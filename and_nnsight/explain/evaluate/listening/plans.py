"""What a listener is asked: of each claim its statement, the clips, and statements about other units to compare."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np
from jaxtyping import Float32, UInt64

from ....dissection.dissection import Dissection
from ....storage import json_hash
from ..claims import Claim
from .trials import Trials, draw_trials

_TOGETHER = 4  # clips of a line-up beside the intruder


@dataclass(frozen=True)
class Design:
    """How claims are put to the ear.

    share     a unit fires on the held-out clips in its top share
    excerpts  clips for detection, half of them of those on which the unit fires
    line_ups  questions about an intruder among five clips
    others    claims about other units that each is compared with; None: 3, or 199 if statements are cheap to hear
    seed      of all that is drawn
    """

    share: float = 0.05
    excerpts: int = 20
    line_ups: int = 5
    others: int | None = None
    seed: int = 0

    def settled(self, cheap: bool) -> Design:
        """The same for a listener, with statements that are cheap for it or not."""
        others = (199 if cheap else 3) if self.others is None else self.others
        return replace(self, others=others)

    def __post_init__(self) -> None:
        """Raise ValueError for a design that makes no sense."""
        if not (2 <= self.excerpts <= 20 and self.line_ups >= 0):
            raise ValueError(f"2 to 20 excerpts and at least 0 line-ups, not {self}")
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
        return json_hash(content)

    def questions(self) -> Iterator[tuple[str | None, tuple[int, ...]]]:
        """Each statement, or none, with the clips that it is asked of."""
        if self.trials.clips:
            yield from ((text, self.trials.clips) for text in (self.statement, *self.others))
        yield from ((None, line_up.clips) for line_up in self.trials.line_ups)

    def clips(self) -> Iterator[int]:
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
    row_of = {clip: row for row, clip in enumerate(held_out.clips)}
    rows = [row_of[clip] for clip in clips]
    due = _by_site(claim for claim in claims if wanted is None or (claim.site, claim.unit) in wanted)
    every = _by_site(claims)
    for site, of_site in due.items():
        activations = held_out.activations(site)
        assert activations is not None  # checked before
        values = np.asarray(activations[rows], dtype=np.float32)
        of_site.sort(key=lambda claim: (claim.unit, claim.source))
        yield from _site_plans(of_site, _pools(every[site]), values, clips, design)


def _by_site(claims: Iterable[Claim]) -> dict[str, list[Claim]]:
    by_site: dict[str, list[Claim]] = {}
    for claim in claims:
        by_site.setdefault(claim.site, []).append(claim)
    return by_site


def _pools(claims: Iterable[Claim]) -> dict[str, _Pool]:
    """By source, all claims about a site's units."""
    by_source: dict[str, list[Claim]] = {}
    for claim in claims:
        by_source.setdefault(claim.source, []).append(claim)
    return {source: _Pool(of_source) for source, of_source in by_source.items()}


def _site_plans(
    due: Sequence[Claim],
    pools: Mapping[str, _Pool],
    values: Float32[np.ndarray, "clip unit"],
    clips: Sequence[int],
    design: Design,
) -> Iterator[Plan]:
    """The plans of claims about one site's units, whose activations on the clips these are."""
    assert design.others is not None  # settled
    for claim in due:
        random = np.random.default_rng(_key(design.seed, "clips", claim.site, claim.unit))
        sizes = design.share, design.excerpts, design.line_ups, _TOGETHER
        trials = draw_trials(values[:, claim.unit], clips, *sizes, random)
        yield Plan(claim, _statement(claim), trials, pools[claim.source].others(claim, design.others, design.seed))


class _Pool:
    """What one source claims of a site's units."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        statements = {_statement(claim): claim.gist for claim in claims}
        self._statements = sorted(statements.items(), key=lambda pair: pair[0])
        self._keys = np.array([_key(text) for text, _ in self._statements], dtype=np.uint64)

    def others(self, claim: Claim, count: int, seed: int) -> tuple[str, ...]:
        """So many different statements that have none in common with the claim; else those that say something else.

        Drawn by a hash of claim and statement, not by place: when another statement comes or goes, most draws stay.
        """
        own = np.uint64(_key(seed, "others", claim.site, claim.unit, claim.source))
        order = [self._statements[place] for place in np.argsort(_mixed(self._keys ^ own), kind="stable").tolist()]
        apart = (text for text, other in order if not other & claim.gist)
        other = (text for text, other in order if other != claim.gist)
        return tuple(islice(apart, count)) or tuple(islice(other, count))


def _mixed(keys: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Every bit of a number spread over all of it (the last step of SplitMix64)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _statement(claim: Claim) -> str:
    """What is said, without the number of clips that it was said of, which nobody can hear."""
    return " ".join(text for text, _ in claim.parts) or claim.text


def _key(*of: object) -> int:
    """A number of 64 bits for what is given."""
    text = "\0".join(map(str, of)).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
