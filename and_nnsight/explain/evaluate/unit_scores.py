"""The scores of one site's units: how well its claims tell what the units do, and the nulls, and other claims."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from ...dissection.decimals import shortest, shortest_list
from ..providers.embeddings import Embeddings
from ..providers.requests import CachedChat
from ..records.claim_rows import ScoreRow
from ..roles import ChatOptions
from .baselines import NULLS
from .claims import Claim
from .detection import CLIPS, Detection, detect
from .held_out import FEWEST
from .held_out_units import HeldOutSite, HeldOutUnits, UnitGroup
from .metrics import average_precisions, correlations, places, positives, standardised
from .permutation import PermutationResult, claim_ways, claims_beyond_nulls, partial_test, prediction_test

_DECIMALS = 6  # sums over more units differ in the last bits


@dataclass(frozen=True, eq=False)
class _ClaimRows:
    """All texts that are claimed of a site, on the clips on which some units are finite."""

    clips: Int64[Tensor, " clip"]
    ways: Float32[Tensor, "side text clip"]
    beyond: Float32[Tensor, "side text clip"]
    standardised: Float32[Tensor, "text clip"]
    places: Tensor  # [text, clip], whole numbers


@dataclass(frozen=True, eq=False)
class _Measures:
    """Of some claims: how each does, and how every text that is claimed of the site does on the claim's unit."""

    tested: PermutationResult
    beyond: PermutationResult
    pearson: list[float]
    auprc: list[float]
    top_down: np.ndarray  # [claim, text]


