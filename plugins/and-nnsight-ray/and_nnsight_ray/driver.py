"""The driver: shards are handed out to actors, those of actors that die once more, and all are merged at the end."""

from __future__ import annotations

import os
from collections import Counter, deque
from pathlib import Path, PurePosixPath
from typing import Any

import and_nnsight
import ray
import torch
from and_nnsight import Dissection, DissectionError, merge
from and_nnsight.dissection.files import shards_folder
from and_nnsight.dissection.manifest import COMPLETE, read_manifest
from and_nnsight.progress import step_progress
from and_nnsight.run.shards import shard_folder
from ray.exceptions import RayActorError, RayTaskError

from .cluster import ActorPlan
from .model_actor import ModelActor

_DEATHS = 3  # of actors on one shard
_REFUSED = {
    "shard": "the shards are Ray's to hand out",
    "num_workers": "clips are decoded by actors: decode_actors=",
    "remote": "the model runs in the cluster's actors",
    "resume": "the same call goes on with the shards that are there",
    "keep_activations": "only each unit's best clips come home from an actor: run dissect with shard= on a shared disk",
    "keep_exemplars": "call and_nnsight.keep_exemplars afterwards",
}


def dissect(
    model: Any,
    data: Any,
    *,
    out: str | Path,
    model_actors: int | None = None,
    decode_actors: int = 1,
    shards: int | None = None,
    progress: bool = True,
    **options: Any,
) -> Dissection:
    """What `and_nnsight.dissect` does, over the Ray cluster that this process is connected to (`ray.init`).

    The data is cut into shards. Each is run by an actor that has the model, whose clips are decoded by actors of its
    own; only what a shard leaves of each unit (K values, clips and frames at either end, moments) comes back, and is
    written to out/shards. An actor that dies loses the shard that it was at, which a new actor gets. At the end the
    shards are merged into `out`, equal file by file to the run of one process.

    model, data    what `and_nnsight.dissect` takes, if it can be sent to other machines; names and paths mean the same
                   there, where the working directory is this process's
    out            folder of the dissection. The same call goes on with the shards that are there
    model_actors   actors that run the model, a CPU each and a GPU where the cluster has any; None: as many as fit
    decode_actors  that decode for each of these, a CPU each; 0: it decodes itself
    shards         parts of the data; None: four a model actor. More lose less when an actor dies
    options        of `and_nnsight.dissect`: sites, k, pool, batch_size, columns, split, limit, device, dtype, concepts

    Raises ValueError for more actors than the cluster has room for, and options that make no sense here;
    DissectionError if actors die of a shard three times, what came home being kept; and what `and_nnsight.dissect`
    raises.
    """
    for name in options:
        if name in _REFUSED:
            raise ValueError(f"{name}= has no place in a run over Ray: {_REFUSED[name]}")
    folder = Path(out).expanduser()
    there = read_manifest(folder) if folder.is_dir() else None
    if there is not None and there.state == COMPLETE:
        return and_nnsight.dissect(model, data, out=folder, progress=progress, **options)  # refuses another run's
    if not ray.is_initialized():
        raise ValueError("this process is not connected to a Ray cluster: call ray.init() first")
    plan = ActorPlan.of(ray.cluster_resources(), model_actors, decode_actors, shards)
    _Run(plan, model, data, options, folder).finish(progress)
    return merge(folder, out=folder)


class _Run:
    """The shards of a run: which wait, which are at which actor, and how often actors died of each."""

    def __init__(self, plan: ActorPlan, model: Any, data: Any, options: dict[str, Any], out: Path) -> None:
        self._plan, self._out = plan, out
        self._model, self._data = _sent(model, "model"), _sent(data, "data")
        self._options = options
        done = [index for index in range(plan.shards) if self._is_done(index)]
        self._waiting = deque(index for index in range(plan.shards) if index not in done)
        self._deaths: Counter[int] = Counter()
        self._at: dict[Any, tuple[int, Any]] = {}  # what each call is of, and which actor does it

    def _is_done(self, index: int) -> bool:
        folder = shards_folder(self._out) / f"{index}-of-{self._plan.shards}"
        manifest = read_manifest(folder) if folder.is_dir() else None
        if manifest is not None and manifest.state != COMPLETE:
            raise DissectionError(
                f"{folder} holds a shard that another process began: let it finish, or remove the folder"
            )
        return manifest is not None

    def finish(self, progress: bool) -> None:
        """Run every shard that is not there."""
        with step_progress("shards", self._plan.shards, progress) as advance:
            advance(self._plan.shards - len(self._waiting))
            try:
                for _ in range(min(self._plan.models, len(self._waiting))):
                    self._hand_out(self._actor())
                while self._at:
                    (ready,), _ = ray.wait(list(self._at), num_returns=1)
                    advance(self._take(ready))
            finally:
                for _, actor in self._at.values():
                    ray.kill(actor)

    def _actor(self) -> Any:
        made: Any = ray.remote(num_cpus=1, num_gpus=self._plan.gpus)(ModelActor)
        threads = None if self._plan.gpus else torch.get_num_threads()
        return made.remote(self._model, self._options, self._plan.decoders, str(Path.cwd()), threads)

    def _hand_out(self, actor: Any) -> None:
        """Give an actor the next shard; where none is left, let it go."""
        if not self._waiting:
            ray.kill(actor)
            return
        index = self._waiting.popleft()
        self._at[actor.run_shard.remote(self._data, f"{index}/{self._plan.shards}")] = index, actor

    def _take(self, ready: Any) -> int:
        """Write what an actor sent; how many shards that were."""
        index, actor = self._at.pop(ready)
        try:
            files: Any = ray.get(ready)
        except RayTaskError as error:
            ray.kill(actor)
            raise error.cause from error
        except RayActorError as error:
            self._deaths[index] += 1
            if self._deaths[index] == _DEATHS:
                raise DissectionError(
                    f"{_DEATHS} actors died of shard {index}/{self._plan.shards} ({_reason(error)}): what came home is "
                    f"in {self._out}, and the same call goes on from there"
                ) from error
            self._waiting.appendleft(index)
            self._hand_out(self._actor())
            return 0
        self._write(index, files)
        self._hand_out(actor)
        return 1

    def _write(self, index: int, files: dict[str, bytes]) -> None:
        """A shard's folder: whole or not at all, as it is renamed into place."""
        written = self._out / f".shard-{index}.{os.getpid()}.tmp"
        for name, content in files.items():
            path = written / PurePosixPath(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        manifest = read_manifest(written)
        assert manifest is not None
        place = shard_folder(self._out, manifest)  # refuses shards of another run
        place.parent.mkdir(exist_ok=True)
        written.replace(place)


def _sent(value: Any, what: str) -> Any:
    """A value in the cluster's memory, once for all actors. Raises ValueError for what cannot be sent."""
    try:
        return ray.put(value)
    except TypeError as error:
        raise ValueError(
            f"{what} is a {type(value).__name__}, which cannot be sent to other processes: give a path, a name, a list "
            "or a dataset"
        ) from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
