"""Which part of a run a process has: as it was told, or as torchrun's environment says; and where that part lies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from ..data.shards import Shard
from ..dissection.errors import DissectionError
from ..dissection.files import shards_folder
from ..dissection.manifest import Manifest, read_manifest
from ..dissection.manifest_differences import differences
from .options import RunOptions

TORCHRUN = "torchrun"
"""What `shard` is to be where torchrun says which one it is."""


def shard_of(shard: str | Shard | None, environment: Mapping[str, str] = os.environ) -> Shard | None:
    """The shard that was asked for; None for the whole. Raises ValueError for what is none."""
    if shard is None:
        return None
    if shard != TORCHRUN:
        return Shard.parse(shard)
    if not under_torchrun(environment):
        raise ValueError(
            'shard="torchrun" takes its part from RANK and WORLD_SIZE, which are not set: start with torchrun'
        )
    rank, world = environment["RANK"], environment["WORLD_SIZE"]
    return None if world == "1" else Shard.parse(f"{rank}/{world}")


def under_torchrun(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun, or what sets the same variables, started this process."""
    return {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= environment.keys()


def device_of_rank(device: str | torch.device | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The GPU of a process that torchrun started, one each in turn; what was asked for where it is a certain one."""
    asked = None if device is None else str(device)
    if asked not in (None, "cuda") or not torch.cuda.is_available():
        return asked
    return f"cuda:{int(environment['LOCAL_RANK']) % torch.cuda.device_count()}"


def options_of_rank(
    shard: str | Shard | None, options: RunOptions, environment: Mapping[str, str] = os.environ
) -> RunOptions:
    """The options of a process that torchrun started: its own GPU, and one bar a machine. Others stay as they are."""
    if shard != TORCHRUN:
        return options
    shows = options.progress and environment["LOCAL_RANK"] == "0"
    return replace(options, device=device_of_rank(options.device, environment), progress=shows)


def shard_folder(out: Path, manifest: Manifest) -> Path:
    """Where a shard of a run is written. Raises DissectionError where shards of another run are."""
    assert manifest.shard is not None
    below = shards_folder(out)
    own = below / f"{manifest.shard.index}-of-{manifest.shard.count}"
    for folder in sorted(below.iterdir()) if below.is_dir() else []:
        there = read_manifest(folder) if folder != own else None
        if there is None or there.shard is None:
            continue
        if there.shard.count != manifest.shard.count:
            raise DissectionError(
                f"{below} holds shard {there.shard} of a run, and this is {manifest.shard}: choose a new folder"
            )
        differing = differences(there, _with_shard_of(manifest, there))
        if differing:
            raise DissectionError(
                f"{folder} holds a shard of another run ({'; '.join(differing)}): choose a new folder"
            )
    return own


def _with_shard_of(manifest: Manifest, other: Manifest) -> Manifest:
    return replace(manifest, shard=other.shard)
