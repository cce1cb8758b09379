"""Dissections with calibrated summaries, and a judge of their words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.explain.records.description_rows import CalibratedRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure
from tests.bare_dissection import bare_dissection

SITE = "blocks.0.mlp.hook_post"
RUMBLE = "A loud, low-pitched rumble of an engine."
BELL = "Bright bells ring in a wooden church."
CLIPS = arrow.schema(
    [
        ("clip", arrow.int64()),
        ("path", arrow.string()),
        ("label", arrow.string()),
        ("caption", arrow.string()),
        ("seconds", arrow.float64()),
    ]
)


def calibrated(folder: Path, *kept: list[str] | None, threshold: float = 0.6, labels: Sequence[str] = ()) -> Dissection:
    """A dissection whose units, from 0 on, have these sentences left; of clips with these labels."""
    clips = [
        {"clip": clip, "seconds": 1.0, "path": None, "label": label, "caption": None}
        for clip, label in enumerate(labels)
    ]
    parquet.write_table(arrow.Table.from_pylist(clips, CLIPS), folder / "clips.parquet")
    dissection = bare_dissection(folder)
    with Table(dissection, CalibratedRow, {"threshold": threshold}) as table:
        table.add(
            CalibratedRow(
                SITE,
                unit,
                None if sentences is None else " ".join(sentences),
                sentences,
                failure="no summary" if sentences is None else None,
            )
            for unit, sentences in enumerate(kept)
        )
    return dissection


class Judge:
    """A chat model that says of each word what it is told; `asked` holds the words, once for every request."""

    name = "judge:1"

    def __init__(
        self, say: Callable[[str], str | Failure] = lambda word: "Yes." if word != "wooden" else "No."
    ) -> None:
        self.asked: list[str] = []
        self.conversations: list[Conversation] = []
        self._say = say

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterator[str | Failure]:
        for conversation in conversations:
            word = conversation[0].content.split('"')[1]
            self.asked.append(word)
            self.conversations.append(conversation)
            yield self._say(word)


def words_of(rows: list[dict[str, Any]], part: str, unit: int = 0) -> dict[str, tuple[int, bool | None]]:
    return {row.word: (row.count, row.acoustic) for row in rows if row.part == part and row.unit == unit}


def empty_folder(path: Path) -> Path:
    path.mkdir()
    return path
