"""The caption of every stored exemplar: of the clip, or of the excerpt in which the unit fires."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.next_step import run_first
from ...explain.describe.evidence import gather
from ...explain.records.captions import captions_of
from ...explain.records.reading import has_table, table_settings
from ...explain.roles import Span
from .activations import class_statistics, deviation
from .exemplar_shares import clip_flags

OWN = "column:caption"
"""The captioner that takes the dataset's captions: then those of clips that no unit needed are known as well."""


class ExemplarCaptions:
    """Captions of a dissection's exemplars: those of the table `captions`, or the dataset's own where there is none.

    Raises DissectionError if there are neither.
    """

    def __init__(self, dissection: Dissection) -> None:
        self._dissection = dissection
        self.excerpt: float | None = table_settings(dissection, "summaries").get("excerpt")
        captions = {Span(clip): row.caption for clip, row in dissection.clips.items() if row.caption}
        self.captioner = OWN
        if has_table(dissection, "captions"):
            self.captioner = table_settings(dissection, "captions").get("captioner", OWN)
            of_table = captions_of(dissection)
            captions = {**captions, **of_table} if self.captioner == OWN else of_table
        if not captions:
            first = run_first(dissection, "explain", "--step", "captions")
            raise DissectionError(f"{dissection.place} has no captions yet: {first}")
        self.by_span = captions

    @property
    def has_activations(self) -> bool:
        """Whether the activations of all clips are there."""
        return self._dissection.manifest.keep_activations

    def mean_above(self, site: str, carries: Callable[[str], bool]) -> Float[Tensor, " unit"]:
        """By how many standard deviations the mean of the clips with such a caption lies above that of all clips.

        0 for a constant unit, and for all where activations were not kept.
        """
        activations = self._dissection.activations(site)
        if activations is None:
            return torch.zeros(self._dissection.widths()[site])
        carrying = {span.clip for span, text in self.by_span.items() if carries(text)}
        labels = np.array([0 if clip in carrying else -1 for clip in self._dissection.clips], dtype=np.int64)
        (above,) = deviation(class_statistics(np.asarray(activations, np.float64), labels, 1), 0)
        return torch.from_numpy(np.nan_to_num(above))

    def texts(self) -> set[str]:
        """Every caption, once."""
        return set(self.by_span.values())

    def flags(self, site: str, side: str, carries: Callable[[str], bool]) -> Bool[Tensor, "k unit"]:
        """Of every stored place of a site's units, whether its caption carries something; False without a caption.

        side  "top" or "bottom"
        """
        clips = self._dissection.evidence(site, side).ranked.clips
        if self.excerpt is not None:
            return self._excerpt_flags(site, side, clips, carries)
        carrying = [span.clip for span, text in self.by_span.items() if span.start is None and carries(text)]
        return clip_flags(self._dissection, carrying)[clips.clamp(min=0)] & (clips >= 0)

    def _excerpt_flags(
        self, site: str, side: str, clips: Int64[Tensor, "k unit"], carries: Callable[[str], bool]
    ) -> Bool[Tensor, "k unit"]:
        """The same where captions are of excerpts: the same clip may carry it for one unit and not for another."""
        shown = torch.zeros(clips.shape, dtype=torch.bool)
        units = [(site, unit) for unit in range(clips.shape[1])]
        gathered = gather(self._dissection, units, self.by_span, k=len(clips), excerpt=self.excerpt)
        for unit, one in enumerate(gathered):
            exemplars = one.evidence.highly if side == "top" else one.evidence.lowly
            carrying = [exemplar.clip for exemplar in exemplars if carries(exemplar.caption)]
            shown[:, unit] = torch.isin(clips[:, unit], torch.tensor(carrying, dtype=torch.int64))
        return shown
