"""Clips that units were found by must not be those by which the units are measured."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..dissection import Dissection
from ..run_folder import AT_SERVER
from ..stream import UNKNOWN, Clip, Source
from .choice import UnitChoice

WAYS = ("refuse", "exclude", "allow")


class OverlapError(ValueError):
    """Data to measure by that the units were found by."""


def unseen(
    source: Source, found: Dissection | None, choices: Sequence[UnitChoice], overlap: str
) -> Callable[[Clip], bool]:
    """Says of each clip of a source whether it may be measured: whether the units were not found by it.

    A clip was dissected if it has the same place in the same data, or the same path, or if its file holds the bytes of
    a dissected one. Without the dissection, what the choices say of their data is gone by. refuse: raise OverlapError
    at such a clip; exclude: leave it out; allow: warn.
    Raises ValueError for another way.
    """
    if overlap not in WAYS:
        raise ValueError(f"unknown way to treat an overlap {overlap!r}: one of {', '.join(WAYS)}")
    origins = [choice.settings.get("dataset") for choice in choices] if found is None else [found.manifest["dataset"]]
    same = [origin for origin in origins if origin and _same_data(origin, source)]
    limit = max((_limit(origin) for origin in same), default=0.0)
    places = set() if found is None or not same else set(found.clips)
    paths = set() if found is None else {_path(row["path"]) for row in found.clips.values()} - {None}
    copies = _Copies(path for path in paths if path is not None)
    warned: list[Clip] = []

    def may_be_measured(clip: Clip) -> bool:
        path = _path(clip.path)
        seen = clip.id in places or (found is None and clip.id < limit) or path in paths
        seen = seen or (path is not None and copies.has(path))
        if not seen or overlap == "exclude":
            return not seen
        said = (
            f"clip {clip.id} ({clip.path or 'no path'}) of {source.name} is one that the units were found by, so what "
            "ablating them does to it says little"
        )
        if overlap == "refuse":
            raise OverlapError(
                f"{said}: measure by other data or another split, or leave such clips out with overlap='exclude' "
                "(--overlap exclude)"
            )
        if not warned:
            warnings.warn(said, stacklevel=2)
        warned.append(clip)
        return True

    return may_be_measured


def warn_of_another_model(found: Dissection | None, model: Mapping[str, Any], dtype: Any) -> None:
    """Warn where units were found in another model than the one that is measured, as `describe_model` describes it.

    Unit 7 of a site is another unit there, though there are as many. Weights of another precision are not compared.
    """
    theirs = {} if found is None else found.manifest.get("model") or {}
    names = ["class", "config", "features"]
    if found is not None and found.manifest.get("dtype") == str(dtype).removeprefix("torch."):
        names.append("weights")
    unknown = (None, AT_SERVER)
    differing = [name for name in names if theirs.get(name) not in unknown and theirs[name] != model.get(name)]
    if found is not None and differing:
        warnings.warn(
            f"{found.folder} is a dissection of another model ({theirs.get('id')}) than the one that is measured "
            f"({model.get('id')}; other {', '.join(differing)}): its units need not be those of this one",
            stacklevel=3,
        )


class _Copies:
    """Tells files that hold what one of the known files holds. Only files of equal size are read."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = known
        self._by_size: dict[int, list[str]] | None = None
        self._hashes: dict[int, set[bytes]] = {}

    def has(self, path: str) -> bool:
        """Whether a known file holds the same bytes; False for what is no file of this machine."""
        if self._by_size is None:
            self._by_size = defaultdict(list)
            for name in self._known:
                if (length := _size(name)) is not None:
                    self._by_size[length].append(name)
        length = _size(path)
        if length is None or length not in self._by_size:
            return False
        if length not in self._hashes:
            self._hashes[length] = {_hash(name) for name in self._by_size[length]}
        return _hash(path) in self._hashes[length]


def _size(path: str) -> int | None:
    try:
        return Path(path).stat().st_size
    except OSError:
        return None


def _hash(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def _same_data(origin: Any, source: Source) -> bool:
    known = UNKNOWN not in (origin.get("fingerprint"), source.fingerprint)
    return known and (origin.get("fingerprint"), origin.get("split")) == (source.fingerprint, source.split)


def _limit(origin: Any) -> float:
    return float("inf") if origin.get("limit") is None else float(origin["limit"])


def _path(path: str | None) -> str | None:
    """A path as it is compared: a file's own, wherever it is named from; others (of a hub's files) do not count."""
    if path is None or not Path(path).is_absolute():
        return None
    return str(Path(path).resolve())
