"""Which clips may judge an explanation: those of another dissection of the same model that had no part in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..dissection import Dissection, DissectionError
from ..stream import UNKNOWN
from .nulls import Measured, fingerprint
from .tables import has_table, read_table, table_settings

_MODEL = {"class": "class", "config": "config", "weights": "weights", "features": "feature extractor", "edits": "edits"}
_COLUMN = "column:"  # captions that came with the data, whatever the column is called there
FEWEST = 20
"""Held-out clips that are needed."""


@dataclass(frozen=True)
class HeldOutClips:
    """The clips that judge, by id, and their captions; `known`: how many were left out as clips of the explained."""

    clips: tuple[int, ...]
    captions: tuple[str, ...]
    known: int


def check_same_model(found: Dissection, held_out: Dissection, sites: Iterable[str]) -> None:
    """Raise DissectionError, saying what differs, unless both are of one model, its sites and one pooling."""
    if held_out.folder.resolve() == found.folder.resolve():
        raise DissectionError(f"{found.folder} cannot judge itself: dissect other clips into another folder")
    ours, theirs = found.manifest["model"], held_out.manifest["model"]
    differing = [said for name, said in _MODEL.items() if ours.get(name) != theirs.get(name)]
    if differing:
        raise DissectionError(
            f"{held_out.folder} is of another model than {found.folder} (other {', '.join(differing)}): "
            f"{theirs.get('id')} there, {ours.get('id')} here"
        )
    if found.manifest["pool"] != held_out.manifest["pool"]:
        pools = held_out.manifest["pool"], found.manifest["pool"]
        raise DissectionError(f"{held_out.folder} was pooled by {pools[0]}, {found.folder} by {pools[1]}")
    widths, other = found.widths(), held_out.widths()
    for site in sites:
        if other.get(site) != widths[site]:
            has = f"{other[site]} units of it" if site in other else "not dissected it"
            raise DissectionError(
                f"site {site!r} has {widths[site]} units in {found.folder}; {held_out.folder} has {has}"
            )
    if not held_out.manifest.get("keep_activations"):
        raise DissectionError(
            f"{held_out.folder} keeps only each unit's extreme clips: dissect it with keep_activations=True "
            "(--keep-activations) into a new folder"
        )


def clips_held_out(
    found: Dissection, held_out: Dissection, most: int | None, seed: int
) -> tuple[list[int], dict[int, str], int]:
    """The clips of `held_out` with a caption that are, by place and path, no clips of `found`; their captions.

    With more than `most`, so many drawn with the seed. The third is how many were left out as clips of `found`.
    """
    captions = _captions(held_out)
    same_data = _same_data(found, held_out)
    paths = {_path(found, row["path"]) for row in found.clips.values()} - {None}
    known = {
        clip
        for clip, row in held_out.clips.items()
        if (same_data and clip in found.clips) or _path(held_out, row["path"]) in paths
    }
    clips = [clip for clip in held_out.clips if clip not in known and captions.get(clip)]
    if most is not None and len(clips) > most:
        drawn = np.random.default_rng(seed).choice(len(clips), most, replace=False)
        clips = [clips[place] for place in sorted(drawn.tolist())]
    return clips, captions, len(known)


def without_known_sounds(
    found: Measured, held_out: Measured, clips: Sequence[int], captions: dict[int, str], known: int, where: Path
) -> HeldOutClips:
    """Leave out the clips that measure exactly as one of `found` does, under whatever name, and those not measured.

    Raises DissectionError if fewer than `FEWEST` are left.
    """
    prints = {fingerprint(measured) for measured in found.values()} - {None}
    same = [clip for clip in clips if clip in held_out and fingerprint(held_out[clip]) in prints]
    left = [clip for clip in clips if clip in held_out and clip not in set(same)]
    if len(left) < FEWEST:
        raise DissectionError(
            f"only {len(left)} clips of {where} can judge, at least {FEWEST} are needed: {known + len(same)} are clips "
            "of the dissection that was explained, others have no caption or cannot be read"
        )
    return HeldOutClips(tuple(left), tuple(captions[clip] for clip in left), known + len(same))


def _captions(held_out: Dissection) -> dict[int, str]:
    """Captions of whole clips: those that were made, of all clips, or the dataset's own."""
    own = {clip: row["caption"] for clip, row in held_out.clips.items() if row["caption"]}
    if not has_table(held_out, "captions") or captioner_of(held_out) == "column:caption":
        if own:
            return own
        missing = len(held_out.clips)
    else:
        rows = {row["clip"]: row["caption"] for row in read_table(held_out, "captions") if row["start"] is None}
        missing = sum(1 for clip in held_out.clips if clip not in rows)
        if not missing:
            return {clip: caption for clip, caption in rows.items() if caption}
    raise DissectionError(
        f"{missing} of the {len(held_out.clips)} held-out clips have no caption: run `and-nnsight explain "
        f"{held_out.folder} --step captions --all` (caption(held_out, every_clip=True))"
    )


def captioner_of(found: Dissection) -> str:
    """What made the captions of a dissection."""
    made = table_settings(found, "captions").get("captioner")
    return str(made) if made else "column:caption"


def warn_of_other_captions(found: Dissection, held_out: Dissection) -> None:
    """Warn where the explanations were drawn from captions of one captioner, and captions of another are to judge."""
    captions = table_settings(found, "summaries").get("captions")
    ours = str(captions.get("captioner") or "") if isinstance(captions, dict) else ""
    theirs = captioner_of(held_out)
    if ours and ours != theirs and not (ours.startswith(_COLUMN) and theirs.startswith(_COLUMN)):
        warnings.warn(
            f"{found.folder} was explained from captions by {ours}, and {held_out.folder} has captions by {theirs}: "
            "where the two use other words, a true explanation is not seen to be true; caption the held-out clips "
            f"alike (and-nnsight explain {held_out.folder} --step captions --all --captioner {ours})",
            stacklevel=3,
        )


def _same_data(found: Dissection, held_out: Dissection) -> bool:
    ours, theirs = found.manifest["dataset"], held_out.manifest["dataset"]
    known = ours["fingerprint"] != UNKNOWN
    return known and (ours["fingerprint"], ours["split"]) == (theirs["fingerprint"], theirs["split"])


def _path(found: Dissection, path: str | None) -> tuple[str, ...] | None:
    """Where a clip is, to be compared: a file of this machine, or a name within its dataset."""
    if path is None:
        return None
    if found.manifest["dataset"]["kind"] in ("folder", "file") or Path(path).is_absolute():
        return (str(Path(path).resolve()),)
    return (str(found.manifest["dataset"]["name"]), str(found.manifest["dataset"]["split"]), path)
