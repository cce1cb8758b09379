"""A dissection as a run of delphi: latents caches that its `LatentDataset` reads, and explanations that it scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...explain.records.unit_selection import matching_sites
from ...storage import make_folder, write_json, written_whole
from ...wording import counted
from ..claims import Claims
from ..new_folder import refuse_files
from .clip_texts import ClipTexts, clip_texts
from .firing import Firings, firings
from .layout import contexts_file, explanation_file, explanations_folder, latents_folder, module_name, split_file

SHARE = 0.1
_AT_ONCE = 1024  # units a file
_SMALL = 2**16  # delphi's locations are of 16 bits below, else of 32; it takes those of 8 for something else


@dataclass(frozen=True)
class DelphiExport:
    """What was written for delphi.

    clips         that have a text: rows of tokens, one token each
    texts         what the texts are
    units         that fire on some of them
    silent        units that are left out: they fire nowhere, or are not finite on a clip
    explanations  of those units
    """

    folder: Path
    clips: int
    texts: str
    units: int
    silent: int
    explanations: int

    def __str__(self) -> str:
        why = "they fire nowhere, or are not finite on a clip"
        out = f"; {counted(self.silent, 'unit')} left out: {why}" if self.silent else ""
        what = f"{counted(self.units, 'unit')} over {counted(self.clips, 'clip')} ({self.texts})"
        return f"{what}, {counted(self.explanations, 'explanation')}{out}"


def export_delphi(
    dissection: Dissection,
    out: str | Path,
    *,
    sites: str | Iterable[str] | None = None,
    texts: str = "captions",
    share: float = SHARE,
) -> DelphiExport:
    """Write a folder that delphi takes for one of its runs: `latents/`, `explanations/`, and `contexts.json` of ours.

    A token is a whole clip, and its text is the clip's caption: a context has one token. delphi's scorers read text
    only, and what a clip's words have to do with its seconds nobody has said.

    sites  units of these only (names or globs); None: all
    texts  captions: a captioner's of whole clips, else the dataset's own; labels: the dataset's labels. Clips without
           one and copies of an earlier clip are left out
    share  a unit fires on the clips on which it lies above what at most this share of them exceed (see `firing`)

    Raises DissectionError if the run kept no activations, or clips have no texts, or `out` holds files; ValueError
    for a share that is none.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share of clips on which a unit fires lies between 0 and 1, not {share}")
    names, of_clips = matching_sites(dissection, sites), clip_texts(dissection, texts)
    if not dissection.manifest.keep_activations:
        raise DissectionError(
            f"{dissection.folder} keeps the exemplars of its units, and delphi needs each unit on each clip: dissect "
            "again with keep_activations=True (--keep-activations)"
        )
    folder = Path(out).expanduser()
    refuse_files(folder, dissection)
    for path in (latents_folder(folder), explanations_folder(folder)):
        make_folder(path)
    tokens = _write_contexts(folder, of_clips, share)
    rows = np.flatnonzero([clip in of_clips.texts for clip in dissection.clips])
    claims, units, silent, explained = Claims(dissection), 0, 0, 0
    for site in names:
        for first, of_split in _write_site(dissection, site, rows, tokens, folder, share):
            usable = np.flatnonzero(of_split.usable) + first
            units, silent = units + len(usable), silent + len(of_split.usable) - len(usable)
            explained += _write_explanations(folder, claims, site, usable.tolist())
    return DelphiExport(folder, len(rows), of_clips.source, units, silent, explained)


def _write_contexts(folder: Path, texts: ClipTexts, share: float) -> torch.Tensor:
    """Which clip is which row and which text which token: the tokens [clip, 1]."""
    vocabulary = {text: token for token, text in enumerate(dict.fromkeys(texts.texts.values()))}
    about = {"source": texts.source, "share": share, "clips": list(texts.texts), "texts": list(vocabulary)}
    write_json(contexts_file(folder), about)
    return torch.tensor([[vocabulary[text]] for text in texts.texts.values()])


def _write_site(
    dissection: Dissection, site: str, rows: np.ndarray, tokens: torch.Tensor, folder: Path, share: float
) -> Iterator[tuple[int, Firings]]:
    """Write the caches of a site, some units a file. Gives the first unit of each and where its units fire."""
    activations, width = dissection.activations(site), dissection.widths()[site]
    module = latents_folder(folder) / module_name(site)
    make_folder(module)
    assert activations is not None  # they were kept
    for first in range(0, width, _AT_ONCE):
        units = range(first, min(first + _AT_ONCE, width))
        fired = firings(np.asarray(activations[rows, units.start : units.stop]), share)
        with written_whole(split_file(folder, site, units)) as temporary:
            save_file({"locations": _locations(fired), "tokens": tokens, **_values(fired)}, temporary)
        yield first, fired
    model, data = dissection.manifest.model, dissection.manifest.dataset
    about = {
        "dataset_repo": _last(data.name),
        "dataset_split": data.split or "",
        "dataset_name": "",
        "dataset_column": "caption",
        "batch_size": 1,
        "cache_ctx_len": 1,
        "ctx_len": 1,
        "n_tokens": len(tokens),
        "n_splits": -(-width // _AT_ONCE),
        "model_name": _last(model.id),
        "site": site,
        "share": share,
    }
    write_json(module / "config.json", about)


def _locations(fired: Firings) -> torch.Tensor:
    """Row, position and unit of each firing, in delphi's order and type."""
    small = max([fired.rows.max(initial=0), fired.units.max(initial=0)]) < _SMALL
    places = np.stack([fired.rows, np.zeros_like(fired.rows), fired.units], 1)
    return torch.from_numpy(places.astype(np.uint16 if small else np.uint32))


def _values(fired: Firings) -> dict[str, torch.Tensor]:
    return {"activations": torch.from_numpy(fired.excess), "thresholds": torch.from_numpy(fired.thresholds)}


def _last(name: str | None) -> str:
    """A name without the folders of this machine; a hub id as it is."""
    path = Path(name or "")
    return path.name if path.is_absolute() else str(name or "")


def _write_explanations(folder: Path, claims: Claims, site: str, units: Iterable[int]) -> int:
    """Write what is said of units, as delphi writes its own; of how many there is something."""
    count = 0
    for unit in units:
        if text := claims.of(site, unit).get("explanation"):
            explanation_file(folder, site, unit).write_text(json.dumps(text), encoding="utf-8")
            count += 1
    return count
