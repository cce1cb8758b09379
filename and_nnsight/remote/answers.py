"""What comes home, taken for what it is: somebody else's numbers, to be checked before they are merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..kernels.moments import node_keys
from ..statistics.units import UnitStatistics
from .settings import RemoteRunError

_KINDS = {
    "top_values": torch.float32, "bottom_values": torch.float32, "total": torch.float64, "squares": torch.float64,
    "number": torch.int32, "active": torch.int32, "nonfinite": torch.int64, "top_ties": torch.int32,
    "bottom_ties": torch.int32,
}  # fmt: skip
_WHOLE = (torch.int16, torch.int32)


def dtype_of(answer: Mapping[str, Any]) -> str:
    """The dtype (or dtypes) that the sites had at the server. Raises RemoteRunError if it is none."""
    dtype = answer.get("dtype")
    names = dtype.split(", ") if isinstance(dtype, str) else []
    if not names or not all(isinstance(getattr(torch, name, None), torch.dtype) for name in names):
        raise _unusable("it does not say of which dtype the activations were")
    return ", ".join(names)


def statistics_of(
    answer: Mapping[str, Any],
    clip_ids: Sequence[int],
    widths: Mapping[str, int],
    k: int,
    pooling: str,
    frames: Sequence[int],
    left_out: Sequence[int] = (),
) -> UnitStatistics:
    """A job's answer as statistics of its clips, whose ids ascend.

    frames    how many each site has at most
    left_out  stream positions between the clips that have none

    Raises RemoteRunError for an answer that is not one.
    """
    clips, nodes = len(clip_ids), node_keys(sorted([*clip_ids, *left_out]))[0]
    _check_form(answer, clips, {"best": min(k, clips), "nodes": len(nodes)}, widths)
    _check_moments(answer, nodes, clip_ids)
    count = answer["number"].sum(0)
    most = torch.tensor(frames).repeat_interleave(torch.tensor(list(widths.values())))
    ids = torch.tensor([*clip_ids, -1], dtype=torch.int64)
    state: dict[str, Tensor] = {"nonfinite": answer["nonfinite"], "clips": torch.tensor(clips)}
    for side, worst in (("top", -torch.inf), ("bottom", torch.inf)):
        values, rows, places = (answer[f"{side}_{part}"] for part in ("values", "rows", "frames"))
        rows, places = rows.long(), places.int()
        _check_best(values if side == "top" else -values, rows, places, count, clips, most)
        _check_ties(answer[f"{side}_ties"], values, count)
        state[f"{side}.ties"] = answer[f"{side}_ties"].long()
        state[f"{side}.values"] = _padded(values, k, worst)
        state[f"{side}.clips"] = _padded(ids[rows], k, -1)
        state[f"{side}.frames"] = _padded(places, k, -1)
    state["moments.active"] = answer["active"].long()
    state["moments.nodes"] = torch.tensor([[level, index, 1] for level, index in nodes], dtype=torch.int64)
    state |= {f"moments.{name}": answer[name] for name in ("number", "total", "squares")}
    statistics = UnitStatistics(widths, k=k, pooling=pooling)
    statistics.load_state_dict(state)
    return statistics


def _check_form(answer: Mapping[str, Any], clips: int, rows: Mapping[str, int], widths: Mapping[str, int]) -> None:
    """Everything is there, of the shape and dtype that it must have; `rows`: of the best clips, and of the moments."""
    units = sum(widths.values())
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("active", "top_ties", "bottom_ties"), (units,))
    shapes |= dict.fromkeys(("number", "total", "squares"), (rows["nodes"], units))
    shapes |= {
        f"{side}_{part}": (rows["best"], units) for side in ("top", "bottom") for part in ("values", "rows", "frames")
    }
    shapes["nonfinite"] = (len(widths),)
    for name, shape in shapes.items():
        _check_tensor(name, answer.get(name), shape)
    count = answer.get("clips")
    if not isinstance(count, int) or count != clips:
        raise _unusable(f"it is about {count if isinstance(count, int) else 'unknown'} clips, {clips} were sent")


def _check_tensor(name: str, tensor: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tuple(tensor.shape) != shape:
        there = f"of shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else "missing"
        raise _unusable(f"{name} is {there}, not {shape}")
    if tensor.dtype not in ((_KINDS[name],) if name in _KINDS else _WHOLE):
        raise _unusable(f"{name} is {tensor.dtype}")


def _check_moments(answer: Mapping[str, Any], nodes: Sequence[tuple[int, int]], clip_ids: Sequence[int]) -> None:
    number, active = answer["number"], answer["active"]
    sent = Counter((level, clip >> level) for clip in clip_ids for level in {level for level, _ in nodes})
    most = torch.tensor([sent[node] for node in nodes])[:, None]
    if bool((number < 0).any() | (number > most).any() | (active < 0).any() | (active > number.sum(0)).any()):
        raise _unusable("it counts other clips than were sent")
    finite = answer["total"].isfinite() & answer["squares"].isfinite()
    if not bool(finite.all()) or bool((answer["squares"] < 0).any() | (answer["nonfinite"] < 0).any()):
        raise _unusable("its moments are no moments")


def _check_best(values: Tensor, rows: Tensor, frames: Tensor, count: Tensor, clips: int, most: Tensor) -> None:
    """Clips that were sent, each once a unit, best first (of equals the earliest), as many as were finite."""
    places = len(rows)
    if bool((rows < -1).any() | (rows >= clips).any()):
        raise _unusable("it names clips that were not sent")
    there = torch.arange(places)[:, None] < count
    empty = (rows == -1) & (values == -torch.inf) & (frames == -1)
    usable = (rows >= 0) & values.isfinite() & (frames >= -1) & (frames < most)
    if not bool(torch.where(there, usable, empty).all()):
        raise _unusable("its best clips have no values, or values no clips")
    better = (values[:-1] > values[1:]) | ((values[:-1] == values[1:]) & (rows[:-1] < rows[1:]))
    twice = rows.sort(0).values.diff(dim=0) == 0
    if not bool((better | ~there[1:]).all()) or bool((twice & (rows.sort(0).values[1:] >= 0)).any()):
        raise _unusable("its best clips are not in order")


def _check_ties(ties: Tensor, values: Tensor, count: Tensor) -> None:
    """No more clips tie with the last place than were left out."""
    if bool((ties < 0).any() | (ties > (count - len(values)).clamp(min=0)).any()):
        raise _unusable("it counts more ties than clips were left out")


def _padded(tensor: Tensor, k: int, empty: float) -> Tensor:
    missing = k - len(tensor)
    return torch.cat([tensor, torch.full((missing, tensor.shape[1]), empty, dtype=tensor.dtype)]) if missing else tensor


def _unusable(why: str) -> RemoteRunError:
    return RemoteRunError(f"the server's answer is no answer to what was sent: {why}")
