"""Dissections of the paper's size without a model: which concept each unit goes with is known, and what clips say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from and_nnsight.data import Clip
from and_nnsight.dissection.descriptions import DatasetDescription, ModelDescription, SiteDescription
from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.manifest import Manifest
from and_nnsight.explain.acoustics import measuring
from and_nnsight.explain.acoustics.table import VERSION
from and_nnsight.explain.records.acoustics import Acoustics, AcousticsRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.explain.roles import Span
from and_nnsight.run.folder import RunFolder
from and_nnsight.statistics.units import UnitStatistics

_QUALITIES = ("distant", "wooden", "electric", "small", "deep")
_SOURCES = (
    "accordion airplane alarm banjo bassoon bee bell bicycle bird blender boat bottle bow bus camera cannon car "
    "cat cello chainsaw chime clarinet clock coin cow cricket crow cymbal dishwasher dog donkey door drill drum "
    "duck engine faucet fiddle fire flute fly footstep frog furnace gate goat gong goose guitar gull gun hammer "
    "harp helicopter horn horse jackhammer kettle keyboard kitten lamb laughter lion lock lute mandolin marimba "
    "microwave mosquito motorcycle mouse organ owl oven paper parrot piano pig pigeon pump rain rattle rooster "
    "saw saxophone scissors sheep shower siren snare steam stream subway switch tambourine telephone thunder "
    "tractor train trumpet typewriter violin"
).split()
_VERBS = ("sounds", "starts", "stops", "echoes", "hums", "rings", "clicks", "buzzes", "fades", "repeats")
_MANNERS = ("softly", "loudly", "slowly", "quickly", "twice", "again", "steadily", "suddenly")
_PLACES = (
    "kitchen street forest garden hall church station harbour field tunnel workshop classroom stadium office cellar "
    "market bridge valley canyon attic balcony courtyard corridor lobby theatre museum library factory warehouse barn "
    "stable cabin tent cave beach desert island meadow park playground"
).split()
_NO_CONCEPT = -1
_BLOCK = 512


@dataclass(frozen=True)
class Scale:
    """How large, and how regular: each unit goes with one concept, on whose clips it lies `shift` deviations higher.

    share   of the units that go with a concept; the others are noise
    layers, hidden, mlp, classes   the sites are the "paper" ones of such a transformer
    """

    clips: int = 100_000
    concepts: int = 500
    layers: int = 12
    hidden: int = 768
    mlp: int = 3_072
    classes: int = 50
    k: int = 16
    share: float = 0.7
    shift: float = 5.0

    @property
    def widths(self) -> dict[str, int]:
        """Units of each site."""
        widths = {}
        for layer in range(self.layers):
            block = f"blocks.{layer}"
            widths |= {f"{block}.hook_attn_out": self.hidden, f"{block}.mlp.hook_pre": self.mlp}
            widths |= {f"{block}.hook_mlp_out": self.hidden}
        return widths | {"unembed.hook_out": self.classes}

    @property
    def units(self) -> int:
        """Units of all sites."""
        return sum(self.widths.values())

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The concepts."""
        names = [f"{quality} {source}" for source in _SOURCES for quality in _QUALITIES]
        return tuple(names[: self.concepts])

    @cached_property
    def concept_of_unit(self) -> np.ndarray:
        """The concept that each unit goes with; −1: none."""
        rng = np.random.default_rng(0)
        concepts = rng.integers(self.concepts, size=self.units)
        return np.where(rng.random(self.units) < self.share, concepts, _NO_CONCEPT)


def write_dissection(folder: Path, scale: Scale, seed: int) -> None:
    """A dissection of random clips, which a run's own folder writes: the extremes of its units are drawn."""
    concepts = _concepts_of_clips(scale, seed)
    with RunFolder(folder, _manifest(scale, seed, keep_activations=False)) as run:
        for ids in torch.arange(scale.clips).split(_BLOCK):
            run.saw(int(ids[-1]) + 1, _clips(scale, concepts, ids.tolist(), seed), [], 0)
        run.finish(_DrawnStatistics(scale, concepts, seed))
    _write_acoustics(Dissection.load(folder), seed)


def write_held_out(folder: Path, scale: Scale, seed: int) -> None:
    """A dissection of other random clips, of which every activation is kept."""
    concepts = _concepts_of_clips(scale, seed)
    statistics = UnitStatistics(scale.widths, k=scale.k)
    with RunFolder(folder, _manifest(scale, seed, keep_activations=True)) as run:
        run.restore(statistics)
        for ids in torch.arange(scale.clips).split(_BLOCK):
            values = activations(scale, concepts, ids, seed)
            for site, units in statistics.slices.items():
                statistics.update(site, values[:, None, units], ids, torch.ones(len(ids), 1, dtype=torch.bool))
            statistics.finish_batch(in_order=True)
            run.saw(int(ids[-1]) + 1, _clips(scale, concepts, ids.tolist(), seed), [], 0)
            run.keep(values)
        run.finish(statistics)
    _write_acoustics(Dissection.load(folder), seed)