class SiteScores:
    """Scores the claims that one source makes of a site's units."""

    def __init__(
        self, held_out: HeldOutSite, pool: Sequence[Claim], embeddings: Embeddings, shuffles: int, seed: int
    ) -> None:
        self.held_out, self._shuffles, self._seed = held_out, shuffles, seed
        self._pool = sorted(pool, key=lambda one: one.unit)
        texts = list(dict.fromkeys(one.text for one in self._pool))
        self._text_of = {text: place for place, text in enumerate(texts)}
        self._text_of_pool = np.array([self._text_of[one.text] for one in self._pool])
        self.texts = texts
        by_text = {one.text: one for one in self._pool}
        self.predictions = _predictions([by_text[text] for text in texts], held_out.clips.captions, embeddings)
        self.predictions = self.predictions.to(held_out.device)
        self._claim_rows: _ClaimRows | None = None
        self._others: dict[frozenset[str], Int64[np.ndarray, " claim"]] = {}

    def _apart_from(self, claim: Claim) -> Int64[np.ndarray, " claim"]:
        """The texts of the claims about other units that have no statement in common with it (else: another one)."""
        if claim.gist not in self._others:
            apart = np.array([claim.gist.isdisjoint(one.gist) for one in self._pool])
            different = np.array([claim.gist != one.gist for one in self._pool])
            self._others[claim.gist] = self._text_of_pool[apart if apart.any() else different]
        return self._others[claim.gist]

    def another(self, claim: Claim) -> str | None:
        """What is claimed of another unit, drawn; None where nothing else is claimed of any."""
        others = self._apart_from(claim)
        return self.texts[int(self._random(claim, "another").choice(others))] if len(others) else None

    def balanced(self, claim: Claim) -> tuple[Int64[np.ndarray, " clip"], Bool[np.ndarray, " clip"]]:
        """A few clips, by place, half of them of those on which the unit fires, in random order; which those are."""
        values = self.held_out.activations[claim.unit]
        clips = values.isfinite().nonzero()[:, 0]
        fires = positives(values[None, clips], self.held_out.share)[0].cpu().numpy()
        places_of = clips.cpu().numpy()
        each = min(CLIPS // 2, int(fires.sum()), int((~fires).sum()))
        random = self._random(claim, "balanced")
        sides = [random.choice(places_of[side], each, replace=False) for side in (fires, ~fires)]
        order = random.permutation(2 * each)
        return np.concatenate(sides)[order], (np.arange(2 * each) < each)[order]

    def _random(self, claim: Claim, purpose: str) -> np.random.Generator:
        """Drawn for this claim alone: which other units are scored makes no difference."""
        identity = f"{purpose}\0{claim.site}\0{claim.unit}\0{claim.source}"
        key = hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=8).digest()
        return np.random.default_rng([self._seed, int.from_bytes(key, "little")])

    def rows(self, due: Sequence[Claim], units: HeldOutUnits) -> list[ScoreRow]:
        """The rows of claims about some of the units. Those that are finite on the same clips are measured together."""
        rows: dict[int, ScoreRow] = {}
        for group in units.groups:
            some = [place for place, claim in enumerate(due) if claim.unit in group.place]
            if some:
                rows |= zip(some, self._rows([due[place] for place in some], group), strict=True)
        return [rows[place] for place in range(len(due))]

    def _rows(self, due: Sequence[Claim], group: UnitGroup) -> Iterator[ScoreRow]:
        judged = len(group.clips) >= FEWEST
        places = [group.place[claim.unit] for claim in due]
        measures = self._measured(due, group, places) if judged else None
        for number, (claim, place) in enumerate(zip(due, places, strict=True)):
            yield self._row(claim, group, place, measures, number)

    def _measured(self, due: Sequence[Claim], group: UnitGroup, places: Sequence[int]) -> _Measures:
        unit, said = group.measures, self._rows_of_texts(group)
        at = torch.tensor(places, device=self.held_out.device)
        own = torch.tensor([self._text_of[claim.text] for claim in due], device=self.held_out.device)
        return _Measures(
            tested=prediction_test(unit.ways[:, at], said.ways, own, self._shuffles, self._seed),
            beyond=partial_test(unit.beyond.of(at), said.beyond, own, self._shuffles, self._seed),
            pearson=correlations(said.standardised, unit.standardised[at]).gather(1, own[:, None])[:, 0].tolist(),
            auprc=average_precisions(said.places, own, unit.firing[at]).tolist(),
            top_down=correlations(said.ways[0], unit.ways[0, at]).cpu().numpy(),
        )

    def _rows_of_texts(self, group: UnitGroup) -> _ClaimRows:
        """What is held against units. The last is kept: most units of a site are finite on the same clips."""
        if self._claim_rows is None or not torch.equal(self._claim_rows.clips, group.clips):
            predicted = self.predictions[:, group.clips]
            rounded = predicted.double().round(decimals=_DECIMALS)  # what is equal but for the last bits is a tie
            ways = claim_ways(rounded)
            beyond = claims_beyond_nulls(ways, group.measures.beyond.basis)
            self._claim_rows = _ClaimRows(group.clips, ways, beyond, standardised(predicted), places(predicted))
        return self._claim_rows

    def _row(self, claim: Claim, group: UnitGroup, place: int, measures: _Measures | None, number: int) -> ScoreRow:
        held_out, unit, clips = self.held_out, claim.unit, len(group.clips)
        best = int(held_out.best[unit])
        row = ScoreRow(
            site=claim.site, unit=unit, source=claim.source, text=claim.text, clips=clips,
            null=NULLS[best], null_sign=int(held_out.signs[unit, best]), requests=[], positives=0,
        )  # fmt: skip
        if measures is None:
            return replace(row, failure=_few_finite(clips))
        if not (count := group.measures.positives[place]):
            return replace(row, failure="the unit is the same on all held-out clips")
        null_pearson, null_auprc = (
            shortest_list(each[place].float().cpu().numpy())
            for each in (group.measures.null_pearson, group.measures.null_auprc)
        )
        p = float(measures.tested.p[number])
        others, as_good = self._among_others(claim, measures.top_down[number])
        of_nulls: dict[str, float] = {}
        for null, correlation, precision in zip(NULLS, null_pearson, null_auprc, strict=True):
            of_nulls |= {f"{null}_pearson": correlation, f"{null}_auprc": precision}
        return replace(
            row,
            positives=count,
            base_rate=count / clips,
            top_down=round(float(measures.tested.correlation[number]), _DECIMALS),
            p=p,
            top_down_beyond=round(float(measures.beyond.correlation[number]), _DECIMALS),
            p_beyond=max(p, float(measures.beyond.p[number])),
            pearson=shortest(measures.pearson[number]),
            auprc=shortest(measures.auprc[number]),
            null_pearson=null_pearson[best],
            null_auprc=null_auprc[best],
            others=others,
            others_as_good=as_good,
            **of_nulls,
        )

    def _among_others(self, claim: Claim, top_down: np.ndarray) -> tuple[int, float | None]:
        """How many claims there are about other units, and the share of them that tells this one as well as its own."""
        others = len(self._pool) - 1
        as_good = int((top_down[self._text_of_pool] >= top_down[self._text_of[claim.text]]).sum()) - 1  # itself
        return others, as_good / others if others else None


