"""One clip of a dataset before it is decoded, and what every source of clips offers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ..audio.errors import AudioError
from .tokens import Token

_MOST_BYTES = 2**27  # of a remote clip, which has to be in memory to be decoded
UNKNOWN = "unknown"  # the fingerprint of what cannot be looked at beforehand


@dataclass(frozen=True)
class Columns:
    """The columns, or keys, of a clip's audio, label and caption; None: "label" and "caption", where they are there.

    words: the column of words with times, as it stands there; None: it is not read
    """

    audio: str = "audio"
    label: str | None = None
    caption: str | None = None
    words: str | None = None

    @property
    def label_key(self) -> str:
        """Where a label is looked for."""
        return self.label or "label"

    @property
    def caption_key(self) -> str:
        """Where a caption is looked for."""
        return self.caption or "caption"

    @property
    def named(self) -> tuple[str, ...]:
        """Of label, caption and words, the columns that were asked for by name: there has to be each."""
        return tuple(column for column in (self.label, self.caption, self.words) if column is not None)


@dataclass(frozen=True)
class Item:
    """One clip of a source, not decoded yet.

    id             position in the source, from 0; stays the clip's id for good
    audio          any value that `and_nnsight.audio.loading.load` takes
    path           where the audio is; None where it has no place of its own
    label          what the dataset files it under
    caption        what the dataset says of it in words
    sampling_rate  rate of `audio` where it is a bare waveform; None: it is taken to be at the model's
    words          what the column of words with times holds, where it was asked for
    """

    id: int
    audio: Any
    path: str | None = None
    label: str | None = None
    caption: str | None = None
    sampling_rate: int | None = None
    words: Any = None


@dataclass(frozen=True)
class Clip:
    """What is kept of a clip that was seen: everything but its waveform.

    `seconds` is the duration of the source, `sampling_rate` its own rate (the wanted one, where it carries none),
    `content` a hash of the samples that are heard, at the rate that the model wants, `silent` whether there is nothing
    to be heard in them. They are those of the whole clip, or of its beginning where the model has a window. `tokens` is
    the text that a model read or wrote while it heard the clip, where that is what was dissected.
    """

    id: int
    path: str | None
    label: str | None
    caption: str | None
    seconds: float
    sampling_rate: int
    content: str = ""
    silent: bool = False
    tokens: list[Token] | None = None


@dataclass(frozen=True)
class Quarantined:
    """A clip that was set aside, and why."""

    clip: int
    path: str | None
    reason: str


@dataclass(frozen=True)
class RemoteFile:
    """A file of a streamed dataset, fetched where it is decoded (in a worker, if there are any)."""

    address: str

    def read_bytes(self) -> bytes:
        """Its content, through the dataset library's own client. Raises AudioError for a file of more than 128 MB."""
        from datasets.utils.file_utils import xopen

        with xopen(self.address, "rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise AudioError(f"is larger than the {_MOST_BYTES >> 20} MB that are fetched of a clip", self.address)
        return content

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True)
class Unusable:
    """In the place of audio that a source could not make out: the clip is set aside for this reason."""

    reason: str

    def read_bytes(self) -> bytes:
        """Raises AudioError, as a file that cannot be read does."""
        raise AudioError(self.reason)


@dataclass(frozen=True)
class Unused:
    """Files that a source holds and makes no clips of.

    reason   why
    count    how many
    example  one of them, relative to the source
    sound    whether they may well be sound, so that clips are missing; False for text files and the like
    """

    reason: str
    count: int
    example: str
    sound: bool = True

    def __str__(self) -> str:
        what = "entry is" if self.count == 1 else "entries are"
        return f"{self.count:,} {what} not among the clips: {self.reason}; for example {self.example}"


@runtime_checkable
class Source(Protocol):
    """A sequence of clips in a fixed order.

    `kind` says what it was made from, `name` which one, `split` which part of it. `length` is None where only reading
    tells. `fingerprint` is short hex that changes when what a run would see changes, or "unknown" where the clips
    cannot be looked at beforehand (generators, sequences that load their clips on access). The fingerprint is of the
    whole source, whatever the limit. `unused` is what the source holds beside its clips, by reason.
    """

    @property
    def kind(self) -> str:
        """What the source was made from."""
        ...

    @property
    def name(self) -> str:
        """Which one."""
        ...

    @property
    def split(self) -> str | None:
        """Which part of it."""
        ...

    @property
    def length(self) -> int | None:
        """Clips, or None where only reading tells."""
        ...

    @property
    def fingerprint(self) -> str:
        """Short hex that changes when what a run would see changes, or "unknown"."""
        ...

    @property
    def unused(self) -> tuple[Unused, ...]:
        """What the source holds beside its clips."""
        ...

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips from position `start` on. A generator can be read only once; `start` then reads what it skips."""
        ...


def refuse_split(split: str | None, what: str) -> None:
    """Raise ValueError for a split of what has none."""
    if split is not None:
        raise ValueError(f"{what} has no splits: leave split={split!r} out")
