"""Accumulators: thin, mergeable, resumable classes over the kernels. They hold O(K · units), never O(clips · units)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from ..kernels import POOLINGS, MomentsState, Pooled, pool, variance
from .groups import PooledGroup, joined
from .moments import Moments
from .topk import TopK, copied


class UnitStatistics:
    """Top-K, bottom-K and moments of every unit of several sites.

    `update` pools one site's activations and keeps [clip, unit] of them; `finish_batch` then updates all sites at
    once, so a batch costs a fixed number of kernels however many sites there are.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        k: int = 16,
        pooling: str = "max",
        device: torch.device | str | None = None,
        observe: Callable[[Int64[Tensor, " clip"], Float32[Tensor, "clip unit"]], None] | None = None,
    ) -> None:
        """`observe` gets the clip ids and the pooled values of all sites, in their order, of every finished batch."""
        if pooling not in POOLINGS:
            raise ValueError(f"unknown pooling {pooling!r}: one of {', '.join(POOLINGS)}")
        if not widths or min(widths.values()) < 1:
            raise ValueError(f"every site needs at least one unit: {dict(widths)}")
        self.pooling, self.k, self.device = pooling, k, torch.device(device or "cpu")
        self.observe = observe
        self.slices: dict[str, slice] = {}
        start = 0
        for name, width in widths.items():
            self.slices[name] = slice(start, start + width)
            start += width
        self.units = start
        self.top = TopK(k, start, device=self.device)
        self.bottom = TopK(k, start, largest=False, device=self.device)
        self.moments = Moments(start, device=self.device)
        self.nonfinite = torch.zeros(len(self.slices), dtype=torch.int64, device=self.device)
        self.clips = 0
        self._pending: dict[str, Pooled] = {}
        self._pending_clips: Tensor | None = None
        self._groups: list[PooledGroup] = []

    def update(
        self,
        site: str,
        activations: Float[Tensor, "clip frame unit"],
        clip_ids: Int64[Tensor, " clip"],
        frame_mask: Bool[Tensor, "clip frame"],
    ) -> None:
        """Take in one site's activations of a batch; they are pooled at once and not kept.

        Raises ValueError for an unknown site, a second update of a site in one batch, another width, or other clips
        than the batch's earlier sites had.
        """
        self.update_parts(site, [activations], clip_ids, frame_mask)

    def update_parts(
        self,
        site: str,
        parts: Iterable[Float[Tensor, "clip frame part"]],
        clip_ids: Int64[Tensor, " clip"],
        frame_mask: Bool[Tensor, "clip frame"],
    ) -> None:
        """As `update`, of a site whose units come in parts, in order: each is pooled before the next is made.

        Raises what `update` does.
        """
        if site not in self.slices:
            raise ValueError(f"no statistics are kept of site {site!r}")
        if site in self._pending:
            raise ValueError(f"site {site!r} came twice in one batch")
        began = self._pending_clips
        if began is not None and clip_ids is not began and not torch.equal(clip_ids, began):
            raise ValueError(f"site {site!r} came with other clips than the sites before it in the batch")
        units = self.slices[site]
        pooled, start = [], units.start
        for part in parts:
            stop = start + part.shape[2]
            if stop <= units.stop:
                pooled.append(self._pooled(part, frame_mask, slice(start, stop)))
            start = stop
        if start != units.stop:
            raise ValueError(f"site {site!r} has {start - units.start} units, not {units.stop - units.start}")
        self._pending[site] = pooled[0] if len(pooled) == 1 else _side_by_side(pooled)
        self._pending_clips = clip_ids

    def _pooled(
        self, activations: Float[Tensor, "clip frame unit"], mask: Bool[Tensor, "clip frame"], units: slice
    ) -> Pooled:
        # On the CPU, where lists are in order at all times, a frame is searched for only if a value may enter one.
        bounds = (self.top.bar(units), self.bottom.bar(units)) if self.device.type == "cpu" else None
        pooled = pool(activations.detach(), mask, self.pooling, bounds)
        return Pooled(*(tensor.to(self.device) for tensor in pooled))

    def finish_group(self, positions: Sequence[int] | None = None) -> None:
        """The updates since the last group were all of their clips, whose pooled values wait for `finish_batch`.

        `positions` are the clips' ids on the host. Raises RuntimeError, naming them, if some site got no update.
        """
        missing = [name for name in self.slices if name not in self._pending]
        if missing:
            self.discard_batch()
            raise RuntimeError(f"{len(missing)} of {len(self.slices)} sites did not fire: {', '.join(missing[:5])}")
        assert self._pending_clips is not None
        pooled = [self._pending[name] for name in self.slices]
        values = torch.cat([part.values for part in pooled], 1)
        frames = torch.cat([part.frames for part in pooled], 1)
        clips = self._pending_clips.to(self.device)
        nonfinite = torch.stack([part.nonfinite for part in pooled])
        self._groups.append(
            PooledGroup(clips, None if positions is None else tuple(positions), values, frames, nonfinite)
        )
        self._pending, self._pending_clips = {}, None

    def finish_batch(self, *, in_order: bool = False, positions: Sequence[int] | None = None) -> None:
        """Update every site from the batch, whose clips came as one group, or as several that are finished.

        `in_order` promises that the batch's ids, of several groups once they are sorted, ascend and lie above all that
        came before; it saves time. `positions` are the ids on the host, where the clips came as one group: without them
        a GPU is waited for. Raises RuntimeError, naming them, if some site got no update.
        """
        if self._pending or not self._groups:
            self.finish_group(positions)
        clips, known, values, frames, nonfinite = joined(self._groups)
        self.top.update(values, clips, frames, in_order=in_order)
        self.bottom.update(values, clips, frames, in_order=in_order)
        self.moments.update(values, clips.tolist() if known is None else known)
        self.nonfinite = self.nonfinite + nonfinite
        self.clips += len(clips)
        self.discard_batch()
        if self.observe is not None:
            self.observe(clips, values)

    def leave_out(self, positions: Iterable[int]) -> None:
        """There is no clip at these positions of the stream, and none will come: they were set aside."""
        self.moments.leave_out(positions)

    def highest_clip(self) -> int:
        """The highest id among the clips that are kept; −1 if there is none. Waits for the device."""
        return int(torch.maximum(self.top.state.clips.max(), self.bottom.state.clips.max()))

    def discard_batch(self) -> None:
        """Drop a batch that was begun and not finished."""
        self._pending, self._pending_clips, self._groups = {}, None, []

    def merge(self, other: UnitStatistics, *, in_order: bool = False) -> None:
        """Take in what another instance saw of other clips. Raises ValueError if the two do not fit.

        `in_order` promises that all those clips come after the ones here; it saves time.
        """
        if self.slices != other.slices or self.pooling != other.pooling:
            raise ValueError("cannot merge statistics of different sites or pooling")
        self.top.merge(other.top, in_order=in_order)
        self.bottom.merge(other.bottom, in_order=in_order)
        self.moments.merge(other.moments)
        self.nonfinite = self.nonfinite + other.nonfinite.to(self.device)
        self.clips += other.clips

    def reset(self) -> None:
        """Forget every clip."""
        self.top.reset()
        self.bottom.reset()
        self.moments.reset()
        self.nonfinite = torch.zeros_like(self.nonfinite)
        self.clips = 0
        self.discard_batch()

    def state_dict(self) -> dict[str, Tensor]:
        """Everything, as copies: flat tensors on the CPU."""
        parts = {"top": self.top, "bottom": self.bottom, "moments": self.moments}
        state = {
            f"{part}.{name}": tensor
            for part, accumulator in parts.items()
            for name, tensor in accumulator.state_dict().items()
        }
        return {**state, "nonfinite": copied(self.nonfinite), "clips": torch.tensor(self.clips)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state_dict`. Raises ValueError if its shape is another."""
        if state["nonfinite"].shape != self.nonfinite.shape:
            raise ValueError(f"state is for {len(state['nonfinite'])} sites, not {len(self.nonfinite)}")
        for part, accumulator in {"top": self.top, "bottom": self.bottom, "moments": self.moments}.items():
            accumulator.load_state_dict(
                {name.removeprefix(f"{part}."): tensor for name, tensor in state.items() if name.startswith(f"{part}.")}
            )
        self.nonfinite = state["nonfinite"].to(self.device, copy=True)
        self.clips = int(state["clips"])
        self.discard_batch()

    def site_tensors(self, site: str) -> dict[str, Tensor]:
        """One site's results as contiguous copies on the CPU, under the names that a dissection's files use."""
        units = self.slices[site]
        tensors: dict[str, Tensor] = {}
        for side, accumulator in {"top": self.top, "bottom": self.bottom}.items():
            for name, tensor in accumulator.state._asdict().items():
                tensors[f"{side}_{name}"] = copied(tensor[..., units])
        moments = MomentsState(*map(copied, self.moments.of(units)))
        seen = moments.count.clamp(min=1).double()
        summary = {"mean": moments.mean, "variance": variance(moments), "active": moments.active / seen}
        index = list(self.slices).index(site)
        return tensors | {
            "count": torch.tensor(self.clips),
            "finite": moments.count,
            **{name: tensor.masked_fill(moments.count == 0, torch.nan).float() for name, tensor in summary.items()},
            "nonfinite": copied(self.nonfinite[index]),
        }


def _side_by_side(parts: Sequence[Pooled]) -> Pooled:
    """The pooled values of a site whose units came in parts."""
    return Pooled(
        torch.cat([part.values for part in parts], 1),
        torch.cat([part.frames for part in parts], 1),
        torch.stack([part.nonfinite for part in parts]).sum(),
    )
