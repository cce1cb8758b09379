"""What a manifest says of the model, the data, the sites and the concepts of a run, entry by entry.

Every entry is checked when it is read; one that is lacking has the default of its field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from ..data.items import UNKNOWN, Source, Unused
from ..data.options import DataOptions
from ..data.shards import ShardSource
from ..redaction import without_credentials
from ..sites import geometry

if TYPE_CHECKING:
    from ..sites.site import Site
    from ..speech.annotations import Annotations
    from ..statistics.concept_scores import ConceptScores

AT_SERVER = "the server's"
"""What is said of weights that this machine never saw."""


@dataclass(frozen=True)
class ModelDescription:
    """The model that was run: what it is called, and hashes of what its values depend on.

    class_name  of the module
    part        the part of a composite model that was opened; None: the whole
    edits       changes to the computation that neither config nor weights show
    config, weights, structure, features  hashes; None where they are not known
    arithmetic  what the last digits of its values hang on besides, in words
    more        what else the model says of itself
    """

    id: str | None = None
    revision: str | None = None
    class_name: str | None = None
    part: str | None = None
    edits: int | None = None
    config: str | None = None
    weights: str | None = None
    structure: str | None = None
    features: str | None = None
    arithmetic: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    COMPARED: ClassVar[tuple[str, ...]] = (
        "class", "part", "tokens", "prompt", "beginning", "answer", "answer_tokens", "token_times", "config", "weights",
        "structure", "features", "edits",
    )  # fmt: skip
    OPTIONAL: ClassVar[tuple[str, ...]] = (
        "part", "tokens", "prompt", "beginning", "answer", "answer_tokens", "token_times",
    )  # fmt: skip

    def get(self, name: str) -> Any:
        """The value of an entry by its name in the file; None if there is none."""
        return self.to_json().get(name)

    @property
    def reading(self) -> str | None:
        """In a sentence, what the frames are of a part that reads; None for a part that hears."""
        of = {
            "audio": "the positions of the sound among the tokens of a prompt",
            "prompt": "tokens of the prompt that the sound goes in with",
            "answer": "tokens of an answer that is read while the model hears the sound",
        }.get(str(self.more.get("tokens")))
        if of is None:
            return None
        prompt, answer = self.more.get("prompt"), self.more.get("answer")
        source = f" (answers: {answer})" if answer else ""
        times, of_text = self.more.get("token_times"), self.more.get("tokens") == "answer"
        parts = [
            f"What the {self.part} responds to while it reads a sound: frames are {of}{source}",
            f"when they are said is told by {times}" if times else "",
            "the model does not tell when they are said" if of_text and not times else "",
            f"prompt {prompt!r}" if prompt else "",
        ]
        return "; ".join(filter(None, parts)) + "."

    def to_json(self) -> dict[str, Any]:
        """The entry `model`."""
        hashes = {name: getattr(self, name) for name in ("config", "weights", "structure", "features")}
        optional = {
            "class": self.class_name,
            "part": self.part,
            "edits": self.edits,
            **hashes,
            "arithmetic": self.arithmetic,
        }
        present = {name: value for name, value in optional.items() if value is not None}
        return {"id": self.id, "revision": self.revision, **present, **self.more}

    @classmethod
    def from_json(cls, value: Any) -> ModelDescription:
        """What `to_json` gave, and what models say of themselves. Raises ValueError, naming the entry."""
        entry = dict(mapping_of(value, "model"))
        names = [each.name for each in fields(cls) if each.name not in ("class_name", "more")]
        known = {name: entry.pop(name, None) for name in names}
        return cls(**known, class_name=entry.pop("class", None), more=entry)


@dataclass(frozen=True)
class DatasetDescription:
    """The data that was dissected, and how it was read.

    kind         of the source: folder, file, sequence, …
    fingerprint  by which it is known again; "unknown" where it cannot be
    unused       what it held and no clip was made of
    """

    kind: str | None = None
    name: str | None = None
    split: str | None = None
    fingerprint: str = UNKNOWN
    unused: tuple[Unused, ...] = ()
    limit: int | None = None
    audio_column: str | None = None
    label_column: str | None = None
    caption_column: str | None = None

    COMPARED: ClassVar[tuple[str, ...]] = (
        "fingerprint", "split", "limit", "audio_column", "label_column", "caption_column",
    )  # fmt: skip

    @classmethod
    def of(cls, source: Source, options: DataOptions) -> DatasetDescription:
        """Of an open source, read as these options say."""
        return cls(
            kind=source.kind,
            name=without_credentials(source.name),
            split=source.split,
            fingerprint=source.fingerprint,
            unused=tuple(source.unused),
            limit=options.limit,
            audio_column=options.audio_column,
            label_column=options.label_column,
            caption_column=options.caption_column,
        )

    def get(self, name: str) -> Any:
        """The value of an entry by its name in the file."""
        return getattr(self, name)

    def to_json(self) -> dict[str, Any]:
        """The entry `dataset`."""
        return {**vars(self), "unused": [asdict(unused) for unused in self.unused]}

    @classmethod
    def from_json(cls, value: Any) -> DatasetDescription:
        """What `to_json` gave. Raises ValueError, naming the entry."""
        entry = mapping_of(value, "dataset")
        known = {each.name: entry[each.name] for each in fields(cls) if entry.get(each.name) is not None}
        for name, text in known.items():
            kind = {"unused": list, "limit": int}.get(name, str)
            if not isinstance(text, kind):
                raise ValueError(f"the {name} of the dataset is {text!r}")
        try:
            unused = tuple(Unused(**each) for each in known.pop("unused", ()))
        except TypeError as error:
            raise ValueError(f"what is unused of the dataset cannot be understood ({error})") from error
        return cls(**known, unused=unused)


@dataclass(frozen=True)
class SiteDescription:
    """A site that was dissected.

    path, side  where in the model it is
    width       how many units it has
    frames      where its frames lie in time, as `sites.geometry` keeps it
    dictionary  what the dictionary says of itself whose latents the units are, its hash among it; None: there is none
    """

    name: str
    width: int
    path: str | None = None
    side: str | None = None
    layer: int | None = None
    frames: Mapping[str, Any] = field(default_factory=dict)
    dictionary: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, site: Site) -> SiteDescription:
        """Of a site of a model."""
        dictionary = None if site.dictionary is None else dict(site.dictionary.describe())
        return cls(site.name, site.width, site.path, site.side, site.layer, site.geometry.to_json(), dictionary)

    @property
    def geometry(self) -> geometry.Geometry:
        """Where frames lie in time. Raises LookupError, TypeError or ValueError where that cannot be understood."""
        return geometry.from_json(self.frames)

    def to_json(self) -> dict[str, Any]:
        """An entry of `sites`."""
        where = {"name": self.name, "path": self.path, "side": self.side}
        entry = {**where, "width": self.width, "layer": self.layer, "frames": dict(self.frames)}
        return entry if self.dictionary is None else {**entry, "dictionary": dict(self.dictionary)}

    @classmethod
    def from_json(cls, value: Any) -> SiteDescription:
        """What `to_json` gave. Raises ValueError, naming the entry."""
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            raise ValueError("a site has no name")
        name, width, frames = value["name"], value.get("width"), value.get("frames", {})
        if not isinstance(width, int) or not is_count(width, least=1):
            raise ValueError(f"the width of {name!r} is {width!r}")
        if not isinstance(frames, dict):
            raise ValueError(f"the frames of {name!r} are {frames!r}")
        dictionary = value.get("dictionary")
        if dictionary is not None and not isinstance(dictionary, dict):
            raise ValueError(f"the dictionary of {name!r} is {dictionary!r}")
        return cls(name, width, value.get("path"), value.get("side"), value.get("layer"), frames, dictionary)


@dataclass(frozen=True)
class ConceptsDescription:
    """The concepts' scores that units were compared with."""

    fingerprint: str
    method: str | None = None
    count: int | None = None

    @classmethod
    def of(cls, scores: ConceptScores) -> ConceptsDescription:
        """Of scores."""
        return cls(scores.fingerprint, scores.method, len(scores.names))

    @classmethod
    def from_json(cls, value: Any) -> ConceptsDescription:
        """What `asdict` gave. Raises ValueError, naming the entry."""
        entry = mapping_of(value, "concepts")
        return cls(entry.get("fingerprint", UNKNOWN), entry.get("method"), entry.get("count"))


