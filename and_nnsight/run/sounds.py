"""The sounds of exemplars, kept while a run goes on: for clips that cannot be read again once they have gone by.

A clip's sound is written when it enters a list of K that is asked for, and removed once it has left them all: a clip
that was pushed out of a list never comes back to it. What the last checkpoint still has in a list stays, so that a run
which goes on from there lacks nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ..audio.flac import encode_flac
from ..data import Clip
from ..dissection.errors import DissectionError
from ..dissection.exemplar_store import ExemplarStore
from ..dissection.files import sound_file, sounds_folder
from ..model.features import Featuriser, Group
from ..statistics.units import UnitStatistics
from ..storage import make_folder, undamaged, write_json, written_whole
from .exemplar_plan import UnitName, unit_pairs

_MOST_WAITING = 512  # sounds that were written since the last checkpoint, before another one is due
_REMEDY = "begin again in a new folder, or leave keep_exemplars out"


@dataclass(frozen=True)
class SoundChoice:
    """Of which lists the clips' sounds are kept.

    most   the first so many places at either end; None: all that there are
    units  of these units, (site, index); None: of every unit
    rate   samples a second that the sounds have: the model's
    """

    most: int | None
    units: tuple[tuple[str, int], ...] | None
    rate: int

    @classmethod
    def of(cls, wanted: int | Iterable[UnitName], widths: Mapping[str, int], k: int, rate: int) -> SoundChoice:
        """Of `dissect`'s keep_exemplars. Raises DissectionError or ValueError for what is neither."""
        if isinstance(wanted, int):
            if not 1 <= wanted <= k or isinstance(wanted, bool):
                raise ValueError(
                    f"keep_exemplars is how many exemplars of every unit are kept at either end, from 1 to k ({k}), or "
                    f"the units whose exemplars are: not {wanted}"
                )
            return cls(wanted, None, rate)
        return cls(None, tuple(unit_pairs(widths, wanted)), rate)

    def pairs(self, widths: Mapping[str, int]) -> list[tuple[str, int]]:
        """The units whose exemplars are kept."""
        if self.units is not None:
            return list(self.units)
        return [(site, unit) for site, width in widths.items() for unit in range(width)]

    def most_clips(self, units: int, k: int) -> int:
        """How many clips can stand in the lists at one time."""
        return 2 * (self.most or k) * (units if self.units is None else len(self.units))

    def to_json(self) -> dict[str, Any]:
        """What tells it from another."""
        return {"most": self.most, "units": None if self.units is None else [list(pair) for pair in self.units]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], rate: int = 0) -> SoundChoice:
        """What `to_json` gave, with the rate that sounds have where any are to be written."""
        units = value["units"]
        return cls(value["most"], None if units is None else tuple((site, unit) for site, unit in units), rate)


@dataclass(frozen=True)
class Preparation:
    """A batch's groups with their clips' waveforms. Picklable: it runs in worker processes."""

    featuriser: Featuriser

    def __call__(self, waveforms: Sequence[np.ndarray]) -> tuple[Group, ...]:
        """Raises AudioError for a waveform that is too short for the model."""
        groups = self.featuriser.groups(waveforms)
        return tuple(group._replace(waveforms=tuple(waveforms[row] for row in group.rows)) for group in groups)


class SoundKeeper:
    """Keeps the sounds of the clips that stand in the lists of a run's statistics, in the run's folder."""

    def __init__(self, folder: Path, choice: SoundChoice, statistics: UnitStatistics) -> None:
        self.folder, self.choice, self.statistics = folder, choice, statistics
        self.waiting = 0
        self._columns: Tensor | None = None
        if choice.units is not None:
            starts = {site: units.start for site, units in statistics.slices.items()}
            columns = [starts[site] + unit for site, unit in choice.units]
            self._columns = torch.tensor(columns, dtype=torch.int64, device=statistics.device)

    def restore(self) -> None:
        """Begin, or go on from a checkpoint. Raises DissectionError where sounds that it needs were not kept."""
        settings = settings_file(self.folder)
        make_folder(sounds_folder(self.folder), DissectionError)
        if self.statistics.clips:
            with undamaged(settings, _REMEDY, DissectionError):
                there = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else None
            if there != self.choice.to_json():
                kept = "without keep_exemplars" if there is None else f"with other keep_exemplars ({there})"
                raise DissectionError(
                    f"{self.folder} holds a run that was begun {kept}, and sounds of clips that have gone by are not "
                    f"there: {_REMEDY}"
                )
            if lost := sorted(set(self.in_lists().tolist()) - set(ExemplarStore(self.folder).clips)):
                raise DissectionError(f"{sound_file(self.folder, lost[0])} is missing: {_REMEDY}")
        make_folder(settings.parent, DissectionError)
        write_json(settings, self.choice.to_json())

    def saw(self, clips: Sequence[Clip], groups: Iterable[Group]) -> None:
        """Keep the sounds of those clips of a batch that have come into a list. The statistics have them already."""
        waveforms = {
            clips[row].id: samples for group in groups for row, samples in zip(group.rows, group.waveforms, strict=True)
        }
        if not waveforms:
            return
        for clip in self.in_lists(min(waveforms)).tolist():
            if clip in waveforms:
                with written_whole(sound_file(self.folder, clip)) as path:
                    path.write_bytes(encode_flac(waveforms[clip], self.choice.rate))
                self.waiting += 1

    @property
    def is_due(self) -> bool:
        """Whether so many sounds have been written that those of clips which left the lists had better go."""
        return self.waiting >= _MOST_WAITING

    def prune(self) -> None:
        """Remove the sounds of clips that stand in no list. What stands in one must be in a checkpoint by now."""
        staying = set(self.in_lists().tolist())
        for clip in ExemplarStore(self.folder).clips:
            if clip not in staying:
                sound_file(self.folder, clip).unlink(missing_ok=True)
        self.waiting = 0

    def in_lists(self, least: int = 0) -> Int64[Tensor, " clip"]:
        """The clips in the lists whose id is at least this, each once, ascending, on the CPU."""
        found = []
        for side in (self.statistics.top, self.statistics.bottom):
            clips = side.state.clips[: self.choice.most]
            clips = clips if self._columns is None else clips[:, self._columns]
            found.append(clips[clips >= least].unique())
        return torch.cat(found).unique().cpu()


def settings_file(folder: Path) -> Path:
    """Where a run in progress notes whose sounds it keeps."""
    return folder / "progress" / "exemplars.json"
