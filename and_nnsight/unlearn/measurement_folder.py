"""The folder that a measurement is written to: what is there already, the checkpoint of one in progress, the whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from ..data import UNKNOWN, Source
from ..dissection.errors import DissectionError
from ..storage import locked, make_folder, read_tensors, undamaged, write_tensors
from .controls import Comparison
from .forward import Pass
from .overlap import OverlapError
from .result import RECORD, Measurement

_PARTIAL, _LOCK = ".partial.safetensors", ".lock"


@contextmanager
def measurement_folder(path: Path, key: str, source: Source) -> Iterator[MeasurementFolder]:
    """The folder of one measurement, for this process alone. Nothing is left of one that is refused for its clips.

    key  what the measurement is of

    Raises DissectionError for a file, for a folder that holds another measurement, and where another process measures.
    """
    folder = MeasurementFolder(path, key, source.fingerprint != UNKNOWN)
    folder.check()
    is_new = not path.exists()
    make_folder(path)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path / _LOCK))
        except BlockingIOError as error:
            raise DissectionError(f"another process is measuring into {path}") from error
        stack.callback(lambda: (path / _LOCK).unlink(missing_ok=True))
        try:
            yield folder
        except OverlapError:  # told by what a clip holds, which shows only when it is decoded
            folder.discard(is_new)
            raise


class MeasurementFolder:
    """Where a measurement is kept while it runs, and when it is done.

    known_data  whether the data can be recognised when it comes again: nothing is gone on with where it cannot
    """

    def __init__(self, path: Path, key: str, known_data: bool) -> None:
        self.path, self.key, self._known_data = path, key, known_data

    def check(self) -> None:
        """Raise DissectionError for a file, and for a folder with another measurement."""
        if self.path.exists() and not self.path.is_dir():
            raise DissectionError(f"{self.path} is a file: name a folder")
        if (self.path / RECORD).exists():
            key = Measurement.load(self.path).provenance.key
            if key != self.key or not self._known_data:
                raise DissectionError(f"{self.path} holds another measurement: name a new folder")

    def complete(self, comparison: Comparison) -> Measurement | None:
        """What is there already; with other intervals, if others are asked for."""
        if not (self.path / RECORD).exists():
            return None
        measurement = Measurement.load(self.path)
        if measurement.bootstrap != comparison.bootstrap:
            measurement = replace(measurement, **asdict(comparison))
            measurement.save(self.path)
        return measurement

    def restore(self, run: Pass) -> int:
        """Go on from the last checkpoint; gives the position it ended at."""
        partial = self.path / _PARTIAL
        if not partial.exists():
            return 0
        with undamaged(partial, "remove it to begin again", DissectionError):
            tensors, metadata = read_tensors(partial)
            rest = json.loads(metadata["rest"])
            if rest["key"] != self.key or not self._known_data:
                raise DissectionError(f"{self.path} holds part of another measurement: name a new folder")
            run.restore(tensors, rest["state"])
            return int(rest["position"])

    def checkpoint(self, run: Pass, position: int) -> None:
        """Keep what was measured up to a position, if the data can be recognised when it comes again."""
        if self._known_data:
            tensors, state = run.state()
            rest = json.dumps({"key": self.key, "position": position, "state": state})
            write_tensors(self.path / _PARTIAL, tensors, {"rest": rest})

    def discard(self, is_new: bool) -> None:
        """Leave nothing behind of a measurement that must not be, not even the folder where it is new."""
        (self.path / _PARTIAL).unlink(missing_ok=True)
        (self.path / _LOCK).unlink(missing_ok=True)
        if is_new:
            self.path.rmdir()

    def finish(self, measurement: Measurement) -> None:
        """Write the whole."""
        measurement.save(self.path)
        (self.path / _PARTIAL).unlink(missing_ok=True)
