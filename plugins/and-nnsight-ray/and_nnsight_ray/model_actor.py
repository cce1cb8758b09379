"""An actor that has the model: it runs one shard of the data after another, and sends home what each leaves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from and_nnsight import dissect
from and_nnsight.dissection.files import shards_folder
from and_nnsight.model.opening import open_model

from .decoding import DecodeActors


class ModelActor:
    """Holds the model, and nothing of a shard that is done: the driver has that."""

    def __init__(self, model: Any, options: Mapping[str, Any], decoders: int, folder: str, threads: int | None) -> None:
        """`folder`: where relative paths begin; `threads` of torch, None: as Ray has set them."""
        os.chdir(folder)
        if threads is not None:
            torch.set_num_threads(threads)
        self._options = dict(options)
        self._model = open_model(model, self._options.pop("device", None), self._options.pop("dtype", None))
        self._workers: Any = DecodeActors(decoders) if decoders else 0

    def run_shard(self, data: Any, shard: str) -> dict[str, bytes]:
        """The files of a shard: K values, clips and frames a unit, and the rows of its clips."""
        with tempfile.TemporaryDirectory() as scratch:
            dissect(
                self._model, data, out=scratch, shard=shard, num_workers=self._workers, progress=False, **self._options
            )
            (folder,) = shards_folder(Path(scratch)).iterdir()
            files = (path for path in folder.rglob("*") if path.is_file())
            return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
