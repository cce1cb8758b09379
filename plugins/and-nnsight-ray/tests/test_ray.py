"""A run over Ray is the run of one process, file by file, also where an actor is killed in its midst."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import and_nnsight
import numpy as np
import psutil
import pytest
from and_nnsight import Dissection, DissectionError
from and_nnsight.demo import tiny_ast_path
from ray.cloudpickle import register_pickle_by_value

from and_nnsight_ray import dissect
from and_nnsight_ray.cluster import ActorPlan

OPTIONS: dict[str, Any] = {"sites": "all", "k": 3, "batch_size": 4, "progress": False}


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return {name: content for name, content in found.items() if not name.startswith("shards/")}


@pytest.fixture(scope="module")
def whole(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one") / "run"
    and_nnsight.dissect(str(tiny_ast_path()), str(sounds), out=folder, **OPTIONS)
    return folder


def over_ray(sounds: Path, out: Path, **options: Any) -> Dissection:
    return dissect(str(tiny_ast_path()), str(sounds), out=out, **{**OPTIONS, **options})


@pytest.mark.usefixtures("cluster")
def test_two_actors_with_a_decoder_each_leave_the_files_of_one_process(
    sounds: Path, whole: Path, tmp_path: Path
) -> None:
    dissection = over_ray(sounds, tmp_path / "run", model_actors=2, decode_actors=1, shards=5)
    assert files(tmp_path / "run") == files(whole)
    assert dissection.manifest.quarantined == 1
    before = files(tmp_path / "run")
    assert over_ray(sounds, tmp_path / "run").folder == tmp_path / "run", "asked again it is returned"
    assert files(tmp_path / "run") == before
    with pytest.raises(DissectionError, match="other settings"):
        over_ray(sounds, tmp_path / "run", k=4)


@pytest.mark.usefixtures("cluster")
def test_arrays_travel_read_only_and_give_the_files_of_one_process(tmp_path: Path) -> None:
    """Ray lends what it carries: nothing may be written to it."""
    time_axis = np.arange(8_000, dtype=np.float32)
    clips = [{"array": np.sin(time_axis * 0.01 * (clip + 1)), "sampling_rate": 16_000} for clip in range(12)]
    clips[7] = {"array": (3_000 * clips[7]["array"]).astype(np.int16), "sampling_rate": 16_000}
    and_nnsight.dissect(str(tiny_ast_path()), clips, out=tmp_path / "one", **OPTIONS)
    dissect(str(tiny_ast_path()), clips, out=tmp_path / "run", model_actors=1, decode_actors=1, shards=2, **OPTIONS)
    assert files(tmp_path / "run") == files(tmp_path / "one")


def killed_once(wanted: Callable[[psutil.Process], bool], kill: list[int], stop: threading.Event) -> None:
    """Kill the first child of this process that is wanted."""
    while not stop.is_set():
        for process in psutil.Process().children(recursive=True):
            try:
                if wanted(process):
                    os.kill(process.pid, signal.SIGKILL)
                    kill.append(process.pid)
                    return
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("actor", ["ModelActor.run_shard", "DecodeActor.run"])
def test_a_killed_actor_costs_nothing_but_time(actor: str, sounds: Path, whole: Path, tmp_path: Path) -> None:
    killed: list[int] = []
    stop = threading.Event()
    killer = threading.Thread(target=killed_once, args=(lambda one: actor in one.name() or any(
        actor in part for part in one.cmdline()), killed, stop))  # fmt: skip
    killer.start()
    try:
        over_ray(sounds, tmp_path / "run", model_actors=2, decode_actors=1, shards=4)
    finally:
        stop.set()
        killer.join()
    assert len(killed) == 1
    assert files(tmp_path / "run") == files(whole)


class Deadly:
    """Clips of which the tenth ends the process that reads it, unless that is the driver."""

    def __init__(self) -> None:
        self.driver = os.getpid()

    def __len__(self) -> int:
        return 12

    def __getitem__(self, clip: int) -> dict[str, Any]:
        if clip >= 12:
            raise IndexError(clip)
        if clip == 9 and os.getpid() != self.driver:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"array": np.sin(np.arange(8_000, dtype=np.float32) * 0.01 * (clip + 1)), "sampling_rate": 16_000}


@pytest.mark.usefixtures("cluster")
def test_what_kills_every_actor_is_an_error_that_names_the_shard_and_keeps_the_others(tmp_path: Path) -> None:
    register_pickle_by_value(sys.modules[__name__])  # actors cannot import a test
    with pytest.raises(DissectionError, match="3 actors died of shard 2/3"):
        dissect(
            str(tiny_ast_path()), Deadly(), out=tmp_path / "run", model_actors=1, decode_actors=0, shards=3, **OPTIONS
        )
    done = sorted(path.name for path in (tmp_path / "run" / "shards").iterdir())
    assert done == ["0-of-3", "1-of-3"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["shards"]


@pytest.mark.usefixtures("cluster")
def test_more_actors_than_the_cluster_has_room_for_are_refused(sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 model actors with 1 decoding actors each take 6 CPUs, and the Ray cluster"):
        over_ray(sounds, tmp_path / "run", model_actors=3)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("cluster")
def test_what_an_actor_raises_is_raised(sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(and_nnsight.SiteError, match="no site matches"):
        over_ray(sounds, tmp_path / "run", sites="blocks.99.*", model_actors=1)
    with pytest.raises(ValueError, match="data is a generator, which cannot be sent"):
        dissect(str(tiny_ast_path()), (clip for clip in []), out=tmp_path / "run", model_actors=1)


def test_options_that_have_no_place_are_named(tmp_path: Path) -> None:
    for name in ("shard", "num_workers", "remote", "keep_activations"):
        with pytest.raises(ValueError, match=f"{name}= has no place in a run over Ray"):
            dissect("model", "data", out=tmp_path, **{name: 1})


@pytest.mark.parametrize(
    ("resources", "asked", "plan"),
    [
        ({"CPU": 8.0}, (None, 1, None), ActorPlan(4, 1, 16, 0)),
        ({"CPU": 64.0, "GPU": 8.0}, (None, 4, None), ActorPlan(8, 4, 32, 1)),
        ({"CPU": 16.0, "GPU": 8.0}, (None, 3, 100), ActorPlan(4, 3, 100, 1)),
        ({"CPU": 1.0}, (None, 0, None), ActorPlan(1, 0, 4, 0)),
    ],
)
def test_as_many_actors_as_fit(resources: dict[str, float], asked: tuple[Any, ...], plan: ActorPlan) -> None:
    assert ActorPlan.of(resources, *asked) == plan


def test_gpus_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="3 model actors take 3 GPUs, and the Ray cluster has 2"):
        ActorPlan.of({"CPU": 64.0, "GPU": 2.0}, 3, 1, None)
