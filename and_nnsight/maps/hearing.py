"""`hear`: the part of a clip that a unit needs, found by gradient through the front end and the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ..audio.frontends import FrontEnd, FrontEndError, front_end
from ..audio.loading import load
from ..data.values import split_rate
from ..dissection.decimals import to_nanoseconds
from ..dissection.exemplars import Exemplar, Unit
from ..kernels.surroundings import plain_torch
from ..model.adapter import ModelAdapter
from ..model.opening import open_model
from ..model.restoring import eval_mode, preserving
from ..sites.site import Site
from .chance import moved_masks
from .contributions import answering, contributions
from .errors import MapError
from .listenable_map import ListenableMap, MapActivations
from .mask_search import MaskSearch, Moment
from .response import Response, cut_short
from .spectrum import Spectrum

_ROWS = 8  # sounds that run side by side
_OF_ONE = 2 / 3  # what is kept of what only the search, or only the measurement, is for
_SAME_ACTIVATION = 0.05


@plain_torch(tells=True)
@torch.enable_grad()  # a map is found by gradients, whatever the caller has turned off
def hear(
    unit: Unit | tuple[str, int] | str,
    clip: Any,
    *,
    model: Any,
    sampling_rate: int | None = None,
    device: str | torch.device | None = None,
    area: float = MaskSearch.area,
    steps: int = MaskSearch.steps,
    masks: int = 20,
    seed: int = 0,
    part: str | None = None,
) -> ListenableMap:
    """The part of a clip that a unit needs, to hear; and whether it does need it.

    A smooth mask over the clip's spectrogram is found by gradient, under which the unit keeps its activation at the
    moment where it fires, and which keeps little else; what it removes is not to excite the unit. A search may find a
    rendering that excites the unit better than the sound does, so what each part of the sound adds to the unit's
    answer, over random halves of the parts, is measured too, and what is kept is by both. The sound has the clip's own
    phase. Then the unit's activation is measured on what is kept, on the rest, on silence, and on what masks of the
    same size and smoothness keep elsewhere. The same call gives the same map. The model is left as it was.

    unit           a `Unit` of a dissection, (site, index), or "SITE:INDEX"
    clip           an `Exemplar` of the unit, whose kept sound or file is read; or any audio value, (waveform, rate)
                   included: its moment is where the unit is highest
    model          what `dissect` takes: an AudioModel, a transformers module, a hub id or folder, "plugin:argument"
    sampling_rate  of a bare waveform; None: the model's
    area           how much an emptier mask counts: higher keeps less
    steps          steps of the search, at most
    masks          random masks to compare with: p cannot be below 1 / (masks + 1)
    seed           of the parts that masks are made of, and of the random masks
    part           the part of a composite model that was dissected; None: the one that hears

    Raises MapError where there is nothing to map (the unit is no more active than in silence), where the model's
    feature extraction has no differentiable twin, or the clip is not what was dissected; SiteError for another site,
    AudioError for a clip that cannot be read.
    """
    site_name, index = _named(unit)
    adapter = open_model(model, device, part=part)
    response = unit_response(adapter, site_name, index)
    waveform = _waveform(clip, response, sampling_rate)
    with preserving(adapter.wrapped), eval_mode(adapter.wrapped):
        frame = _frame(clip, response, waveform)
        search = MaskSearch(area=area, steps=steps)
        spectrum = Spectrum(waveform, response.front_end.sampling_rate, seed=seed)
        with cut_short(response, len(waveform)) as quick:
            moment = Moment.of(quick, waveform, frame)
            needed, steps = search.find(spectrum, quick, moment)
            contributed = contributions(spectrum, quick, moment, seed)
        contributing = spectrum.leaning(answering(spectrum.energies, contributed)[:, None])
        cells = (_OF_ONE * (needed + contributing)).clamp(max=1)
        activations = _activations(response, spectrum, frame, cells, moved_masks(spectrum, cells, masks, seed))
    start, end = _seconds(response.site, frame, len(waveform) / spectrum.sampling_rate)
    kept = spectrum.sound(cells)
    return ListenableMap(
        site=response.site.name,
        unit=index,
        sampling_rate=spectrum.sampling_rate,
        original=_array(waveform),
        kept=_array(kept),
        removed=_array(waveform - kept),
        mask=_array(spectrum.mask(cells)),
        power=_array(spectrum.values.abs().square()),
        seconds=spectrum.seconds,
        hz=spectrum.hz,
        frame=frame,
        start=start,
        end=end,
        activations=activations,
        steps=steps,
    )


def _named(unit: Unit | tuple[str, int] | str) -> tuple[str, int]:
    """Site and index of a unit, however it is named. Raises MapError for what names none."""
    if isinstance(unit, Unit):
        return unit.site, unit.index
    site, index = unit.rpartition(":")[::2] if isinstance(unit, str) else unit
    if not site or not str(index).isdecimal():
        raise MapError(f"a unit is SITE:INDEX, for example blocks.2.mlp.hook_post:7, not {unit!r}")
    return site, int(index)


def unit_response(adapter: ModelAdapter, site_name: str, index: int) -> Response:
    """The unit of the model. Raises MapError where it cannot be heard with gradients, or is not there."""
    sites = adapter.sites(site_name)
    if len(sites) != 1:
        raise MapError(f"{site_name!r} names {len(sites)} sites: a map is of a unit of one")
    (site,) = sites
    if site.width and index >= site.width:
        raise MapError(f"site {site.name!r} has units 0 to {site.width - 1}, not {index}")
    return Response(adapter, site, index, differentiable_front_end(adapter))


def differentiable_front_end(adapter: ModelAdapter) -> FrontEnd:
    """The model's feature extraction, with gradients. Raises MapError where it has no such twin."""
    if getattr(adapter, "reader", None) is not None:
        raise MapError(
            "no listenable map of a part that reads: it is shown sound among the tokens of a text, which have no "
            "gradients; hear units of the part that hears"
        )
    featuriser = adapter.featuriser
    try:
        front = front_end(featuriser.extractor, featuriser.options)
    except FrontEndError as error:
        raise MapError(f"no listenable map of this model: {error}") from error
    if front.window_samples is None:
        raise MapError(
            f"no listenable map of this model: {front.kind} has no differentiable front end that maps were tried with, "
            "for it makes every part of a sound as loud as the whole"
        )
    return front


