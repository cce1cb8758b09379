"""How near the fused kernels come to what the device's memory gives: `python -m benchmarks.kernels` (needs a GPU).

Pooling   one site of AST-base, 64 clips: bytes read a second, beside a copy on the device (bytes read and written)
Top-K     55,346 units, K = 16, both sides: milliseconds a batch while the lists fill, and when few clips enter
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from statistics import median
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from and_nnsight.kernels import empty_topk, fused_kernels, in_total_order, pool_max, topk_update
from benchmarks._report import write_report

T = TypeVar("T")

CLIPS, FRAMES, WIDTHS = 64, 1_214, (768, 3_072)
UNITS, K, BATCHES = 55_346, 16, 40
TARGETS = {"pooling: share of the copy's bandwidth": 0.8}
_SLEEP = 5_000_000  # cycles: some milliseconds
_BLOCKS = [(16, 64, 4), (8, 64, 4), (8, 64, 2), (16, 32, 4), (8, 128, 4), (4, 128, 2), (32, 64, 8)]
_STAGES = (1, 3, 5)


@dataclass(frozen=True)
class PoolingRow:
    """One site's pooling: milliseconds of each way, gigabytes that the site has, and the rates beside the copy's."""

    dtype: str
    units: int
    gigabytes: float
    copy_ms: float
    fused_ms: float
    torch_ms: float
    equal: bool

    @property
    def share(self) -> float:
        """The fused kernel's bytes a second over the copy's, which reads and writes each."""
        return self.copy_ms / 2 / self.fused_ms


def milliseconds(run: Callable[[], object], repeats: int = 30) -> float:
    """The median over repeats, by the device's own clock, after three runs that warm up."""
    for _ in range(3):
        run()
    return median(clocked(run)[0] for _ in range(repeats))


def measure_pooling(dtype: torch.dtype, units: int) -> PoolingRow:
    """Pool a site whose special tokens do not count, by the fused kernel and by torch, and copy it."""
    kernels = _fused()
    site = torch.randn(CLIPS, FRAMES, units, device="cuda", dtype=dtype)
    mask = torch.ones(CLIPS, FRAMES, dtype=torch.bool, device="cuda")
    mask[:, :2] = False
    target = torch.empty_like(site)
    copy = milliseconds(lambda: target.copy_(site))
    fused = milliseconds(lambda: kernels.pool_max(site, mask))
    plain = milliseconds(lambda: pool_max(site, mask), repeats=5)
    pairs = zip(kernels.pool_max(site, mask), pool_max(site, mask), strict=True)
    equal = all(bool(torch.equal(own, reference)) for own, reference in pairs)
    size = site.numel() * site.element_size() / 1e9
    return PoolingRow(str(dtype).removeprefix("torch."), units, size, copy, fused, plain, equal)


def measure_topk() -> dict[str, Any]:
    """Batches of 64 clips into both sides' lists, by the fused kernel and by torch; ids and values compared."""
    kernels = _fused()
    generator = torch.Generator("cuda").manual_seed(0)
    frames = torch.zeros(CLIPS, UNITS, dtype=torch.int32, device="cuda")

    def batch(number: int) -> tuple[Tensor, Tensor, Tensor]:
        values = torch.randn(CLIPS, UNITS, device="cuda", generator=generator)
        return values, torch.arange(number * CLIPS, (number + 1) * CLIPS, device="cuda"), frames

    sides = (True, False)
    states = {side: empty_topk(K, UNITS, largest=side, device="cuda") for side in sides}
    references = {side: empty_topk(K, UNITS, largest=side, device="cuda") for side in sides}
    equal, fused_ms, torch_ms = True, [], []
    for number in range(BATCHES):
        new = batch(number)
        fused, plain = 0.0, 0.0
        for side in sides:
            fused += clocked(partial(kernels.topk_update_in_place, states[side], *new, largest=side))[0]
            took, references[side] = clocked(partial(topk_update, references[side], *new, largest=side, in_order=True))
            plain += took
            ordered = in_total_order(states[side], largest=side)
            equal &= all(bool(torch.equal(own, other)) for own, other in zip(ordered, references[side], strict=True))
        fused_ms.append(fused)
        torch_ms.append(plain)
    steady = slice(BATCHES // 2, None)
    about = {"units": UNITS, "k": K, "clips_a_batch": CLIPS, "clips_seen": BATCHES * CLIPS, "equal": equal}
    times = {"filling_ms": fused_ms[1], "steady_ms": median(fused_ms[steady]), "torch_ms": median(torch_ms[steady])}
    return about | times


def clocked(run: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds by the device's own clock, and what the call gave.

    The device sleeps first, so that all that the call asks of it lies ready: what is measured is the device alone.
    """
    torch.cuda._sleep(_SLEEP)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    value = run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end), value


def _fused() -> Any:
    kernels = fused_kernels(torch.device("cuda", torch.cuda.current_device()))
    if kernels is None:
        raise SystemExit("the fused kernels cannot be used on this device")
    return kernels


@contextmanager
def block(frames: int, units: int, warps: int, stages: int) -> Iterator[None]:
    """Pool with other blocks than the package's."""
    from and_nnsight.kernels.triton import pooling

    usual = pooling.FRAMES_AT_ONCE, pooling.UNITS_AT_ONCE, pooling.WARPS, pooling.STAGES
    pooling.FRAMES_AT_ONCE, pooling.UNITS_AT_ONCE, pooling.WARPS, pooling.STAGES = frames, units, warps, stages
    try:
        yield
    finally:
        pooling.FRAMES_AT_ONCE, pooling.UNITS_AT_ONCE, pooling.WARPS, pooling.STAGES = usual


def sweep() -> Iterator[dict[str, Any]]:
    """Pooling by blocks of other sizes."""
    for dtype, width in product((torch.bfloat16, torch.float32), WIDTHS):
        site = torch.randn(CLIPS, FRAMES, width, device="cuda", dtype=dtype)
        mask = torch.ones(CLIPS, FRAMES, dtype=torch.bool, device="cuda")
        for (frames, units, warps), stages in product(_BLOCKS, _STAGES):
            with block(frames, units, warps, stages):
                took = milliseconds(partial(_fused().pool_max, site, mask), repeats=10)
            rate = round(site.numel() * site.element_size() / took / 1e6)
            size = {"frames": frames, "units": units, "warps": warps, "stages": stages}
            yield {"dtype": str(dtype).removeprefix("torch."), "site": width, **size, "gb_a_second": rate}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--sweep", action="store_true", help="pooling by blocks of several sizes, too")
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    options = parser.parse_args()
    rows = [measure_pooling(dtype, units) for dtype in (torch.bfloat16, torch.float32) for units in WIDTHS]
    table = Table("site", "GB", "copy ms", "fused ms", "torch ms", "share of the copy's rate", "equal")
    for row in rows:
        numbers = [f"{value:.3f}" for value in (row.gigabytes, row.copy_ms, row.fused_ms, row.torch_ms, row.share)]
        table.add_row(f"{row.units} {row.dtype}", *numbers, str(row.equal))
    Console(width=120).print(table)
    topk = measure_topk()
    print(topk)
    report: dict[str, Any] = {"pooling": [asdict(row) | {"share": round(row.share, 3)} for row in rows], "topk": topk}
    if options.sweep:
        report["sweep"] = list(sweep())
        for row in report["sweep"]:
            print(row)
    if options.write:
        print(f"wrote {write_report('kernels', torch.device('cuda'), report, TARGETS)}")


if __name__ == "__main__":
    main()
