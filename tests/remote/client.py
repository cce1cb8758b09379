"""Runs on a server beside runs here, in a process as a user's: `python client.py SCENARIO URL FOLDER`, JSON on the last line.

FOLDER holds `models/NAME` and `sounds`. Each scenario is a function below; what it gives is what is printed.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import torch
import zstandard

from and_nnsight import AudioModel, Dissection, ModelError, Remote, RemoteRunError, dissect
from and_nnsight.dictionaries import autoencoder
from and_nnsight.remote import jobs, server
from and_nnsight.run.folder import RunFolder

URL, FOLDER = sys.argv[2], Path(sys.argv[3])
SOUNDS = FOLDER / "sounds"
KEY = "11111111-2222-3333-4444-555555555555"
RUN: dict[str, Any] = {"k": 3, "batch_size": 2, "progress": False}


def model(name: str = "ast") -> str:
    return str(FOLDER / "models" / name)


def faults(**changes: Any) -> None:
    httpx.post(f"{URL}/_faults", json=changes).raise_for_status()


def reset() -> None:
    httpx.post(f"{URL}/_reset", json={}, timeout=60).raise_for_status()


def log() -> dict[str, Any]:
    return httpx.get(f"{URL}/_log").json()


@contextmanager
def before_job(number: int, act: Callable[[], None]) -> Iterator[None]:
    """Act when the number-th job from now on is about to be sent."""
    launch, left = server.Job.launch, [number]

    def counted(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            act()
        launch(*arguments)

    server.Job.launch = counted
    try:
        yield
    finally:
        server.Job.launch = launch


def there(**settings: Any) -> Remote:
    return Remote(URL, **{"clips_per_job": 4, "in_flight": 1, "retries": 0, **settings})


def compared(here: Dissection, away: Dissection) -> dict[str, Any]:
    """Whether ids, frames and counts are the same, and the largest difference of values."""
    said: dict[str, Any] = {"sites": list(here.sites) == list(away.sites), "ids": True, "frames": True, "worst": 0.0}
    same, count = 0, 0
    for site in here.sites:
        one, two = here[site], away[site]
        said["frames"] &= torch.equal(one.finite, two.finite) and one.nonfinite == two.nonfinite
        for name in ("top", "bottom"):
            a, b = getattr(one, name), getattr(two, name)
            same, count = same + int((a.clips == b.clips).sum()), count + a.clips.numel()
            said["ids"] &= torch.equal(a.clips, b.clips)
            said["frames"] &= torch.equal(a.frames, b.frames)
            said["worst"] = max(said["worst"], float((a.values - b.values).nan_to_num().abs().max()))
        for name in ("mean", "variance", "active"):
            apart = (getattr(one, name) - getattr(two, name)).nan_to_num().abs().max()
            said["worst"] = max(said["worst"], float(apart))
    said["clips"] = list(here.clips.values()) == list(away.clips.values())
    said["quarantine"] = here.quarantine == away.quarantine
    said["share"] = same / count
    return said


def failed(out: str, **options: Any) -> str:
    """The message of the RemoteRunError that a run ends with; anything else is not caught."""
    try:
        dissect(**{"model": model(), "data": SOUNDS, "out": FOLDER / out, **RUN, **options})
    except RemoteRunError as error:
        return str(error)
    return "it did not fail"


def same(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs there and here, of each case's family, sites and pooling, in each case's ways of gathering."""
    told = []
    for number, case in enumerate(cases):
        options = {**RUN, "sites": case.get("sites", "all"), "pool": case.get("pool", "max")}
        options["num_workers"] = case.get("num_workers", 0)
        autoencoder.PART_VALUES = case.get("part_values", 2**24)
        here = dissect(model(case["family"]), SOUNDS, out=FOLDER / f"same{number}", **options)
        for gather in case.get("gather", ["trace", "cache"]):
            out = FOLDER / f"same{number}-{gather}"
            where = "local" if gather == "local" else there(gather=gather, audio=case.get("audio", "exact"))
            heard = io.StringIO()
            with redirect_stdout(heard):
                away = dissect(model(case["family"]), SOUNDS, out=out, remote=where, **options)
            told.append({**case, "gather": gather, **compared(here, away), "printed": heard.getvalue()})
            told[-1] |= {"dtype": away.manifest.dtype, "remote": away.manifest.remote}
    return told


