"""What a dissection says of itself: `manifest.json`, read into dataclasses and written from them.

Every entry is checked when it is read. An entry that is lacking, as in folders of earlier versions or made by hand, has
the default of its field, but for those without which nothing can be read: sites, and of a complete run k and clips.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..storage import undamaged
from ..wording import Brief
from .descriptions import (
    AnnotationsDescription,
    ConceptsDescription,
    DatasetDescription,
    ModelDescription,
    ShardDescription,
    SiteDescription,
    is_count,
    mapping_of,
)
from .errors import REMEDY, DissectionError

FORMAT_VERSION = 3
RUNNING, COMPLETE = "running", "complete"


@dataclass(frozen=True)
class Manifest(Brief):
    """What a dissection says of itself.

    k, pool      clips that are kept at either end of each unit; how a clip's frames became one value
    dtype        the model's; None: a server's, not known yet
    versions     of the packages that a run was begun with
    remote       how the model ran on a server; None: it ran here
    shard        which part of a run it is; None: the whole
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
    annotations: AnnotationsDescription | None = None
    keep_activations: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    remote: Mapping[str, Any] | None = None
    shard: ShardDescription | None = None
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
        if self.annotations is not None:
            value["annotations"] = asdict(self.annotations)
        value["keep_activations"] = self.keep_activations
        if self.remote is not None:
            value["remote"] = dict(self.remote)
        if self.shard is not None:
            value["shard"] = asdict(self.shard)
        if self.state == COMPLETE:
            value |= {name: getattr(self, name) for name in self.COUNTS}
        if self.checksums:
            value["checksums"] = dict(self.checksums)
        return value | {"state": self.state}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        """What `to_json` gave. Raises ValueError for an entry that is lacking or has another form; it names it."""
        state = _state(value)
        remote, shard = value.get("remote"), value.get("shard")
        concepts, annotations = value.get("concepts"), value.get("annotations")
        return cls(
            sites=_sites(value.get("sites")),
            model=ModelDescription.from_json(value.get("model", {})),
            dataset=DatasetDescription.from_json(value.get("dataset", {})),
            pool=value.get("pool"),
            dtype=value.get("dtype"),
            concepts=ConceptsDescription.from_json(concepts) if concepts else None,
            annotations=AnnotationsDescription.from_json(annotations) if annotations else None,
            keep_activations=bool(value.get("keep_activations")),
            remote=None if remote is None else mapping_of(remote, "remote"),
            shard=None if shard is None else ShardDescription.from_json(shard),
            versions=mapping_of(value.get("versions") or {}, "versions"),
            checksums=mapping_of(value.get("checksums") or {}, "checksums"),
            state=state,
            **_counts(value, state),
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


def _state(value: Mapping[str, Any]) -> str:
    state = value.get("state")
    if state not in (RUNNING, COMPLETE):
        raise ValueError(f"its state is {state!r}")
    return state


def _counts(value: Mapping[str, Any], state: str) -> dict[str, int]:
    """k, and of a complete run how many clips."""
    counts = {name: value[name] for name in ("k", *Manifest.COUNTS) if name in value}
    for name, count in counts.items():
        if not is_count(count, least=name == "k"):
            raise ValueError(f"{name} is {count!r}")
    if state == COMPLETE and not ("clips" in counts and "k" in counts):
        raise ValueError("it does not say how many clips there are, and k")
    return counts


def _sites(value: Any) -> tuple[SiteDescription, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("it names no sites")
    sites = tuple(map(SiteDescription.from_json, value))
    names = [site.name for site in sites]
    if len(set(names)) < len(names):
        raise ValueError(f"it names {next(name for name in names if names.count(name) > 1)!r} twice")
    return sites