def activations(scale: Scale, concepts: np.ndarray, ids: torch.Tensor, seed: int) -> torch.Tensor:
    """Pooled activations [clip, unit] of some clips: noise, and `shift` more where a clip is of the unit's concept."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + int(ids[0]))
    values = torch.randn(len(ids), scale.units, generator=generator)
    own, of_clip = torch.from_numpy(scale.concept_of_unit), torch.from_numpy(concepts)[ids]
    for row, concept in zip(values, of_clip.tolist(), strict=True):
        row[own == concept] += scale.shift
    return values


class _DrawnStatistics(UnitStatistics):
    """What so many clips would leave, without their activations: a stream of 10^10 values would only be waited for.

    The highest clips of a unit are clips of its concept, those of the others any.
    """

    def __init__(self, scale: Scale, concepts: np.ndarray, seed: int) -> None:
        super().__init__(scale.widths, k=scale.k)
        self.clips = scale.clips
        rng, own = np.random.default_rng([seed, 3]), scale.concept_of_unit
        self._top = _drawn(rng, np.arange(scale.clips), scale.units, scale.k)
        self._bottom = _drawn(rng, np.arange(scale.clips), scale.units, scale.k)
        for concept in range(scale.concepts):
            units, clips = np.flatnonzero(own == concept), np.flatnonzero(concepts == concept)
            if len(units):
                self._top[:, units] = _drawn(rng, clips, len(units), scale.k)
        steps = 4.0 + np.sort(rng.exponential(0.3, (scale.k, scale.units)), axis=0)[::-1]
        self._values = (steps + np.where(own == _NO_CONCEPT, 0.0, scale.shift - 1.5)).astype(np.float32)

    def site_tensors(self, site: str) -> dict[str, torch.Tensor]:
        """See `UnitStatistics`."""
        units = self.slices[site]
        width = units.stop - units.start
        tensors: dict[str, torch.Tensor] = {}
        for side, clips, sign in (("top", self._top, 1.0), ("bottom", self._bottom, -1.0)):
            tensors |= {
                f"{side}_values": torch.from_numpy((sign * self._values[:, units]).copy()),
                f"{side}_clips": torch.from_numpy(clips[:, units].copy()),
                f"{side}_frames": torch.zeros(clips[:, units].shape, dtype=torch.int32),
                f"{side}_ties": torch.zeros(width, dtype=torch.int64),
            }
        return tensors | {
            "count": torch.tensor(self.clips),
            "finite": torch.full((width,), self.clips),
            "mean": torch.zeros(width),
            "variance": torch.ones(width),
            "active": torch.full((width,), 0.5),
            "nonfinite": torch.tensor(0),
        }


def _drawn(rng: np.random.Generator, clips: np.ndarray, units: int, k: int) -> np.ndarray:
    """K different clips of some for each unit, [k, unit], by steps of one random length through a random order."""
    order = rng.permutation(clips)
    starts, strides = rng.integers(len(order), size=units), rng.integers(1, max(2, len(order) // k), size=units)
    return order[(starts + strides * np.arange(k)[:, None]) % len(order)]


def _concepts_of_clips(scale: Scale, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).integers(scale.concepts, size=scale.clips)


def _clips(scale: Scale, concepts: np.ndarray, ids: list[int], seed: int) -> list[Clip]:
    rng = np.random.default_rng([seed, 2, ids[0]])
    clips = []
    for clip in ids:
        name = scale.names[concepts[clip]]
        verb, manner, place = (str(rng.choice(words)) for words in (_VERBS, _MANNERS, _PLACES))
        other = scale.names[rng.integers(scale.concepts)].split()[1]
        caption = f"A {name} {verb} {manner} in a {place} while a {other} is heard."
        content = f"{seed:08x}{clip:08x}"
        clips.append(Clip(clip, f"{seed}/{clip:06}.wav", name, caption, 2.0, 16_000, content))
    return clips


def _manifest(scale: Scale, seed: int, keep_activations: bool) -> Manifest:
    frames = {"kind": "regular", "special_tokens": 0, "hop": 2.0, "span": 2.0}
    sites = []
    for name, width in scale.widths.items():
        layer = int(name.split(".")[1]) if name.startswith("blocks.") else None
        sites.append(SiteDescription(name, width, name, "output", layer, frames))
    described: dict[str, Any] = {"kind": "sequence", "name": "planted", "fingerprint": f"planted {seed}"}
    return Manifest(
        tuple(sites), ModelDescription(id="planted", weights="none"), DatasetDescription(**described), k=scale.k,
        pool="max", dtype="float32", keep_activations=keep_activations,
    )  # fmt: skip


def _write_acoustics(dissection: Dissection, seed: int) -> None:
    """Numbers that have nothing to do with any unit: to measure sounds is another question."""
    settings = {"sampling_rate": measuring.SAMPLING_RATE, "version": VERSION}
    rng = np.random.default_rng([seed, 4])
    level, bright = rng.uniform(-50, -10, len(dissection.clips)), rng.uniform(200, 6000, len(dissection.clips))
    rest: dict[str, Any] = dict.fromkeys(Acoustics.__dataclass_fields__, 0.0)
    rest |= {"seconds": 2.0, "sound_seconds": 1.5, "silence_share": 0.2}
    with Table(dissection, AcousticsRow, settings) as table:
        rows = []
        for clip, loud, high in zip(dissection.clips, level.tolist(), bright.tolist(), strict=True):
            own = rest | {"level_dbfs": loud, "loudest_dbfs": loud + 6.0, "brightness_hz": high, "onsets": 1}
            rows.append(AcousticsRow.of(Span(clip), Acoustics(**own)))
        table.add(rows)
