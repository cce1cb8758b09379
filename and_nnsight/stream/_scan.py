"""What lies below a folder: its audio files, and all else by the reason for which it is not used."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from and_nnsight.containers import ENDINGS
from and_nnsight.stream._items import Unused
from and_nnsight.stream._text import printable

_UNREAD = frozenset(
    {".3gp", ".aac", ".ac3", ".adts", ".amr", ".ape", ".asf", ".avi", ".dff", ".dsf", ".dts", ".eac3", ".flv", ".gsm"}
    | {".m4a", ".m4b", ".mid", ".midi", ".mka", ".mkv", ".mov", ".mp4", ".mpc", ".mpeg", ".mpg", ".oma", ".pcm", ".ra"}
    | {".raw", ".rm", ".shn", ".spx", ".tak", ".tta", ".vox", ".webm", ".wma", ".wmv", ".wv"}
    | {".8svx", ".avr", ".htk", ".iff", ".ircam", ".mpc2k", ".paf", ".pvf", ".sd2", ".sds", ".sf", ".svx", ".voc"}
    | {".wve", ".xi"}
)
"""Endings of sound that it does not read."""
_MOST_NAMES = 8
"""Under which one folder is read: links between folders make more names than anybody waits for."""
_METADATA = ("metadata.csv", "metadata.jsonl")


@dataclass
class Scan:
    """Paths relative to a folder, with "/": its files of sound, the others, and what was not looked into.

    `passed` holds (reason, path, whether it may be sound).
    """

    sounds: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    passed: list[tuple[str, str, bool]] = field(default_factory=list)

    def endings(self) -> str:
        """The commonest endings of the other files, counted."""
        return ", ".join(f"{count} × {kind}" for kind, count in Counter(map(_ending, self.others)).most_common(5))

    def unused(self, listed: Collection[str] | None = None, by: str = "") -> tuple[Unused, ...]:
        """What no clip is made of, a line a reason. `listed`: the only files that are used, as the file `by` says."""
        reasons = list(self.passed)
        if listed is not None:
            reasons += [(f"not listed in {by}", path, True) for path in self.sounds if path not in listed]
        rest = [path for path in self.others if listed is None or path not in listed]
        silent = [path for path in rest if _ending(path) not in _UNREAD]
        reasons += [
            (f"{_ending(path)} is not read: convert it, to flac for example", path, True)
            for path in rest
            if _ending(path) in _UNREAD
        ]
        below = [path for path in silent if PurePosixPath(path).name in _METADATA]
        reasons += [("metadata is read at the top of the folder only", path, True) for path in below if "/" in path]
        silent = [path for path in silent if path not in below]
        if silent:
            kinds = Scan(others=silent).endings()
            reasons += [(f"not sound, by the ending ({kinds})", path, False) for path in silent]
        counts = Counter(reason for reason, _, _ in reasons)
        examples = {reason: (path, sound) for reason, path, sound in sorted(reasons, reverse=True)}
        return tuple(
            Unused(reason, counts[reason], printable(path), sound) for reason, (path, sound) in sorted(examples.items())
        )


def scan(root: Path) -> Scan:
    """Everything below `root`, links to folders followed; hidden files and folders and other dissections left out.

    Raises ValueError if the folder itself may not be opened.
    """
    found = Scan()
    waiting: deque[tuple[str, frozenset[tuple[int, int]]]] = deque([("", frozenset())])
    names: Counter[tuple[int, int]] = Counter()
    while waiting:
        here, above = waiting.popleft()
        try:
            state = os.stat(root / here)  # noqa: PTH116  one call a folder
            entries = sorted(os.scandir(root / here), key=lambda entry: entry.name)
        except OSError as error:
            if not here:
                raise ValueError(f"{root} cannot be opened: {error.strerror}") from error
            found.passed.append((f"a folder that cannot be opened ({error.strerror})", here, True))
            continue
        identity = (state.st_dev, state.st_ino)
        if identity in above:
            found.passed.append(("a link back to a folder that it lies in", here, True))
            continue
        if names[identity] == _MOST_NAMES:
            found.passed.append((f"a folder that is read under {_MOST_NAMES} other names, through links", here, True))
            continue
        names[identity] += 1
        if here and _is_dissection(root / here, {entry.name for entry in entries}):
            continue  # it is ours, and comes and goes
        for entry in entries:
            path = f"{here}/{entry.name}" if here else entry.name
            if _is_folder(entry):
                if entry.name.startswith("."):
                    found.passed.append(("a hidden folder", path, False))
                else:
                    waiting.append((path, above | {identity}))
            elif entry.name.startswith("."):
                if _ending(path) in ENDINGS:
                    found.passed.append(("a hidden file", path, False))
            elif _ending(path) in ENDINGS:
                found.sounds.append(path)
            elif here or entry.name not in _METADATA:
                found.others.append(path)
    for paths in (found.sounds, found.others):
        paths.sort()
    return found


def audio_files(root: Path) -> Iterator[str]:
    """The audio files below `root`. Raises ValueError, saying what there is instead, if there are none."""
    found = scan(root)
    if not found.sounds:
        passed = [f"{reason}, {printable(path)}" for reason, path, _ in found.passed[:3]]
        holds = "; ".join(part for part in (found.endings(), *passed) if part) or "nothing"
        raise ValueError(f"{root} holds no audio ({' '.join(sorted(ENDINGS))}); it holds {holds}")
    return iter(found.sounds)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere
        return False


def _is_dissection(folder: Path, names: set[str]) -> bool:
    if "manifest.json" not in names:
        return False
    try:
        return "format_version" in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower() or "no ending"
