"""What a dissection says of itself: `manifest.json`, read into dataclasses and written from them.

Every entry is checked when it is read. An entry that is lacking, as in folders of earlier versions or made by hand, has
the default of its field, but for those without which nothing can be read: sites, and of a complete run k and clips.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from ..data import UNKNOWN, Source
from ..data.items import Unused
from ..redaction import without_credentials
from ..sites import geometry
from ..sites.site import Site
from ..statistics.concept_scores import ConceptScores
from ..storage import undamaged
from .errors import REMEDY, DissectionError

FORMAT_VERSION = 3
AT_SERVER = "the server's"
"""What is said of weights that this machine never saw."""
RUNNING, COMPLETE = "running", "complete"


@dataclass(frozen=True)
class ModelDescription:
    """The model that was run: what it is called, and hashes of what its values depend on.

    class_name  of the module
    edits       changes to the computation that neither config nor weights show
    config, weights, structure, features  hashes; None where they are not known
    more        what else the model says of itself
    """

    id: str | None = None
    revision: str | None = None
    class_name: str | None = None
    edits: int | None = None
    config: str | None = None
    weights: str | None = None
    structure: str | None = None
    features: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    COMPARED: ClassVar[tuple[str, ...]] = ("class", "config", "weights", "structure", "features", "edits")

    def get(self, name: str) -> Any:
        """The value of an entry by its name in the file; None if there is none."""
        return self.to_json().get(name)

    def to_json(self) -> dict[str, Any]:
        """The entry `model`."""
        hashes = {name: getattr(self, name) for name in ("config", "weights", "structure", "features")}
        optional = {"class": self.class_name, "edits": self.edits, **hashes}
        present = {name: value for name, value in optional.items() if value is not None}
        return {"id": self.id, "revision": self.revision, **present, **self.more}

    @classmethod
    def from_json(cls, value: Any) -> ModelDescription:
        """What `to_json` gave, and what models say of themselves. Raises ValueError, naming the entry."""
        entry = dict(_mapping(value, "model"))
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
    def of(cls, source: Source, limit: int | None, columns: Mapping[str, str | None]) -> DatasetDescription:
        """Of an open source. `columns`: audio_column, label_column, caption_column."""
        name = without_credentials(source.name)
        return cls(source.kind, name, source.split, source.fingerprint, tuple(source.unused), limit, **columns)

    def get(self, name: str) -> Any:
        """The value of an entry by its name in the file."""
        return getattr(self, name)

    def to_json(self) -> dict[str, Any]:
        """The entry `dataset`."""
        return {**vars(self), "unused": [asdict(unused) for unused in self.unused]}

    @classmethod
    def from_json(cls, value: Any) -> DatasetDescription:
        """What `to_json` gave. Raises ValueError, naming the entry."""
        entry = _mapping(value, "dataset")
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
    """

    name: str
    width: int
    path: str | None = None
    side: str | None = None
    layer: int | None = None
    frames: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, site: Site) -> SiteDescription:
        """Of a site of a model."""
        return cls(site.name, site.width, site.path, site.side, site.layer, site.geometry.to_json())

    @property
    def geometry(self) -> geometry.Geometry:
        """Where frames lie in time. Raises LookupError, TypeError or ValueError where that cannot be understood."""
        return geometry.from_json(self.frames)

    def to_json(self) -> dict[str, Any]:
        """An entry of `sites`."""
        where = {"name": self.name, "path": self.path, "side": self.side}
        return {**where, "width": self.width, "layer": self.layer, "frames": dict(self.frames)}

    @classmethod
    def from_json(cls, value: Any) -> SiteDescription:
        """What `to_json` gave. Raises ValueError, naming the entry."""
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            raise ValueError("a site has no name")
        name, width, frames = value["name"], value.get("width"), value.get("frames", {})
        if not isinstance(width, int) or not _is_count(width, least=1):
            raise ValueError(f"the width of {name!r} is {width!r}")
        if not isinstance(frames, dict):
            raise ValueError(f"the frames of {name!r} are {frames!r}")
        return cls(name, width, value.get("path"), value.get("side"), value.get("layer"), frames)


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
        entry = _mapping(value, "concepts")
        return cls(entry.get("fingerprint", UNKNOWN), entry.get("method"), entry.get("count"))


