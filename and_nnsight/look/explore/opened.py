"""A dissection that is on the page, with the model that it is of where that could be opened."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ...dissection.descriptions import ModelDescription
from ...dissection.dissection import Dissection
from ...dissection.manifest_differences import model_differences
from ...maps.hearing import hear
from ...model.opening import is_opened, open_model
from ...run.exemplars import keep_exemplars
from ..unit_view import UnitViews
from .catalogue import Catalogue
from .hearing import Hearer, UnitName
from .live import LiveSounds
from .needs import Need
from .neighbours import Neighbour, Neighbourhood, TopClips
from .outputs import NoOutput, Outputs, Speaker
from .sounds import Sounds

WINDOW_SECONDS = 8.0
SHOWN = 8
"""Exemplars at either end of a card that can be heard."""


class NoModel(ValueError):
    """The page has no model to run; the message says why, and what to do."""


class OpenedDissection:
    """One of the dissections that the page shows.

    hearer    runs the model; None, with the reason in `silent`, where it could not be opened
    doubt     in words, how that is not the model that was dissected, and what to do; None where it is
    data      what was dissected, where it has to be read again and has no files
    """

    def __init__(self, dissection: Dissection, model: Any, data: Any, seconds: float = WINDOW_SECONDS) -> None:
        """`model`: what to open; None: by the name that the dissection has; False: no model is opened."""
        self.dissection, self.data = dissection, data
        self.catalogue, self.views = Catalogue(dissection), UnitViews(dissection, SHOWN, SHOWN // 2)
        self.hearer: Hearer | None = None
        self.silent: str | None = None
        self.doubt: str | None = None
        try:
            self.hearer = self._open(model, seconds)
        except (ValueError, OSError) as error:
            self.silent = str(error)
        if self.hearer is not None:
            self.doubt = _doubt(self.hearer, dissection)
            featuriser = self.hearer.adapter.featuriser
            self.sounds = Sounds(self.hearer.rate, featuriser.window_samples)
            self.live = LiveSounds(self.hearer, self.catalogue.explained)
        self._filling = threading.Lock()

    def _open(self, model: Any, seconds: float) -> Hearer:
        if model is False:
            raise NoModel("the page was opened without a model")
        described = self.dissection.manifest.model
        if described.reading is not None:
            raise NoModel(f"{described.part} reads sound clip by clip, with a text around it, and is not followed live")
        named = model if model is not None else described.id
        if named is None or (model is None and described.id == described.class_name):
            raise NoModel("the dissection does not say which model it is of: start explore with it (--model)")
        part = None if is_opened(named) else described.part
        return Hearer(open_model(named, part=part), self.dissection, seconds)

    @cached_property
    def speaker(self) -> Speaker | str:
        """What says what the model makes of a sound, or why nothing does."""
        if self.hearer is None:
            return self.silent or ""
        try:
            return Speaker(self.hearer.adapter)
        except NoOutput as error:
            return str(error)

    def listening(self) -> Hearer:
        """The model. Raises NoModel where there is none."""
        if self.hearer is None:
            raise NoModel(self.silent or "there is no model")
        return self.hearer

    def lacks(self, site: str, unit: int) -> bool:
        """Whether sounds of a unit's exemplars, or its activations over them, are not there yet."""
        store = self.dissection.exemplars()
        return any(
            not store.has_sound(each.clip) or (site, unit, each.clip) not in store.curves
            for each in self.views.shown(site, unit)
        )

    def fill(self, site: str, unit: int) -> str | None:
        """Keep the sounds of a unit's exemplars, where they are not there yet; why that cannot be, or None."""
        if not self.lacks(site, unit):
            return None
        if self.hearer is None or self.doubt is not None:
            return self.doubt or self.silent
        try:
            with self._filling, self.hearer.lock:
                kept = keep_exemplars(
                    self.dissection, [(site, unit)], self.hearer.adapter, self.data, most=2 * SHOWN, progress=False
                )
        except OSError as error:
            return f"{error} ({self.dissection.folder} has to be writable, with room on its disk)"
        except ValueError as error:  # data that is gone, another that writes: the card is shown all the same
            return str(error)
        return kept.failures[0].reason if kept.failures else None

    def need(self, site: str, unit: int, clip: int) -> Need:
        """The part of an exemplar that a unit needs. Raises MapError where there is no telling."""
        hearer, (samples, rate) = self.listening(), self.dissection.exemplars().audio(clip)
        with hearer.lock:
            return Need.of(hear((site, unit), samples, model=hearer.adapter, sampling_rate=rate))

    def change(self, samples: Any, units: Sequence[UnitName], how: str, gain: float | None) -> Outputs:
        """What the model says of a sound with units changed. Raises NoOutput where it says nothing that can be read."""
        hearer, speaker = self.listening(), self.speaker
        if isinstance(speaker, str):
            raise NoOutput(speaker)
        with hearer.lock:
            return speaker.compare(samples, units, how, gain)

    @cached_property
    def top_clips(self) -> TopClips:
        """Which clips its units fire most on."""
        return TopClips(self.dissection)

    def neighbours(self, at: UnitName, other: OpenedDissection, most: int) -> list[Neighbour]:
        """The units of a dissection, this or another, that fire on the same clips as a unit of this one."""
        if other not in self._neighbourhoods:
            self._neighbourhoods[other] = Neighbourhood(self.top_clips, other.top_clips)
        return self._neighbourhoods[other].of(at, most)

    @cached_property
    def _neighbourhoods(self) -> dict[OpenedDissection, Neighbourhood]:
        return {}


def _doubt(hearer: Hearer, dissection: Dissection) -> str | None:
    here, there = ModelDescription.from_json(hearer.adapter.describe()), dissection.manifest.model
    differing = model_differences(there, here)
    if not differing:
        return None
    return (
        f"this is not the model that was dissected ({there.id or there.class_name}): {'; '.join(differing)}. What it "
        "makes of a sound is measured by what the dissected one made of its clips; to hear that one, start explore "
        "with --model and where it is, or dissect anew with this one"
    )
