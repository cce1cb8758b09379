"""What a measurement is of: model, data and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """Of which model and data a measurement is, and how it was made.

    versions    of the packages that it was made with
    model       as the model describes itself
    dataset     kind, name, split, fingerprint, limit and columns
    dissection  folder, dataset and clips of the one in which the units were chosen; None: it was not given
    how, gain   what becomes of an ablated unit: see `ablate`
    overlap     what was done about clips that the units were found by
    key         what the measurement is of, as a hash: it goes on only as the same
    """

    versions: Mapping[str, str]
    model: Mapping[str, Any]
    dataset: Mapping[str, Any]
    dissection: Mapping[str, Any] | None
    how: str
    gain: float | None
    overlap: str
    key: str = ""

    def to_json(self) -> dict[str, Any]:
        """As `measured.json` has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Provenance:
        """What `to_json` gave. Raises TypeError for anything else."""
        return cls(**value)
