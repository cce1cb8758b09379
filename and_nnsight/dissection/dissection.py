"""A dissection: the object that reads the folder which a run over a dataset leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from ..data.items import Quarantined, Unused
from ..plugins import Viewed, table
from ..sites.geometry import Geometry
from ..storage import array_checksum, file_checksum, read_arrays, read_parquet, read_tensors, tensor_shape, undamaged
from ..wording import command, counted
from .clips import ClipRow, ClipRows
from .decimals import shortest, shortest_list
from .descriptions import SiteDescription
from .errors import REMEDY, DissectionError
from .evidence import RECTIFIER_FLOOR, ExemplarEvidence, Ranked, exemplar_evidence
from .exemplar_store import ExemplarStore
from .exemplars import Exemplar, Unit
from .files import activation_file, annotation_file, annotations_file, concept_file, scores_file, site_file
from .hub import HubAddress, fetched, is_hub_address
from .manifest import COMPLETE, Manifest, read_manifest
from .moments import FrameMoments, frame_text
from .rows import Rows
from .site_statistics import SiteStatistics

if TYPE_CHECKING:
    import pandas
    import torch

    from ..speech.annotations import Annotations
    from ..statistics.annotation_statistics import AnnotationStatistics
    from ..statistics.concept_scores import ConceptScores
    from ..statistics.concepts import ConceptStatistics


class Dissection(Viewed):
    """Reads a dissection folder. Files are read when they are asked for."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.address: HubAddress | None = None  # where on the hub it is from; its folder is the hub's cache then
        self._arrays: dict[str, SiteStatistics[np.ndarray]] = {}
        self._tensors: dict[str, SiteStatistics[torch.Tensor]] = {}
        self._evidence: dict[tuple[str, str, int], ExemplarEvidence[np.ndarray]] = {}
        self._evidence_tensors: dict[tuple[str, str, int], ExemplarEvidence[torch.Tensor]] = {}
        self._whole: set[Path] = set()  # large files that were held against their checksums

    @classmethod
    def load(cls, folder: str | Path) -> Dissection:
        """Open a folder, or one on the hub: hf://datasets/OWNER/NAME@REVISION, which is read from the hub's cache.

        Raises DissectionError if it holds no complete dissection, lacks some of its files, or cannot be fetched.
        """
        if is_hub_address(folder):
            address = HubAddress.of(folder)
            dissection = cls.load(fetched(address))
            dissection.address = address
            return dissection
        folder = Path(folder).expanduser().absolute()
        manifest = read_manifest(folder)
        if manifest is None:
            what = "there is no such folder" if not folder.exists() else "there is no manifest.json"
            raise DissectionError(
                f"{folder} holds no dissection: {what}; give the folder that dissect wrote to (--out)"
            )
        if manifest.state != COMPLETE:
            raise DissectionError(
                f"the dissection in {folder} is not complete: call dissect again with the same settings to finish it"
            )
        if missing := [str(path.relative_to(folder)) for path in _files(folder, manifest) if not path.exists()]:
            raise DissectionError(f"the dissection in {folder} is damaged: it lacks {', '.join(missing[:3])}")
        for site, width in manifest.widths.items():
            path = site_file(folder, site)
            with undamaged(path, REMEDY, DissectionError):
                if (shape := tensor_shape(path, "mean")) != (width,):
                    raise ValueError(f"it is of {counted(shape[-1], 'unit')}, and the manifest says {width}")
        return cls(folder, manifest)

    @property
    def place(self) -> Path | HubAddress:
        """What commands call it: its folder, or its address on the hub."""
        return self.address or self.folder

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites, in forward order."""
        return tuple(site.name for site in self.manifest.sites)

    def widths(self) -> dict[str, int]:
        """Number of units of each site."""
        return self.manifest.widths

    def __getitem__(self, site: str) -> SiteStatistics[torch.Tensor]:
        """A site's statistics, as torch's tensors. Raises DissectionError for a site that was not dissected."""
        if site not in self._tensors:
            self._tensors[site] = self.arrays(site).tensors()
        return self._tensors[site]

    def arrays(self, site: str) -> SiteStatistics[np.ndarray]:
        """A site's statistics, as numpy's arrays: torch need not be imported for them.

        Raises DissectionError for a site that was not dissected.
        """
        if site not in self._arrays:
            width, path = self._site(site).width, site_file(self.folder, site)
            with undamaged(path, REMEDY, DissectionError):
                statistics = SiteStatistics.from_tensors(read_arrays(path, self._checksum(path))[0])
                statistics.check_width(width)
            self._arrays[site] = statistics
        return self._arrays[site]

    def unit(self, site: str, index: int) -> Unit:
        """A unit with its exemplars. Raises DissectionError for a site or unit that does not exist."""
        statistics = self.arrays(site)
        if not 0 <= index < statistics.units:
            raise DissectionError(f"site {site!r} has units 0 to {statistics.units - 1}, not {index}")
        top, bottom = self.evidence_arrays(site, "top"), self.evidence_arrays(site, "bottom")
        return Unit(
            site=site,
            index=index,
            top=self._exemplars(site, top, index),
            bottom=self._exemplars(site, bottom, index),
            mean=shortest(statistics.mean[index]),
            variance=shortest(statistics.variance[index]),
            active=shortest(statistics.active[index]),
            top_shortfall=top.shortfall(index),
            bottom_shortfall=bottom.shortfall(index),
            store=self.exemplars(),
        )

    def _exemplars(self, site: str, evidence: ExemplarEvidence[np.ndarray], index: int) -> tuple[Exemplar, ...]:
        ranked, exemplars, store = evidence.ranked, [], self.exemplars()
        geometry = self.geometry(site)
        moments = FrameMoments(geometry, ranked.frames[:, index])
        arrays = (ranked.values, ranked.clips, ranked.frames, evidence.decided, evidence.strength, evidence.copy)
        for value, clip, frame, *tells in zip(*(shortest_list(array[:, index]) for array in arrays), strict=True):
            if clip < 0:
                break
            row = self.clips.get(clip)
            if row is None:
                raise DissectionError(f"{self.folder / 'clips.parquet'} is damaged (it lacks clip {clip}): {REMEDY}")
            place = (value, frame, *moments.moment(frame, row))
            token = frame_text(geometry, row.tokens, frame)
            of = {"silent": clip in self.silent, "token": token, "unit": (site, index), "store": store}
            exemplars.append(Exemplar(clip, row.path, row.label, row.caption, *place, *tells, **of))
        return tuple(exemplars)

    def units(self, sites: str | Iterable[str] | None = None) -> Rows[Any]:
        """A row for each unit: statistics, best clip, explanation, label, verdicts (`and_nnsight.share.unit_row`).

        sites  only of these (names or globs); None: all

        Raises DissectionError for a pattern that matches no site.
        """
        return table("units")(self, sites)

    def best(self, most: int = 20, *, sites: str | Iterable[str] | None = None, label: str | None = None) -> Rows[Any]:
        """The rows of the units worth looking at first, most selective first; units of the same clips take turns.

        most   at most so many
        sites  only of these (names or globs); None: all
        label  only units whose label it is, or whose top clips share it

        Raises DissectionError for a pattern that matches no site, and for a label that no unit has.
        """
        return table("best")(self, most, sites=sites, label=label)

    def to_pandas(self, sites: str | Iterable[str] | None = None) -> pandas.DataFrame:
        """`units` as a data frame. Raises ImportError where pandas is not installed."""
        return self.units(sites).to_pandas()

    def push_to_hub(self, repo: str, **options: Any) -> Any:
        """Put it on the hub as the dataset repository OWNER/NAME; options and errors: `and_nnsight.share.pushing.push`.

        For example `dissection.push_to_hub("me/whisper-neurons", audio=True, license="cc-by-4.0")`.
        """
        return table("push")(self, repo, **options)

    def evidence(self, site: str, side: str, most: int | None = None) -> ExemplarEvidence[torch.Tensor]:
        """Which exemplars of a site's units are evidence of what they respond to (see `evidence`).

        side  "top" or "bottom"
        most  how many exemplars are looked at; None: all that are stored

        Raises DissectionError for a site that was not dissected.
        """
        arrays = self.evidence_arrays(site, side, most)
        key = (site, side, arrays.most)
        if key not in self._evidence_tensors:
            self._evidence_tensors[key] = arrays.tensors(getattr(self[site], side))
        return self._evidence_tensors[key]

    def evidence_arrays(self, site: str, side: str, most: int | None = None) -> ExemplarEvidence[np.ndarray]:
        """`evidence` as numpy's arrays: torch need not be imported for them."""
        ranked: Ranked[np.ndarray] = getattr(self.arrays(site), side)
        stored = len(ranked.values)
        key = (site, side, min(most or stored, stored))
        if key not in self._evidence:
            contents, means = self._contents_of(ranked.clips), self.arrays(site).mean
            rectified = side == "top" and self._is_rectified(site)
            self._evidence[key] = exemplar_evidence(ranked, means, contents, key[2], rectified=rectified)
        return self._evidence[key]

    def _is_rectified(self, site: str) -> bool:
        """Whether a site is an MLP's after a rectifier: nothing there lies below what a smooth one can give.

        Not of means over frames: one may lie below zero though the unit fires in some frame.
        """
        if not site.endswith("mlp.hook_post") or self.manifest.pool == "mean":
            return False
        lowest = self.arrays(site).bottom
        values = lowest.values[lowest.clips >= 0]
        return len(values) > 0 and float(values.min()) >= RECTIFIER_FLOOR

    def _contents_of(self, clips: Int64[np.ndarray, "k unit"]) -> Int64[np.ndarray, "k unit"] | None:
        """A number for each clip's samples; None where no two clips have the same."""
        if not self.copies:
            return None
        ids, codes = self._content_codes
        return codes[np.searchsorted(ids, clips.clip(min=ids[0]))]

    @cached_property
    def _content_codes(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids of clips, ascending, and a number for the samples of each."""
        numbers: dict[str, int] = {}
        ids = sorted(self.clips)
        codes = [numbers.setdefault(self.clips[clip].content or f"clip {clip}", clip) for clip in ids]
        return np.array(ids, np.int64), np.array(codes, np.int64)

    @cached_property
    def copies(self) -> dict[int, int]:
        """Clips whose samples are those of an earlier clip, and which clip that is."""
        ids, codes = self._content_codes
        return {clip: first for clip, first in zip(ids.tolist(), codes.tolist(), strict=True) if clip != first}

    @cached_property
    def silent(self) -> frozenset[int]:
        """Clips in which there is nothing to be heard."""
        return frozenset(clip for clip, row in self.clips.items() if row.silent)

    @cached_property
    def concepts(self) -> ConceptScores | None:
        """The concepts' scores that every unit was compared with; None if the run was made without concepts."""
        from ..statistics.concept_scores import ConceptScores

        return None if self.manifest.concepts is None else ConceptScores.load(scores_file(self.folder))

    def concept_statistics(self, site: str) -> ConceptStatistics:
        """How a site's units go with each concept, over all clips.

        Raises DissectionError for a site that was not dissected, or if the run was made without concepts.
        """
        self._site(site)
        if self.concepts is None:
            raise DissectionError(
                f"the dissection in {self.folder} was made without concepts: call dissect with concepts= (a "
                "ConceptScores or its file) and a new folder to compare every unit with them"
            )
        from ..statistics.concepts import ConceptStatistics

        path = concept_file(self.folder, site)
        with undamaged(path, REMEDY, DissectionError):
            return ConceptStatistics.from_tensors(self.concepts.names, self._read_tensors(path))

    @cached_property
    def annotations(self) -> Annotations | None:
        """The annotations that every unit was compared with; None if the run was made without annotations."""
        from ..speech.annotations import Annotations

        return None if self.manifest.annotations is None else Annotations.load(annotations_file(self.folder))

    def annotation_statistics(self, site: str) -> AnnotationStatistics:
        """How a site's units go with each annotated concept, over all stretches of all annotated clips.

        Raises DissectionError for a site that was not dissected, or if the run was made without annotations.
        """
        self._site(site)
        if self.annotations is None:
            raise DissectionError(
                f"the dissection in {self.folder} was made without annotations: call dissect with annotations= "
                "(--annotations) and a new folder to compare every unit with phones, words, speakers and pauses"
            )
        from ..statistics.annotation_statistics import AnnotationStatistics

        path = annotation_file(self.folder, site)
        with undamaged(path, REMEDY, DissectionError):
            return AnnotationStatistics.from_tensors(self.annotations.names, self._read_tensors(path))

    def activations(self, site: str) -> np.memmap | None:
        """Pooled activations float32 [clip, unit], read-only, row r being row r of clips.parquet; NaN: not finite.

        They are read from the disk as they are used, and once to see that they are those that were written. None if
        the run was made without keep_activations=True. Raises DissectionError for a site that was not dissected.
        """
        shape = (self.manifest.clips, self._site(site).width)
        if not self.manifest.keep_activations:
            return None
        path = activation_file(self.folder, site)
        with undamaged(path, REMEDY, DissectionError):
            activations = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(activations, np.memmap) or activations.shape != shape:
                raise ValueError(f"it holds no table of {counted(shape[0], 'clip')} and {counted(shape[1], 'unit')}")
            if path not in self._whole and self._checksum(path) not in (None, array_checksum(activations).hexdigest()):
                raise ValueError("its values do not have their checksum")
        self._whole.add(path)
        return activations

    @cached_property
    def clips(self) -> ClipRows:
        """Every clip that was seen, by id."""
        path = self.folder / "clips.parquet"
        with undamaged(path, REMEDY, DissectionError):
            self.check(path)
            return ClipRows((row.clip, row) for row in ClipRow.of_arrow(read_parquet(path)))

    @property
    def quarantine(self) -> list[Quarantined]:
        """The clips that were set aside, and why."""
        path = self.folder / "quarantine.jsonl"
        with undamaged(path, REMEDY, DissectionError):
            self.check(path)
            lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines, which breaks at U+2028
            return [Quarantined(**json.loads(line)) for line in lines if line]

    def exemplars(self) -> ExemplarStore:
        """The sounds of exemplars and the activations of units over them, where they were kept (`keep_exemplars`)."""
        return ExemplarStore(self.folder)

    @property
    def unused(self) -> list[Unused]:
        """What the data held and no clip was made of."""
        return list(self.manifest.dataset.unused)

    def geometry(self, site: str) -> Geometry:
        """Where a site's frames lie in time. Raises DissectionError for a site that was not dissected."""
        with undamaged(self.folder / "manifest.json", REMEDY, DissectionError):
            return self._site(site).geometry

    def _site(self, name: str) -> SiteDescription:
        site = self.manifest.site(name)
        if site is None:
            raise DissectionError(f"site {name!r} was not dissected; there are: {', '.join(self.sites)}")
        return site

    def _read_tensors(self, path: Path) -> dict[str, torch.Tensor]:
        return read_tensors(path, self._checksum(path))[0]

    def check_writable(self) -> None:
        """Raise DissectionError where its folder is the hub's cache: what is put there would pass for the hub's."""
        if self.address is not None:
            raise DissectionError(
                f"{self.address} lies in the hub's cache, which is for reading: fetch it into a folder of your own "
                f"(`{command('pull', self.address, 'DIR')}`) and go on there"
            )

    def check(self, path: Path) -> None:
        """Raise ValueError if a file is not the one that the run wrote."""
        if self._checksum(path) not in (None, file_checksum(path)):
            raise ValueError("it does not have its checksum")

    def _checksum(self, path: Path) -> str | None:
        return self.manifest.checksums.get(path.relative_to(self.folder).as_posix())

    def __repr__(self) -> str:
        units = sum(self.widths().values())
        clips = self.manifest.clips
        size = f"{counted(len(self.sites), 'site')}, {counted(units, 'unit')}, {counted(clips, 'clip')}"
        return f"Dissection({str(self.folder)!r}: {size})"


def _files(folder: Path, manifest: Manifest) -> list[Path]:
    """The files without which a dissection is not whole."""
    sites = list(manifest.widths)
    files = [folder / "clips.parquet", *(site_file(folder, site) for site in sites)]
    if manifest.concepts is not None:
        files += [scores_file(folder), *(concept_file(folder, site) for site in sites)]
    if manifest.annotations is not None:
        files += [annotations_file(folder), *(annotation_file(folder, site) for site in sites)]
    if manifest.keep_activations:
        files += [activation_file(folder, site) for site in sites]
    return files