@dataclass(frozen=True)
class AnnotationsDescription:
    """The annotations that units were compared with: where they are from, of how many concepts and clips."""

    fingerprint: str
    origin: str | None = None
    count: int | None = None
    clips: int | None = None
    left_out: str = ""

    @classmethod
    def of(cls, annotations: Annotations) -> AnnotationsDescription:
        """Of annotations."""
        size = (len(annotations.names), len(annotations.clips))
        return cls(annotations.fingerprint, annotations.origin, *size, annotations.left_out)

    @classmethod
    def from_json(cls, value: Any) -> AnnotationsDescription:
        """What `asdict` gave. Raises ValueError, naming the entry."""
        entry = mapping_of(value, "annotations")
        known = {each.name: entry[each.name] for each in fields(cls) if each.name in entry}
        return cls(**{"fingerprint": UNKNOWN, **known})


@dataclass(frozen=True)
class ShardDescription:
    """The part of a run that a folder holds: one of several, from 0 on, and its positions in the stream."""

    index: int
    count: int
    positions: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source) -> ShardDescription | None:
        """Of a shard of a source; None for a whole one."""
        if not isinstance(source, ShardSource):
            return None
        return cls(source.shard.index, source.shard.count, source.positions.to_json())

    @classmethod
    def from_json(cls, value: Any) -> ShardDescription:
        """What `asdict` gave. Raises ValueError, naming the entry."""
        entry = mapping_of(value, "shard")
        index, count = entry.get("index", -1), entry.get("count", 0)
        if not is_count(index, least=0) or not is_count(count, least=1) or index >= count:
            raise ValueError(f"the shard is {index!r} of {count!r}")
        return cls(index, count, mapping_of(entry.get("positions"), "positions"))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def mapping_of(value: Any, name: str) -> Mapping[str, Any]:
    """An entry that has entries itself. Raises ValueError, naming it, for another."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {value!r}")
    return value


def is_count(value: object, least: int) -> bool:
    """Whether a value is a whole number of at least so much."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
