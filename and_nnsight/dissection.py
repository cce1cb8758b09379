"""What a run over a dataset leaves behind: a folder, and the object that reads it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from . import geometry
from .concept_scores import ConceptScores
from .concept_statistics import ConceptStatistics
from .exemplars import RECTIFIER_FLOOR, Exemplar, ExemplarEvidence, Ranked, Unit, exemplar_evidence
from .storage import file_checksum, read_parquet, read_tensors, tensor_shape, undamaged
from .wording import counted

FORMAT_VERSION = 3
REMEDY = "put a whole copy in its place, or dissect again into a new folder"


class DissectionError(ValueError):
    """A folder that is not a dissection, is another one, or does not hold what was asked for."""


@dataclass(frozen=True)
class SiteStatistics:
    """Statistics of one site over the dataset.

    top, bottom  the K clips with the highest and the lowest pooled activation
    count        clips seen
    finite       clips with a finite pooled activation, a unit
    mean, variance  of the pooled activation (variance: population), a unit
    active       share of clips with a pooled activation above zero, a unit
    These three are NaN for a unit that was never finite.
    nonfinite    activations (frames × units) that were NaN or infinite and were left out
    """

    top: Ranked
    bottom: Ranked
    count: int
    finite: Int64[Tensor, " unit"]
    mean: Float32[Tensor, " unit"]
    variance: Float32[Tensor, " unit"]
    active: Float32[Tensor, " unit"]
    nonfinite: int

    @property
    def units(self) -> int:
        """How many units the site has."""
        return len(self.mean)


def statistics_of(tensors: Mapping[str, Tensor]) -> SiteStatistics:
    """A site's statistics out of the tensors of its file, which are those of `UnitStatistics.site_tensors`."""
    top, bottom = (
        Ranked(*(tensors[f"{side}_{name}"] for name in Ranked.__dataclass_fields__)) for side in ("top", "bottom")
    )
    return SiteStatistics(
        top=top,
        bottom=bottom,
        count=int(tensors["count"]),
        nonfinite=int(tensors["nonfinite"]),
        **{name: tensors[name] for name in ("finite", "mean", "variance", "active")},
    )


def site_file(folder: Path, site: str) -> Path:
    """Where a site's statistics lie. Names are made safe for file systems: `module:a/b` becomes `module%3Aa%2Fb`."""
    return folder / "sites" / f"{_safe(site)}.safetensors"


def concept_file(folder: Path, site: str) -> Path:
    """Where it lies how a site's units go with the concepts."""
    return folder / "concepts" / f"{_safe(site)}.safetensors"


def scores_file(folder: Path) -> Path:
    """Where the concepts' scores lie that units were compared with. (No site is named `scores`: names hold a dot.)"""
    return folder / "concepts" / "scores.safetensors"


def activation_file(folder: Path, site: str) -> Path:
    """Where a site's pooled activations of every clip lie."""
    return folder / "activations" / f"{_safe(site)}.npy"


def _safe(site: str) -> str:
    return "".join(char if char.isalnum() or char in "._-" else f"%{ord(char):02X}" for char in site)


