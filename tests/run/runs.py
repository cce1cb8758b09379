"""Short runs of small models, and what they leave in their folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from and_nnsight import AudioModel, Dissection, dissect
from tests.families import FAMILIES


def made(name: str = "ast") -> AudioModel:
    family = FAMILIES[name]
    return AudioModel(family.build(), feature_extractor=family.extractor())


def quick(model: AudioModel, data: Any, out: Path, **options: Any) -> Dissection:
    return dissect(model, data, out=out, **{"k": 3, "progress": False, **options})


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class StopsAfter:
    """A sequence of clips that raises once, on the way to clip `at`."""

    def __init__(self, data: list[Any], at: int, error: type[BaseException]) -> None:
        self.data, self.at, self.error = data, at, error

    def __iter__(self) -> Iterator[Any]:
        for index, item in enumerate(self.data):
            if index == self.at:
                raise self.error
            yield item
