"""How well each clip fits each of a list of concepts: what units are compared with while a dataset streams by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from ..storage import read_described, undamaged, write_tensors
from ..wording import counted

_KIND = "and-nnsight concept scores 1"  # the one key of the file's metadata: several would come in any order


class ConceptError(ValueError):
    """Concept scores that are damaged, contradict themselves, or do not fit the clips that they are asked for."""


@dataclass(frozen=True, eq=False)
class ConceptScores:
    """A score of every concept for each of some clips.

    names     the concepts, in the order of the columns
    clips     stream positions of the clips, ascending
    values    the scores, finite; higher fits better
    method    what made them, for example "labels"
    settings  what they were made with. "dataset", if it is there, is the fingerprint of the source ("unknown" where it
              has none); `dissect` refuses scores that were made for another

    Raises ConceptError if the parts contradict each other.
    """

    names: tuple[str, ...]
    clips: Int64[Tensor, " clip"]
    values: Float32[Tensor, "clip concept"]
    method: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if tuple(self.values.shape) != (len(self.clips), len(self.names)):
            raise ConceptError(
                f"scores of {tuple(self.values.shape)} (clips, concepts) do not fit {len(self.clips)} clips and "
                f"{len(self.names)} concepts"
            )
        if not self.names or not len(self.clips):
            raise ConceptError("concept scores need at least one concept and one clip")
        twice = _first_repeated(self.names)
        if twice is not None:
            raise ConceptError(f"concept {twice!r} is there twice")
        if bool((self.clips.diff() <= 0).any()) or int(self.clips[0]) < 0:
            raise ConceptError("clips must be stream positions (0 or more) in ascending order, each once")
        if not bool(self.values.isfinite().all()):
            clip, concept = (~self.values.isfinite()).nonzero()[0].tolist()
            raise ConceptError(f"the score of {self.names[concept]!r} for clip {int(self.clips[clip])} is not finite")

    @cached_property
    def column_of(self) -> Mapping[str, int]:
        """Where each concept stands among the columns."""
        return {name: column for column, name in enumerate(self.names)}

    @classmethod
    def from_labels(cls, labels: Mapping[int, str | None], names: Iterable[str] | None = None) -> ConceptScores:
        """1 for the concept that a clip is labelled with, 0 for every other; a clip without a label scores 0 for all.

        `labels` maps stream positions to labels. names: the concepts (default: every label, sorted); clips with a label
        that is not among them score 0 for all. Raises ConceptError if no clip has one of the labels.
        """
        clips = sorted(labels)
        concepts = tuple(sorted({label for label in labels.values() if label is not None}) if names is None else names)
        column = {name: index for index, name in enumerate(concepts)}
        values = torch.zeros(len(clips), len(concepts))
        labelled = ((row, labels[clip]) for row, clip in enumerate(clips))
        places = [(row, column[label]) for row, label in labelled if label in column]
        if not places:
            wanted = f" among {', '.join(map(repr, concepts[:5]))}" if concepts else ""
            raise ConceptError(f"none of {counted(len(clips), 'clip')} has a label{wanted}")
        values[tuple(torch.tensor(places).T)] = 1.0
        return cls(concepts, torch.tensor(clips, dtype=torch.int64), values, "labels")

    @cached_property
    def binary(self) -> Bool[Tensor, " concept"]:
        """Whether all of a concept's scores are 0 or 1."""
        return ((self.values == 0) | (self.values == 1)).all(0)

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of everything: names, clips, values, method, settings."""
        digest = hashlib.blake2b(self._description.encode(), digest_size=8)
        for tensor in (self.clips, self.values + 0.0):  # −0 is 0
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def rows(self, ids: Sequence[int] | np.ndarray | Int64[Tensor, " id"]) -> Float32[Tensor, "id concept"]:
        """The scores of these clips, in their order. Raises ConceptError, naming the first, for clips without any."""
        wanted = torch.as_tensor(ids, dtype=torch.int64, device="cpu")
        places = torch.searchsorted(self.clips, wanted).clamp(max=len(self.clips) - 1)
        lacking = wanted[self.clips[places] != wanted]
        if len(lacking):
            raise ConceptError(
                f"clip {int(lacking[0])} has no concept scores: there are scores of "
                f"{counted(len(self.clips), 'clip')}, {int(self.clips[0])} to {int(self.clips[-1])}; make them "
                "for the whole dataset"
            )
        return self.values[places]

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, whole or not at all."""
        tensors = {"clips": self.clips.contiguous(), "values": self.values.contiguous()}
        write_tensors(Path(path).expanduser(), tensors, {_KIND: self._description})

    @classmethod
    def load(cls, path: str | Path) -> ConceptScores:
        """Read what `save` wrote. Raises ConceptError for any other file, FileNotFoundError for none."""
        path = Path(path).expanduser()
        tensors, text = read_described(path, _KIND, "concept scores", ConceptError)
        with undamaged(path, "make the scores again", ConceptError):
            description = json.loads(text)
            names, method, settings = (description[name] for name in ("names", "method", "settings"))
            return cls(tuple(names), tensors["clips"], tensors["values"], method, settings)

    @property
    def _description(self) -> str:
        description = {"names": self.names, "method": self.method, "settings": dict(self.settings)}
        return json.dumps(description, sort_keys=True)

    def __repr__(self) -> str:
        return (
            f"ConceptScores({self.method!r}: {counted(len(self.names), 'concept')}, {counted(len(self.clips), 'clip')})"
        )


def _first_repeated(names: Sequence[str]) -> str | None:
    """The first name that an earlier one equals; None: each is there once."""
    earlier: set[str] = set()
    for name in names:
        if name in earlier:
            return name
        earlier.add(name)
    return None
