"""What the public calls of this room take as keywords, as values: which exemplars, captions, and summaries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..roles import ChatOptions
from .background import SAMPLE

DEFAULT_THRESHOLD = 0.6
"""Cosine with a lowly sentence above which a sentence says nothing of the unit (0.9 in the paper's picture)."""


@dataclass(frozen=True)
class ExemplarOptions:
    """Which exemplars of which units are looked at, and which part of their clips.

    sites, units  which units (names and globs; indices); None: all
    k             exemplars at either end; None: the usual number (see `evidence.usual_k`)
    excerpt       seconds around the moment at which a unit fires; None: whole clips
    spread        take the k from all stored exemplars, evenly, not the most extreme (see `evidence.chosen_exemplars`)
    """

    sites: tuple[str, ...] | None = None
    units: tuple[int, ...] | None = None
    k: int | None = None
    excerpt: float | None = None
    spread: bool = False

    @staticmethod
    def of(
        sites: str | Iterable[str] | None,
        units: Iterable[int] | None,
        k: int | None,
        excerpt: float | None,
        spread: bool,
    ) -> ExemplarOptions:
        """The same of what the public calls take: one site by its name, and iterators, which are read once."""
        if isinstance(sites, str):
            sites = [sites]
        patterns = None if sites is None else tuple(sites)
        return ExemplarOptions(patterns, None if units is None else tuple(units), k, excerpt, spread)


@dataclass(frozen=True)
class CaptionOptions:
    """Which clips are captioned.

    exemplars   those of units
    contrast    and those that units are contrasted with, for summarizers that want them
    every_clip  and every clip of the dissection, whole
    background  clips of the random sample: all of them where there are no more, or `every_clip` is given
    """

    exemplars: ExemplarOptions = field(default_factory=ExemplarOptions)
    contrast: bool = False
    every_clip: bool = False
    background: int = SAMPLE


@dataclass(frozen=True)
class CalibrationOptions:
    """How summaries are calibrated.

    text_encoder  plugin
    threshold     cosine above which a sentence is dropped
    """

    text_encoder: Any = "words"
    threshold: float = DEFAULT_THRESHOLD


@dataclass(frozen=True)
class SummaryOptions:
    """What summarizes units.

    summarizer  plugin; None: `llm` if a chat model is given, else `keywords`
    chat        plugin
    options     how the chat model is to answer
    """

    summarizer: Any = None
    chat: Any = None
    options: ChatOptions = field(default_factory=ChatOptions)

    @property
    def plugin(self) -> Any:
        """The summarizer: an object, or a name."""
        if self.summarizer is not None:
            return self.summarizer
        return "keywords" if self.chat is None else "llm"
