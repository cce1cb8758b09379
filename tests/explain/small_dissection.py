"""A dissection folder written by hand, in no time: two sites, six clips, and summaries as they are given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import torch

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.files import site_file
from and_nnsight.dissection.manifest import FORMAT_VERSION
from and_nnsight.explain.records.description_rows import SummaryRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.storage import write_json, write_tensors

SITES = {"first": 4, "second": 3}
CLIPS = 6


def small_dissection(folder: Path) -> Dissection:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sites").mkdir()
    (folder / "quarantine.jsonl").touch()
    frames = {"kind": "regular", "special_tokens": 0, "hop": 0.02, "span": 0.02}
    sites = [
        {"name": name, "path": name, "side": "output", "width": width, "layer": 0, "frames": frames}
        for name, width in SITES.items()
    ]
    write_json(
        folder / "manifest.json",
        {"format_version": FORMAT_VERSION, "state": "complete", "sites": sites, "k": 2, "clips": CLIPS},
    )
    for name, width in SITES.items():
        tensors: dict[str, torch.Tensor] = {
            "count": torch.tensor(CLIPS),
            "nonfinite": torch.tensor(0),
            "finite": torch.full((width,), CLIPS),
        }
        tensors |= {stat: torch.ones(width) for stat in ("variance", "active")} | {"mean": torch.zeros(width)}
        for side, value in (("top", 2.0), ("bottom", -2.0)):
            tensors[f"{side}_values"] = torch.tensor([[value], [value / 2]]).repeat(1, width)
            tensors[f"{side}_clips"] = torch.tensor([[0], [1]] if side == "top" else [[4], [5]]).repeat(1, width)
            tensors[f"{side}_frames"] = torch.zeros(2, width, dtype=torch.int32)
            tensors[f"{side}_ties"] = torch.zeros(width, dtype=torch.int64)
        write_tensors(site_file(folder, name), tensors)
    clips = [
        {
            "clip": i,
            "path": f"[red]{i}.wav",
            "label": f"label_{i}",
            "caption": f"caption {i}",
            "seconds": 1.0,
            "sampling_rate": 16_000,
        }
        for i in range(CLIPS)
    ]
    parquet.write_table(arrow.Table.from_pylist(clips), folder / "clips.parquet")
    return Dissection.load(folder)


def with_summaries(
    dissection: Dissection, summaries: Mapping[tuple[str, int], tuple[str | None, str | None]], made_by: str = "test"
) -> Dissection:
    """Write the table `summaries`: the text of the highly and of the lowly clips, None where there is none."""
    with Table(dissection, SummaryRow, {"summarizer": made_by}) as table:
        table.add(
            SummaryRow(
                site, unit, highly, lowly,
                None if highly and lowly else f"{'lowly' if highly else 'highly'}: no captions",
            )
            for (site, unit), (highly, lowly) in summaries.items()
        )  # fmt: skip
    return dissection