class Dissection:
    """Reads a dissection folder. Files are read when they are asked for."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self._statistics: dict[str, SiteStatistics] = {}
        self._evidence: dict[tuple[str, str, int], ExemplarEvidence] = {}

    @classmethod
    def load(cls, folder: str | Path) -> Dissection:
        """Open a folder. Raises DissectionError if it holds no complete dissection, or lacks some of its files."""
        folder = Path(folder).expanduser().absolute()
        manifest = read_manifest(folder)
        if manifest is None:
            raise DissectionError(f"{folder} holds no dissection: there is no manifest.json")
        if manifest["state"] != "complete":
            raise DissectionError(
                f"the dissection in {folder} is not complete: call dissect again with the same settings to finish it"
            )
        sites = [site["name"] for site in manifest["sites"]]
        wanted = [folder / "clips.parquet", *(site_file(folder, site) for site in sites)]
        if manifest.get("concepts"):
            wanted += [scores_file(folder), *(concept_file(folder, site) for site in sites)]
        if manifest.get("keep_activations"):
            wanted += [activation_file(folder, site) for site in sites]
        if missing := [str(path.relative_to(folder)) for path in wanted if not path.exists()]:
            raise DissectionError(f"the dissection in {folder} is damaged: it lacks {', '.join(missing[:3])}")
        found = cls(folder, manifest)
        for site, width in found.widths().items():
            path = site_file(folder, site)
            with undamaged(path, REMEDY, DissectionError):
                if (shape := tensor_shape(path, "mean")) != (width,):
                    raise ValueError(f"it is of {counted(shape[-1], 'unit')}, and the manifest says {width}")
        return found

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites, in forward order."""
        return tuple(site["name"] for site in self.manifest["sites"])

    def widths(self) -> dict[str, int]:
        """Number of units of each site."""
        return {site["name"]: int(site["width"]) for site in self.manifest["sites"]}

    def __getitem__(self, site: str) -> SiteStatistics:
        """A site's statistics. Raises DissectionError for a site that was not dissected."""
        if site not in self._statistics:
            width, path = int(self._site_entry(site)["width"]), site_file(self.folder, site)
            with undamaged(path, REMEDY, DissectionError):
                statistics = statistics_of(self._tensors(path))
                _check_shapes(statistics, width)
            self._statistics[site] = statistics
        return self._statistics[site]

    def unit(self, site: str, index: int) -> Unit:
        """A unit with its exemplars. Raises DissectionError for a site or unit that does not exist."""
        statistics = self[site]
        if not 0 <= index < statistics.units:
            raise DissectionError(f"site {site!r} has units 0 to {statistics.units - 1}, not {index}")
        top, bottom = self.evidence(site, "top"), self.evidence(site, "bottom")
        return Unit(
            site=site,
            index=index,
            top=self._exemplars(site, top, index),
            bottom=self._exemplars(site, bottom, index),
            mean=float(statistics.mean[index]),
            variance=float(statistics.variance[index]),
            active=float(statistics.active[index]),
            top_shortfall=top.shortfall(index),
            bottom_shortfall=bottom.shortfall(index),
        )

    def evidence(self, site: str, side: str, most: int | None = None) -> ExemplarEvidence:
        """Which exemplars of a site's units are evidence of what they respond to (see `exemplars`).

        side  "top" or "bottom"
        most  how many exemplars are looked at; None: all that are stored

        Raises DissectionError for a site that was not dissected.
        """
        ranked: Ranked = getattr(self[site], side)
        stored = len(ranked.values)
        key = (site, side, min(most or stored, stored))
        if key not in self._evidence:
            contents = self._contents_of(ranked.clips)
            rectified = side == "top" and self._is_rectified(site)
            self._evidence[key] = exemplar_evidence(ranked, self[site].mean, contents, key[2], rectified=rectified)
        return self._evidence[key]

    def _is_rectified(self, site: str) -> bool:
        """Whether a site is an MLP's after a rectifier: nothing there lies below what a smooth one can give.

        Not of means over frames: one may lie below zero though the unit fires in some frame.
        """
        if not site.endswith("mlp.hook_post") or self.manifest.get("pool") == "mean":
            return False
        lowest = self[site].bottom
        values = lowest.values[lowest.clips >= 0]
        return len(values) > 0 and float(values.min()) >= RECTIFIER_FLOOR

    def _contents_of(self, clips: Int64[Tensor, "k unit"]) -> Int64[Tensor, "k unit"] | None:
        """A number for each clip's samples; None where no two clips have the same."""
        if not self.copies:
            return None
        ids, codes = self._content_codes
        return codes[torch.searchsorted(ids, clips.clamp(min=int(ids[0])).contiguous())]

    @cached_property
    def _content_codes(self) -> tuple[Tensor, Tensor]:
        """Ids of clips, ascending, and a number for the samples of each."""
        numbers: dict[str, int] = {}
        ids = sorted(self.clips)
        codes = [numbers.setdefault(self.clips[clip].get("content") or f"clip {clip}", clip) for clip in ids]
        return torch.tensor(ids), torch.tensor(codes)

    @cached_property
    def copies(self) -> dict[int, int]:
        """Clips whose samples are those of an earlier clip, and which clip that is."""
        ids, codes = self._content_codes
        return {clip: first for clip, first in zip(ids.tolist(), codes.tolist(), strict=True) if clip != first}

    @cached_property
    def silent(self) -> frozenset[int]:
        """Clips in which there is nothing to be heard."""
        return frozenset(clip for clip, row in self.clips.items() if row.get("silent"))

    @cached_property
    def concepts(self) -> ConceptScores | None:
        """The concepts' scores that every unit was compared with; None if the run was made without concepts."""
        return ConceptScores.load(scores_file(self.folder)) if self.manifest.get("concepts") else None

    def concept_statistics(self, site: str) -> ConceptStatistics:
        """How a site's units go with each concept, over all clips.

        Raises DissectionError for a site that was not dissected, or if the run was made without concepts.
        """
        self._site_entry(site)
        if self.concepts is None:
            raise DissectionError(
                f"the dissection in {self.folder} was made without concepts: call dissect with concepts= (a "
                "ConceptScores or its file) and a new folder to compare every unit with them"
            )
        path = concept_file(self.folder, site)
        with undamaged(path, REMEDY, DissectionError):
            return ConceptStatistics.from_tensors(self.concepts.names, self._tensors(path))

    def activations(self, site: str) -> np.memmap | None:
        """Pooled activations float32 [clip, unit], read-only, row r being row r of clips.parquet; NaN: not finite.

        They are read from the disk as they are used. None if the run was made without keep_activations=True. Raises
        DissectionError for a site that was not dissected.
        """
        self._site_entry(site)
        if not self.manifest.get("keep_activations"):
            return None
        path, shape = activation_file(self.folder, site), (self.manifest["clips"], self._site_entry(site)["width"])
        with undamaged(path, REMEDY, DissectionError):
            kept = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(kept, np.memmap) or kept.shape != shape:
                raise ValueError(f"it holds no table of {counted(shape[0], 'clip')} and {counted(shape[1], 'unit')}")
        return kept

    @cached_property
    def clips(self) -> dict[int, dict[str, Any]]:
        """Every clip that was seen, by id: path, label, caption, seconds, sampling_rate, content (a hash), silent."""
        path = self.folder / "clips.parquet"
        with undamaged(path, REMEDY, DissectionError):
            self._check(path)
            rows = read_parquet(path).to_pylist()
            clips = {row["clip"]: row for row in rows}
            if lacking := [name for name in ("path", "label", "caption", "seconds") if rows and name not in rows[0]]:
                raise ValueError(f"it has no column {lacking[0]}")
        return clips

    @property
    def quarantine(self) -> list[dict[str, Any]]:
        """The clips that were set aside: clip, path, reason."""
        path = self.folder / "quarantine.jsonl"
        with undamaged(path, REMEDY, DissectionError):
            self._check(path)
            return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]  # not U+2028

    @property
    def unused(self) -> list[dict[str, Any]]:
        """What the data held and no clip was made of: reason, count, an example, sound (whether it may be sound)."""
        return list(self.manifest.get("dataset", {}).get("unused", ()))

    def _tensors(self, path: Path) -> dict[str, Tensor]:
        return read_tensors(path, self._checksum(path))[0]

    def _check(self, path: Path) -> None:
        """Raise ValueError if a file is not the one that the run wrote."""
        if self._checksum(path) not in (None, file_checksum(path)):
            raise ValueError("it does not have its checksum")

    def _checksum(self, path: Path) -> str | None:
        return self.manifest.get("checksums", {}).get(path.relative_to(self.folder).as_posix())

    def _site_entry(self, site: str) -> Mapping[str, Any]:
        for entry in self.manifest["sites"]:
            if entry["name"] == site:
                return entry
        raise DissectionError(f"site {site!r} was not dissected; there are: {', '.join(self.sites)}")

    def geometry(self, site: str) -> geometry.Geometry:
        """Where a site's frames lie in time. Raises DissectionError for a site that was not dissected."""
        with undamaged(self.folder / "manifest.json", REMEDY, DissectionError):
            return geometry.from_json(self._site_entry(site)["frames"])

    def _exemplars(self, site: str, evidence: ExemplarEvidence, index: int) -> tuple[Exemplar, ...]:
        frames_lie = self.geometry(site)
        ranked, exemplars = evidence.ranked, []
        tensors = (ranked.values, ranked.clips, ranked.frames, evidence.decided, evidence.strength, evidence.copy)
        for value, clip, frame, *tells in zip(*(tensor[:, index].tolist() for tensor in tensors), strict=True):
            if clip < 0:
                break
            row = self.clips.get(clip)
            if row is None:
                raise DissectionError(f"{self.folder / 'clips.parquet'} is damaged (it lacks clip {clip}): {REMEDY}")
            start, end = frame_seconds(frames_lie, frame, row["seconds"])
            said = (clip, row["path"], row["label"], row["caption"])
            exemplars.append(Exemplar(*said, value, frame, start, end, *tells, silent=clip in self.silent))
        return tuple(exemplars)

    def __repr__(self) -> str:
        units = sum(self.widths().values())
        clips = self.manifest["clips"]
        size = f"{counted(len(self.sites), 'site')}, {counted(units, 'unit')}, {counted(clips, 'clip')}"
        return f"Dissection({str(self.folder)!r}: {size})"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The folder's manifest; None if there is none. Raises DissectionError if it cannot be understood."""
    path = folder / "manifest.json"
    if not path.exists():
        return None
    with undamaged(path, REMEDY, DissectionError):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or "format_version" not in manifest:
            raise DissectionError(f"{path} is not a dissection's manifest: {REMEDY}")
    if (version := manifest["format_version"]) != FORMAT_VERSION:
        older = isinstance(version, int) and version < FORMAT_VERSION
        what = "dissect again into a new folder" if older else "read it with the version of and-nnsight that wrote it"
        raise DissectionError(
            f"{folder} has format version {version}; this package reads version {FORMAT_VERSION}: {what}"
        )
    if wrong := _wrong_with(manifest):
        raise DissectionError(f"{path} has been damaged or edited by hand ({wrong}): {REMEDY}")
    return manifest


