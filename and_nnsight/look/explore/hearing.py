"""A model that listens on behalf of a dissection: how far a sound moves each unit beyond what the dissection's did."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ...dissection.dissection import Dissection
from ...kernels.pooling import pool
from ...model.adapter import ModelAdapter
from ...model.devices import to_device
from ...model.listening_window import ListeningWindow, listening_window
from ...model.resolving import resolve_sites
from ...model.restoring import eval_mode
from ...sites.site import Site, clip_frame_unit, frame_mask
from ...sites.stretches import Stretches

UnitName = tuple[str, int]
CLEAR = 6.0
"""Standard deviations from the mean beyond which more say nothing more."""


@dataclass(frozen=True)
class Response:
    """What a unit makes of a sound.

    activation  its pooled activation; over the last moments where it is live
    deviation   how many standard deviations that is above its mean over the dissection's clips
    of_record   its distance from the mean, as a share of that of the dissection's highest clip
    """

    site: str
    unit: int
    activation: float
    deviation: float
    of_record: float

    @property
    def rank(self) -> tuple[float, float]:
        """What the strongest have most of.

        A unit that is off on nearly all clips has hardly a deviation, and whatever moves it is dozens of them: beyond
        `CLEAR` units are told apart by how near they come to the most that they ever did.
        """
        return min(self.deviation, CLEAR), min(self.of_record, 1.0)

    def to_json(self) -> dict[str, Any]:
        """As the page has it: what is no number, of a unit without a scale, is null."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, eq=False)
class UnitCurve:
    """A unit's activation over a sound, in standard deviations from its mean. `start` in seconds."""

    site: str
    unit: int
    start: Float32[np.ndarray, " frame"]
    deviation: Float32[np.ndarray, " frame"]


class SiteScale:
    """A site's units over the dissection: what their activations are measured by."""

    def __init__(self, mean: Tensor, variance: Tensor, record: Tensor) -> None:
        """Mean, variance and highest value of each unit over the dissection."""
        deviation = variance.double().sqrt()
        # A unit that says the same of every clip, or never was finite, has no scale: it never stands out.
        self.usable = deviation.isfinite() & (deviation > 0) & mean.isfinite()
        self.mean = torch.where(self.usable, mean.double(), 0.0)
        self.deviation = torch.where(self.usable, deviation, torch.inf)
        self._reach = (record.double() - self.mean).clamp(min=0)

    def of(self, activations: Tensor, units: Sequence[int] | None = None) -> Float32[np.ndarray, "*any unit"]:
        """In standard deviations from the mean; −inf where a unit has no scale or is not finite. `units` None: all."""
        chosen = slice(None) if units is None else list(units)
        usable = self.usable[chosen] & activations.isfinite()
        scaled = (activations.double() - self.mean[chosen]) / self.deviation[chosen]
        return torch.where(usable, scaled, -torch.inf).float().numpy()

    def of_record(self, activation: float, unit: int) -> float:
        """How near an activation of a unit is to the highest that there was: 1 there, 0 at the mean or below."""
        reach = float(self._reach[unit])
        return max(0.0, activation - float(self.mean[unit])) / reach if reach > 0 else 0.0


