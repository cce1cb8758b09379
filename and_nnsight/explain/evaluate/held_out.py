"""Which clips may judge an explanation: those of another dissection of the same model that had no part in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.same_clips import KnownClips, Origin, first_of_each
from ...wording import agree, command, counted
from ..records.captions import DATASETS_OWN, clip_captions
from ..records.captions import captioner_of as recorded_captioner
from ..records.reading import table_settings
from .baselines import Measured

_MODEL = {
    "class": "class", "config": "config", "weights": "weights", "structure": "structure",
    "features": "feature extractor", "edits": "edits",
}  # fmt: skip
_COLUMN = "column:"  # captions that came with the data, whatever the column is called there
FEWEST = 20
"""Held-out clips that are needed."""


@dataclass(frozen=True)
class HeldOutClips:
    """The clips that judge, by id, and their captions.

    overlap how many were left out as clips of the dissection that was explained
    copies  how many were left out because an earlier one has the same samples: it would count twice
    """

    clips: tuple[int, ...]
    captions: tuple[str, ...]
    overlap: int
    copies: int


def check_same_model(dissection: Dissection, held_out: Dissection, sites: Iterable[str]) -> None:
    """Raise DissectionError, saying what differs, unless both are of one model, its sites and one pooling."""
    if held_out.folder.resolve() == dissection.folder.resolve():
        raise DissectionError(f"{dissection.folder} cannot judge itself: dissect other clips into another folder")
    ours, theirs = dissection.manifest.model, held_out.manifest.model
    differing = [what for name, what in _MODEL.items() if ours.get(name) != theirs.get(name)]
    if differing:
        raise DissectionError(
            f"{held_out.folder} is of another model than {dissection.folder} (other {', '.join(differing)}): "
            f"{theirs.id} there, {ours.id} here"
        )
    if dissection.manifest.pool != held_out.manifest.pool:
        pools = held_out.manifest.pool, dissection.manifest.pool
        raise DissectionError(f"{held_out.folder} was pooled by {pools[0]}, {dissection.folder} by {pools[1]}")
    widths, other = dissection.widths(), held_out.widths()
    for site in sites:
        if other.get(site) != widths[site]:
            has = f"{counted(other[site], 'unit')} of it" if site in other else "not dissected it"
            raise DissectionError(
                f"site {site!r} has {counted(widths[site], 'unit')} in {dissection.folder}; {held_out.folder} has {has}"
            )
    if not held_out.manifest.keep_activations:
        raise DissectionError(
            f"{held_out.folder} keeps only each unit's extreme clips: dissect it with keep_activations=True "
            "(--keep-activations) into a new folder"
        )


def clips_held_out(dissection: Dissection, held_out: Dissection, most: int | None, seed: int) -> HeldOutClips:
    """The clips of `held_out` that have a caption and are no clips of `dissection` (see `same_clips`), nor copies.

    With more than `most`, so many drawn with the seed.
    """
    captions = _captions(held_out)
    explained, origin = KnownClips(dissection), Origin.of(held_out.manifest.dataset)
    rows = held_out.clips
    overlap = {clip for clip, row in rows.items() if explained.has(clip, row.path, row.content, origin)}
    fresh = [clip for clip in rows if clip not in overlap and captions.get(clip)]
    distinct = [fresh[place] for place in first_of_each(rows[clip].content for clip in fresh)]
    clips = _drawn(distinct, most, seed)
    return HeldOutClips(tuple(clips), tuple(captions[clip] for clip in clips), len(overlap), len(fresh) - len(distinct))


def _drawn(clips: list[int], most: int | None, seed: int) -> list[int]:
    """At most so many clips, in their order."""
    if most is None or len(clips) <= most:
        return clips
    places = np.random.default_rng(seed).choice(len(clips), most, replace=False)
    return [clips[place] for place in sorted(places.tolist())]


def those_measured(judges: HeldOutClips, measured: Measured, where: Path) -> HeldOutClips:
    """The clips whose acoustics could be measured. Raises DissectionError if fewer than `FEWEST` are left."""
    left = [(clip, caption) for clip, caption in zip(judges.clips, judges.captions, strict=True) if clip in measured]
    if len(left) < FEWEST:
        raise DissectionError(
            f"only {counted(len(left), 'clip')} of {where} can judge, at least {FEWEST} are needed: {judges.overlap} "
            f"are clips of the dissection that was explained, {judges.copies} copies of others, the rest have no "
            "caption or cannot be read"
        )
    clips, captions = zip(*left, strict=True)
    return HeldOutClips(clips, captions, judges.overlap, judges.copies)


def _captions(held_out: Dissection) -> dict[int, str]:
    """Captions of whole clips: those that were made, of all clips, or the dataset's own."""
    captions = clip_captions(held_out)
    if captions is None:
        captions = {clip: row.caption for clip, row in held_out.clips.items() if row.caption}
        missing = 0 if captions else len(held_out.clips)
    else:
        missing = sum(1 for clip in held_out.clips if clip not in captions)
    if missing:
        have = agree(missing, "has", "have")
        advice = command("explain", held_out.folder, "--step", "captions", "--all")
        raise DissectionError(
            f"{missing} of the {counted(len(held_out.clips), 'held-out clip')} {have} no caption: run `{advice}` "
            "(caption(held_out, every_clip=True))"
        )
    return {clip: caption for clip, caption in captions.items() if caption}


def captioner_of(dissection: Dissection) -> str:
    """What made the captions of a dissection."""
    return recorded_captioner(dissection) or DATASETS_OWN


def warn_of_other_captions(dissection: Dissection, held_out: Dissection) -> None:
    """Warn where the explanations were drawn from captions of one captioner, and captions of another are to judge."""
    captions = table_settings(dissection, "summaries").get("captions")
    ours = str(captions.get("captioner") or "") if isinstance(captions, dict) else ""
    theirs = captioner_of(held_out)
    if ours and ours != theirs and not (ours.startswith(_COLUMN) and theirs.startswith(_COLUMN)):
        warnings.warn(
            f"{dissection.folder} was explained from captions by {ours}, and {held_out.folder} has captions by "
            f"{theirs}: "
            "where the two use other words, a true explanation is not seen to be true; caption the held-out clips "
            f"alike ({command('explain', held_out.folder, '--step', 'captions', '--all', '--captioner', ours)})",
            stacklevel=3,
        )
