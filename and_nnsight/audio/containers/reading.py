"""A sound file as bytes at places, and stretches of it, with bytes of our own between them, as a file for a decoder."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

Stream = io.BufferedReader | io.BytesIO
Piece = bytes | tuple[int, int]
"""Bytes as they are, or the stretch of a file from one position up to another."""


class Encoded:
    """A file that is read here and there: no size that it claims decides how much memory is used."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.size = stream.seek(0, io.SEEK_END)

    def at(self, position: int, length: int) -> bytes:
        """So many bytes at a position; fewer at the end of the file."""
        if not 0 <= position < self.size:
            return b""
        self.stream.seek(position)
        return self.stream.read(length)


@dataclass(frozen=True)
class Part:
    """What libsndfile can read as one file.

    pieces    what it is made of
    frames    how many frames it gives, where that is known to the last one
    shortage  frames that a decoder may leave out at its ends without anything being wrong
    weight    how long it is beside other parts, in a unit of theirs
    speaks    whether its decoder writes to the standard error output
    """

    pieces: tuple[Piece, ...]
    frames: int | None = None
    shortage: int = 0
    weight: int = 0
    speaks: bool = False


class Contents(NamedTuple):
    """What a container holds: parts that follow each other.

    frames  in all, read or not; None: unknown
    share   of the file that the parts are
    """

    parts: tuple[Part, ...]
    frames: int | None = None
    share: float = 1.0


class Pieces(io.RawIOBase):
    """The pieces of a part, one after another, as a file.

    libsndfile reads and seeks through callbacks, and what those raise is lost to the caller and printed by the
    interpreter: a failure to read is kept in `error`, and a position that did not change tells libsndfile that a seek
    failed.
    """

    def __init__(self, encoded: Encoded, pieces: tuple[Piece, ...]) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._encoded = encoded
        self._pieces = pieces
        lengths = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces]
        self._ends = list(accumulate(lengths))
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """The position after the seek; the old one where the new one would lie before the beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence, self._ends[-1] if self._ends else 0)
        if 0 <= base + offset < 2**63:
            self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer as far as the pieces go."""
        view = memoryview(buffer).cast("B")
        done, begin = 0, 0
        for piece, end in zip(self._pieces, self._ends, strict=True):
            if done < len(view) and begin <= self._position < end:
                content = self._content(piece, self._position - begin, min(len(view) - done, end - self._position))
                view[done : done + len(content)] = content
                done += len(content)
                self._position += len(content)
                if self._position < end:
                    break
            begin = end
        return done

    def _content(self, piece: Piece, offset: int, length: int) -> bytes:
        if isinstance(piece, bytes):
            return piece[offset : offset + length]
        try:
            return self._encoded.at(piece[0] + offset, length)
        except OSError as error:
            self.error = error
            return b""