class Hearer:
    """Runs one model for everybody who listens: one at a time, whoever asks.

    rate     Hz that waveforms must have
    live     the window that live sound is heard in
    turn     is held by whoever has the model run, so that those who wait for it do so without a thread
    """

    def __init__(self, adapter: ModelAdapter, dissection: Dissection, seconds: float) -> None:
        """`seconds` of live sound are heard at a time, or the model's own window where it is shorter or fixed."""
        self.adapter = adapter
        self.pooling = dissection.manifest.pool or "max"
        self.sites = resolve_sites(adapter, list(dissection.sites), self.pooling)
        self.rate = adapter.featuriser.sampling_rate
        self.live = listening_window(adapter, seconds)
        self._own = ListeningWindow(adapter.featuriser, adapter.featuriser.window_seconds)
        statistics = {site.name: dissection[site.name] for site in self.sites}
        self._scales = {name: SiteScale(of.mean, of.variance, of.top.values[0]) for name, of in statistics.items()}
        self.lock, self.turn = threading.Lock(), asyncio.Lock()

    def has(self, name: str, unit: int) -> bool:
        """Whether there is such a unit."""
        return name in self._scales and 0 <= unit < len(self._scales[name].mean)

    def whole(
        self, samples: Float32[np.ndarray, " sample"], most: int, among: Mapping[str, np.ndarray] | None = None
    ) -> list[Response]:
        """The units that a whole sound moves most, most first, pooled as in the dissection.

        among  for each site which units may be among them, bool [unit]; None: all
        Raises AudioError for a sound that is too short.
        """
        pooled: dict[str, Tensor] = {}

        def take(site: Site, frames: Tensor, seconds: float) -> None:
            mask = frame_mask(site, [seconds], frames.shape[1])
            mask = mask.to(frames.device)
            values = [pool(part, mask, self.pooling).values[0].cpu() for part in site.parts(frames)]
            pooled[site.name] = torch.cat(values)

        self._run(self._own, samples, self.sites, take)
        return self._strongest(pooled, most, among)

    def now(
        self,
        samples: Float32[np.ndarray, " sample"],
        last: float,
        most: int,
        follow: Sequence[UnitName] = (),
        among: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[list[Response], list[Response]]:
        """The units that the last seconds of a live sound move most, and the followed ones, in their order."""
        latest: dict[str, Tensor] = {}

        def take(site: Site, frames: Tensor, seconds: float) -> None:
            latest[site.name] = _latest(site, frames[0], seconds, last)

        self._run(self.live, samples, self.sites, take)
        followed = [self._response(name, latest[name], unit) for name, unit in follow if name in latest]
        return self._strongest(latest, most, among), followed

    def curves(self, samples: Float32[np.ndarray, " sample"], units: Iterable[UnitName]) -> list[UnitCurve]:
        """Units' activations over a sound, in the order of the units."""
        wanted = list(units)
        sites = [site for site in self.sites if any(site.name == name for name, _ in wanted)]
        curves: dict[UnitName, UnitCurve] = {}

        def take(site: Site, frames: Tensor, seconds: float) -> None:
            stretches = Stretches.of(site.geometry, seconds, frames.shape[1])
            units = [unit for name, unit in wanted if name == site.name]
            chosen = site.chosen(frames[0], units).float().cpu().numpy()
            scaled = self._scales[site.name].of(torch.from_numpy(stretches.maxima(chosen)), units)
            for unit, deviation in zip(units, scaled.T, strict=True):
                curves[site.name, unit] = UnitCurve(site.name, unit, stretches.start, deviation)

        if sites:
            self._run(self._own, samples, sites, take)
        return [curves[each] for each in wanted if each in curves]

    def _run(
        self,
        window: ListeningWindow,
        samples: Float32[np.ndarray, " sample"],
        sites: Sequence[Site],
        take: Callable[[Site, Tensor, float], None],
    ) -> None:
        """Run the model over a sound and hand over each site's activations, [1, frame, unit], and its seconds."""
        samples = samples[: window.featuriser.window_samples]
        seconds = len(samples) / self.rate
        features = window.featuriser([samples])
        with self.lock, window.applied(self.adapter.wrapped), eval_mode(self.adapter.wrapped), torch.no_grad():
            inputs = to_device(features, self.adapter.device)
            self.adapter.run(sites, inputs, lambda site, value: take(site, clip_frame_unit(value), seconds))

    def _strongest(
        self, activations: Mapping[str, Tensor], most: int, among: Mapping[str, np.ndarray] | None
    ) -> list[Response]:
        best: list[Response] = []
        for name, values in activations.items():
            scaled = self._scales[name].of(values.float())
            if among is not None:
                scaled = np.where(among[name], scaled, -np.inf)
            clear = np.flatnonzero(scaled >= CLEAR).tolist()
            places = dict.fromkeys([*clear, *np.argsort(-scaled, kind="stable")[:most].tolist()])
            best += [self._response(name, values, unit) for unit in places if np.isfinite(scaled[unit])]
        return sorted(best, key=lambda each: each.rank, reverse=True)[:most]

    def _response(self, name: str, values: Tensor, unit: int) -> Response:
        scale, activation = self._scales[name], float(values[unit])
        deviation = float(scale.of(values.float())[unit])
        return Response(name, unit, activation, deviation, scale.of_record(activation, unit))


def _latest(site: Site, frames: Tensor, seconds: float, last: float) -> Tensor:
    """Each unit's largest activation on the frames of the last seconds of a sound."""
    positions = np.flatnonzero(site.geometry.valid(np.array([seconds]), len(frames))[0])
    ends = site.geometry.times(positions)[:, 1]
    recent = positions[~(np.minimum(ends, seconds) <= seconds - last)]  # frames without a place in time count
    chosen = frames[torch.from_numpy(recent if len(recent) else positions[-1:])]
    return torch.cat([part.float().amax(0).cpu() for part in site.parts(chosen)])
