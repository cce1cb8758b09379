"""What is written beside the weights: what the dictionary is of, how it was trained, and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from and_nnsight.storage import undamaged, write_json

from .errors import TrainingError
from .measurement import Quality

FILE = "and_nnsight_training.json"


@dataclass(frozen=True)
class Training:
    """A dictionary that was trained: `SITE|sae:FOLDER` names its latents.

    folder       where its files are
    site         the site that it is of
    held_out     its quality on frames of clips that no training saw
    train        its quality on the frames it was trained on
    description  the model, the data, the settings, versions and seconds
    """

    folder: Path
    site: str
    held_out: Quality
    train: Quality
    description: Mapping[str, Any]

    @property
    def latents(self) -> str:
        """The name of the latents, as a site."""
        return f"{self.site}|sae:{self.folder}"

    def __str__(self) -> str:
        held, train = self.held_out, self.train
        return (
            f"{self.latents}\n"
            f"held out   {held.explained_variance:.1%} of the variance explained, {held.l0:.1f} latents a frame, "
            f"{held.dead:.1%} dead ({held.frames:,} frames of {held.clips:,} clips)\n"
            f"trained on {train.explained_variance:.1%} of the variance explained, {train.l0:.1f} latents a frame, "
            f"{train.dead:.1%} dead ({train.frames:,} frames of {train.clips:,} clips)"
        )

    def write(self) -> None:
        """Write it beside the weights: with this file the training is complete."""
        qualities = {"held_out": self.held_out.to_json(), "train": self.train.to_json()}
        write_json(self.folder / FILE, {"version": 1, "site": self.site, **qualities, **self.description})

    @classmethod
    def read(cls, folder: Path) -> Training | None:
        """What stands in a folder; None if there is none. Raises TrainingError for a file that is no report."""
        path = folder / FILE
        if not path.exists():
            return None
        with undamaged(path, "choose another folder", TrainingError):
            content = json.loads(path.read_bytes())
            if content.pop("version") != 1:
                raise TrainingError(f"{path} is of another version of and-nnsight-sae")
            held_out, train = (Quality(**content.pop(name)) for name in ("held_out", "train"))
            return cls(folder, content.pop("site"), held_out, train, content)
