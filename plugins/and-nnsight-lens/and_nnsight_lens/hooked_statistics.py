"""Top-K, bottom-K and moments of every unit, for people who run a bridge in a loop of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import Any

import torch
from and_nnsight.dissection.site_statistics import SiteStatistics
from and_nnsight.run.collector import BatchCollector
from and_nnsight.sites.site import MODULE_PREFIX, Site, SiteError
from and_nnsight.statistics.units import UnitStatistics
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from .bridged import BridgedModel, folded, hook_name


class HookedStatistics:
    """Hooks that keep, for every unit of the sites, the K highest and K lowest clips, the mean and the variance.

    sites  names, globs, or the presets "default", "paper", "all" and "heads"; each is the name of a hook, or of one
           with heads or a dictionary on it (`blocks.3.attn.hook_z|heads`)
    k      clips kept at either end of each unit
    pool   how a clip's frames become one value: max, mean, cls, first or last

    Nothing is kept but [K, units]: a loop may run for as long as it likes.

        kept = HookedStatistics(bridge, "default", k=8)
        for clip_ids, seconds, features in my_batches:
            with kept.batch(clip_ids, seconds):
                bridge.run_with_hooks(features, fwd_hooks=kept.fwd_hooks, return_type=None)
        kept["blocks.3.mlp.hook_post"].top.clips  # [k, unit]

    Raises SiteError for a pattern that names nothing.
    """

    def __init__(
        self,
        bridge: TransformerBridge,
        sites: str | Iterable[str] = "default",
        k: int = 16,
        pool: str = "max",
        *,
        feature_extractor: Any = None,
    ) -> None:
        patterns = [sites] if isinstance(sites, str) else list(sites)
        self.sites: tuple[Site, ...] = BridgedModel(bridge, feature_extractor).sites(*patterns)
        if not patterns or any(site.name.startswith(MODULE_PREFIX) for site in self.sites):
            raise SiteError("name at least one site that is a hook of the bridge, for example 'default'")
        self._device = next(bridge.original_model.parameters()).device
        where = "cpu" if self._device.type == "mps" else self._device  # which has no float64
        self.statistics = UnitStatistics(
            {site.name: site.width for site in self.sites}, k=k, pooling=pool, device=where
        )
        self._collector = BatchCollector(self.statistics)
        self._open = False

    @property
    def fwd_hooks(self) -> list[tuple[str, Callable[..., None]]]:
        """For `bridge.run_with_hooks(…, fwd_hooks=…)`, `bridge.hooks(…)` or `bridge.add_hook`; they change nothing."""
        return [(hook_name(site), self._hook(site)) for site in self.sites]

    @contextmanager
    def batch(self, clip_ids: Sequence[int], seconds: Sequence[float]) -> Iterator[None]:
        """While open, one forward over a batch is taken in: the ids of its rows and the lengths of their sounds.

        Frames behind a clip's end do not count. Raises ValueError for ids below zero, for lengths that are none, for
        another number of them than the batch has rows, and if a hook fired twice; RuntimeError on leaving if one did
        not fire. Then nothing of the batch is kept.
        """
        ids, lengths = [index(clip) for clip in clip_ids], [float(length) for length in seconds]
        if len(ids) != len(lengths):
            raise ValueError(f"{len(ids)} clip ids, but lengths of {len(lengths)} clips")
        if any(clip < 0 for clip in ids):
            raise ValueError(f"clip ids are whole numbers from 0, not {min(ids)}")
        if odd := [length for length in lengths if not 0 < length < math.inf]:
            raise ValueError(f"a clip's length is in seconds, above 0 and finite, not {odd[0]}")
        self._collector.begin(ids, lengths, self._device)
        self._open = True
        try:
            yield
            self._collector.end()
        finally:
            self._open = False
            self.statistics.discard_batch()

    def __getitem__(self, site: str) -> SiteStatistics:
        """What is kept of a site so far. Raises KeyError for a site that was not asked for."""
        self._known(site)
        tensors = self.statistics.site_tensors(site)
        return SiteStatistics.from_tensors(tensors)

    def seconds(self, site: str, frame: int) -> tuple[float, float]:
        """Start and end of a frame of a site in seconds from the clip's start; NaN where it has no place in time.

        Raises KeyError for a site that was not asked for.
        """
        self._known(site)
        geometry = next(one.geometry for one in self.sites if one.name == site)
        start, end = geometry.times(torch.tensor([frame]).numpy())[0].tolist()
        return start, end

    def _known(self, site: str) -> None:
        if site not in self.statistics.slices:
            raise KeyError(f"no statistics are kept of {site!r}; of: {', '.join(self.statistics.slices)}")

    def _hook(self, site: Site) -> Callable[..., None]:
        def hook_fn(tensor: Tensor, hook: Any) -> None:
            if not self._open:
                raise RuntimeError("the bridge ran outside of a batch: run it inside `with kept.batch(ids, seconds):`")
            value, clips = folded(site, tensor.detach()), len(self._collector.clip_ids)
            if len(value) != clips:
                raise ValueError(f"the bridge ran on a batch of {len(value)} rows, but {clips} clip ids were given")
            self._collector.collect(site, value)

        return hook_fn
