"""How many frames and units each site has, found out without weights: nnsight's scan, and plain hooks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..model.audio_model import AudioModel
from ..model.features import Features
from ..sites.geometry import Convolved, WholeClip
from ..sites.hooks import site_hooks
from ..sites.site import Site, clip_frame_unit

_SCANS = 3  # after so many that agree, geometry is believed


def site_shapes(model: AudioModel, sites: Sequence[Site], features: Features) -> dict[str, torch.Size]:
    """Shape of each site's activation for these features, in the order in which the sites fire.

    Raises SiteError for sites that do not fire.
    """
    shapes: dict[str, torch.Size] = {}

    def note(site: Site, value: Tensor) -> None:
        shapes.setdefault(site.name, value.shape)

    with site_hooks(model.wrapped, sites, note):
        model.scan_weightless(features)
    return shapes


class FrameCounts:
    """Frames of each site for clips of given lengths.

    The model is scanned at the first few lengths. Where convolutions alone decide how many frames a length has, and
    what they say is what the scans found, no further one is needed: it takes as long as running a short clip.
    """

    def __init__(self, model: AudioModel, sites: Sequence[Site]) -> None:
        self._model, self._sites = model, sites
        self._known: dict[int, dict[str, int]] = {}
        self._scans = 0
        self._trusts_geometry = all(isinstance(site.geometry, (Convolved, WholeClip)) for site in sites)

    def __call__(self, lengths: Sequence[int]) -> dict[str, int]:
        """Frames a site, for a group of clips of these numbers of samples that run together."""
        featuriser = self._model.featuriser
        window = featuriser.window_samples
        length = max(lengths) if window is None else min(window, featuriser.sampling_rate)
        if length not in self._known:
            self._known[length] = self._count(length)
        return self._known[length]

    def _count(self, length: int) -> dict[str, int]:
        computed = self._by_geometry(length) if self._trusts_geometry else {}
        if computed and self._scans >= _SCANS:
            return computed
        counts = self._by_scan(length)
        self._trusts_geometry = self._trusts_geometry and counts == computed
        return counts

    def _by_scan(self, length: int) -> dict[str, int]:
        self._scans += 1
        featuriser = self._model.featuriser
        samples = max(length, featuriser.minimum_samples)
        clip = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
        shapes = site_shapes(self._model, self._sites, featuriser([clip]))
        return {name: clip_frame_unit(torch.empty(shape, device="meta")).shape[1] for name, shape in shapes.items()}

    def _by_geometry(self, length: int) -> dict[str, int]:
        return {
            site.name: int(site.geometry.length(np.array([length]))[0]) if isinstance(site.geometry, Convolved) else 1
            for site in self._sites
        }
