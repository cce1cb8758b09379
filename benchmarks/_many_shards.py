"""Shards of a long run, as `dissect(shard=…)` leaves them, with made-up values: to see what merging them takes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as arrow
import torch

from and_nnsight.data.shards import Shard, Stretch
from and_nnsight.dissection.clips import ClipRow
from and_nnsight.dissection.descriptions import DatasetDescription, ShardDescription, SiteDescription
from and_nnsight.dissection.files import shards_folder, site_file
from and_nnsight.dissection.manifest import COMPLETE, Manifest
from and_nnsight.run.results import Results
from and_nnsight.sites.geometry import Regular
from and_nnsight.statistics.moments import Node
from and_nnsight.statistics.units import UnitStatistics
from and_nnsight.storage import make_folder, write_json

AST_BASE = {**{f"blocks.{block}.hook_attn_out": 768 for block in range(12)},
            **{f"blocks.{block}.mlp.hook_pre": 3_072 for block in range(12)},
            **{f"blocks.{block}.hook_mlp_out": 768 for block in range(12)}, "unembed.hook_out": 50}  # fmt: skip
"""Widths of the "paper" sites of AST-base, short of labels that the last one makes up for."""


def widths_of(units: int) -> dict[str, int]:
    """So many units in sites as AST-base has them; fewer units: in one site."""
    rest = units - sum(AST_BASE.values()) + AST_BASE["unembed.hook_out"]
    return {**AST_BASE, "unembed.hook_out": rest} if rest > 0 else {"unembed.hook_out": units}


def stretch_keys(start: int, stop: int) -> list[tuple[int, int]]:
    """Level and index of the nodes that make up a stretch of positions."""
    keys = []
    while start < stop:
        level = min((start & -start).bit_length() - 1 if start else 62, (stop - start).bit_length() - 1)
        keys.append((level, start >> level))
        start += 1 << level
    return keys


def filled(widths: dict[str, int], stretch: Stretch, k: int, seed: int) -> UnitStatistics:
    """Statistics as of a stretch of clips: lists that are full, all nodes of the moments, no sites to name."""
    random, clips = np.random.default_rng(seed), stretch.stop - stretch.start
    statistics = UnitStatistics(widths, k=k)
    units = statistics.units
    for side in (statistics.top, statistics.bottom):
        values = torch.from_numpy(np.sort(random.standard_normal((k, units), dtype=np.float32), 0))
        first = torch.from_numpy(random.integers(0, clips, units))
        places = stretch.start + (first + torch.arange(k)[:, None] * 7_919) % clips
        state = side.state_dict() | {"values": values.flip(0) if side.largest else values, "clips": places}
        side.load_state_dict(state | {"frames": torch.zeros(k, units, dtype=torch.int32)})
    for level, index in stretch_keys(stretch.start, stretch.stop):
        number = torch.full((units,), float(1 << level), dtype=torch.float64)
        total, squares = (torch.from_numpy(random.standard_normal(units)) for _ in range(2))
        statistics.moments.nodes[level, index] = Node(number, total * number, squares.square() * number)
    statistics.clips = clips
    return statistics


def clip_table(stretch: Stretch, seed: int) -> arrow.Table:
    """Rows of clips.parquet."""
    ids = np.arange(stretch.start, stretch.stop)
    random = np.random.default_rng(seed)
    contents = [f"{value:016x}" for value in random.integers(0, 1 << 63, len(ids)).tolist()]
    columns = {
        "clip": ids,
        "path": [f"clips/{clip:08}.flac" for clip in ids.tolist()],
        "label": [None] * len(ids),
        "caption": [None] * len(ids),
        "seconds": np.full(len(ids), 10.0),
        "sampling_rate": np.full(len(ids), 16_000),
        "content": contents,
        "silent": np.zeros(len(ids), bool),
        "tokens": [None] * len(ids),
    }
    return arrow.table({name: columns[name] for name in ClipRow.schema().names}, schema=ClipRow.schema())


def write_shards(folder: Path, units: int, count: int, clips: int, k: int) -> None:
    """All shards of a run below a folder. Their files of sites, which merging does not read, are one shard's."""
    widths = widths_of(units)
    sites = tuple(
        SiteDescription(name, width, frames=Regular(hop=0.1, span=0.1).to_json()) for name, width in widths.items()
    )
    for index in range(count):
        stretch = Stretch.of(Shard(index, count), clips, 64)
        own = shards_folder(folder) / f"{index}-of-{count}"
        make_folder(own)
        results = Results(own, filled(widths, stretch, k, index), None)
        results.write_quarantine(())
        results.write_clips([clip_table(stretch, index)])
        results.write_sums(None)
        if index == 0:
            results.write_statistics()
        else:
            make_folder(own / "sites")
            for name in widths:
                os.link(site_file(shards_folder(folder) / f"0-of-{count}", name), site_file(own, name))
        shard = ShardDescription(index, count, stretch.to_json())
        manifest = Manifest(
            sites, dataset=DatasetDescription(fingerprint="made up"), k=k, pool="max", shard=shard,
            clips=stretch.stop - stretch.start, checksums=results.checksums, state=COMPLETE,
        )  # fmt: skip
        write_json(own / "manifest.json", manifest.to_json())
