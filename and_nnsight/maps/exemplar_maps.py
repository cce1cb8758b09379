"""Maps of exemplars of a dissection: those that are kept in its folder, and those that are made now and kept there."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.filesize import decimal as readable

from ..audio.errors import AudioError
from ..dissection.dissection import Dissection
from ..dissection.exemplars import Exemplar
from ..model.adapter import ModelAdapter
from ..model.restoring import preserves_model
from ..progress import step_progress
from ..run.dissected_model import named_model, same_target
from ..run.options import RunOptions
from ..storage import locked
from ..wording import counted, first_line
from .errors import MapError
from .hearing import differentiable_front_end, hear
from .listenable_map import ListenableMap
from .map_store import BYTES_A_SAMPLE, MapStore
from .mask_search import MaskSearch

_USUAL = RunOptions()


@dataclass(frozen=True)
class ExemplarMaps:
    """What units need of exemplars.

    maps      by exemplar
    reasons   why there is none of an exemplar, in words
    problem   why none could be made at all, or no more of them; None where nothing stood in the way
    """

    maps: dict[Exemplar, ListenableMap] = field(default_factory=dict)
    reasons: dict[Exemplar, str] = field(default_factory=dict)
    problem: str | None = None

    def __repr__(self) -> str:
        problem = "" if self.problem is None else f"; {self.problem:.200}"
        return f"ExemplarMaps({counted(len(self.maps), 'map')}, {len(self.reasons):,} that could not be made{problem})"


def exemplar_maps(
    dissection: Dissection, exemplars: Iterable[Exemplar], model: Any = None, options: RunOptions = _USUAL
) -> ExemplarMaps:
    """A map of each exemplar whose sound was kept; those that the dissection's folder lacks are made and put there.

    They are kept one by one, so that an interrupted call goes on where it was. The model is opened only where one is
    lacking, and left as it was. What cannot be made ends nothing: it is said in what is given.

    exemplars  of units of the dissection
    model      what was dissected; None: opened by the name that it has in the dissection
    options    its device and dtype, and whether a bar is shown
    """
    store, sounds = MapStore(dissection.folder), dissection.exemplars()
    wanted = [each for each in exemplars if each.unit is not None and sounds.has_sound(each.clip)]
    maps = _kept(store, wanted)
    lacking = [each for each in wanted if each not in maps]
    if not lacking:
        return ExemplarMaps(maps)
    reasons: dict[Exemplar, str] = {}
    problem = _make(model, dissection, lacking, options, reasons)
    maps |= _kept(store, lacking)
    return ExemplarMaps({each: maps[each] for each in wanted if each in maps}, reasons, problem)


def _kept(store: MapStore, exemplars: Iterable[Exemplar]) -> dict[Exemplar, ListenableMap]:
    """The maps of exemplars that are there."""
    maps = ((each, store.of(each)) for each in exemplars)
    return {each: made for each, made in maps if made is not None}


@preserves_model
def _make(
    model: Any, dissection: Dissection, exemplars: Sequence[Exemplar], options: RunOptions, reasons: dict[Exemplar, str]
) -> str | None:
    """Make maps and keep them; why one cannot be made comes into `reasons`. Gives why not all could be tried."""
    try:
        adapter = _opened(model, dissection, exemplars, options)
        dissection.check_writable()
        lock = locked(dissection.folder / "exemplars" / ".lock")
    except (ValueError, OSError) as error:
        return first_line(error)
    if options.progress:
        print(_cost(dissection, exemplars, adapter), file=sys.stderr)
    store = MapStore(dissection.folder)
    try:
        with step_progress("what units hear", len(exemplars), options.progress) as advance:
            for exemplar in exemplars:
                try:
                    made = hear(exemplar.unit or "", exemplar, model=adapter)
                except (MapError, AudioError) as error:
                    reasons[exemplar] = first_line(error)
                else:
                    store.put(exemplar.clip, made)
                advance(1)
    except OSError as error:
        return f"{error} ({dissection.folder} has to be writable, with room on its disk)"
    finally:
        lock.close(remove=True)
    return None


def _opened(model: Any, dissection: Dissection, exemplars: Sequence[Exemplar], options: RunOptions) -> ModelAdapter:
    """The model that was dissected. Raises ValueError where it is another, or has no differentiable front end."""
    sites = {each.unit[0] for each in exemplars if each.unit is not None}
    of_units = [site for site in dissection.sites if site in sites]
    adapter = same_target(named_model(dissection, model), dissection, of_units, options).model
    differentiable_front_end(adapter)
    return adapter


def _cost(dissection: Dissection, exemplars: Sequence[Exemplar], adapter: ModelAdapter) -> str:
    """What is going to be done, and how much that is."""
    featuriser = adapter.featuriser
    window = featuriser.window_seconds or float("inf")
    seconds = sum(min(dissection.clips[each.clip].seconds, window) for each in exemplars)
    size = readable(int(seconds * featuriser.sampling_rate * BYTES_A_SAMPLE))
    return (
        f"will make {counted(len(exemplars), 'listenable map')}, up to {size} in {dissection.folder / 'exemplars'}: "
        f"for each the model runs forward and back up to {MaskSearch.steps} times (some ten seconds with Whisper tiny)"
    )
