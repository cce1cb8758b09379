"""How well each clip fits each concept of a list: by its caption, by its sound, or by its label.

What is scored is data before it is dissected (so that `dissect(..., concepts=scores)` can compare every unit with every
concept over all clips), or the clips of a dissection.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ... import plugins
from ...data.options import DataOptions
from ...dissection.dissection import Dissection
from ...kernels.surroundings import plain_torch
from ...progress import step_progress
from ...statistics.concept_scores import ConceptScores
from ...storage import undamaged
from ...wording import agree, counted
from ..providers.embeddings import Embeddings, cosines, directions
from ..records.captions import captions_in_file
from ..roles import AudioTextEncoder, Clip, TextEncoder
from .concept_clips import ConceptClips, DataClips, DissectionClips
from .concept_lists import OWN_LABELS, concept_text, read_concepts

METHODS = ("db", "tab", "labels")
DEFAULT_SOFTMAX = 30.0
_BATCH_TEXTS = 1024
Captions = str | Path | Mapping[int, str | None]


@plain_torch()
def score_concepts(
    data: Any,
    concepts: str | Path | Iterable[str],
    method: str = "db",
    *,
    text_encoder: str | TextEncoder = "words",
    audio_text_encoder: str | AudioTextEncoder | None = None,
    softmax: float | None = DEFAULT_SOFTMAX,
    captions: Captions | None = None,
    audio: Any = None,
    split: str | None = None,
    audio_column: str = "audio",
    label_column: str | None = None,
    caption_column: str | None = None,
    limit: int | None = None,
    source_rate: int | None = None,
    batch_size: int = 16,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> ConceptScores:
    """The score of every concept for every clip.

    data      anything that `dissect` takes, before or without a dissection; or a Dissection
    concepts  the list: see `concept_lists.read_concepts`; "labels" are the labels of the data itself
    method    db: the clip's caption and the concept's name, embedded by `text_encoder`; a softmax over concepts of
              `softmax` times their cosine, or with None the cosine itself. tab: the clip's sound and the concept's
              name, embedded by `audio_text_encoder`; the cosine. labels: 1 for the clip's label, else 0
    softmax   30 does well with `words` and with all-MiniLM; more where every caption names its concept, less where few
              do. The released code takes 100, for CLIP's text encoder, whose cosines all lie close together
    captions  the captions, by clip id, or a Parquet file of them (columns clip and caption); None: the dataset's own,
              or a dissection's `captions` table where there is one
    audio     of a dissection whose clips are in no file: what was dissected
    split, audio_column, label_column, caption_column, limit, source_rate   of data, as for `dissect` and `data_clips`

    A clip without a caption fits all concepts alike in data; of a dissection it is left out. Clips that cannot be read
    are left out by tab. Raises ValueError for a method that does not exist, concepts that cannot be read, or data that
    lacks what the method needs; PluginError for an encoder that cannot be used.
    """
    if isinstance(data, Dissection):
        clips: ConceptClips = DissectionClips(data, audio)
    else:
        clips = DataClips(data, DataOptions(split, audio_column, label_column, caption_column, limit), source_rate)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: one of {', '.join(METHODS)}")
    names = read_concepts(concepts, clips.labels if concepts == OWN_LABELS else None)
    if method == "labels":
        scores = ConceptScores.from_labels(clips.labels, names)
    elif method == "db":
        encoder, name = plugins.resolve("text encoder", text_encoder, device=device, batch_size=batch_size)
        texts = _captions(clips, captions)
        if isinstance(clips, DissectionClips):  # of data, clips without a caption stay in, far from every concept
            texts = {clip: caption for clip, caption in texts.items() if _has_words(caption)}
        values = _from_captions(texts, names, Embeddings(encoder, name), softmax, progress)
        scores = replace(values, settings={"encoder": name, "softmax": _softmax_setting(softmax)})
    else:
        if audio_text_encoder is None:
            raise ValueError("tab needs an audio-text encoder, for example clap:laion/clap-htsat-unfused")
        encoder, name = plugins.resolve("audio-text encoder", audio_text_encoder, device=device, batch_size=batch_size)
        scores = replace(_from_audio(clips, names, encoder, batch_size, progress), settings={"encoder": name})
    return replace(scores, settings={**scores.settings, "dataset": clips.fingerprint})


def fits(scores: ConceptScores, method: str, names: Sequence[str], encoder: str | None, softmax: float | None) -> bool:
    """Whether the scores are those that `score_concepts` would make with these settings (some more concepts may be).

    A softmax is over all concepts of a list, so there the list must be the same.
    """
    settings = scores.settings
    if scores.method != method or not set(names) <= set(scores.names):
        return False
    if method == "labels":
        return True
    same_list = softmax is None or method != "db" or set(names) == set(scores.names)
    same_softmax = method != "db" or settings.get("softmax") == _softmax_setting(softmax)
    return settings.get("encoder") == encoder and same_softmax and same_list


def selected(scores: ConceptScores, names: Sequence[str]) -> ConceptScores:
    """The columns of these concepts."""
    if tuple(names) == scores.names:
        return scores
    return replace(scores, names=tuple(names), values=scores.values[:, [scores.column_of[name] for name in names]])


def _captions(clips: ConceptClips, captions: Captions | None) -> dict[int, str | None]:
    """The caption of each clip; None where there is none. Raises ValueError if no clip has one."""
    if captions is None:
        texts = clips.captions()
    elif isinstance(captions, Mapping):
        texts = dict(captions)
    else:
        path = Path(captions).expanduser()
        with undamaged(path, "name a Parquet file with the columns clip and caption"):
            texts = captions_in_file(path)
    if not any(map(_has_words, texts.values())):
        raise ValueError(
            "no clip has a caption to compare concepts with: name the caption column, or caption the clips first "
            "(and-nnsight explain DIR --step captions --all)"
        )
    return texts


def _from_captions(
    captions: Mapping[int, str | None], names: Sequence[str], embed: Embeddings, softmax: float | None, progress: bool
) -> ConceptScores:
    """Captions against concepts; a clip without a caption is as far from one as from the other."""
    clips = sorted(captions)
    texts = [(captions[clip] or "").strip() for clip in clips]
    silent = texts.count("")
    if silent:
        warnings.warn(
            f"{silent} of {counted(len(clips), 'clip')} {agree(silent, 'has', 'have')} no caption: "
            "they fit all concepts alike",
            stacklevel=3,
        )
    distinct = list(dict.fromkeys(text for text in texts if text))
    values = _text_cosines(distinct, names, embed, progress)
    if softmax is not None:
        for rows in values.split(_BATCH_TEXTS):
            rows.copy_((softmax * rows.double()).softmax(1))
    row_of = {text: row for row, text in enumerate(distinct)}
    rows = torch.tensor([row_of.get(text, len(distinct)) for text in texts])
    return ConceptScores(tuple(names), _ids(clips), values[rows], "db")


def _text_cosines(
    texts: Sequence[str], names: Sequence[str], embed: Embeddings, progress: bool
) -> Float[Tensor, "row concept"]:
    """Of texts with concepts; a last row of zeros is of clips without a text."""
    values = torch.zeros(len(texts) + 1, len(names))
    of_concepts = embed([concept_text(concept) for concept in names])
    with step_progress("captions", len(texts), progress) as done:
        for start in range(0, len(texts), _BATCH_TEXTS):
            of_texts = embed.once(texts[start : start + _BATCH_TEXTS])
            values[start : start + len(of_texts)] = torch.from_numpy(cosines(of_texts, of_concepts))
            done(len(of_texts))
    return values


def _from_audio(
    clips: ConceptClips, names: Sequence[str], encoder: AudioTextEncoder, batch_size: int, progress: bool
) -> ConceptScores:
    """Sounds against concepts; clips that cannot be read are left out."""
    ids, rows, reasons = list[int](), list[Tensor](), list[str]()
    of_concepts = directions(np.asarray(encoder.encode_text([concept_text(name) for name in names])))
    coming = clips.sounds(encoder.sampling_rate)
    with step_progress("sounds", clips.count, progress) as done:
        while batch := list(islice(coming, batch_size)):
            readable = [clip for clip in batch if isinstance(clip, Clip)]
            reasons += [clip[1].reason for clip in batch if not isinstance(clip, Clip)]
            if readable:
                rows.append(torch.from_numpy(_sound_directions(encoder, readable) @ of_concepts.T))
                ids += [clip.span.clip for clip in readable]
            done(len(batch))
    if not ids:
        raise ValueError(f"no clip could be read: {reasons[0]}" if reasons else "there are no clips")
    _warn_of_unreadable(reasons)
    return ConceptScores(tuple(names), _ids(ids), torch.cat(rows), "tab")


def _warn_of_unreadable(reasons: Sequence[str]) -> None:
    if reasons:
        be = agree(len(reasons), "is", "are")
        warnings.warn(
            f"{counted(len(reasons), 'clip')} could not be read and {be} left out: {reasons[0]}", stacklevel=4
        )


def _sound_directions(encoder: AudioTextEncoder, clips: Sequence[Clip]) -> np.ndarray:
    vectors = directions(np.asarray(encoder.encode_audio([clip.samples for clip in clips])))
    if len(vectors) != len(clips):
        raise ValueError(f"{encoder.name!r} gave {len(vectors)} vectors for {len(clips)} clips")
    return vectors


def _has_words(caption: str | None) -> bool:
    return bool(caption and caption.strip())


def _ids(clips: Sequence[int]) -> Int64[Tensor, " clip"]:
    return torch.tensor(clips, dtype=torch.int64)


def _softmax_setting(softmax: float | None) -> str:
    return "none" if softmax is None else f"{softmax:g}"
