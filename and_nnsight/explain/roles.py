"""What plugins are handed and what they answer. Batches in, answers out, one for each thing, in order, as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32

from ..storage import json_hash
from ..wording import Brief


@dataclass(frozen=True)
class Failure:
    """No answer, and why. It is recorded; nothing is put in its place."""

    reason: str


class Span(NamedTuple):
    """A clip, or a part of it: `start` and `end` in seconds, both None for the whole."""

    clip: int
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, eq=False)
class Clip(Brief):
    """A clip, or an excerpt of it, as a captioner gets it.

    samples    mono float32 at the rate that the captioner asked for; empty if it asked for none
    columns    everything that the dataset says of the clip (label and caption among it)
    """

    span: Span
    path: str | None
    columns: Mapping[str, Any]
    samples: Float32[np.ndarray, " time"]
    sampling_rate: int


@runtime_checkable
class Captioner(Protocol):
    """Says in words what is heard in clips. `sampling_rate` None: it needs no audio, and none is decoded for it."""

    sampling_rate: int | None

    def caption(self, clips: Sequence[Clip]) -> Iterable[str | Failure]:
        """One caption a clip."""
        ...


@dataclass(frozen=True)
class CaptionedExemplar(Brief):
    """One exemplar of a unit with its caption.

    start, end  seconds at which the unit fires; None if unknown
    strength    how far its activation lies from the unit's mean, as a share of how far the first exemplar's does
    """

    clip: int
    caption: str
    activation: float
    start: float | None = None
    end: float | None = None
    strength: float = 1.0


@dataclass(frozen=True)
class Evidence(Brief):
    """A unit's highly and lowly clips, the most extreme first: those that are evidence (`dissection.evidence`).

    contrast  clips that the unit's neighbours respond to and this one does not (see `contrast`): `activation` is this
              unit's, NaN where it is not known, `strength` 0. Empty for summarizers that do not want any
    """

    site: str
    unit: int
    highly: tuple[CaptionedExemplar, ...]
    lowly: tuple[CaptionedExemplar, ...]
    contrast: tuple[CaptionedExemplar, ...] = ()


LONGEST_SUMMARY = 5_000
"""Characters of one side of a summary: more is a flood, recorded as a failure."""


@dataclass(frozen=True)
class Summary(Brief):
    """What a unit's highly clips have in common, and its lowly ones. `requests`: ids of the chat requests behind it."""

    highly: str | Failure
    lowly: str | Failure
    requests: tuple[str, ...] = ()


@runtime_checkable
class Summarizer(Protocol):
    """Says what a unit's highly clips have in common, and its lowly ones.

    What it may say of itself as well: `settings`, all that a summary depends on beside its evidence; `deterministic`,
    True where the same evidence and corpus give the same summary; `wants_contrast`, True where `Evidence.contrast` is
    wanted, which may mean captions of more clips.
    """

    def summarize(self, evidence: Sequence[Evidence]) -> Iterable[Summary | Failure]:
        """One summary a unit."""
        ...


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


Conversation = tuple[Message, ...]


@dataclass(frozen=True)
class ChatOptions:
    """How a chat model is to answer. temperature 0: greedy."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@runtime_checkable
class ChatModel(Protocol):
    """Answers conversations. `name` tells it from others in the record: "transformers:Qwen/Qwen3-8B"."""

    name: str

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterable[str | Failure]:
        """One answer a conversation."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Embeds texts. `name` tells it from others in the record."""

    name: str

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
        """One vector a text; the cosine of two vectors says how close the texts are in meaning."""
        ...


@runtime_checkable
class AudioTextEncoder(Protocol):
    """Embeds audio and text in one space. `sampling_rate` is the rate at which it wants audio."""

    name: str
    sampling_rate: int

    def encode_audio(self, waveforms: Sequence[Float32[np.ndarray, " _"]]) -> Float[np.ndarray, "clip dim"]:
        """One vector a waveform."""
        ...

    def encode_text(self, texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
        """One vector a text."""
        ...


@dataclass(frozen=True, eq=False)
class Question:
    """A few clips that a listener hears, and the statement that it compares each of them with.

    statement  text of others: data, never an instruction; None: each clip is compared with the other clips
    clips      mono float32 at the listener's rate, whole clips of any length, and nothing else that is known of them
    """

    statement: str | None
    clips: tuple[Float32[np.ndarray, " _"], ...]


@runtime_checkable
class Listener(Protocol):
    """Judges by ear: how well clips fit a statement, or go together. It is never told what a unit does.

    name           tells it from others in the record: "clap:laion/clap-htsat-unfused"
    sampling_rate  the rate at which it wants audio

    What it may have beside these:

    threshold         a fit above which it says that a clip fits its statement (0.5 for a probability of yes); without
                      one the better half of a question's clips counts as fitting
    cheap_statements  True: one more statement over clips that it has heard costs next to nothing, as for an encoder of
                      audio and text; it is then asked many for comparison
    settings          a mapping of what its answers depend on beside its name: another prompt is another listener
    """

    name: str
    sampling_rate: int

    def fits(self, questions: Sequence[Question]) -> Iterable[Sequence[float] | Failure]:
        """For each question one finite number a clip: the higher, the better it fits."""
        ...


@dataclass(frozen=True)
class Request:
    """A conversation as it is sent to a chat model with options: what it is filed under."""

    model: str
    conversation: Conversation
    options: ChatOptions = field(default_factory=ChatOptions)

    @property
    def id(self) -> str:
        """Short hash of the model's name, every message, and every option."""
        content = [self.model, [list(message) for message in self.conversation], asdict(self.options)]
        return json_hash(content)

    @property
    def prompt_hash(self) -> str:
        """Short hash of the messages alone."""
        return json_hash([list(message) for message in self.conversation])
