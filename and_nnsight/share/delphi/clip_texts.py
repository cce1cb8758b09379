"""What stands for a clip where only text is read: one text a clip, all of them from one source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...explain.labels.concept_lists import concept_text
from ...explain.records.captions import captioner_of, clip_captions

SOURCES = ("captions", "labels")
_FEWEST = 2


@dataclass(frozen=True)
class ClipTexts:
    """Texts of clips.

    source  what they are, in words
    texts   by clip; copies of an earlier clip are left out, and so are clips without one
    """

    source: str
    texts: Mapping[int, str]


def clip_texts(dissection: Dissection, source: str = "captions") -> ClipTexts:
    """The texts of a dissection's clips, each on one line.

    source  captions: a captioner's of whole clips, else the dataset's own; labels: the dataset's labels

    Raises ValueError for another source, DissectionError where fewer than two clips have a text.
    """
    if source not in SOURCES:
        raise ValueError(f"unknown texts {source!r}: one of {', '.join(SOURCES)}")
    name, texts = _labels(dissection) if source == "labels" else _captions(dissection)
    lines = {clip: " ".join(text.split()) for clip, text in texts.items() if text}
    kept = {clip: line for clip, line in lines.items() if line and clip not in dissection.copies}
    if len(kept) < _FEWEST:
        remedy = (
            "dissect data with labels (--label-column)"
            if source == "labels"
            else "dissect data with captions (--caption-column), have whole clips captioned (explain --captioner), "
            "or let labels stand for them (--texts labels)"
        )
        raise DissectionError(f"{name} are there of {len(kept)} clips, and delphi reads nothing but text: {remedy}")
    return ClipTexts(name, kept)


def _captions(dissection: Dissection) -> tuple[str, Mapping[int, str | None]]:
    made = clip_captions(dissection)
    if made is not None:
        return f"captions by {captioner_of(dissection)}", made
    return "captions of the dataset", {clip: row.caption for clip, row in dissection.clips.items()}


def _labels(dissection: Dissection) -> tuple[str, Mapping[int, str | None]]:
    labels = {clip: row.label for clip, row in dissection.clips.items()}
    return "labels of the dataset", {clip: label and concept_text(label) for clip, label in labels.items()}