def unsent(families: list[str]) -> dict[str, str]:
    """What is said of models that no server runs."""
    told = {}
    for family in families:
        try:
            dissect(model(family), SOUNDS, out=FOLDER / f"unsent-{family}", remote=there(), **RUN)
        except ModelError as error:
            told[family] = str(error)
    return told


def latents_in_a_trace(dictionary: str) -> dict[str, Any]:
    """What a trace there says of latents, by name and by a handle; and latents here of what it brings home."""
    tensor, told = "blocks.1.hook_resid_post", {}
    site = f"{tensor}|sae:{dictionary}"
    wave = torch.randn(16_000, generator=torch.Generator().manual_seed(0)).numpy()
    here, away = AudioModel(model("ast"), dispatch=True), AudioModel(model("ast"))
    handle = away.site(site)
    try:
        with away.trace(wave, remote=URL):
            away.site(site).save()
    except Exception as error:  # nnsight's, of what failed there
        told["by name"] = str(error)
    try:
        with away.trace(wave, remote=URL):
            handle.output.save()
    except Exception as error:  # nnsight may wrap what fails while a request is written
        told["by a handle"] = str(error)
    with away.trace(wave, remote=URL):
        saved = away.site(tensor).save()
    with torch.no_grad(), here.trace(wave):
        own = here.site(site).save()
    told["apart"] = float((away.sites(site)[0].units(saved) - own).abs().max())
    return told


def errors() -> dict[str, Any]:
    """What goes wrong at a server, each in a sentence; what was kept is finished afterwards and compared."""
    jobs._UNSEEN = jobs._STALLED = jobs._AFTER_SILENCE = jobs._BEFORE_ANY_ANSWER = 0.5
    here = dissect(model(), SOUNDS, out=FOLDER / "here", **RUN)
    told: dict[str, Any] = {}
    wrong = {
        "memory": {"fail": 1},
        "traceback": {"fail": 1, "fail_text": "Traceback (most recent call last):\n  File x\nKeyError: 'what'"},
        "timeout": {"fail": 1, "fail_text": "timeout"},
        "evicted": {"fail": 1, "fail_text": "evicted"},
        "not deployed": {"deployable": []},
        "forgotten": {"forget": 1},
        "lost": {"lose": 1},
        "gone": {"wrong_results": 1, "wrong_result": "gone"},
        "truncated": {"wrong_results": 1, "wrong_result": "truncated"},
        "garbage": {"wrong_results": 1, "wrong_result": "garbage"},
        "other names": {"wrong_results": 1, "wrong_result": "other names"},
        "not a dict": {"wrong_results": 1, "wrong_result": "not a dict"},
        "no data": {"wrong_results": 1, "wrong_result": "no data"},
        "too large": {"max_request": 10_000},
        "no key": {"api_keys": [KEY]},
        "another dtype": {"dtype": "bfloat16"},
        "away": {"drop": 10**6},
    }
    # Each fault meets a folder that holds the first job: of its own where an earlier answer matters, of all otherwise.
    alone = ("memory", "lost", "another dtype")
    for name, changes in wrong.items():
        folder, job = (name, 2) if name in alone else ("all others", 1 if (FOLDER / "all others").exists() else 2)
        with before_job(job, lambda: faults(**changes)):  # noqa: B023
            told[name] = {"said": failed(folder, remote=there(patience=1, deadline=2 if name == "lost" else 100))}
        reset()
        if name in (*alone, list(wrong)[-1]):
            away = dissect(model(), SOUNDS, out=FOLDER / folder, remote=there(), **RUN)
            told[name] |= compared(here, away) | {"jobs": away.manifest.remote["jobs"]}
    with before_job(2, lambda: faults(forget=1, on="/request", unavailable=2)):
        told["passing"] = {"said": failed("passing", remote=there(retries=2))}
    told["passing"] |= compared(here, Dissection.load(FOLDER / "passing"))
    return told


