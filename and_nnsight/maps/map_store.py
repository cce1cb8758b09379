"""Listenable maps of exemplars in a dissection's folder `exemplars/`: one file a unit and clip, whole or absent."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ..dissection.exemplar_store import ExemplarStore
from ..dissection.exemplars import Exemplar
from ..dissection.files import map_file
from ..storage import DamagedFile, read_tensors, write_tensors
from .listenable_map import ListenableMap, MapActivations
from .spectrum import Spectrum

FORMAT_VERSION = 1
"""Of the files, and of what `hear` does by default: a map of another version is made again."""

BYTES_A_SAMPLE = 9
"""That a map takes, about."""


class MapStore:
    """The maps that are there. The clips' own sounds are not kept twice: they are those of the exemplars."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the dissection's; it need not hold any maps."""
        self._folder = folder

    def of(self, exemplar: Exemplar) -> ListenableMap | None:
        """The map of an exemplar whose sound was kept; the mask to half a thousandth.

        None where there is none that can be used: a damaged one, or one of another version, is as good as none.
        Raises DissectionError where the clip's sound was not kept.
        """
        if exemplar.unit is None:
            return None
        try:
            tensors, metadata = read_tensors(map_file(self._folder, *exemplar.unit, exemplar.clip))
            return _joined(*exemplar.unit, tensors, metadata, ExemplarStore(self._folder).audio(exemplar.clip))
        except (FileNotFoundError, DamagedFile):
            return None

    def put(self, clip: int, made: ListenableMap) -> None:
        """Keep a map of a clip."""
        path = map_file(self._folder, made.site, made.unit, clip)
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = {"kept": made.kept, "mask": made.mask.astype(np.float16)}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in parts.items()}
        about = {"frame": made.frame, "start": made.start, "end": made.end, "steps": made.steps}
        about["activations"] = asdict(made.activations)
        write_tensors(path, tensors, {"format_version": str(FORMAT_VERSION), "map": json.dumps(about)})


def _joined(
    site: str,
    unit: int,
    tensors: dict[str, Tensor],
    metadata: dict[str, str],
    sound: tuple[Float32[np.ndarray, " sample"], int],
) -> ListenableMap:
    """A map of what was kept of it and of its clip. Raises DamagedFile for a file of another version or clip."""
    original, rate = sound
    if metadata.get("format_version") != str(FORMAT_VERSION) or tensors["kept"].shape != original.shape:
        raise DamagedFile("it is a map of another version, or of another clip")
    about, kept = json.loads(metadata["map"]), tensors["kept"].numpy()
    activations = about["activations"]
    spectrum = Spectrum(torch.from_numpy(original), rate)
    return ListenableMap(
        site=site,
        unit=unit,
        sampling_rate=rate,
        original=original,
        kept=kept,
        removed=original - kept,
        mask=tensors["mask"].float().numpy(),
        power=spectrum.values.abs().square().numpy(),
        seconds=spectrum.seconds,
        hz=spectrum.hz,
        frame=about["frame"],
        start=about["start"],
        end=about["end"],
        activations=MapActivations(**activations | {"moved": tuple(activations["moved"])}),
        steps=about["steps"],
    )
