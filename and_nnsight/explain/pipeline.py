"""All the steps in a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import plugins
from ..dissection.dissection import Dissection
from .describe.background import SAMPLE
from .describe.calibration import DEFAULT_THRESHOLD, calibrate, check_threshold
from .describe.captions import caption
from .describe.concepts import DEFAULT_OPTIONS as WORD_OPTIONS
from .describe.concepts import find_concepts
from .describe.evidence import FEW
from .describe.summaries import counts_words, summarize
from .roles import Captioner, ChatModel, ChatOptions, Summarizer, TextEncoder

STEPS = ("captions", "summaries", "calibrated", "concepts")


def explain(
    found: Dissection,
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
) -> dict[str, list[Any]]:
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
    spread       take the k from all stored exemplars, evenly, not the most extreme (see `evidence.chosen_places`)
    every_clip   caption every clip of the dataset, not only those that some unit needs
    background   clips that are captioned as well, where captions have to be made: a fixed random sample, which the
                 words of a unit's captions are held against, whichever units were asked for
    steps        which steps to run, of captions, summaries, calibrated, concepts; others are left as they are

    Returns the rows of each step's table. What is done already is not done again; interrupt it at any moment.
    Raises ValueError for an unknown step, PluginError for a plugin that cannot be used, DissectionError where a step
    lacks the one before it.
    """
    if unknown := [step for step in steps if step not in STEPS]:
        raise ValueError(f"unknown step {unknown[0]!r}: one of {', '.join(STEPS)}")
    units = None if units is None else list(units)
    sites = [sites] if isinstance(sites, str) else None if sites is None else list(sites)
    if captioner is not None and "captions" in steps:
        plugins.check("captioner", captioner, device=device, batch_size=batch_size)
    offered = {"chat": chat, "options": options or ChatOptions(), "corpus": (), "device": device, "seed": 0}
    chosen = summarizer or ("keywords" if chat is None else "llm")
    if "summaries" in steps:  # what is wrong is said before the hours that the captions may take
        plugins.check("summarizer", chosen, **offered)
    if "calibrated" in steps:
        check_threshold(threshold)
        plugins.check("text encoder", text_encoder, device=device)
    if isinstance(chat, str):  # loaded once for all the steps
        chat, _ = plugins.resolve("chat model", chat, device=device, batch_size=batch_size)
    k = FEW if k is None and not counts_words(chosen) else k
    part: dict[str, Any] = {"sites": sites, "units": units, "k": k, "excerpt": excerpt, "spread": spread}
    common: dict[str, Any] = {"device": device, "progress": progress}
    answers: dict[str, list[Any]] = {}
    if "captions" in steps:
        contrast = "summaries" in steps and _wants_contrast(chosen, offered | {"chat": chat})
        answers["captions"] = caption(
            found,
            captioner,
            data=data,
            contrast=contrast,
            every_clip=every_clip,
            background=background,
            batch_size=batch_size,
            **part,
            **common,
        )
    if "summaries" in steps:
        answers["summaries"] = summarize(
            found, summarizer, chat=chat, options=options or ChatOptions(), data=data, **part, **common
        )
    if "calibrated" in steps:
        answers["calibrated"] = calibrate(found, text_encoder=text_encoder, threshold=threshold, **common)
    if "concepts" in steps:
        answers["concepts"] = find_concepts(found, chat=chat, options=_word_options(options), **common)
    return answers


def _wants_contrast(summarizer: str | Summarizer, offered: Mapping[str, Any]) -> bool:
    """Whether a summarizer wants contrast. One whose class says so is made, to ask the form of it that was chosen."""
    plugin: Any = summarizer
    if isinstance(summarizer, str):
        if not getattr(plugins.factory("summarizer", summarizer), "wants_contrast", False):
            return False
        plugin = plugins.make("summarizer", summarizer, **offered)
    return bool(getattr(plugin, "wants_contrast", False))


def _word_options(options: ChatOptions | None) -> ChatOptions:
    if options is None or options.max_tokens <= ChatOptions().max_tokens:
        return WORD_OPTIONS
    return replace(WORD_OPTIONS, max_tokens=options.max_tokens)
