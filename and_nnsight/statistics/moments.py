"""Moments of every unit over a stream, as the nodes of a tree over its positions (see `kernels.moments`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ..kernels import MomentsState, dyadic_nodes, join

Key = tuple[int, int]
"""A node's level, and its index among the nodes of that level."""


_LEVELS = 64  # positions are 64-bit numbers


class Node(NamedTuple):
    """Of the clips under a node, by unit: how many have a finite value, their sum, their squares about the mean."""

    number: Float64[Tensor, " unit"]
    total: Float64[Tensor, " unit"]
    squares: Float64[Tensor, " unit"]


class Moments:
    """Each unit's count, mean, variance and active count over a stream, in float64.

    The same bits whatever the batches, the order in which clips came, and what was merged with what. Of a stretch of
    the stream whose every position came (or is known to have no value) two nodes a level are kept at most.
    """

    def __init__(self, units: int, *, device: torch.device | str | None = None) -> None:
        self.units, self.device = units, torch.device(device or "cpu")
        self.reset()

    def reset(self) -> None:
        """Forget every clip."""
        self.nodes: dict[Key, Node | None] = {}  # None: a node without clips
        self.active: Int64[Tensor, " unit"] = torch.zeros(self.units, dtype=torch.int64, device=self.device)

    def update(self, values: Float[Tensor, "clip unit"], positions: Sequence[int]) -> None:
        """Take in a batch of pooled values of the clips at these positions; non-finite ones are left out.

        Raises ValueError for a position that has come before.
        """
        keys, *parts, active = dyadic_nodes(values.detach(), list(positions))
        self.active = self.active + active
        for row, key in enumerate(keys):
            # Of several rows each by itself: a row of a table would keep all of it.
            self._add(key, Node(*(part[row].clone() if len(keys) > 1 else part[row] for part in parts)))

    def leave_out(self, positions: Iterable[int]) -> None:
        """There is no value at these positions and never will be: what is beside them need not wait.

        Positions that are known about already stay as they are.
        """
        for position in positions:
            if not any((level, position >> level) in self.nodes for level in range(_LEVELS)):
                self._add((0, position), None)

    def merge(self, other: Moments) -> None:
        """Take in what another accumulator saw of other clips. Raises ValueError if the two do not fit."""
        if self.units != other.units:
            raise ValueError(f"cannot merge the moments of {other.units} units into those of {self.units}")
        stretches = sorted(_stretch(key) for key in (*self.nodes, *other.nodes))
        if twice := [here for here, after in pairwise(stretches) if after[0] < here[1]]:
            raise ValueError(f"cannot merge moments that share clips, at positions {twice[0][0]} to {twice[0][1] - 1}")
        self.active = self.active + other.active.to(self.device)
        for key, node in other.nodes.items():
            self._add(key, None if node is None else Node(*(part.to(self.device) for part in node)))

    def _add(self, key: Key, node: Node | None) -> None:
        """Put a node in its place, joined with its sibling, if that is there, and so on."""
        if key in self.nodes:
            raise ValueError(f"the clips at positions {_stretch(key)[0]} to {_stretch(key)[1] - 1} came twice")
        while (beside := (key[0], key[1] ^ 1)) in self.nodes:
            node, key = _joined(node, self.nodes.pop(beside)), _above(key)
        self.nodes[key] = node

    def of(self, units: slice) -> MomentsState:
        """The moments of some units over all clips."""
        waiting = {key: Node(*(part[units] for part in node)) for key, node in self.nodes.items() if node is not None}
        while len(waiting) > 1:
            key = min(waiting)
            node: Node | None = waiting.pop(key)
            node = _joined(node, waiting.pop((key[0], key[1] ^ 1), None))
            assert node is not None
            waiting[_above(key)] = node
        active = self.active[units]
        zeros = torch.zeros(len(active), dtype=torch.float64, device=self.device)
        number, total, squares = next(iter(waiting.values()), Node(zeros, zeros, zeros))
        return MomentsState(number.long(), total / number.clamp(min=1), squares, active)

    @property
    def state(self) -> MomentsState:
        """The moments of all units over all clips."""
        return self.of(slice(None))

    def state_dict(self) -> dict[str, Tensor]:
        """The nodes, as copies on the CPU.

        nodes    level, index, and whether there are clips under it, a row each, in order
        number, total, squares   of those with clips, [node, unit]
        active   how many values were above zero
        """
        keys = sorted(self.nodes)
        table = [[*key, self.nodes[key] is not None] for key in keys]
        full = [node for node in map(self.nodes.__getitem__, keys) if node is not None]
        empty = torch.zeros(0, self.units, dtype=torch.float64)
        parts = {name: torch.cat([empty, *(getattr(node, name).cpu()[None] for node in full)]) for name in Node._fields}
        return {
            "nodes": torch.tensor(table, dtype=torch.int64).reshape(-1, 3),
            **parts,
            "number": parts["number"].int(),
            "active": self.active.to("cpu", copy=True),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state_dict`. Raises ValueError if its shape is another."""
        table = state["nodes"].tolist()
        rows = sum(filled for *_, filled in table)
        if state["active"].shape != (self.units,):
            raise ValueError(f"state is for {len(state['active'])} units, not {self.units}")
        for name in Node._fields:
            if state[name].shape != (rows, self.units):
                raise ValueError(f"the state's {name} have shape {tuple(state[name].shape)}, not {(rows, self.units)}")
        parts = [state[name].to(self.device, torch.float64, copy=True) for name in Node._fields]
        full = iter([Node(*(part[row].clone() for part in parts)) for row in range(rows)])
        self.nodes = {(level, index): next(full) if filled else None for level, index, filled in table}
        self.active = state["active"].to(self.device, copy=True)


def _joined(node: Node | None, other: Node | None) -> Node | None:
    if node is None or other is None:
        return node or other
    return Node(*join(*node, *other))


def _above(key: Key) -> Key:
    return key[0] + 1, key[1] >> 1


def _stretch(key: Key) -> tuple[int, int]:
    """The positions under a node: the first, and the one after the last."""
    level, index = key
    return index << level, (index + 1) << level
