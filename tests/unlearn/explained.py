"""A dissection folder with concepts and labels written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from and_nnsight.dissection import Dissection
from and_nnsight.explain.concepts import SCHEMA
from and_nnsight.explain.labels import SCHEMA as LABEL_SCHEMA
from and_nnsight.explain.tables import Table


def with_nouns(found: Dissection, nouns: Mapping[tuple[str, int], Mapping[str, int]]) -> Dissection:
    """Write the table `concepts`: how often each unit's summary has which noun; the same words as verbs too."""
    with Table(found, "concepts", SCHEMA, ("site", "unit", "word", "part"), {}) as table:
        for (site, unit), words in nouns.items():
            for word, count in words.items():
                row = {"site": site, "unit": unit, "word": word, "part": "noun", "count": count, "acoustic": None}
                table.add([row])
    return found


def with_labels(found: Dissection, rows: Iterable[tuple[str, int, int, str | None, float]], **more: Any) -> Dissection:
    """Write the table `labels`: site, unit, rank, concept, score; `more`: method, similarity, concepts, encoder."""
    kind = {"method": "db", "similarity": "cos_cubed", "concepts": "0000", "encoder": "words", **more}
    names = ("site", "unit", "rank", "concept", "score")
    new = [{**dict.fromkeys(LABEL_SCHEMA.names), **kind, **dict(zip(names, row, strict=True))} for row in rows]
    path: Path = found.folder / "explanations" / "labels.parquet"
    path.parent.mkdir(exist_ok=True)
    table = arrow.Table.from_pylist(new, LABEL_SCHEMA)
    earlier = [parquet.read_table(path)] if path.exists() else []
    parquet.write_table(arrow.concat_tables([*earlier, table]), path)
    return found
