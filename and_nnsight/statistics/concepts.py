"""How every unit of a site goes with every concept, over all clips of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from ..kernels import (
    CrossState,
    average_precision,
    bin_edges,
    bins_of,
    cosine,
    cosine_cubed,
    count_in_bins,
    cross_merge,
    cross_of,
    cross_update,
    empty_cross,
    exact_average_precision,
    pearson,
)
from ..kernels.average_precision import BINS, FIRST
from ..wording import Brief
from .concept_scores import ConceptScores


@dataclass(frozen=True, eq=False)
class ConceptStatistics(Brief):
    """How every unit of a site goes with every concept, over all clips of a run that were not set aside.

    names     the concepts, in the order of the columns
    pearson   correlation of a unit's pooled activation with a concept's score; 0 where either is constant
    cos       cosine of the two, not centred; 0 where either is zero throughout
    cos_cubed both centred, cubed, then their cosine, each norm taken as at least 0.001 (CLIP-Dissect's)
    auprc     average precision of the activation as a detector of the concept, for concepts whose scores are all 0 or
              1, and NaN for the others; NaN too where no clip of the concept was seen. Exact up
              to 256 clips; beyond, activations are put into 64 bins first (see `kernels/average_precision.py`)
    clips     how many clips there were

    All are NaN for a unit that was not finite on some clip.
    """

    names: tuple[str, ...]
    pearson: Float32[Tensor, "unit concept"]
    cos: Float32[Tensor, "unit concept"]
    cos_cubed: Float32[Tensor, "unit concept"]
    auprc: Float32[Tensor, "unit concept"]
    clips: int

    @property
    def incomplete(self) -> Bool[Tensor, " unit"]:
        """Which units were not finite on some clip, so that nothing is said of them."""
        return self.cos_cubed.isnan().any(1)

    @classmethod
    def from_tensors(cls, names: tuple[str, ...], tensors: Mapping[str, Tensor]) -> ConceptStatistics:
        """From a site's tensors as a dissection's files hold them."""
        parts = {name: tensors[name] for name in ("pearson", "cos", "cos_cubed", "auprc")}
        return cls(names, clips=int(tensors["clips"]), **parts)


class ConceptAccumulator:
    """How units go with concepts over a stream: sums of products of powers, and counts of clips in a unit's bins.

    It holds, for each unit and concept, 144 bytes of sums (48 if all scores are 0 or 1) and, for a concept whose scores
    are all 0 or 1, 64 counts of 1, 2 or 4 bytes each, by how many clips the most frequent such concept has.
    """

    def __init__(self, units: int, scores: ConceptScores, *, device: torch.device | str | None = None) -> None:
        """`scores` are those whose rows the updates will come with."""
        self.scores = scores
        self.units, self.device = units, torch.device(device or "cpu")
        self.concepts = len(scores.names)
        self.binary = scores.binary.nonzero()[:, 0]
        self._all_binary = len(self.binary) == self.concepts
        self._counts = count_dtype(scores)
        self.reset()

    @staticmethod
    def bytes_needed(units: int, scores: ConceptScores) -> int:
        """How much memory an accumulator takes, apart from what an update needs for a moment."""
        concepts, binary = len(scores.names), int(scores.binary.sum())
        sums = 2 * 8 * units * concepts * (3 if binary == concepts else 9)
        bins = BINS * units * (binary * count_dtype(scores).itemsize + 4) + 4 * BINS * units if binary else 0
        return sums + bins + 8 * 14 * (units + concepts) + (4 * FIRST * units if binary else 0)

    def reset(self) -> None:
        """Forget every clip."""
        self.sums = empty_cross(self.units, self.concepts, binary=self._all_binary, device=self.device)
        # The first clips as they came, until the edges of the bins are fixed by them.
        self.first = torch.empty(0, self.units, device=self.device)
        self.first_scores = torch.empty(0, self.concepts)
        self.edges = torch.empty(self.units, 0, device=self.device)
        self.positives, self.everything = self._no_counts(0)

    def _no_counts(self, bins: int) -> tuple[Tensor, Tensor]:
        counts = torch.zeros(self.units, len(self.binary), bins, dtype=self._counts, device=self.device)
        return counts, torch.zeros(self.units, bins, dtype=torch.int32, device=self.device)

    @property
    def binned(self) -> bool:
        """Whether enough clips came for the edges of the bins to be fixed."""
        return self.edges.shape[1] > 0

    def update(self, values: Float32[Tensor, "clip unit"], scores: Float32[Tensor, "clip concept"]) -> None:
        """Take in a batch of pooled values with the scores of its clips. Each clip may come once only.

        Units that are not finite on some clip end as NaN. Clips must come in the order of the stream.
        """
        values = values.detach().to(self.device)
        # Only in inference mode may a tensor that was made in inference mode be written to.
        with torch.inference_mode():
            self.sums = cross_update(self.sums, values, scores.to(self.device))
            if len(self.binary):
                self._count(values, scores)

    def _count(self, values: Tensor, scores: Tensor) -> None:
        if not self.binned:
            room = FIRST - len(self.first)
            self.first = torch.cat([self.first, values[:room]])
            self.first_scores = torch.cat([self.first_scores, scores[:room].cpu()])
            values, scores = values[room:], scores[room:]
            if len(self.first) == FIRST:
                self._fix(bin_edges(self.first))
        if len(values):
            self._put_into_bins(values, scores)

    def _fix(self, edges: Float32[Tensor, "unit edge"]) -> None:
        """Count from now on in bins of these edges."""
        self.edges = edges
        self.positives, self.everything = self._no_counts(BINS)
        values, scores = self.first, self.first_scores
        self.first, self.first_scores = values[:0].clone(), scores[:0].clone()
        self._put_into_bins(values, scores)

    def _put_into_bins(self, values: Tensor, scores: Tensor) -> None:
        fits = scores.cpu()[:, self.binary] == 1
        count_in_bins(self.positives, self.everything, bins_of(values, self.edges), fits)

    def merge(self, other: ConceptAccumulator) -> None:
        """Take in what another accumulator saw of other clips.

        Raises ValueError if the two do not fit: other numbers of units or concepts, or 256 clips or more each, by which
        each fixed bins of its own (see `begin_as`).
        """
        if (self.units, self.concepts) != (other.units, other.concepts) or not torch.equal(self.binary, other.binary):
            raise ValueError("cannot merge concept statistics of different units or concepts")
        edges = other.edges.to(self.device)
        if self.binned and other.binned and not torch.equal(self.edges, edges):
            raise ValueError(
                "cannot merge concept statistics of different bins: each fixed its own by its first 256 clips (let one "
                "begin_as the other before its first clip)"
            )
        with torch.inference_mode():
            self.sums = cross_merge(self.sums, CrossState(*(part.to(self.device) for part in other.sums)))
            if other.binned:
                if not self.binned:
                    self._fix(edges.clone())
                self.positives = self.positives + other.positives.to(self.device)
                self.everything = self.everything + other.everything.to(self.device)
            elif len(self.binary):
                self._count(other.first.to(self.device), other.first_scores)

    @property
    def begun(self) -> bool:
        """Whether a clip came, or `begin_as` was called."""
        return bool(self.sums.clips) or self.binned or not bool(self.sums.unit_reference.isnan().all())

    def begin_as(self, other: ConceptAccumulator) -> None:
        """Measure from another's references and count in its bins, if it has any: merged, the two are one to the bit.

        Raises ValueError after the first clip, or for another of other units.
        """
        if int(self.sums.clips) or self.units != other.units:
            raise ValueError("bins can be shared only before the first clip, and only those of as many units")
        self.sums = self.sums._replace(
            unit_reference=other.sums.unit_reference.to(self.device, copy=True),
            score_reference=other.sums.score_reference.to(self.device, copy=True),
        )
        if other.binned:
            self._fix(other.edges.to(self.device, copy=True))

    def state_dict(self) -> dict[str, Tensor]:
        """Everything, as copies: flat tensors on the CPU."""
        parts = {**self.sums._asdict(), **{name: getattr(self, name) for name in _BINNED}}
        return {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in parts.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state_dict`. Raises ValueError if its shape is another."""
        expected = (*self.sums.cross.shape, len(self.binary))
        shape = (*state["cross"].shape, state["positives"].shape[1])
        if shape != expected:
            raise ValueError(f"state is for {shape} (3, units, powers, concepts, binary concepts), not {expected}")
        self.sums = CrossState(*(state[name].to(self.device, copy=True) for name in CrossState._fields))
        for name in _BINNED:
            setattr(self, name, state[name].to("cpu" if name == "first_scores" else self.device, copy=True))

    def site_tensors(self, units: slice) -> dict[str, Tensor]:
        """The results of some units as contiguous float32 on the CPU, under the names that a dissection's files use."""
        part = cross_of(self.sums, units)
        tensors = {
            "pearson": pearson(part),
            "cos": cosine(part),
            "cos_cubed": cosine_cubed(part),
            "auprc": self._average_precision(units, part),
        }
        parts = {name: tensor.float().cpu().contiguous() for name, tensor in tensors.items()}
        return {**parts, "clips": self.sums.clips.to("cpu", copy=True)}

    def _average_precision(self, units: slice, part: CrossState) -> Float64[Tensor, "unit concept"]:
        precision = torch.full(part.cross.shape[1::2], torch.nan, dtype=torch.float64, device=self.device)
        if not len(self.binary):
            return precision
        if self.binned:
            known = average_precision(self.positives[units], self.everything[units])
        else:
            known = exact_average_precision(self.first[:, units], self.first_scores[:, self.binary] == 1)
        precision[:, self.binary.to(self.device)] = known
        return precision.masked_fill((part.finite != part.clips)[:, None], torch.nan)


_BINNED = ("first", "first_scores", "edges", "positives", "everything")


def count_dtype(scores: ConceptScores) -> torch.dtype:
    """The smallest type that counts the clips of the most frequent concept."""
    most = int((scores.values[:, scores.binary] == 1).sum(0).max()) if bool(scores.binary.any()) else 0
    return next(dtype for dtype in (torch.uint8, torch.int16, torch.int32) if most <= torch.iinfo(dtype).max)
