"""The scores of one site's units: what its claims, the nulls and shuffled claims predict, against what the units do."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as arrow
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from ..dissection import Dissection
from .agreement import average_precisions, clips_of, correlations, places, positives, standardised
from .claims import Claim
from .detecting import CLIPS, Detected, detected
from .embeddings import Embeddings
from .held_out import HeldOutClips
from .nulls import NULLS, Measured, features, filled
from .requests import Remembered
from .roles import ChatOptions
from .tables import Row

REACHING = 0.05
"""Share of the shuffled claims that may do as well as a unit's own (1 of 20)."""
SCHEMA = arrow.schema(
    [
        ("site", arrow.string()),
        ("unit", arrow.int64()),
        ("source", arrow.string()),
        ("text", arrow.string()),
        ("clips", arrow.int64()),
        ("positives", arrow.int64()),
        ("base_rate", arrow.float64()),
        ("pearson", arrow.float64()),
        ("auprc", arrow.float64()),
        ("null", arrow.string()),
        ("null_sign", arrow.int64()),
        ("null_pearson", arrow.float64()),
        ("null_auprc", arrow.float64()),
        *((f"{null}_{name}", arrow.float64()) for null in NULLS for name in ("pearson", "auprc")),
        ("shuffles", arrow.int64()),
        ("shuffled_pearson", arrow.float64()),
        ("shuffled_auprc", arrow.float64()),
        ("p", arrow.float64()),
        ("beats_null", arrow.bool_()),
        ("detection", arrow.float64()),
        ("detection_null", arrow.float64()),
        ("detection_shuffled", arrow.float64()),
        ("detection_clips", arrow.int64()),
        ("requests", arrow.list_(arrow.string())),
        ("detection_failure", arrow.string()),
        ("failure", arrow.string()),
        ("pool", arrow.string()),  # hash of what the shuffled claims were drawn from
    ]
)


_CHANCE_Z = 1.645  # 19 of 20 random orders of the clips give a Pearson of fewer standard deviations above 0


class Judge:
    """What the units of a site do on the held-out clips, and how well the nulls tell."""

    def __init__(
        self,
        held_out: Dissection,
        site: str,
        judges: HeldOutClips,
        measured: Measured,
        means: Float32[Tensor, " null"],
        fits: np.ndarray,
        share: float,
        device: str | torch.device | None,
    ) -> None:
        self.site, self.judges, self.share = site, judges, share
        self.device = torch.device(device or "cpu")
        kept = held_out.activations(site)
        assert kept is not None  # checked before
        row_of = {clip: row for row, clip in enumerate(held_out.clips)}
        values = torch.from_numpy(kept[[row_of[clip] for clip in judges.clips]])
        self.activations = values.T.contiguous().to(self.device)
        self.nulls = filled(features(measured, judges.clips), means).to(self.device)
        self.signs = torch.from_numpy(np.where(fits < 0, -1, 1)).to(self.device)
        self.best = torch.from_numpy(np.abs(fits).argmax(1)).to(self.device)


@dataclass(frozen=True)
class _Measures:
    """Of some units: own claim [unit], nulls [unit, null], shuffled claims [unit, shuffle]."""

    chosen: Tensor  # [unit, clip] bool
    pearson: Tensor
    auprc: Tensor
    null_pearson: Tensor
    null_auprc: Tensor
    shuffled_pearson: Tensor
    shuffled_auprc: Tensor


