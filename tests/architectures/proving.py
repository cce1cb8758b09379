"""What is proven of an architecture: that its sites are what runs, and its seconds where the sound is."""

from __future__ import annotations

import copy
import re
import tempfile
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from and_nnsight import AudioModel, dissect
from and_nnsight.model.checkpoint import ModelError
from and_nnsight.sites.geometry import Unplaced
from and_nnsight.sites.hooks import site_hooks
from and_nnsight.sites.site import Site, clip_frame_unit, frame_mask
from tests.brute_force import assert_equal_to_brute_force, pooled_clips

from .catalogue import Architecture

EARLY, LATE, LENGTH = 0.43, 1.37, 1.9


@dataclass(frozen=True)
class Row:
    """A line of the table: an architecture, the part of it that hears, and what was proven of that."""

    model_type: str
    class_name: str
    part: str = ""
    sites: str = ""
    seconds: str = ""
    inputs: str = ""
    verdict: str = ""

    @property
    def is_right(self) -> bool:
        """Whether everything was proven."""
        return self.verdict == "proven"


def proven(architecture: Architecture) -> Row:
    """The line of an architecture: "proven", or in a sentence the first thing that it does not have."""
    row = Row(architecture.model_type, architecture.class_name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = architecture.build()
        except Exception as error:  # transformers raises anything
            return _said(row, f"not built here: {_sentence(error)}")
        try:
            extractor, wanting = architecture.extractor(), ""
        except KeyError:
            extractor, wanting = None, "transformers names no feature extractor for it"
        except ImportError as error:
            extractor, wanting = None, f"its feature extractor wants {_wanted_library(error)}"
        try:
            model = AudioModel(module, feature_extractor=extractor)
        except ValueError as error:
            return _said(row, f"{_sentence(error)}; {wanting}" if " wants " in wanting else _sentence(error))
        if not model.sites():
            return _said(row, _no_blocks(model))
        if wanting:
            return _said(row, f"{wanting}: ready features go in, without seconds")
        return _row_of(row, model)


def _no_blocks(model: AudioModel) -> str:
    """What hears, and what it is made of in the place of blocks."""
    hears = f"its {model.part.name}" if model.part is not None else "it"
    kinds = [type(module).__name__ for module in model.wrapped.modules()]
    made = [
        word for word, name in (("convolutions", "Conv1d"), ("an LSTM", "LSTM")) if any(name in kind for kind in kinds)
    ]
    return f"no repeated block of attention and feed-forward hears: {hears} hears by {' and '.join(made)}"


def _row_of(row: Row, model: AudioModel) -> Row:
    part = model.part.name if model.part is not None else "whole"
    row = Row(row.model_type, row.class_name, part, _sites_in_words(model), "", model.main_input)
    try:
        model.plain_forward(model.featuriser([noise(model, LENGTH)]))
    except Exception as error:
        return _said(row, f"the small model does not run: {_sentence(error)}")
    try:
        row = Row(row.model_type, row.class_name, part, row.sites, _seconds_in_words(model), row.inputs)
        for check in (hooks_see_the_same, ragged_clips_stay_apart, dissect_is_brute_force):
            check(model)
        geometry = model.sites()[0].geometry
        if isinstance(geometry, Unplaced):
            return _said(row, f"sites are right, no seconds: {geometry.why}")
        clicks_lie_where_seconds_say(model)
    except ModelError as error:
        return _said(row, _sentence(error))
    except Exception as error:
        return _said(row, f"not right: {type(error).__name__}: {_sentence(error)}")
    return _said(row, "proven")


def noise(model: AudioModel, seconds: float, seed: int = 0) -> np.ndarray:
    """Noise at the model's rate, of a whole number of 40 ms."""
    samples = round(seconds * model.sampling_rate)
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def hooks_see_the_same(model: AudioModel) -> None:
    """Every site's value in a trace is what a plain hook sees, in the order of the sites."""
    sites, features = model.sites(), model.featuriser([noise(model, LENGTH)])
    seen: dict[str, Tensor] = {}
    model.run(sites, features, lambda site, value: seen.__setitem__(site.name, value.clone()))
    order: list[str] = []

    def compare(site: Site, value: Tensor) -> None:
        order.append(site.name)
        assert torch.equal(seen[site.name], value), f"{site.name} differs from a plain hook"
        assert value.shape[-1] == site.width, f"{site.name} has {value.shape[-1]} units, not {site.width}"
        assert len(value) == 1 or site.windows > 1, f"{site.name} has no clip axis"

    with torch.no_grad(), site_hooks(model.wrapped, sites, compare):
        model.plain_forward(features)
    assert order == [site.name for site in sites], "sites are not in forward order"


def ragged_clips_stay_apart(model: AudioModel) -> None:
    """A short clip has as many frames that count beside a long one as alone."""
    site = model.sites("*.hook_resid_post")[-1]
    short, long = noise(model, 0.8), noise(model, LENGTH, 1)
    for group in model.featuriser.groups([short, long]):
        seconds = [(0.8, LENGTH)[row] for row in group.rows]
        counts = frame_mask(site, seconds, activations(model, site, group.content).shape[1]).sum(1).tolist()
        for row, count in zip(group.rows, counts, strict=True):
            alone = activations(model, site, model.featuriser([(short, long)[row]]))
            own = frame_mask(site, [(0.8, LENGTH)[row]], alone.shape[1]).sum()
            assert count == own > 0, f"clip {row} has {count} frames in a batch, {own} alone"


def dissect_is_brute_force(model: AudioModel) -> None:
    """A dissection of three clips is what storing and sorting everything gives."""
    clips = [noise(model, seconds, seed) for seed, seconds in enumerate((0.8, 1.2, LENGTH))]
    sites = model.sites("default")
    data = [{"audio": {"array": clip, "sampling_rate": model.sampling_rate}} for clip in clips]
    with tempfile.TemporaryDirectory() as folder:
        found = dissect(model, data, k=2, out=f"{folder}/run", batch_size=3, progress=False)
        pooled = pooled_clips(model, sites, dict(enumerate(clips)))
        assert_equal_to_brute_force(found, sites, pooled, tolerance=1e-4)


def clicks_lie_where_seconds_say(model: AudioModel) -> None:
    """A click moves the frame most whose seconds hold it, early and late in a clip.

    In the first block, and at the end of the last where that has other frames.
    """
    first, *_, last = model.sites("blocks.*.hook_resid_post")
    for site in (first, last) if last.geometry != first.geometry and first.windows == 1 else (first,):
        _clicks_lie_in(model, site)


def _clicks_lie_in(model: AudioModel, site: Site) -> None:
    first, second = (activations(model, site, model.featuriser([_click(model, at)]))[0] for at in (EARLY, LATE))
    moved = (first - second).abs().sum(-1).numpy()
    frames = np.arange(len(moved))
    times = site.geometry.times(frames)
    counts = site.geometry.valid(np.array([LENGTH]), len(frames))[0]
    for at, side in ((EARLY, times[:, 1] < 1.0), (LATE, times[:, 0] > 0.8)):
        here = np.where(counts & side, moved, -np.inf)
        start, end = times[int(here.argmax())]
        assert start - 0.06 <= at <= end + 0.06, f"a click at {at} s moves the frame at {start:.2f}–{end:.2f} s"


def activations(model: AudioModel, site: Site, features: Any) -> Tensor:
    """The activation of one site, [clip, frame, unit]."""
    seen: list[Tensor] = []
    model.run((site,), features, lambda site, value: seen.append(clip_frame_unit(value).clone()))
    return seen[0]


def _click(model: AudioModel, at: float) -> np.ndarray:
    wave = noise(model, LENGTH) * 0.01
    middle = int(at * model.sampling_rate)
    wave[middle - 16 : middle + 16] += 0.9 * np.hanning(32).astype(np.float32)
    return wave


def _sites_in_words(model: AudioModel) -> str:
    first = [site for site in model.sites() if site.layer == 0]
    names = [site.name.removeprefix("blocks.0.") for site in first]
    return ", ".join(names)


def _seconds_in_words(model: AudioModel) -> str:
    geometry: Any = model.sites()[0].geometry
    if hop := getattr(geometry, "hop", 0):
        measured = ", measured" if geometry.kind == "measured" else ""
        return f"{1000 * hop:.4g} ms{measured}"
    return "none"


def _said(row: Row, verdict: str) -> Row:
    changed = copy.copy(row)
    object.__setattr__(changed, "verdict", verdict)
    return changed


def _wanted_library(error: ImportError) -> str:
    """The library that a class of transformers wants and does not find."""
    found = re.search(r"requires (?:the )?(\S+) library", str(error))
    return f"the library {found[1]}" if found else _sentence(error)


def _sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1] if lines and lines[0].endswith(":") else lines[0] if lines else type(error).__name__