def _waveform(clip: Any, response: Response, sampling_rate: int | None) -> Tensor:
    """What the model hears of a clip, on its device. Raises MapError for an exemplar whose file is not there."""
    front = response.front_end
    audio = _sound_of(clip) if isinstance(clip, Exemplar) else clip
    audio, own = split_rate(audio)
    rate = sampling_rate if own is None else own
    samples = load(audio, front.sampling_rate, source_rate=rate, window=front.window_samples).samples
    if len(samples) < front.minimum_samples:
        raise MapError(f"the clip has {len(samples)} samples, and the model needs at least {front.minimum_samples}")
    return torch.from_numpy(np.array(samples)).to(response.model.device)


def _sound_of(exemplar: Exemplar) -> Any:
    """An exemplar's sound where it was kept, else its file. Raises MapError where there is neither."""
    if exemplar.store is not None and exemplar.store.has_sound(exemplar.clip):
        return exemplar.audio()
    if exemplar.path is None:
        raise MapError(
            f"clip {exemplar.clip} came from no file: keep the sounds of exemplars (keep_exemplars), or give the sound"
        )
    return exemplar.path


def _frame(clip: Any, response: Response, waveform: Tensor) -> int:
    """The frame on which the unit fires: an exemplar's own, else where the clip's is highest.

    Raises MapError for an exemplar without one, or on whose clip the unit says something else than it did.
    """
    with torch.no_grad():
        activation = response(waveform[None])[0].cpu().numpy()
    if not isinstance(clip, Exemplar):
        seconds = len(waveform) / response.front_end.sampling_rate
        heard = response.site.geometry.valid(np.array([seconds]), len(activation))[0]
        return int(np.where(heard & np.isfinite(activation), activation, -np.inf).argmax())
    if clip.frame < 0:
        raise MapError("this exemplar's activation is of no one frame (pool='mean'): give the clip's sound instead")
    if abs(activation[clip.frame] - clip.activation) > _SAME_ACTIVATION * abs(clip.activation) + 1e-3:
        raise MapError(
            f"on clip {clip.clip} the unit's activation is {activation[clip.frame]:.4g}, and it was "
            f"{clip.activation:.4g} when it was dissected: this is another model, or the file has changed"
        )
    return clip.frame


def _activations(
    response: Response, spectrum: Spectrum, frame: int, cells: Tensor, moved: Sequence[Tensor]
) -> MapActivations:
    """The unit's activation at a frame on the clip, the kept, the rest, silence, and what masks elsewhere keep."""
    kept = spectrum.sound(cells)
    sounds = [spectrum.waveform, kept, spectrum.waveform - kept, torch.zeros_like(kept)]
    sounds += [spectrum.sound(mask) for mask in moved]
    values: list[float] = []
    for first in range(0, len(sounds), _ROWS):
        with torch.no_grad():
            values += response(torch.stack(sounds[first : first + _ROWS]))[:, frame].tolist()
    original, of_kept, of_rest, of_silence, *of_moved = values
    return MapActivations(original, of_kept, of_rest, of_silence, tuple(of_moved))


def _seconds(site: Site, frame: int, seconds: float) -> tuple[float | None, float | None]:
    """Start and end of a frame, within the clip; None where they are not known."""
    start, end = to_nanoseconds(site.geometry.times(np.array([frame])))[0]
    return (None, None) if np.isnan(start) else (float(start), float(min(end, seconds)))


def _array(tensor: Tensor) -> Float32[np.ndarray, ...]:
    return tensor.detach().cpu().float().numpy()
