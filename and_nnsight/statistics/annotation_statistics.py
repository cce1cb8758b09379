"""Which units fire on which annotation: results over all clips of a run that are annotated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from ..wording import Brief
from .false_discovery import false_discovery_rates
from .frame_concepts import FrameAccumulator, FrameConcepts
from .student_t import student_p_above

_OF_PAIRS = ("pearson", "auprc", "p", "q", "p_turned")


@dataclass(frozen=True, eq=False)
class AnnotationStatistics(Brief):
    """How the activations of every unit of a site go with every concept, over all stretches of all annotated clips.

    names      the concepts, in the order of the columns
    pearson    correlation over stretches of activation and concept; 0 where either is constant
    auprc      average precision of the activation as a detector of the stretches that carry the concept, from counts in
               64 bins a unit (see `kernels/average_precision.py`); NaN for a concept that no stretch carries
    base_rate  share of the stretches that carry the concept: the AUPRC of a unit that knows nothing
    clips      in how many clips a concept comes and goes, so that its time can be tested
    p          how likely as large a t, and as large a z, is by chance (the larger of both): one-sided, that the unit
               fires more while the concept is there than with the annotation turned round within each clip, by clip
               (see `kernels/frame_sums.py`). NaN where there is nothing to test: the concept never changes within a
               clip, or the unit is constant
    q          false-discovery rate (Benjamini & Hochberg) over all units of all sites and all concepts of the run
    p_turned   the same p with each annotation turned round by a random part of its clip: what chance gives here
    stretches, annotated  how many stretches there were, of how many clips

    All are NaN for a unit that was not finite on some stretch.
    """

    names: tuple[str, ...]
    pearson: Float32[Tensor, "unit concept"]
    auprc: Float32[Tensor, "unit concept"]
    base_rate: Float32[Tensor, " concept"]
    clips: Int64[Tensor, " concept"]
    p: Float32[Tensor, "unit concept"]
    q: Float32[Tensor, "unit concept"]
    p_turned: Float32[Tensor, "unit concept"]
    stretches: int
    annotated: int

    @classmethod
    def from_tensors(cls, names: tuple[str, ...], tensors: Mapping[str, Tensor]) -> AnnotationStatistics:
        """From a site's tensors as a dissection's files hold them."""
        parts: dict[str, Any] = {name: tensors[name] for name in (*_OF_PAIRS, "base_rate", "clips")}
        parts |= {name: int(tensors[name]) for name in ("stretches", "annotated")}
        return cls(names, **parts)


def annotation_tensors(frames: FrameConcepts) -> dict[str, dict[str, Tensor]]:
    """The results of all sites as contiguous tensors on the CPU, under the names that a dissection's files use."""
    p = {name: _p(site, turned=False) for name, site in frames.sites.items()}
    q = _rates(p)
    return {name: _tensors(site, p[name], q[name]) for name, site in frames.sites.items()}


def _tensors(site: FrameAccumulator, p: np.ndarray, q: np.ndarray) -> dict[str, Tensor]:
    sums = site.sums
    pairs = {
        "pearson": site.pearson(),
        "auprc": site.auprc(),
        "p": torch.from_numpy(p),
        "q": torch.from_numpy(q),
        "p_turned": torch.from_numpy(_p(site, turned=True)),
        "base_rate": sums.carrying / sums.stretches,
    }
    tensors = {name: tensor.float().cpu().contiguous() for name, tensor in pairs.items()}
    counts = {"clips": sums.changing, "stretches": sums.stretches, "annotated": sums.clips}
    return tensors | {name: count.to("cpu", copy=True) for name, count in counts.items()}


def _p(site: FrameAccumulator, *, turned: bool) -> np.ndarray:
    """The larger of the p of t, which sees how clips differ, and of z, which knows the turns that no clip has."""
    from scipy.special import ndtr

    t, z = (measured(turned=turned).cpu().numpy() for measured in (site.t, site.z))
    return np.maximum(student_p_above(t, site.sums.changing.cpu().numpy() - 1), ndtr(-z))


def _rates(p: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The q of every pair that was tested, over all sites together."""
    every = np.concatenate([part.ravel() for part in p.values()])
    rates = np.full(len(every), np.nan)
    tested = ~np.isnan(every)
    rates[tested] = false_discovery_rates(every[tested])
    ends = np.cumsum([part.size for part in p.values()])[:-1]
    parts = np.split(rates, ends)
    return {name: part.reshape(p[name].shape) for name, part in zip(p, parts, strict=True)}
