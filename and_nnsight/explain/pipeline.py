"""All the steps in a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import plugins
from ..dissection.dissection import Dissection
from ..dissection.rows import Rows, Tables
from ..kernels.surroundings import plain_torch
from ..run.options import RunOptions
from .describe.background import SAMPLE
from .describe.calibration import calibrate_summaries, check_threshold
from .describe.captions import caption_clips
from .describe.concepts import DEFAULT_OPTIONS as WORD_OPTIONS
from .describe.concepts import concepts_of_summaries
from .describe.evidence import FEW
from .describe.options import DEFAULT_THRESHOLD, CalibrationOptions, CaptionOptions, ExemplarOptions, SummaryOptions
from .describe.summaries import counts_words, summarize_units
from .roles import Captioner, ChatModel, ChatOptions, Summarizer, TextEncoder

STEPS = ("captions", "summaries", "calibrated", "concepts")


@plain_torch()
def explain(
    dissection: Dissection,
    *,
    captioner: str | Captioner | None = None,
    summarizer: str | Summarizer | None = None,
    chat: str | ChatModel | None = None,
    text_encoder: str | TextEncoder = "words",
    threshold: float = DEFAULT_THRESHOLD,
    options: ChatOptions | None = None,
    data: Any = None,
    sites: str | Iterable[str] | None = None,
    units: Iterable[int] | None = None,
    k: int | None = None,
    excerpt: float | None = None,
    spread: bool = False,
    every_clip: bool = False,
    background: int = SAMPLE,
    steps: Sequence[str] = STEPS,
    batch_size: int = 8,
    device: str | None = None,
    progress: bool = True,
) -> Tables:
    """Caption the clips, summarize each unit's, calibrate the summaries, draw the open concepts out of them.

    captioner    plugin; None: the dataset's captions where it has any, else the acoustic describer
    summarizer   plugin; None: `llm` if a chat model is named, else `keywords`. For one that says `wants_contrast` the
                 clips that units are contrasted with are captioned as well
    chat         plugin for the summarizer `llm` and for the test whether an adjective is acoustic
    text_encoder, threshold  of the calibration: a sentence that is closer to a lowly sentence is dropped
    options      how the chat model is to answer. Whether a word is acoustic is a short answer, greedy; more tokens than
                 by default are allowed there too, for models that think before they answer
    data         what was dissected, where its audio is needed and is not in files
    sites, units which units (names and globs; indices); None: all
    k            exemplars at either end; None: 5, as in the paper, but for `keywords` all that are stored (at most 16)
                 where the captions are the dataset's own: more of them tell a unit of several kinds of sound better
    excerpt      seconds around the moment at which a unit fires; None: whole clips
    spread       take the k from all stored exemplars, evenly, not the most extreme (see `evidence.chosen_exemplars`)
    every_clip   caption every clip of the dataset, not only those that some unit needs
    background   clips that are captioned as well, where captions have to be made: a fixed random sample, which the
                 words of a unit's captions are held against, whichever units were asked for
    steps        which steps to run, of captions, summaries, calibrated, concepts; others are left as they are

    Returns the rows of each step's table, of which `to_pandas` makes a frame, a row a unit. What is done already is not
    done again; interrupt it at any moment.
    Raises ValueError for an unknown step, PluginError for a plugin that cannot be used, DissectionError where a step
    lacks the one before it.
    """
    pipeline = _Pipeline(
        steps=_known(steps),
        captioner=captioner,
        captions=CaptionOptions(ExemplarOptions.of(sites, units, k, excerpt, spread), False, every_clip, background),
        summary=SummaryOptions(summarizer or None, chat, options or ChatOptions()),
        calibration=CalibrationOptions(text_encoder, threshold),
        word_options=_word_options(options),
        run=RunOptions(device=device, batch_size=batch_size, progress=progress),
        data=data,
    )
    pipeline.check()
    return pipeline.ready().rows(dissection)


def _known(steps: Sequence[str]) -> tuple[str, ...]:
    if unknown := [step for step in steps if step not in STEPS]:
        raise ValueError(f"unknown step {unknown[0]!r}: one of {', '.join(STEPS)}")
    return tuple(steps)


@dataclass(frozen=True)
class _Pipeline:
    """What `explain` was asked for: each step with its options."""

    steps: tuple[str, ...]
    captioner: Any
    captions: CaptionOptions
    summary: SummaryOptions
    calibration: CalibrationOptions
    word_options: ChatOptions
    run: RunOptions
    data: Any

    def check(self) -> None:
        """Raise for what cannot be used: it is said before the hours that the captions may take."""
        device = self.run.device
        if self.captioner is not None and "captions" in self.steps:
            plugins.check("captioner", self.captioner, device=device, batch_size=self.run.batch_size)
        if "summaries" in self.steps:
            plugins.check("summarizer", self.summary.plugin, **self._offer())
        if "calibrated" in self.steps:
            check_threshold(self.calibration.threshold)
            plugins.check("text encoder", self.calibration.text_encoder, device=device)

    def ready(self) -> _Pipeline:
        """The same with the chat model loaded, once for all the steps, and with what the other options decide."""
        ready = self
        if isinstance(self.summary.chat, str):
            device, batch_size = self.run.device, self.run.batch_size
            chat, _ = plugins.resolve("chat model", self.summary.chat, device=device, batch_size=batch_size)
            ready = replace(self, summary=replace(self.summary, chat=chat))
        exemplars = self.captions.exemplars
        if exemplars.k is None and not counts_words(self.summary.plugin):
            exemplars = replace(exemplars, k=FEW)
        contrast = {"captions", "summaries"} <= set(self.steps) and ready._wants_contrast()
        return replace(ready, captions=replace(self.captions, exemplars=exemplars, contrast=contrast))

    def rows(self, dissection: Dissection) -> Tables:
        """Run the steps in their order; the rows of each step's table."""
        run = {"captions": self._caption, "summaries": self._summarize, "calibrated": self._calibrate}
        run |= {"concepts": self._find_concepts}
        return Tables({step: run[step](dissection) for step in STEPS if step in self.steps})

    def _caption(self, dissection: Dissection) -> Rows[Any]:
        return caption_clips(dissection, self.captioner, self.captions, self.run, self.data)

    def _summarize(self, dissection: Dissection) -> Rows[Any]:
        return summarize_units(dissection, self.summary, self.captions.exemplars, self.run, self.data)

    def _calibrate(self, dissection: Dissection) -> Rows[Any]:
        return calibrate_summaries(dissection, self.calibration, self.run)

    def _find_concepts(self, dissection: Dissection) -> Rows[Any]:
        return concepts_of_summaries(dissection, self.summary.chat, self.word_options, self.run)

    def _wants_contrast(self) -> bool:
        """Whether the summarizer wants contrast. One whose class says so is made, to ask the form that was chosen."""
        plugin: Any = self.summary.plugin
        if isinstance(plugin, str):
            if not getattr(plugins.factory("summarizer", plugin), "wants_contrast", False):
                return False
            plugin = plugins.make("summarizer", plugin, **self._offer())
        return bool(getattr(plugin, "wants_contrast", False))

    def _offer(self) -> dict[str, Any]:
        """What a summarizer may take before there is anything to summarize."""
        summary = self.summary
        return {
            "chat": summary.chat, "options": summary.options, "corpus": (), "device": self.run.device, "seed": 0
        }  # fmt: skip


def _word_options(options: ChatOptions | None) -> ChatOptions:
    if options is None or options.max_tokens <= ChatOptions().max_tokens:
        return WORD_OPTIONS
    return replace(WORD_OPTIONS, max_tokens=options.max_tokens)
