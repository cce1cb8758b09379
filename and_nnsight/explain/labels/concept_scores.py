"""How well each clip fits each concept of a list: by its caption, by its sound, or by its label.

What is scored is data before it is dissected (so that `dissect(..., concepts=scores)` can compare every unit with every
concept over all clips), or the clips of a dissection.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ... import plugins
from ...data import open_source
from ...dissection.dissection import Dissection
from ...progress import step_progress
from ...statistics.concept_scores import ConceptScores
from ...storage import read_parquet, undamaged
from ...wording import agree, counted
from ..providers.embeddings import Embeddings, cosines, directions
from ..records.captions import captioner_of, whole_clip_captions
from ..records.clip_audio import ClipOrFailure, data_clips, dissection_clips
from ..records.description_rows import CaptionRow
from ..records.reading import has_table, read_table
from ..roles import AudioTextEncoder, Clip, Span, TextEncoder

METHODS = ("db", "tab", "labels")
OWN_LABELS = "labels"
UNION = " | "
"""Stands between the concepts of a union, which is a label of its own (see `unions`)."""
DEFAULT_SOFTMAX = 30.0
_BATCH_TEXTS = 1024
Captions = str | Path | Mapping[int, str | None]


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
    concepts  the list: see `read_concepts`; "labels" are the labels of the data itself
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
    columns = {"audio_column": audio_column, "label_column": label_column, "caption_column": caption_column}
    if isinstance(data, Dissection):
        clips: _Clips = _Dissected(data, audio)
    else:
        clips = _Data(data, {"split": split, "limit": limit, **columns}, source_rate)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: one of {', '.join(METHODS)}")
    names = read_concepts(concepts, clips.labels if concepts == OWN_LABELS else None)
    if method == "labels":
        scores = ConceptScores.from_labels(clips.labels, names)
    elif method == "db":
        encoder, name = plugins.resolve("text encoder", text_encoder, device=device, batch_size=batch_size)
        said = _said_of(clips, captions)
        scores = _from_captions(said, names, encoder, name, softmax, isinstance(clips, _Data), progress)
        scores = replace(scores, settings={"encoder": name, "softmax": _softmax_setting(softmax)})
    else:
        if audio_text_encoder is None:
            raise ValueError("tab needs an audio-text encoder, for example clap:laion/clap-htsat-unfused")
        encoder, name = plugins.resolve("audio-text encoder", audio_text_encoder, device=device, batch_size=batch_size)
        scores = replace(_from_audio(clips, names, encoder, batch_size, progress), settings={"encoder": name})
    return replace(scores, settings={**scores.settings, "dataset": clips.fingerprint})


def read_concepts(value: str | Path | Iterable[str], labels: Mapping[int, str | None] | None = None) -> tuple[str, ...]:
    """A list of concepts, each once, in the order given.

    value   a file (one a line; lines that begin with # are comments), names with commas between them, a sequence of
            names, or "labels": every label of the clips, sorted
    labels  the labels of the clips, for "labels"

    Raises ValueError if there is no such file, or no concept at all, or a name reads like a union of concepts.
    """
    if isinstance(value, str) and value.strip() == OWN_LABELS:
        names: Iterable[str] = sorted({label for label in (labels or {}).values() if label})
        if not names:
            raise ValueError("the clips have no labels that could be the concepts: name some, or a file of them")
    elif isinstance(value, Path) or (isinstance(value, str) and _is_file(value)):
        path = Path(value).expanduser()
        with undamaged(path, "name a text file with a concept a line"):
            lines = path.read_text(encoding="utf-8-sig").split("\n")  # not at U+2028, say
        names = (line for line in lines if not line.lstrip().startswith("#"))
    elif isinstance(value, str):
        if "," not in value and ("/" in value or value.endswith((".txt", ".csv"))):
            raise ValueError(f"no such file of concepts: {value}")
        names = value.split(",")
    else:
        names = value
    distinct = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not distinct:
        raise ValueError("there are no concepts: give a file (one a line), a list with commas, or labels")
    if joined := [name for name in distinct if UNION in name]:
        raise ValueError(f"the concept {joined[0]!r} reads like a union of concepts: write it without {UNION!r}")
    return distinct


def concept_text(name: str) -> str:
    """A concept's name as words: `car_horn` reads `car horn`.

    Of a union what its concepts share is said once: `bass_drum | snare_drum` reads `bass or snare drum`.
    """
    each = [part.replace("_", " ").split() for part in name.split(UNION)]
    if len(each) == 1:
        return " ".join(each[0])
    shortest = min(map(len, each))
    head = next((at for at in range(shortest) if len({words[at] for words in each}) > 1), shortest - 1)
    rest = shortest - head - 1  # every concept keeps a word of its own
    tail = next((at for at in range(rest) if len({words[-1 - at] for words in each}) > 1), rest)
    own = [" ".join(words[head : len(words) - tail]) for words in each]
    middle = f"{', '.join(own[:-1])} or {own[-1]}"
    return " ".join([*each[0][:head], middle, *each[0][len(each[0]) - tail :]])


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
    return replace(scores, names=tuple(names), values=scores.values[:, [scores.names.index(name) for name in names]])


def _said_of(clips: _Clips, captions: Captions | None) -> dict[int, str | None]:
    """The caption of each clip; None where there is none. Raises ValueError if no clip has one."""
    if captions is None:
        said = clips.captions()
    elif isinstance(captions, Mapping):
        said = dict(captions)
    else:
        path = Path(captions).expanduser()
        with undamaged(path, "name a Parquet file with the columns clip and caption"):
            said = whole_clip_captions(CaptionRow.of_arrow(read_parquet(path)))
    if not any(_says(caption) for caption in said.values()):
        raise ValueError(
            "no clip has a caption to compare concepts with: name the caption column, or caption the clips first "
            "(and-nnsight explain DIR --step captions --all)"
        )
    return said


def _from_captions(
    said: Mapping[int, str | None],
    names: Sequence[str],
    encoder: TextEncoder,
    name: str,
    softmax: float | None,
    every_clip: bool,
    progress: bool,
) -> ConceptScores:
    """Captions against concepts. `every_clip`: clips without a caption stay in, far from every concept."""
    clips = sorted(clip for clip, caption in said.items() if every_clip or _says(caption))
    texts = [(said[clip] or "").strip() for clip in clips]
    if silent := texts.count(""):
        warnings.warn(
            f"{silent} of {counted(len(clips), 'clip')} {agree(silent, 'has', 'have')} no caption: "
            "they fit all concepts alike",
            stacklevel=3,
        )
    distinct = list(dict.fromkeys(text for text in texts if text))
    embed = Embeddings(encoder, name)
    with step_progress("captions", len(distinct), progress) as done:
        parts = []
        for start in range(0, len(distinct), _BATCH_TEXTS):
            parts.append(embed(distinct[start : start + _BATCH_TEXTS]))
            done(len(parts[-1]))
    of_captions = np.concatenate([*parts, np.zeros_like(parts[0][:1])])
    cosine = torch.from_numpy(cosines(of_captions, embed([concept_text(concept) for concept in names])))
    values = cosine if softmax is None else (softmax * cosine.double()).softmax(1).float()
    row_of = {text: row for row, text in enumerate(distinct)}
    rows = torch.tensor([row_of.get(text, len(distinct)) for text in texts])
    return ConceptScores(tuple(names), _ids(clips), values[rows], "db")


def _from_audio(
    clips: _Clips, names: Sequence[str], encoder: AudioTextEncoder, batch_size: int, progress: bool
) -> ConceptScores:
    found, rows, unread = list[int](), list[Tensor](), list[str]()
    of_concepts = directions(np.asarray(encoder.encode_text([concept_text(name) for name in names])))
    with step_progress("sounds", clips.count, progress) as done:
        coming = clips.sounds(encoder.sampling_rate)
        while batch := list(islice(coming, batch_size)):
            heard = [clip for clip in batch if isinstance(clip, Clip)]
            unread += [clip[1].reason for clip in batch if not isinstance(clip, Clip)]
            if heard:
                vectors = directions(np.asarray(encoder.encode_audio([clip.samples for clip in heard])))
                if len(vectors) != len(heard):
                    raise ValueError(f"{encoder.name!r} gave {len(vectors)} vectors for {len(heard)} clips")
                rows.append(torch.from_numpy(vectors @ of_concepts.T))
                found += [clip.span.clip for clip in heard]
            done(len(batch))
    if not found:
        raise ValueError(f"no clip could be read: {unread[0]}" if unread else "there are no clips")
    if unread:
        be = agree(len(unread), "is", "are")
        warnings.warn(f"{counted(len(unread), 'clip')} could not be read and {be} left out: {unread[0]}", stacklevel=3)
    return ConceptScores(tuple(names), _ids(found), torch.cat(rows), "tab")


@dataclass(frozen=True)
class _Dissected:
    """The clips of a dissection."""

    found: Dissection
    data: Any = None

    @property
    def fingerprint(self) -> str:
        return self.found.manifest.dataset.fingerprint

    @cached_property
    def labels(self) -> dict[int, str | None]:
        return {clip: row.label for clip, row in self.found.clips.items()}

    def captions(self) -> dict[int, str | None]:
        """Those of the captions table, or the dataset's own: all of them where the table was made from these."""
        own = {clip: row.caption for clip, row in self.found.clips.items()}
        made = captioner_of(self.found) != "column:caption"
        if not (has_table(self.found, "captions") and made):
            return own
        captions = whole_clip_captions(read_table(self.found, CaptionRow))
        return captions if any(captions.values()) else own

    def sounds(self, rate: int) -> Iterator[ClipOrFailure]:
        spans = [Span(clip) for clip in sorted(self.found.clips)]
        return dissection_clips(self.found, spans, sampling_rate=rate, data=self.data)

    @property
    def count(self) -> int | None:
        return len(self.found.clips)


@dataclass(frozen=True)
class _Data:
    """The clips of data that has not been dissected."""

    data: Any
    options: Mapping[str, Any]
    source_rate: int | None

    @cached_property
    def _source(self) -> Any:
        return open_source(self.data, **self.options)

    @property
    def fingerprint(self) -> str:
        return self._source.fingerprint

    @cached_property
    def _said(self) -> dict[int, tuple[str | None, str | None]]:
        return {item.id: (item.label, item.caption) for item in self._source.items()}

    @cached_property
    def labels(self) -> dict[int, str | None]:
        return {clip: label for clip, (label, _) in self._said.items()}

    def captions(self) -> dict[int, str | None]:
        return {clip: caption for clip, (_, caption) in self._said.items()}

    def sounds(self, rate: int) -> Iterator[ClipOrFailure]:
        return data_clips(self.data, sampling_rate=rate, source_rate=self.source_rate, **self.options)

    @property
    def count(self) -> int | None:
        return self._source.length


_Clips = _Dissected | _Data


def _says(caption: str | None) -> bool:
    return bool(caption and caption.strip())


def _ids(clips: Sequence[int]) -> Int64[Tensor, " clip"]:
    return torch.tensor(clips, dtype=torch.int64)


def _softmax_setting(softmax: float | None) -> str:
    return "none" if softmax is None else f"{softmax:g}"


def _is_file(value: str) -> bool:
    try:
        return Path(value).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # a list that no file name can be
        return False
