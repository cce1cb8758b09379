"""What of the machine that a dissection was made on stands in its text: places on its disk, and keys."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..dissection.dissection import Dissection
from ..redaction import holds_secret

# A place on a disk: at the start, or behind what no word or address ends with.
_PLACE = re.compile(
    r"(?:(?<=file://)|(?<![\w./~\\-]))/(?P<first>[^/\s\"'<>|]+)/[^\s\"'<>|]*|(?<!\w)[A-Za-z]:\\[^\s\"'<>|]+"
)
_MOST_EXAMPLES = 3


@dataclass
class MachineTraces:
    """Reads text that is going to leave the machine, rewrites the places that it knows, and counts what it meets.

    roots      places, the longest first, and what stands for them elsewhere
    names      of sites: they name files and rows, and stay, whatever place they hold
    rewritten  how many texts of each file had one; which places these were is in `used`
    places     by file, other places that there are on this machine: they stay as they are
    keys       files in which something looks like a key or a password
    """

    roots: dict[str, str]
    names: frozenset[str] = frozenset()
    rewritten: Counter[str] = field(default_factory=Counter)
    used: set[str] = field(default_factory=set)
    places: dict[str, list[str]] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, dissection: Dissection) -> MachineTraces:
        """Those of a dissection: where its data, its model and it itself are, and the user's own folder."""
        manifest = dissection.manifest
        folders = [manifest.dataset.name, manifest.model.id, str(dissection.folder)]
        known = [row.path for row in dissection.clips.values() if row.path]
        paths = [path for path in known if Path(path).is_absolute()]
        outside = [path for path in paths if not path.startswith(f"{manifest.dataset.name}{os.sep}")]
        if outside:
            folders.append(_common_folder(outside))
        roots = {folder.rstrip("/\\"): Path(folder).name for folder in folders if folder and Path(folder).is_absolute()}
        roots.setdefault(str(Path.home()), "~")
        ordered = sorted(roots, key=len, reverse=True)
        names = frozenset(dissection.sites)
        return cls({root: roots[root] for root in ordered if len(Path(root).parts) > 1}, names)

    def text(self, text: str, file: str) -> str:
        """The text of a file, with the name of a known place for where that is."""
        if holds_secret(text):
            self.keys.add(file)
        if "/" not in text and "\\" not in text:
            return text
        shown = text
        for root, name in self.roots.items() if text not in self.names else ():
            if root in shown:
                shown, times = re.subn(rf"(?<!\w){re.escape(root)}(?=\W|$)", lambda _, name=name: name, shown)
                self.used |= {root} if times else set()
        self.rewritten[file] += shown != text
        self._look_for_places(shown, file)
        return shown

    def _look_for_places(self, text: str, file: str) -> None:
        for found in _PLACE.finditer(text):
            first = found["first"]
            if first is None or os.path.isdir(f"/{first}"):  # noqa: PTH112 - False for what is too long
                examples = self.places.setdefault(file, [])
                if len(examples) < _MOST_EXAMPLES and found[0] not in examples:
                    examples.append(found[0])

    def value(self, value: Any, file: str) -> Any:
        """A value of JSON, every text in it read by `text`."""
        if isinstance(value, str):
            return self.text(value, file)
        if isinstance(value, dict):
            return {self.text(key, file): self.value(part, file) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(part, file) for part in value]
        return value

    def lines(self) -> Iterator[str]:
        """In sentences, what was rewritten, and what stays."""
        files = {name: count for name, count in self.rewritten.items() if count}
        if files:
            roots = ", ".join(f"{root} → {name}" for root, name in self.roots.items() if root in self.used)
            listed = ", ".join(f"{name} ({count:,})" for name, count in files.items())
            yield f"places on this machine are rewritten, {roots}, in {listed}; --keep-paths leaves them"
        for name, examples in self.places.items():
            yield f"places on this machine stay in {name}, for example {', '.join(examples)}"


def _common_folder(paths: Iterable[str]) -> str | None:
    try:
        return os.path.commonpath([str(Path(path).parent) for path in paths])
    except ValueError:  # on several drives
        return None
