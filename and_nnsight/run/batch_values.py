"""The pooled values of one batch, out of the groups that it ran in."""

from __future__ import annotations

from jaxtyping import Float32, Int64
from torch import Tensor, cat


class BatchValues:
    """Collects what `UnitStatistics` observes until a batch is whole."""

    def __init__(self) -> None:
        self._clips: list[Tensor] = []
        self._values: list[Tensor] = []

    def observe(self, clips: Int64[Tensor, " clip"], values: Float32[Tensor, "clip unit"]) -> None:
        """Take in a group."""
        self._clips.append(clips)
        self._values.append(values)

    def take(self) -> Float32[Tensor, "clip unit"] | None:
        """The values of all groups since the last call, in the order of the stream; None if there was no group."""
        clips, parts = self._clips, self._values
        self._clips, self._values = [], []
        if not parts:
            return None
        values = cat(parts)
        return values if len(parts) == 1 else values[cat(clips).argsort()]  # clips of one length run together
