"""How counts and commands are put in messages, and objects where they are printed."""

from __future__ import annotations

import errno
import shlex
from dataclasses import fields
from reprlib import Repr
from typing import Any

from .redaction import without_credentials


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 clip`, `0 clips`, `1,200 clips`. `plural`: where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def command(*words: object) -> str:
    """A command of and-nnsight as it can be pasted into a shell, whatever its words hold."""
    return shlex.join(["and-nnsight", *(without_credentials(str(word)) for word in words)])


_OFFLINE = ("connect to 'https://huggingface.co'", "OfflineModeIsEnabled", "outgoing traffic has been disabled")


def first_line(error: BaseException) -> str:
    """What an error says, without what it adds for developers; its kind where it says nothing.

    What the hub's client says at length of a model that was never downloaded is said in a few words.
    """
    text = str(error).strip()
    if any(words in text for words in _OFFLINE):
        return "it was not downloaded before, and the hub cannot be reached now, or HF_HUB_OFFLINE forbids it"
    return text.splitlines()[0] if text else type(error).__name__


_ADVICE = {
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "it may not be opened or written to: check its permissions, or take another place",
    errno.EPERM: "it may not be changed: check its permissions",
    errno.EROFS: "it is on a disk that is only read: choose another place",
    errno.EISDIR: "it is a folder, and a file is needed",
    errno.ENOTDIR: "a part of this path is no folder: choose another place",
    errno.EEXIST: "a file or link of this name is there already: choose another name",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.EIO: "it cannot be read or written: check the disk",
}


def advice(error: OSError) -> str:
    """What is the matter with the file or folder that an error of the system names, and what to do."""
    known = _ADVICE.get(error.errno or 0)
    return known or (error.strerror or "").lower() or "it cannot be used"


def agree(count: int, one: str, several: str) -> str:
    """The form of a word that goes with a count."""
    return one if count == 1 else several


_LONGEST = 400  # characters: less than five lines of a terminal
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxtuple = _SHORT.maxlist = _SHORT.maxdict = 2
_SHORT.maxlevel = 3


class Brief:
    """A dataclass that is printed within a few lines, whatever it holds: what is long is cut in its middle."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__repr__" not in vars(cls):
            cls.__repr__ = _brief  # a dataclass leaves a method of the class alone


def _brief(self: Any) -> str:
    shown = [f"{each.name}={_part(getattr(self, each.name))}" for each in fields(self) if each.repr]
    text = ", ".join(shown)
    return f"{type(self).__name__}({text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'})"


def _part(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return _SHORT.repr(value) if shape is None else f"{type(value).__name__}{list(shape)}"
