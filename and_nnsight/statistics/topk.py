"""Each unit's K best clips over a stream, a thin class over `kernels.topk` and its fused equal."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Float32, Int32, Int64
from torch import Tensor

from ..kernels import TopKState, empty_topk, fused_kernels, in_total_order, topk_merge, topk_update


def copied(tensor: Tensor) -> Tensor:
    """A contiguous copy on the CPU, where `cpu()` alone gives the live tensor, which updates write to."""
    return tensor.to("cpu", copy=True).contiguous()


class TopK:
    """Each unit's K best clips over a stream (`largest=False`: the K lowest)."""

    def __init__(self, k: int, units: int, *, largest: bool = True, device: torch.device | str | None = None) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        self.k, self.units, self.largest = k, units, largest
        self.device = torch.device(device or "cpu")
        self.reset()

    def reset(self) -> None:
        """Forget every clip."""
        self._hold(empty_topk(self.k, self.units, largest=self.largest, device=self.device))

    def _hold(self, state: TopKState) -> None:
        self._state, self._ordered = TopKState(*(tensor.contiguous() for tensor in state)), True

    @property
    def state(self) -> TopKState:
        """The clips that are kept, best first. The fused kernels keep them in any order until they are asked for."""
        if not self._ordered:
            self._hold(in_total_order(self._state, largest=self.largest))
        return self._state

    def update(
        self,
        values: Float[Tensor, "clip unit"],
        clips: Int64[Tensor, " clip"],
        frames: Int32[Tensor, "clip unit"],
        *,
        in_order: bool = False,
    ) -> None:
        """Take in a batch of pooled values; non-finite ones never enter.

        `in_order` promises that the ids ascend and lie above all that came before; it saves time.
        """
        values = values.detach()  # else the state would keep the graph of every batch
        how = {"largest": self.largest, "in_order": in_order}
        kernels = fused_kernels(self.device)
        if kernels is not None:
            kernels.topk_update_in_place(self._state, values, clips, frames, largest=self.largest)
            self._ordered = False
            return
        if self.device.type != "cpu":
            self._hold(topk_update(self.state, values, clips, frames, **how))
            return
        # On the CPU it pays to look first which units' K-th clip is reached at all; ties may still win by clip id.
        bar = self.state.values[-1]
        reached = (values >= bar).any(0) if self.largest else (values <= bar).any(0)
        units = reached.nonzero()[:, 0]
        if 2 * len(units) > self.units:
            self._hold(topk_update(self.state, values, clips, frames, **how))
        elif len(units):
            part = TopKState(*(tensor[..., units] for tensor in self.state))
            part = topk_update(part, values[:, units], clips, frames[:, units], **how)
            # Only in inference mode may a tensor that was made in inference mode be written to.
            with torch.inference_mode():
                for tensor, changed in zip(self.state, part, strict=True):
                    tensor[..., units] = changed

    def merge(self, other: TopK, *, in_order: bool = False) -> None:
        """Take in what another accumulator saw of other clips. Raises ValueError if the two do not fit.

        `in_order` promises that all those clips come after the ones here; it saves time.
        """
        if (self.units, self.largest, self.k) != (other.units, other.largest, other.k):
            raise ValueError("cannot merge top-K accumulators of different K, units or direction")
        theirs = TopKState(*(tensor.to(self.device) for tensor in other.state))
        self._hold(topk_merge(self.state, theirs, largest=self.largest, in_order=in_order))

    def state_dict(self) -> dict[str, Tensor]:
        """Values, clips, frames and ties: copies, on the CPU."""
        return {name: copied(tensor) for name, tensor in self.state._asdict().items()}

    def bar(self, units: slice) -> Float32[Tensor, " unit"]:
        """What a value of each of some units must reach to enter, where the list is in order."""
        return self.state.values[-1, units]

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state_dict`. Raises ValueError if its shape is another."""
        loaded = TopKState(*(state[name].to(self.device, copy=True) for name in TopKState._fields))
        for name, tensor, own in zip(TopKState._fields, loaded, self.state, strict=True):
            if tensor.shape != own.shape:
                raise ValueError(f"the state's {name} have shape {tuple(tensor.shape)}, not {tuple(own.shape)}")
        self._hold(loaded)