def _wrong_with(manifest: Mapping[str, Any]) -> str | None:
    """What a dissection's manifest has not, or has in another form than it was written in."""
    if manifest.get("state") not in ("running", "complete"):
        return f"its state is {manifest.get('state')!r}"
    sites = manifest.get("sites")
    if not isinstance(sites, list) or not sites:
        return "it names no sites"
    for site in sites:
        if not isinstance(site, dict) or not isinstance(site.get("name"), str):
            return "a site has no name"
        if not _is_count(site.get("width"), least=1):
            return f"the width of {site['name']!r} is {site.get('width')!r}"
        if not isinstance(site.get("frames", {}), dict):
            return f"the frames of {site['name']!r} are {site.get('frames')!r}"
    names = [site["name"] for site in sites]
    if len(set(names)) < len(names):
        return f"it names {next(name for name in names if names.count(name) > 1)!r} twice"
    for name in ("k", "clips", "quarantined", "truncated", "silent", "copies"):
        if name in manifest and not _is_count(manifest[name], least=name == "k"):
            return f"{name} is {manifest[name]!r}"
    if manifest["state"] == "complete" and not ("clips" in manifest and "k" in manifest):
        return "it does not say how many clips there are, and k"
    for name in ("model", "dataset", "versions"):
        if not isinstance(manifest.get(name, {}), dict):
            return f"{name} is {manifest[name]!r}"
    return None


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check_shapes(statistics: SiteStatistics, width: int) -> None:
    """Raise ValueError where a site's tensors do not fit each other or the width that the manifest names."""
    of_units = (statistics.finite, statistics.mean, statistics.variance, statistics.active)
    ranked = [
        getattr(side, name) for side in (statistics.top, statistics.bottom) for name in Ranked.__dataclass_fields__
    ]
    if any(tensor.shape != (width,) for tensor in of_units) or any(tensor.shape[-1:] != (width,) for tensor in ranked):
        raise ValueError(f"it is not of {counted(width, 'unit')}, as the manifest says")


def frame_seconds(frames_lie: geometry.Geometry, frame: int, length: float) -> tuple[float | None, float | None]:
    """Start and end of a frame, cut at the clip's end; the whole clip where pooling has no one frame."""
    if frame < 0:
        return 0.0, length
    start, end = frames_lie.times(np.array([frame]))[0].tolist()
    if math.isnan(start):
        return (0.0, length) if frame < frames_lie.special_tokens else (None, None)
    return min(start, length), min(end, length)
