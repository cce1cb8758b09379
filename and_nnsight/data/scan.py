"""What lies below a folder: its audio files, and all else by the reason for which it is not used."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..audio.containers import ENDINGS
from .items import Unused
from .text import printable

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
        reasons += _unread([path for path in self.others if listed is None or path not in listed])
        counts = Counter(reason for reason, _, _ in reasons)
        examples = {reason: (path, sound) for reason, path, sound in sorted(reasons, reverse=True)}
        return tuple(
            Unused(reason, counts[reason], printable(path), sound) for reason, (path, sound) in sorted(examples.items())
        )


def _unread(paths: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """Files that are no sound that can be read: why not, which, and whether they may be sound after all."""
    silent: list[str] = []
    for path in paths:
        if _ending(path) in _UNREAD:
            yield f"{_ending(path)} is not read: convert it, to flac for example", path, True
        elif PurePosixPath(path).name not in _METADATA:
            silent.append(path)
        elif "/" in path:
            yield "metadata is read at the top of the folder only", path, True
    kinds = Scan(others=silent).endings()
    for path in silent:
        yield f"not sound, by the ending ({kinds})", path, False


def scan(root: Path) -> Scan:
    """Everything below `root`, links to folders followed; hidden files and folders and other dissections left out.

    Raises ValueError if the folder itself may not be opened.
    """
    below = Scan()
    waiting: deque[tuple[str, frozenset[tuple[int, int]]]] = deque([("", frozenset())])
    names: Counter[tuple[int, int]] = Counter()
    while waiting:
        here, above = waiting.popleft()
        try:
            place = root / here
            state = place.stat()
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            if not here:
                raise ValueError(f"{root} cannot be opened: {error.strerror}") from error
            below.passed.append((f"a folder that cannot be opened ({error.strerror})", here, True))
            continue
        identity = (state.st_dev, state.st_ino)
        if identity in above:
            below.passed.append(("a link back to a folder that it lies in", here, True))
            continue
        if names[identity] == _MOST_NAMES:
            below.passed.append((f"a folder that is read under {_MOST_NAMES} other names, through links", here, True))
            continue
        names[identity] += 1
        if here and _is_dissection(root / here, {entry.name for entry in entries}):
            continue  # it is ours, and comes and goes
        for folder in _sort_entries(entries, here, below):
            waiting.append((folder, above | {identity}))
    below.sounds.sort()
    below.others.sort()
    return below


def _sort_entries(entries: Iterable[os.DirEntry[str]], here: str, below: Scan) -> Iterator[str]:
    """Put the files of one folder where they belong in the scan; give the folders in it, which are still to be seen."""
    for entry in entries:
        path = f"{here}/{entry.name}" if here else entry.name
        folder, sound = _is_folder(entry), _ending(path) in ENDINGS
        if entry.name.startswith("."):
            if folder or sound:
                below.passed.append(("a hidden folder" if folder else "a hidden file", path, False))
        elif folder:
            yield path
        elif sound:
            below.sounds.append(path)
        elif here or entry.name not in _METADATA:
            below.others.append(path)


def audio_files(root: Path) -> Iterator[str]:
    """The audio files below `root`. Raises ValueError, saying what there is instead, if there are none."""
    below = scan(root)
    if not below.sounds:
        passed = [f"{reason}, {printable(path)}" for reason, path, _ in below.passed[:3]]
        holds = "; ".join(part for part in (below.endings(), *passed) if part) or "nothing"
        raise ValueError(f"{root} holds no audio ({' '.join(sorted(ENDINGS))}); it holds {holds}{_advice(root, below)}")
    return iter(below.sounds)


def _advice(root: Path, below: Scan) -> str:
    """What to do with a folder of tars."""
    if not any(_ending(path) == ".tar" for path in below.others):
        return ""
    return (
        f'. Tars of WebDataset are a dataset: pass datasets.load_dataset("webdataset", data_files="{root}/*.tar", '
        'split="train", streaming=True) with audio_column= (wav, flac …) and caption_column= (txt), the endings of the '
        "files in them"
    )


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
