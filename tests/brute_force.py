"""Dissection the slow way: one clip at a time through plain hooks, everything stored in float64, sorted at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from and_nnsight import AudioModel, Dissection
from and_nnsight.sites.hooks import site_hooks
from and_nnsight.sites.site import Site, clip_frame_unit

Pooled = tuple[np.ndarray, np.ndarray]  # values and frames, [unit]


def pooled_clips(
    model: AudioModel, sites: Sequence[Site], clips: Mapping[int, np.ndarray]
) -> dict[str, dict[int, Pooled]]:
    """Maximum over the frames that count, and its frame, of every clip at every site."""
    found: dict[str, dict[int, Pooled]] = {site.name: {} for site in sites}
    module: Any = model.wrapped
    for clip, wave in clips.items():
        seconds = np.array([len(wave) / model.sampling_rate])

        def keep(site: Site, value: torch.Tensor, clip: int = clip, seconds: np.ndarray = seconds) -> None:
            activation = clip_frame_unit(value)[0].double().numpy()
            counts = site.geometry.valid(seconds, len(activation))[0]
            masked = np.where(counts[:, None], activation, -np.inf)
            found[site.name][clip] = (masked.max(0), masked.argmax(0))

        with torch.inference_mode(), site_hooks(module, sites, keep):
            model.plain_forward(model.featuriser([wave]))
    return found


def assert_equal_to_brute_force(
    found: Dissection, sites: Sequence[Site], pooled: Mapping[str, Mapping[int, Pooled]], tolerance: float = 1e-5
) -> None:
    """Ids and frames identical, values within the tolerance; clips whose values tie within it may change places."""
    for site in sites:
        clips = sorted(pooled[site.name])
        values = np.stack([pooled[site.name][clip][0] for clip in clips])
        statistics = found[site.name]
        np.testing.assert_allclose(statistics.mean.numpy(), values.mean(0), atol=tolerance, rtol=1e-4)
        np.testing.assert_allclose(statistics.variance.numpy(), values.var(0), atol=tolerance, rtol=1e-3)
        for ranked, sign in ((statistics.top, -1), (statistics.bottom, 1)):
            order = np.argsort(sign * values, axis=0, kind="stable")[: len(ranked.values)]
            kept = min(len(order), len(clips))
            expected = np.take_along_axis(values, order, 0)
            np.testing.assert_allclose(ranked.values[:kept].numpy(), expected, atol=tolerance, rtol=1e-5)
            ids = np.array(clips)[order]
            for place, unit in np.argwhere(ranked.clips[:kept].numpy() != ids):
                own = values[clips.index(int(ranked.clips[place, unit])), unit]
                assert abs(own - expected[place, unit]) < tolerance, (site.name, place, unit)
            rows = np.searchsorted(clips, ranked.clips[:kept].numpy())
            frames = np.take_along_axis(np.stack([pooled[site.name][clip][1] for clip in clips]), rows, 0)
            np.testing.assert_array_equal(ranked.frames[:kept].numpy(), frames, err_msg=site.name)
