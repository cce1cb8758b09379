"""What is said of stretches of clips: labels with seconds, in tiers."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from ..sites.stretches import Stretches
from ..storage import read_described, undamaged, write_tensors
from ..wording import counted
from .errors import AnnotationError

MOST_CONCEPTS, LEAST_CLIPS = 100, 5
_DIGITS = 5  # of seconds: frames are kept in float32
_KIND = "and-nnsight annotations 1"  # the one key of the file's metadata: several would come in any order


@dataclass(frozen=True)
class Annotation:
    """A label with its start and end in seconds from the clip's start, in a tier such as phones, words or speaker."""

    tier: str
    label: str
    start: float
    end: float

    @property
    def concept(self) -> str:
        """What units are compared with: `phones: S`; of a tier that holds nothing but its own name, that name."""
        return self.label if self.label == self.tier else f"{self.tier}: {self.label}"


@dataclass(frozen=True, eq=False)
class Annotations:
    """The annotations of some clips, by concept (`phones: S`, `words: sea`, `pause`).

    names     the concepts
    clips     stream positions of the annotated clips, ascending; one of them may have no annotation
    first     where the annotations of each clip begin, and, last, how many there are
    concept   the concept of each annotation, as its place among `names`
    start, end  seconds from the clip's start; the end may be infinite: the clip's own
    origin    where they are from, for example "TextGrid"
    settings  what they were made with. "dataset", if it is there, is the fingerprint of the data that they are of
    left_out  which labels, files and clips were passed over, in words; "" for none

    Raises AnnotationError if the parts contradict each other.
    """

    names: tuple[str, ...]
    clips: Int64[np.ndarray, " clip"]
    first: Int64[np.ndarray, " clip_and_end"]
    concept: Int64[np.ndarray, " annotation"]
    start: Float64[np.ndarray, " annotation"]
    end: Float64[np.ndarray, " annotation"]
    origin: str
    settings: Mapping[str, str] = field(default_factory=dict)
    left_out: str = ""

    def __post_init__(self) -> None:
        if not self.names or not len(self.clips):
            raise AnnotationError("annotations need at least one label and one clip")
        if len(set(self.names)) < len(self.names):
            twice = Counter(self.names).most_common(1)[0][0]
            raise AnnotationError(f"concept {twice!r} is there twice")
        if (np.diff(self.clips) <= 0).any() or self.clips[0] < 0:
            raise AnnotationError("clips must be stream positions (0 or more) in ascending order, each once")
        self._check_annotations()

    def _check_annotations(self) -> None:
        shapes = {len(self.concept), len(self.start), len(self.end), int(self.first[-1])}
        if len(shapes) > 1 or len(self.first) != len(self.clips) + 1 or (np.diff(self.first) < 0).any():
            raise AnnotationError("annotations do not fit their clips")
        if len(self.concept) and not 0 <= self.concept.min() <= self.concept.max() < len(self.names):
            raise AnnotationError("an annotation is of a concept that is not among the names")
        if not (np.isfinite(self.start).all() and (self.start >= 0).all() and (self.end > self.start).all()):
            raise AnnotationError("an annotation has to end after it begins, and to begin at 0 s or later")

    @classmethod
    def of(
        cls,
        by_clip: Mapping[int, Iterable[Annotation]],
        origin: str = "given",
        settings: Mapping[str, str] | None = None,
        left_out: str = "",
    ) -> Annotations:
        """Of clips by their stream positions. Raises AnnotationError for none, or one that ends before it begins."""
        clips = sorted(by_clip)
        lists = [sorted(by_clip[clip], key=lambda each: (each.start, each.end, each.concept)) for clip in clips]
        every = [each for annotations in lists for each in annotations]
        if not every:
            raise AnnotationError(f"there is no label in the annotations of {counted(len(clips), 'clip')}")
        names = tuple(sorted({each.concept for each in every}))
        place = {name: index for index, name in enumerate(names)}
        return cls(
            names,
            np.array(clips, np.int64),
            np.cumsum([0, *map(len, lists)], dtype=np.int64),
            np.array([place[each.concept] for each in every], np.int64),
            np.array([each.start for each in every], np.float64),
            np.array([each.end for each in every], np.float64),
            origin,
            settings or {},
            left_out,
        )

    def __contains__(self, clip: int) -> bool:
        return self._row(clip) is not None

    def _row(self, clip: int) -> int | None:
        row = int(np.searchsorted(self.clips, clip))
        return row if row < len(self.clips) and self.clips[row] == clip else None

    def carried(self, clip: int, stretches: Stretches) -> Bool[np.ndarray, "stretch concept"]:
        """Which stretches of a clip carry which concepts: those whose middle lies in one of its annotations.

        So of annotations that do not overlap a stretch carries one at most, be it shorter than they or longer; where
        annotations are longer than a stretch, it carries the one that covers more than half of it. An annotation
        begins with its first second and ends before its last. None for a clip that is not annotated.
        """
        carried = np.zeros((len(stretches.start), len(self.names)), bool)
        row = self._row(clip)
        if row is None:
            return carried
        own = slice(int(self.first[row]), int(self.first[row + 1]))
        # Times of aligners are multiples of 10 ms, as middles of frames often are: equal ones are to be equal.
        middles, start, end = (np.round(each, _DIGITS) for each in (stretches.middles, self.start[own], self.end[own]))
        begins = np.searchsorted(middles, start, side="left")
        ends = np.searchsorted(middles, end, side="left")
        for concept, begin, end in zip(self.concept[own], begins, ends, strict=True):
            carried[begin:end, concept] = True
        return carried

    @cached_property
    def clips_with(self) -> Int64[np.ndarray, " concept"]:
        """How many clips have an annotation of each concept."""
        rows = np.repeat(np.arange(len(self.clips)), np.diff(self.first))
        pairs = np.unique(np.stack([rows, self.concept], 1), axis=0)
        return np.bincount(pairs[:, 1], minlength=len(self.names)).astype(np.int64)

    def keeping(self, most: int = MOST_CONCEPTS, least_clips: int = LEAST_CLIPS) -> Annotations:
        """The concepts of the most clips, at most so many, each in at least so many clips; `left_out` says the rest.

        Of concepts in as many clips those with more annotations come first, then by name. Raises AnnotationError if
        none is left.
        """
        counts = np.bincount(self.concept, minlength=len(self.names))
        enough = [place for place in range(len(self.names)) if self.clips_with[place] >= least_clips]
        ranked = sorted(enough, key=lambda place: (-self.clips_with[place], -counts[place], self.names[place]))
        if not ranked:
            raise AnnotationError(
                f"none of {counted(len(self.names), 'label')} is in {counted(least_clips, 'clip')} or more, which it "
                "takes to tell what a unit does from chance"
            )
        rare, beyond = len(self.names) - len(enough), max(0, len(ranked) - most)
        reasons = [f"{rare:,} in fewer than {counted(least_clips, 'clip')}"] if rare else []
        reasons += [f"{beyond:,} beyond the {most:,} in the most clips"] if beyond else []
        said = [f"{counted(rare + beyond, 'label')}: {', '.join(reasons)}"] if reasons else []
        left_out = "; ".join([*said, *([self.left_out] if self.left_out else [])])
        return replace(self._only(sorted(ranked[:most])), left_out=left_out)

    def _only(self, places: Sequence[int]) -> Annotations:
        """Those of some concepts."""
        new = np.full(len(self.names), -1, np.int64)
        new[places] = np.arange(len(places))
        kept = new[self.concept] >= 0
        before = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        return replace(
            self,
            names=tuple(self.names[place] for place in places),
            first=before[self.first],
            concept=new[self.concept][kept],
            start=self.start[kept],
            end=self.end[kept],
        )

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of everything."""
        digest = hashlib.blake2b(self._description.encode(), digest_size=8)
        for array in (self.clips, self.first, self.concept, self.start + 0.0, self.end + 0.0):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @property
    def _description(self) -> str:
        description = {"names": self.names, "origin": self.origin, "settings": dict(self.settings)}
        return json.dumps({**description, "left_out": self.left_out}, sort_keys=True)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, whole or not at all."""
        arrays = {name: torch.from_numpy(np.ascontiguousarray(getattr(self, name))) for name in _ARRAYS}
        write_tensors(Path(path).expanduser(), arrays, {_KIND: self._description})

    @classmethod
    def load(cls, path: str | Path) -> Annotations:
        """Read what `save` wrote. Raises AnnotationError for any other file, FileNotFoundError for none."""
        path = Path(path).expanduser()
        tensors, text = read_described(path, _KIND, "annotations", AnnotationError)
        with undamaged(path, "make the annotations again", AnnotationError):
            description = json.loads(text)
            names = tuple(description.pop("names"))
            return cls(names=names, **{name: tensors[name].numpy() for name in _ARRAYS}, **description)

    def __repr__(self) -> str:
        size = f"{counted(len(self.names), 'concept')}, {counted(len(self.clips), 'clip')}"
        return f"Annotations({self.origin!r}: {size}, {counted(len(self.concept), 'annotation')})"


_ARRAYS = ("clips", "first", "concept", "start", "end")
