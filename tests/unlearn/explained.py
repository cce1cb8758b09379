"""A dissection folder with calibrated summaries and labels written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.explain.records.claim_rows import LabelRow
from and_nnsight.explain.records.description_rows import CalibratedRow
from and_nnsight.explain.records.tables import Table


def with_calibrated(dissection: Dissection, texts: Mapping[tuple[str, int], str | None]) -> Dissection:
    """Write the table `calibrated`: what is left of each unit's summary."""
    with Table(dissection, CalibratedRow, {}) as table:
        for (site, unit), text in texts.items():
            table.add([CalibratedRow(site, unit, text)])
    return dissection


def with_labels(
    dissection: Dissection, rows: Iterable[tuple[str, int, int, str | None, float]], **more: Any
) -> Dissection:
    """Write the table `labels`: site, unit, rank, concept, score; `more`: method, similarity, concepts, encoder."""
    kind = {"method": "db", "similarity": "cos_cubed", "concepts": "0000", "encoder": "words", **more}
    names = ("site", "unit", "rank", "concept", "score")
    new = [LabelRow(**kind, **dict(zip(names, row, strict=True))) for row in rows]
    path: Path = dissection.folder / "explanations" / "labels.parquet"
    path.parent.mkdir(exist_ok=True)
    table = LabelRow.to_arrow(new)
    earlier = [parquet.read_table(path)] if path.exists() else []
    parquet.write_table(arrow.concat_tables([*earlier, table]), path)
    return dissection
