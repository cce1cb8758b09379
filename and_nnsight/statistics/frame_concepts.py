"""How units go with annotations over a stream of clips: an accumulator a site, each stretch of a clip being one row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

from ..kernels import (
    FrameSums,
    add_clip,
    average_precision,
    bin_edges,
    bins_of,
    count_clip,
    count_in_bins,
    empty_frame_sums,
    frame_pearson,
    frame_t,
    frame_z,
    merge_frame_sums,
)
from ..kernels.average_precision import BINS, FIRST
from ..sites.site import Site
from ..sites.stretches import Stretches
from ..speech.annotations import Annotations

_BYTES_A_PAIR = 2 * 8 * 6 + 4 * BINS
_KEPT_STRETCHES = 64


@dataclass(frozen=True, eq=False)
class CarriedConcepts:
    """Which stretches of a clip carry which concepts, and by how many the annotation is turned round to show chance."""

    carried: Bool[Tensor, "stretch concept"]
    turn: int

    @classmethod
    def of(cls, annotations: Annotations, clip: int, stretches: Stretches) -> CarriedConcepts:
        """Of a clip; the turn is drawn evenly, and for each clip always the same."""
        carried = annotations.carried(clip, stretches)
        drawn = int.from_bytes(hashlib.blake2b(str(clip).encode(), digest_size=8).digest(), "little")
        return cls(torch.from_numpy(carried), drawn % max(1, len(carried)))


class FrameAccumulator:
    """How the units of one site go with the concepts. It holds 352 bytes for each unit and concept, however many clips.

    The bins that average precision is counted in are fixed before the first clip: `fix_bins`.
    """

    def __init__(self, units: int, concepts: int, device: torch.device) -> None:
        self.units, self.concepts, self.device = units, concepts, device
        self.sums = empty_frame_sums(units, concepts, device)
        self.edges = torch.empty(units, 0, device=device)
        self.positives = torch.zeros(units, concepts, BINS, dtype=torch.int32, device=device)
        self.everything = torch.zeros(units, BINS, dtype=torch.int32, device=device)

    def fix_bins(self, rows: Float32[Tensor, "row unit"]) -> None:
        """By some stretches of the first clips; of other than 256 some are taken again, or left out, evenly."""
        if not len(rows):
            rows = torch.zeros(1, self.units, device=self.device)
        chosen = torch.arange(FIRST, device=rows.device) * len(rows) // FIRST
        self.edges = bin_edges(rows[chosen])

    def add(self, values: Float32[Tensor, "stretch part"], clip: CarriedConcepts, units: slice) -> None:
        """Take in some units' activations on the stretches of a clip; with the first units the clip is counted."""
        carried = clip.carried.to(self.device)
        if units.start == 0:
            count_clip(self.sums, carried)
        values = values.to(self.device)
        add_clip(self.sums, values, carried, carried.any(0).nonzero()[:, 0], clip.turn, units)
        bins = bins_of(values.nan_to_num(0.0, 0.0, 0.0), self.edges[units])
        count_in_bins(self.positives[units], self.everything[units], bins, clip.carried)

    def merge(self, other: FrameAccumulator) -> None:
        """Take in what another saw of other clips. Raises ValueError for other bins, concepts or units."""
        if self.positives.shape != other.positives.shape or not torch.equal(self.edges, other.edges.to(self.device)):
            raise ValueError("cannot merge statistics of annotations of different units, concepts or bins")
        merge_frame_sums(self.sums, FrameSums(*(part.to(self.device) for part in other.sums)))
        self.positives += other.positives.to(self.device)
        self.everything += other.everything.to(self.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything, as copies: flat tensors on the CPU."""
        parts = {**self.sums._asdict(), **{name: getattr(self, name) for name in _COUNTED}}
        return {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in parts.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state_dict`. Raises ValueError if its shape is another."""
        if state["positives"].shape != self.positives.shape:
            raise ValueError(f"state is of {tuple(state['positives'].shape)} (units, concepts, bins)")
        self.sums = FrameSums(*(state[name].to(self.device, copy=True) for name in FrameSums._fields))
        for name in _COUNTED:
            setattr(self, name, state[name].to(self.device, copy=True))

    def auprc(self) -> Float64[Tensor, "unit concept"]:
        """Average precision, from the counts; NaN for a concept that was not seen, and for units that are not whole."""
        precision = average_precision(self.positives, self.everything)
        return precision.masked_fill((self.sums.incomplete > 0)[:, None], torch.nan)

    def pearson(self) -> Float64[Tensor, "unit concept"]:
        """Correlation over all stretches."""
        return frame_pearson(self.sums)

    def t(self, *, turned: bool = False) -> Float64[Tensor, "unit concept"]:
        """See `frame_t`."""
        return frame_t(self.sums, turned=turned)

    def z(self, *, turned: bool = False) -> Float64[Tensor, "unit concept"]:
        """See `frame_z`."""
        return frame_z(self.sums, turned=turned)


_COUNTED = ("edges", "positives", "everything")


class FrameConcepts:
    """How the units of all sites go with annotations. Clips that are not annotated are passed over."""

    def __init__(self, widths: Mapping[str, int], annotations: Annotations, device: torch.device | str = "cpu") -> None:
        self.annotations, self.device = annotations, torch.device(device)
        concepts = len(annotations.names)
        self.sites = {site: FrameAccumulator(units, concepts, self.device) for site, units in widths.items()}
        self._stretches = StretchCache()

    @staticmethod
    def bytes_needed(units: int, annotations: Annotations) -> int:
        """How much memory it takes, apart from what an update needs for a moment."""
        return units * (_BYTES_A_PAIR * len(annotations.names) + 4 * (2 * BINS - 1) + 64)

    @property
    def begun(self) -> bool:
        """Whether the bins are fixed."""
        return all(bool(site.edges.shape[1]) for site in self.sites.values())

    def update(
        self,
        site: Site,
        parts: Iterable[Float[Tensor, "clip frame _"]],
        clips: Sequence[int],
        seconds: Sequence[float],
    ) -> None:
        """Take in a site's activations of some clips, which may come in parts of its units, in order."""
        for _ in self.passing(site, parts, clips, seconds):
            pass

    def passing(
        self,
        site: Site,
        parts: Iterable[Float[Tensor, "clip frame _"]],
        clips: Sequence[int],
        seconds: Sequence[float],
    ) -> Iterator[Float[Tensor, "clip frame _"]]:
        """As `update`, and the parts go on to another as they come."""
        rows = [row for row, clip in enumerate(clips) if clip in self.annotations]
        accumulator, start = self.sites[site.name], 0
        for part in parts:
            units = slice(start, start + part.shape[2])
            for row in rows:
                stretches = self._stretches.of(site, seconds[row], part.shape[1])
                carried = CarriedConcepts.of(self.annotations, clips[row], stretches)
                accumulator.add(on_stretches(part[row], stretches), carried, units)
            start = units.stop
            yield part

    def merge(self, other: FrameConcepts) -> None:
        """Take in what another saw of other clips. Raises ValueError if the two do not fit."""
        for name, site in self.sites.items():
            if not site.edges.shape[1]:
                site.edges = other.sites[name].edges.to(self.device, copy=True)
            site.merge(other.sites[name])

    def state_dict(self) -> dict[str, Tensor]:
        """Everything, as copies: flat tensors on the CPU."""
        return {
            f"{number}.{name}": tensor
            for number, site in enumerate(self.sites.values())
            for name, tensor in site.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state_dict`. Raises ValueError if its shape is another."""
        for number, site in enumerate(self.sites.values()):
            prefix = f"{number}."
            names = [name for name in state if name.startswith(prefix)]
            site.load_state_dict({name.removeprefix(prefix): state[name] for name in names})


class StretchCache:
    """The stretches of clips, which of clips of one length are the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Stretches] = {}

    def of(self, site: Site, seconds: float, frames: int) -> Stretches:
        """Those of a clip of so many seconds at a site with so many frames."""
        key = (site.geometry, seconds, frames)
        if key not in self._known:
            if len(self._known) >= _KEPT_STRETCHES:
                del self._known[next(iter(self._known))]
            self._known[key] = Stretches.of(site.geometry, seconds, frames)
        return self._known[key]


def on_stretches(activations: Float[Tensor, "frame unit"], stretches: Stretches) -> Float32[Tensor, "stretch unit"]:
    """The largest finite activation on each stretch, as `Stretches.maxima` has it."""
    values = activations[torch.from_numpy(stretches.frames).to(activations.device)].float()
    if len(stretches.first) == len(stretches.frames):
        return values
    counts = np.diff(stretches.first, append=len(stretches.frames))
    owner = torch.from_numpy(np.repeat(np.arange(len(counts)), counts)).to(values.device)
    lowest = values.new_full((len(counts), values.shape[1]), -torch.inf)
    finite = values.masked_fill(~values.isfinite(), -torch.inf)
    largest = lowest.scatter_reduce_(0, owner[:, None].expand_as(finite), finite, "amax")
    return largest.masked_fill(~largest.isfinite(), torch.nan)
