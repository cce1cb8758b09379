"""`SITE|sae:PATH` on a server that has nothing of ours: the latents of a run here, and a sentence for what cannot go up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import dictionaries_for_tests as write
from tests.families import WIDTH
from tests.remote.checkpoints import save_checkpoint, save_sounds
from tests.remote.loopback import Loopback

pytestmark = pytest.mark.slow

CLIENT = Path(__file__).with_name("client.py")
LATENTS, RESIDUAL = 200, "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds, checkpoints, and a dictionary of every kind of arithmetic."""
    folder = tmp_path_factory.mktemp("material")
    save_sounds(folder / "sounds")
    for family in ("ast", "whisper"):
        save_checkpoint(family, folder / "models" / family)
    for kind in write.SAE_LENS:
        scaling = "layer_norm" if kind == "jumprelu" else "none"
        write.sae_lens(folder / kind, kind, WIDTH, LATENTS, k=6, scaling=scaling)
    write.sparsify(folder / "groupmax", "groupmax", WIDTH, LATENTS)
    return folder


@pytest.fixture
def ask(loopback: Loopback, material: Path, tmp_path: Path, run_script: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a scenario of `client.py` and gives what it says."""

    def asked(scenario: str, *arguments: Any) -> Any:
        for name in ("models", "sounds"):
            (tmp_path / name).symlink_to(material / name)
        done = run_script(CLIENT, scenario, loopback.url, tmp_path, *map(json.dumps, arguments))
        return json.loads(done.stdout.splitlines()[-1])

    return asked


def _same_as_here(said: dict[str, Any]) -> bool:
    return said["worst"] <= 1e-5 and all(said[part] for part in ("sites", "ids", "frames", "clips", "quarantine"))


def _on(material: Path, *kinds: str) -> list[str]:
    return [f"{RESIDUAL}|sae:{material / kind}" for kind in kinds]


def test_latents_there_are_latents_here(ask: Callable[..., Any], material: Path) -> None:
    """Of each kind of arithmetic, whole and in parts, beside the site itself and its heads."""
    every = _on(material, *write.SAE_LENS, "groupmax")
    cases = [
        {"family": "whisper", "sites": [RESIDUAL, "heads", *every], "gather": ["trace", "cache", "local"]},
        {"family": "ast", "sites": every, "part_values": 1, "gather": ["cache"]},
        {"family": "ast", "sites": _on(material, "topk", "jumprelu"), "pool": "mean", "gather": ["trace"]},
        {"family": "ast", "sites": _on(material, "topk", "jumprelu"), "pool": "cls", "gather": ["trace"]},
    ]
    told = ask("same", cases)
    assert len(told) == 6
    for said in told:
        assert _same_as_here(said), said
        assert said["printed"] == ""
        assert said["remote"]["dictionary_bytes"] > 4 * WIDTH * LATENTS


def test_latents_in_a_trace_there_are_made_here_of_what_comes_home(ask: Callable[..., Any], material: Path) -> None:
    dictionary = str(material / "topk")
    told = ask("latents_in_a_trace", dictionary)
    site = f"{RESIDUAL}|sae:{dictionary}"
    for way in ("by name", "by a handle"):
        assert "a trace on a server does not read latents, for the dictionary is on your machine" in told[way]
        assert f"model.sites({site!r})[0].units(saved)" in told[way]
    assert told["apart"] <= 1e-5