class SiteScores:
    """Scores the claims that one source makes of a site's units."""

    def __init__(self, judge: Judge, pool: Sequence[Claim], embeddings: Embeddings, shuffles: int, seed: int) -> None:
        self.judge, self._pool, self._shuffles, self._seed = (
            judge,
            sorted(pool, key=lambda one: one.unit),
            shuffles,
            seed,
        )
        gists = list(dict.fromkeys(one.gist for one in self._pool))
        self._gist_of = {gist: place for place, gist in enumerate(gists)}
        self._gist_of_pool = np.array([self._gist_of[one.gist] for one in self._pool])
        self._apart = _apart(gists)
        texts = list(dict.fromkeys(one.text for one in self._pool))
        self._text_of = {text: place for place, text in enumerate(texts)}
        self._text_of_pool = np.array([self._text_of[one.text] for one in self._pool])
        self.texts = texts
        by_text = {one.text: one for one in self._pool}
        self.predictions = _predictions([by_text[text] for text in texts], judge.judges.captions, embeddings)
        self.predictions = self.predictions.to(judge.device)
        self._others: dict[int, np.ndarray] = {}

    def drawn(self, claim: Claim) -> np.ndarray:
        """The texts of the shuffled claims: with no statement in common, else with another one at least.

        None where nothing else is claimed of any unit.
        """
        gist = self._gist_of[claim.gist]
        if gist not in self._others:
            apart = self._apart[gist][self._gist_of_pool]
            self._others[gist] = self._text_of_pool[apart if apart.any() else self._gist_of_pool != gist]
        others = self._others[gist]
        if not len(others):
            return np.zeros(0, np.int64)
        random = self._random(claim, "shuffled")
        return others[random.integers(len(others), size=self._shuffles)]

    def balanced(self, claim: Claim) -> tuple[Int64[np.ndarray, " clip"], Bool[np.ndarray, " clip"]]:
        """A few clips, by place, half of them of those on which the unit fires, in random order; which those are."""
        values = self.judge.activations[claim.unit]
        clips = values.isfinite().nonzero()[:, 0]
        fires = positives(values[None, clips], self.judge.share)[0].cpu().numpy()
        places_of = clips.cpu().numpy()
        each = min(CLIPS // 2, int(fires.sum()), int((~fires).sum()))
        random = self._random(claim, "balanced")
        sides = [random.choice(places_of[side], each, replace=False) for side in (fires, ~fires)]
        order = random.permutation(2 * each)
        return np.concatenate(sides)[order], (np.arange(2 * each) < each)[order]

    def _random(self, claim: Claim, purpose: str) -> np.random.Generator:
        """Drawn for this claim alone: which other units are scored makes no difference."""
        said = f"{purpose}\0{claim.site}\0{claim.unit}\0{claim.source}"
        key = hashlib.blake2b(said.encode("utf-8", "replace"), digest_size=8).digest()
        return np.random.default_rng([self._seed, int.from_bytes(key, "little")])

    def rows(self, due: Sequence[Claim]) -> list[Row]:
        """The rows of claims. Units that are finite on the same clips are measured together: mostly all of them."""
        units = torch.tensor([claim.unit for claim in due], device=self.judge.device)
        finite = self.judge.activations[units].isfinite()
        patterns, which = finite.unique(dim=0, return_inverse=True)
        rows: dict[int, Row] = {}
        for pattern in range(len(patterns)):
            some = (which == pattern).nonzero()[:, 0].tolist()
            clips = patterns[pattern].nonzero()[:, 0]
            rows |= dict(zip(some, self._rows([due[place] for place in some], clips), strict=True))
        return [rows[place] for place in range(len(due))]

    def _rows(self, due: Sequence[Claim], clips: Tensor) -> Iterator[Row]:
        drawn = [self.drawn(claim) for claim in due]
        if len(clips) < 2:
            yield from (self._row(claim, None, 0, len(clips), some) for claim, some in zip(due, drawn, strict=True))
            return
        table = np.stack([one if len(one) else np.zeros(self._shuffles, np.int64) for one in drawn])
        measures = self._measured(due, torch.from_numpy(table).to(self.judge.device), clips)
        for place, claim in enumerate(due):
            row = self._row(claim, measures, place, len(clips), table[place])
            yield row if len(drawn[place]) else {**row, **_UNSHUFFLED, "failure": row["failure"] or _ALONE}

    def _measured(self, due: Sequence[Claim], shuffled: Tensor, clips: Tensor) -> _Measures:
        judge = self.judge
        units = torch.tensor([claim.unit for claim in due], device=judge.device)
        own = torch.tensor([self._text_of[claim.text] for claim in due], device=judge.device)
        values = judge.activations[units][:, clips]
        predicted, nulls = self.predictions[:, clips], judge.nulls[:, clips]
        chosen = positives(values, judge.share)
        detected_clips = clips_of(chosen)
        unit_rows = standardised(values)
        every = correlations(standardised(predicted), unit_rows)
        ranked = places(predicted)
        ranked_nulls = places(torch.cat([nulls, -nulls]))
        signs = judge.signs[units]
        of_nulls = [
            average_precisions(ranked_nulls, null + len(NULLS) * (signs[:, null] < 0), detected_clips)
            for null in range(len(NULLS))
        ]
        of_shuffled = [average_precisions(ranked, column, detected_clips) for column in shuffled.T.contiguous()]
        return _Measures(
            chosen=chosen,
            pearson=every.gather(1, own[:, None])[:, 0],
            auprc=average_precisions(ranked, own, detected_clips),
            null_pearson=correlations(standardised(nulls), unit_rows) * signs,
            null_auprc=torch.stack(of_nulls, 1),
            shuffled_pearson=every.gather(1, shuffled),
            shuffled_auprc=torch.stack(of_shuffled, 1),
        )

    def _row(
        self, claim: Claim, measures: _Measures | None, place: int, clips: int, drawn: Int64[np.ndarray, " shuffle"]
    ) -> Row:
        judge, unit = self.judge, claim.unit
        best = int(judge.best[unit])
        row: Row = dict.fromkeys(SCHEMA.names) | {
            "site": claim.site, "unit": unit, "source": claim.source, "text": claim.text, "clips": clips,
            "null": NULLS[best], "null_sign": int(judge.signs[unit, best]), "beats_null": False, "requests": [],
        }  # fmt: skip
        count = 0 if measures is None else int(measures.chosen[place].sum())
        if measures is None or not count:
            reason = "is not finite" if measures is None else "is the same"
            return row | {"positives": 0, "failure": f"the unit {reason} on all held-out clips"}
        pearson, auprc = float(measures.pearson[place]), float(measures.auprc[place])
        null_pearson, null_auprc = measures.null_pearson[place].tolist(), measures.null_auprc[place].tolist()
        shuffled = {
            "pearson": measures.shuffled_pearson[place].double().cpu().numpy(),
            "auprc": measures.shuffled_auprc[place].cpu().numpy(),
        }
        reached = {"pearson": shuffled["pearson"] >= pearson, "auprc": shuffled["auprc"] >= auprc}
        reaching = max(int(one.sum()) for one in reached.values())
        distinct = np.unique(drawn, return_index=True)[1]
        above = auprc > null_auprc[best] and pearson > max(null_pearson[best], _CHANCE_Z / math.sqrt(clips - 1))
        row |= {
            "positives": count,
            "base_rate": count / clips,
            "pearson": pearson,
            "auprc": auprc,
            "null_pearson": null_pearson[best],
            "null_auprc": null_auprc[best],
            "shuffles": self._shuffles,
            **{f"shuffled_{name}": _percentile(values) for name, values in shuffled.items()},
            "p": (1 + max(int(one[distinct].sum()) for one in reached.values())) / (1 + len(distinct)),
            "beats_null": above and reaching <= REACHING * self._shuffles,
        }
        for place_of_null, null in enumerate(NULLS):
            row |= {f"{null}_pearson": null_pearson[place_of_null], f"{null}_auprc": null_auprc[place_of_null]}
        return row


_ALONE = "no other claim was made to compare with"
_UNSHUFFLED = {"shuffles": 0, "shuffled_pearson": None, "shuffled_auprc": None, "p": None, "beats_null": False}


def _apart(gists: Sequence[frozenset[str]]) -> Bool[np.ndarray, "gist gist"]:
    """Which claims have no statement in common."""
    statements = {text: place for place, text in enumerate(dict.fromkeys(text for gist in gists for text in gist))}
    has = torch.zeros(len(gists), len(statements))
    for row, gist in zip(has, gists, strict=True):
        row[[statements[text] for text in gist]] = 1.0
    return (has @ has.T == 0).numpy()


def _percentile(values: np.ndarray) -> float:
    """The 95th percentile of shuffled claims: of 20 the 19th."""
    return float(np.sort(values)[max(0, math.ceil((1 - REACHING) * len(values) - 1e-9) - 1)])


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


def add_detection(rows: Sequence[Row], scorer: SiteScores, chat: Remembered, options: ChatOptions) -> None:
    """Fill in what a chat model detects with each claim, and with a shuffled one, on a balanced sample of clips."""
    asked: list[tuple[str, Sequence[str], Sequence[bool]]] = []
    which: list[tuple[Row, np.ndarray, np.ndarray]] = []
    captions = scorer.judge.judges.captions
    for row in rows:
        if row["failure"] is not None:
            continue
        claim = Claim(row["site"], row["unit"], row["source"], row["text"])
        sample, fires = scorer.balanced(claim)
        said = [captions[place] for place in sample]
        asked += [(text, said, fires.tolist()) for text in (claim.text, scorer.texts[int(scorer.drawn(claim)[0])])]
        which.append((row, sample, fires))
    answers = iter(list(detected(chat, asked, options)))
    for row, sample, fires in which:
        own, shuffled = next(answers), next(answers)
        row |= _detection(scorer, row, sample, fires, own, shuffled)


def _detection(
    scorer: SiteScores, row: Row, sample: np.ndarray, fires: np.ndarray, own: Detected, shuffled: Detected
) -> Row:
    null = row["null_sign"] * scorer.judge.nulls[NULLS.index(row["null"])].cpu().numpy()[sample]
    chosen = np.zeros(len(sample), bool)
    chosen[np.argsort(-null, kind="stable")[: int(fires.sum())]] = True
    return {
        "detection": own.accuracy,
        "detection_shuffled": shuffled.accuracy,
        "detection_null": float((chosen == fires).mean()),
        "detection_clips": len(sample),
        "requests": [own.request, shuffled.request],
        "detection_failure": own.failure or shuffled.failure,
    }