def _few_finite(clips: int) -> str:
    if not clips:
        return "the unit is not finite on all held-out clips"
    return f"the unit is finite on {clips} held-out clips, fewer than {FEWEST}"


def _predictions(
    claimed: Sequence[Claim], captions: Sequence[str], embeddings: Embeddings
) -> Float32[Tensor, "claim clip"]:
    """How near each claim is to each clip's caption: the mean over its statements by their weights."""
    statements = list(dict.fromkeys(text for claim in claimed for text, _ in claim.parts))
    distinct = list(dict.fromkeys(captions))
    vectors = torch.from_numpy(embeddings([*statements, *distinct]))
    place_of = {text: place for place, text in enumerate(statements)}
    summed = torch.zeros(len(claimed), vectors.shape[1])
    for row, claim in zip(summed, claimed, strict=True):
        total = sum(weight for _, weight in claim.parts) or 1.0
        for text, weight in claim.parts:
            row += weight / total * vectors[place_of[text]]
    near = summed @ vectors[len(statements) :].T
    caption_of: Mapping[str, int] = {text: place for place, text in enumerate(distinct)}
    return near[:, [caption_of[caption] for caption in captions]]


def with_detection(
    rows: Sequence[ScoreRow], scorer: SiteScores, chat: CachedChat, options: ChatOptions
) -> list[ScoreRow]:
    """Rows with what a chat model detects with each claim, and with another's, on a balanced sample of clips."""
    questions: list[tuple[str, Sequence[str], Sequence[bool]]] = []
    which: dict[int, tuple[np.ndarray, np.ndarray, bool]] = {}
    captions = scorer.held_out.clips.captions
    for place, row in enumerate(rows):
        if row.failure is not None:
            continue
        claim = Claim(row.site, row.unit, row.source, row.text)
        sample, fires = scorer.balanced(claim)
        another = scorer.another(claim)
        shown = [captions[clip] for clip in sample]
        texts = [claim.text] if another is None else [claim.text, another]
        questions += [(text, shown, fires.tolist()) for text in texts]
        which[place] = (sample, fires, another is not None)
    answers = iter(list(detect(chat, questions, options)))
    filled_in = list(rows)
    for place, (sample, fires, has_another) in which.items():
        own = next(answers)
        another = next(answers) if has_another else None
        filled_in[place] = _with_detection(scorer, rows[place], sample, fires, own, another)
    return filled_in


def _with_detection(
    scorer: SiteScores, row: ScoreRow, sample: np.ndarray, fires: np.ndarray, own: Detection, another: Detection | None
) -> ScoreRow:
    assert row.null is not None  # of every row that is made here
    null = row.null_sign * scorer.held_out.nulls[NULLS.index(row.null)].cpu().numpy()[sample]
    chosen = np.zeros(len(sample), bool)
    chosen[np.argsort(-null, kind="stable")[: int(fires.sum())]] = True
    answers = [own] if another is None else [own, another]
    return replace(
        row,
        detection=own.accuracy,
        detection_shuffled=None if another is None else another.accuracy,
        detection_null=float((chosen == fires).mean()),
        detection_clips=len(sample),
        requests=[answer.request for answer in answers],
        detection_failure=next((answer.failure for answer in answers if answer.failure), None),
    )
