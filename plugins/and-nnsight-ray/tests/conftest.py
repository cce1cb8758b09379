"""A Ray of this machine: of four CPUs, whatever the machine has."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import beartype  # noqa: F401  nnsight hangs a `save` on every object; beartype trips over it unless it comes first
import pytest
import ray
import soundfile
from and_nnsight.demo import make_sounds

os.environ["RAY_AUTH_MODE"] = "disabled"  # a Ray that nobody else can reach
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  Ray's own name. by default 15: beside other work its actors would hardly run


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        ray.init(num_cpus=4, num_gpus=0, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for place, sound in enumerate(make_sounds(3)):
        (folder / sound.label).mkdir(exist_ok=True)
        soundfile.write(folder / sound.label / f"{place:02}.wav", sound.waveform, sound.sampling_rate)
    (folder / "broken.wav").write_bytes(b"no sound")
    return folder
