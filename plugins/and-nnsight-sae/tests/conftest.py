"""Small sounds, the embedded model, and a training of a few steps."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import beartype  # noqa: F401  nnsight hangs a `save` on every object; beartype trips over it unless it comes first
import pytest
import soundfile
import torch
from and_nnsight.demo import make_sounds, tiny_ast_path
from small_training import OPTIONS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SAELens's own, of what it imports
    import sae_lens  # noqa: F401

# and-nnsight-lens may lie in the base of this environment, broken
os.environ["AND_NNSIGHT_PLUGINS"] = "and-nnsight-sae"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums over several threads may differ in their last bits from one run to the next."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for place, sound in enumerate(make_sounds(4)):
        (folder / sound.label).mkdir(exist_ok=True)
        length = len(sound.waveform) // (1 + place % 3)
        soundfile.write(folder / sound.label / f"{place:02}.wav", sound.waveform[:length], sound.sampling_rate)
    (folder / "broken.wav").write_bytes(b"no sound")
    return folder


@pytest.fixture(scope="session")
def model() -> str:
    return str(tiny_ast_path())


@pytest.fixture(scope="session")
def trained(model: str, sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from and_nnsight_sae import train_sae

    folder = tmp_path_factory.mktemp("trained")
    return train_sae(model, str(sounds), out=folder / "sae", frames=folder / "frames", **OPTIONS)