def refused() -> dict[str, Any]:
    """What is said before any job is sent, or instead."""
    told = {}
    faults(api_keys=[KEY])
    told["no key"] = failed("refused", remote=there())
    told["no uuid"] = failed("refused", remote=there(api_key="a secret"))
    told["wrong key"] = failed("refused", remote=there(api_key=KEY.replace("5", "6")))
    told["right key"] = failed("right", remote=there(api_key=KEY))
    reset()
    for name, env in {"nnsight": {"nnsight": "0.7.3"}, "transformers": {"transformers": "5.8.0"}}.items():
        faults(env=env)
        told[f"old {name}"] = failed("refused", remote=there())
    faults(env={"transformers": "5.99.0"})
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        told["new transformers"] = failed("newer", remote=there())
    told["warned"] = [str(warning.message) for warning in warned]
    reset()
    faults(env={"torchaudio": None})
    told["without torchaudio"] = failed("features", remote=there())
    told["audio"] = Dissection.load(FOLDER / "features").manifest.remote["audio"]
    faults(reconnecting=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told["reconnecting"] = failed("refused", remote=there(patience=1))
    reset()
    told["too big"] = failed("refused", remote=there(most_bytes_home=1_000))
    told["jobs"] = [job["error"] for job in log()["jobs"]]
    told["nobody"] = failed("refused", remote=Remote("http://127.0.0.1:1"))
    told["host"] = failed("refused", remote=True)
    told["done already"] = failed("features", remote=Remote("http://127.0.0.1:1"))
    for name, run in {"there": {}, "here": {"remote": there()}}.items():
        dissect(model(), SOUNDS, out=FOLDER / f"begun {name}", **RUN, **({} if run else {"remote": there()}))
        try:
            dissect(model(), SOUNDS, out=FOLDER / f"begun {name}", **RUN, **run)
        except ValueError as error:
            told[f"begun {name}"] = str(error)
    return told


def rounded() -> dict[str, Any]:
    """A server that runs in bfloat16."""
    here = dissect(model(), SOUNDS, out=FOLDER / "exact", **RUN)
    faults(dtype="bfloat16")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        away = dissect(model(), SOUNDS, out=FOLDER / "rounded", remote=there(), **RUN)
    told = compared(here, away) | {"warned": [str(warning.message) for warning in warned]}
    return told | {"dtype": away.manifest.dtype, "kept as": str(away[away.sites[0]].top.values.dtype)}


def streams() -> dict[str, Any]:
    """Data of every kind: a generator, a limit, nothing usable, workers, a model with edits, one opened before."""
    told = {}
    clips = sorted(SOUNDS.glob("*.wav"))
    options = {**RUN, "sites": "all", "limit": 7}
    here = dissect(model(), (str(path) for path in clips), out=FOLDER / "generator", **options)
    away = dissect(model(), (str(path) for path in clips), out=FOLDER / "generator-there", remote=there(), **options)
    told["generator"] = compared(here, away)
    opened = AudioModel(model(), token="hf_secret", revision="main")
    away = dissect(opened, clips, out=FOLDER / "list", remote=there(), num_workers=2, **options)
    told["workers"] = compared(here, away)
    told["dispatched"] = [opened.dispatched, str(next(opened.wrapped.parameters()).device)]
    reader = AudioModel(model())
    with reader.edit() as (_, edited):
        edited.site("blocks.0.mlp.hook_post")[..., 3] = 2.5
    here = dissect(edited, clips, out=FOLDER / "edited", **options)
    away = dissect(edited, clips, out=FOLDER / "edited-there", remote=there(), **options)
    told["edited"] = compared(here, away)
    told["edit"] = float(away["blocks.0.mlp.hook_post"].top.values[0, 3])
    bad = FOLDER / "bad"
    bad.mkdir()
    for index in range(12):
        (bad / f"{index}.wav").write_bytes(b"damaged")
    reset()
    try:
        dissect(model(), bad, out=FOLDER / "nothing", remote=there(), **RUN)
    except ValueError as error:
        told["nothing usable"] = [str(error), len(log()["jobs"])]
    return told


def wire() -> dict[str, Any]:
    """What travels: nothing of this machine's, sound as 16-bit integers; and what comes home."""
    blobs: list[bytes] = []
    serialize = server.Job._serialize

    def kept(self: Any, tracer: Any) -> bytes:
        blobs.append(serialize(self, tracer))
        return blobs[-1]

    server.Job._serialize = kept
    reset()
    opened = AudioModel(model("wav2vec2-post"), token="hf_secret")
    away = dissect(
        opened, SOUNDS, out=FOLDER / "wire", remote=there(clips_per_job=100, api_key=KEY), **RUN | {"sites": "all"}
    )
    plain = b"".join(zstandard.ZstdDecompressor().decompress(blob) for blob in blobs)
    samples = sum(int(row.seconds * row.sampling_rate) for row in away.clips.values())
    (job,) = log()["jobs"]
    return {
        "leaks": [word for word in ("hf_secret", KEY, "000.wav", str(SOUNDS), str(FOLDER / "wire")) if word.encode() in plain],
        "plain": len(plain), "samples": samples, "blob": job["blob_bytes"], "sent": away.manifest.remote["bytes_up"],
        "home": job["bytes_out"], "received": away.manifest.remote["bytes_down"],
    }  # fmt: skip


def small() -> dict[str, Any]:
    """A job of many clips: bytes home against those of the activations, in both ways of gathering."""
    from and_nnsight.remote.shapes import site_shapes

    chance = torch.Generator().manual_seed(0)
    clips = [torch.randn(32_000, generator=chance).numpy() for _ in range(96)]
    opened = AudioModel(model())
    shapes = site_shapes(opened, opened.sites(), opened.features(clips[0], 16_000))
    told = {"activations": 4 * len(clips) * sum(shape.numel() for shape in shapes.values())}
    data = [{"audio": {"array": clip, "sampling_rate": 16_000}} for clip in clips]
    for gather in ("trace", "cache"):
        reset()
        where = Remote(URL, gather=gather)
        dissect(model(), data, out=FOLDER / f"small-{gather}", remote=where, k=16, sites="all", progress=False)
        told[gather] = sum(job["bytes_out"] for job in log()["jobs"])
        told[f"{gather} wire"] = log()["total"]["bytes_out"]
    return told


def whole(name: str, ends: str = "") -> dict[str, Any]:
    """A run of many jobs, ended by a signal after its second checkpoint if `ends` says so."""
    checkpoint, done = RunFolder.checkpoint, []

    def counted(self: Any, *arguments: Any) -> None:
        checkpoint(self, *arguments)
        done.append(self.position)
        if ends and len(done) == 2:
            os.kill(os.getpid(), getattr(signal, ends))

    RunFolder.checkpoint = counted
    jobs._UNSEEN = jobs._STALLED = jobs._AFTER_SILENCE = jobs._BEFORE_ANY_ANSWER = 2.0
    settings = there(clips_per_job=2, in_flight=2, retries=9, patience=500)
    dissection = dissect(model(), SOUNDS, out=FOLDER / name, remote=settings, **RUN)
    return {"positions": done, "sent_again": dissection.manifest.remote["sent_again"]}


if __name__ == "__main__":
    result = globals()[sys.argv[1]](*map(json.loads, sys.argv[4:]))
    print(json.dumps(result))