@dataclass(frozen=True)
class Manifest:
    """What a dissection says of itself.

    k, pool      clips that are kept at either end of each unit; how a clip's frames became one value
    dtype        the model's; None: a server's, not known yet
    versions     of the packages that a run was begun with
    remote       how the model ran on a server; None: it ran here
    clips, quarantined, truncated, silent, copies  how many of a complete run
    checksums    of its files, by their paths
    state        "running" or "complete"
    """

    sites: tuple[SiteDescription, ...]
    model: ModelDescription = field(default_factory=ModelDescription)
    dataset: DatasetDescription = field(default_factory=DatasetDescription)
    k: int = 0
    pool: str | None = None
    dtype: str | None = None
    concepts: ConceptsDescription | None = None
    keep_activations: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    remote: Mapping[str, Any] | None = None
    clips: int = 0
    quarantined: int = 0
    truncated: int = 0
    silent: int = 0
    copies: int = 0
    checksums: Mapping[str, str] = field(default_factory=dict)
    state: str = RUNNING

    COUNTS: ClassVar[tuple[str, ...]] = ("clips", "quarantined", "truncated", "silent", "copies")

    @property
    def widths(self) -> dict[str, int]:
        """Number of units of each site."""
        return {site.name: site.width for site in self.sites}

    def site(self, name: str) -> SiteDescription | None:
        """A site by its name; None if it was not dissected."""
        return next((site for site in self.sites if site.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """All of it, in the order in which it is written."""
        value: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "versions": dict(self.versions),
            "model": self.model.to_json(),
            "dataset": self.dataset.to_json(),
            "sites": [site.to_json() for site in self.sites],
        }
        value |= {name: getattr(self, name) for name in ("k", "pool") if getattr(self, name)}
        value["dtype"] = self.dtype
        value["concepts"] = None if self.concepts is None else asdict(self.concepts)
        value["keep_activations"] = self.keep_activations
        if self.remote is not None:
            value["remote"] = dict(self.remote)
        if self.state == COMPLETE:
            value |= {name: getattr(self, name) for name in self.COUNTS}
        if self.checksums:
            value["checksums"] = dict(self.checksums)
        return value | {"state": self.state}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        """What `to_json` gave. Raises ValueError for an entry that is lacking or has another form; it names it."""
        state = value.get("state")
        if state not in (RUNNING, COMPLETE):
            raise ValueError(f"its state is {state!r}")
        sites = _sites(value.get("sites"))
        for name in ("k", *cls.COUNTS):
            if name in value and not _is_count(value[name], least=name == "k"):
                raise ValueError(f"{name} is {value[name]!r}")
        if state == COMPLETE and not ("clips" in value and "k" in value):
            raise ValueError("it does not say how many clips there are, and k")
        counts: dict[str, int] = {name: value[name] for name in ("k", *cls.COUNTS) if name in value}
        remote, concepts = value.get("remote"), value.get("concepts")
        return cls(
            sites=sites,
            model=ModelDescription.from_json(value.get("model", {})),
            dataset=DatasetDescription.from_json(value.get("dataset", {})),
            pool=value.get("pool"),
            dtype=value.get("dtype"),
            concepts=ConceptsDescription.from_json(concepts) if concepts else None,
            keep_activations=bool(value.get("keep_activations")),
            remote=None if remote is None else _mapping(remote, "remote"),
            versions=_mapping(value.get("versions") or {}, "versions"),
            checksums=_mapping(value.get("checksums") or {}, "checksums"),
            state=state,
            **counts,
        )


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest; None if there is none. Raises DissectionError if it cannot be understood."""
    path = folder / "manifest.json"
    if not path.exists():
        return None
    with undamaged(path, REMEDY, DissectionError):
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict) or "format_version" not in value:
            raise DissectionError(f"{path} is not a dissection's manifest: {REMEDY}")
    if (version := value["format_version"]) != FORMAT_VERSION:
        older = isinstance(version, int) and version < FORMAT_VERSION
        what = "dissect again into a new folder" if older else "read it with the version of and-nnsight that wrote it"
        raise DissectionError(
            f"{folder} has format version {version}; this package reads version {FORMAT_VERSION}: {what}"
        )
    try:
        return Manifest.from_json(value)
    except ValueError as error:
        raise DissectionError(f"{path} has been damaged or edited by hand ({error}): {REMEDY}") from error


def _sites(value: Any) -> tuple[SiteDescription, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("it names no sites")
    sites = tuple(map(SiteDescription.from_json, value))
    names = [site.name for site in sites]
    if len(set(names)) < len(names):
        raise ValueError(f"it names {next(name for name in names if names.count(name) > 1)!r} twice")
    return sites


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {value!r}")
    return value


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
