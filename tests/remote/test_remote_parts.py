"""The part of a composite model that hears, on a server that holds the whole: what it is here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.remote.checkpoints import save_checkpoint, save_sounds
from tests.remote.loopback import Loopback

pytestmark = pytest.mark.slow

CLIENT, TRACES = (Path(__file__).with_name(name) for name in ("client.py", "part_traces.py"))


@pytest.mark.parametrize(
    ("family", "gather"),
    [
        ("qwen2-audio", ["trace", "cache", "local"]),  # called by its forward, with text
        ("voxtral", ["trace", "cache"]),  # has a method for sound
        ("audio-flamingo-3", ["trace"]),  # which no task loads with its head
        ("granite-speech", ["cache"]),  # goes on writing to what its first block returned
        ("seamless-m4t", ["trace"]),  # called by its forward, on sound alone; ragged
    ],
)
def test_a_tower_there_is_the_tower_here(
    family: str, gather: list[str], loopback: Loopback, run_script: Callable[..., Any], tmp_path: Path
) -> None:
    save_checkpoint(family, tmp_path / "models" / family)
    save_sounds(tmp_path / "sounds", clips=6)
    case = {"family": family, "gather": gather}
    done = run_script(CLIENT, "same", loopback.url, tmp_path, json.dumps([case]))
    for said in json.loads(done.stdout.splitlines()[-1]):
        assert said["worst"] == 0, said
        assert all(said[part] for part in ("sites", "ids", "frames", "clips", "quarantine")), said
        assert said["gather"] == "local" or 0 < said["remote"]["bytes_down"] < 100_000, "only [K, unit] comes home"
    jobs = loopback.log()["jobs"]
    assert jobs
    assert {job["error"] for job in jobs} == {None}


@pytest.mark.parametrize("family", ["ast", "audio-flamingo-3"])
def test_a_server_that_trusts_nobody_keeps_sites_in_a_cache(
    family: str, loopback: Loopback, run_script: Callable[..., Any], tmp_path: Path
) -> None:
    loopback.faults(trusted=False, env={"nnsight": "0.8.3"})
    save_checkpoint(family, tmp_path / "models" / family)
    save_sounds(tmp_path / "sounds", clips=5)
    done = run_script(CLIENT, "same", loopback.url, tmp_path, json.dumps([{"family": family, "gather": ["cache"]}]))
    (said,) = json.loads(done.stdout.splitlines()[-1])
    assert said["worst"] <= 1e-5, said
    assert all(said[part] for part in ("sites", "ids", "frames", "clips", "quarantine")), said


@pytest.mark.parametrize("family", ["parakeet_ctc", "canary", "moonshine"])
def test_models_with_measured_frames_run_whole_there_and_differ_by_rounding_alone(
    family: str, loopback: Loopback, run_script: Callable[..., Any], tmp_path: Path
) -> None:
    save_checkpoint(family, tmp_path / "models" / family)
    save_sounds(tmp_path / "sounds", clips=4)
    case = {"family": family, "gather": ["trace"], "sites": "default"}
    done = run_script(CLIENT, "same", loopback.url, tmp_path, json.dumps([case]))
    (said,) = json.loads(done.stdout.splitlines()[-1])
    assert said["worst"] <= 1e-6, said
    assert all(said[part] for part in ("sites", "clips", "quarantine")), said


def test_what_does_not_go_there_says_so_before_any_job(
    loopback: Loopback, run_script: Callable[..., Any], tmp_path: Path
) -> None:
    for family in ("qwen2.5-omni", "kyutai_speech_to_text"):
        save_checkpoint(family, tmp_path / "models" / family)
    save_sounds(tmp_path / "sounds", clips=2)
    done = run_script(CLIENT, "unsent", loopback.url, tmp_path, json.dumps(["qwen2.5-omni", "kyutai_speech_to_text"]))
    for said in json.loads(done.stdout.splitlines()[-1]).values():
        assert "does not run without its weights, which is how a job for a server is made ready" in said
    assert loopback.log()["jobs"] == []


def test_traces_of_a_tower_there_are_traces_here(
    loopback: Loopback, run_script: Callable[..., Any], tmp_path: Path
) -> None:
    whole, codec = (save_checkpoint(family, tmp_path / family) for family in ("qwen2-audio", "csm"))
    done = run_script(TRACES, loopback.url, whole, codec)
    told = json.loads(done.stdout.splitlines()[-1])
    ways = ("site", "output", "module", "session", "edited", "dry run", "clip")
    assert {way: told[way] for way in ways if told[way] > 1e-5} == {}
    assert told["changed"] > 0.01
    assert told["weightless"] == [False, "meta"]
    for refused in (told["reader"], told["reads"]):
        assert "a server is given sound, and of " in refused
        assert "the part 'language_model' was opened, which does not hear: run it here, without remote=" in refused
    assert "runs jobs of this key in a sandbox, where nothing but a model's own methods is called" in told["sandboxed"]
    assert "Qwen2AudioForConditionalGeneration has none that runs its part 'audio_tower'" in told["sandboxed"]
    assert "does not run without its weights, which is how a job for a server is made ready" in told["codec"]
