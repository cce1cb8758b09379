"""The loopback NDIF is what it says: stock nnsight runs on it, in the real order and the real words."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nnsight
import psutil
import pytest
import torch
from nnsight import TransformersModel
from nnsight.intervention.backends.remote import AsyncRemoteBackend, RemoteError
from nnsight.schema.config import CONFIG

from tests.remote.loopback import HIDDEN, Loopback
from tests.remote.loopback_server.stock_client import PATIENCE, WAVE, answer, blocking, submit, until


def test_the_server_has_neither_our_package_nor_what_it_is_written_with(loopback: Loopback) -> None:
    packages = loopback.get("/env")["packages"]
    assert packages["nnsight"] == nnsight.__version__
    assert not {name.lower() for name in packages} & {*HIDDEN, "and-nnsight"}
    assert not any(loopback.get("/_importable", name=name)["importable"] for name in HIDDEN)
    assert not loopback.get("/_importable", name="tests")["importable"]
    assert not loopback.get("/_importable", name="loopback")["importable"]
    assert loopback.get("/_importable", name="torchaudio")["importable"]


def test_a_blocking_trace_gives_what_the_model_gives_here(
    loopback: Loopback, model: TransformersModel, local: torch.Tensor
) -> None:
    torch.testing.assert_close(blocking(model, loopback.url), local)
    (job,) = loopback.log()["jobs"]
    assert (job["status"], job["error"], job["lines"]) == ("COMPLETED", None, ["hello from the block"])


def test_a_job_that_nobody_waits_for_is_polled_and_its_log_is_not_stored(
    loopback: Loopback, model: TransformersModel, local: torch.Tensor
) -> None:
    loopback.faults(hold=True)
    backend = submit(model, loopback.url)
    assert backend() is None
    assert backend.status == "QUEUED"
    stored = answer(loopback, f"/response/{backend.job_id}").json()
    assert stored["description"] == "Added to Queue at position 1."
    loopback.faults(hold=False)
    torch.testing.assert_close(until(backend)["logits"], local)
    assert backend.meta is not None
    assert backend.meta["runtime"] > 0
    assert answer(loopback, f"/response/{backend.job_id}").json()["status"] == "COMPLETED"
    assert loopback.log()["jobs"][0]["lines"] == ["hello from the block"]


def test_before_its_first_status_a_job_is_not_found(loopback: Loopback, model: TransformersModel) -> None:
    loopback.faults(hold=True, late=1)
    backend = submit(model, loopback.url)
    assert answer(loopback, f"/response/{backend.job_id}").status_code == 404
    assert backend() is None
    assert backend.status == "RECEIVED"
    loopback.faults(hold=False)
    until(backend)


def test_every_status_comes_in_the_real_order_with_the_real_words(
    loopback: Loopback, model: TransformersModel, local: torch.Tensor
) -> None:
    blocking(model, loopback.url)  # the model is loaded

    async def statuses() -> list[Any]:
        backend = AsyncRemoteBackend(model.to_model_key(), host=loopback.url)
        with model.trace(WAVE, backend=backend):
            print("hello")
            logits = nnsight.save(model.output.logits)  # noqa: F841
        return [update async for update in backend]

    with ThreadPoolExecutor(1) as thread:  # of its own: a browser's driver may have a loop running in this one
        *updates, result = thread.submit(asyncio.run, statuses()).result()
    assert [(update.status.value, update.description) for update in updates] == [
        ("QUEUED", "Added to Queue at position 1."),
        ("DISPATCHED", "Your job has been sent to the model deployment."),
        ("RUNNING", "Your job has started running."),
        ("LOG", "hello"),
        ("COMPLETED", "Your job has been completed."),
    ]
    torch.testing.assert_close(result["logits"], local)


def test_bytes_are_counted_both_ways(loopback: Loopback, model: TransformersModel) -> None:
    with model.trace(WAVE, remote=loopback.url, blocking=False) as tracer:
        noise = nnsight.save(model.output.logits.new_zeros(1000).normal_())  # noqa: F841
    until(tracer.backend)
    log = loopback.log()
    (job,) = log["jobs"]
    # The wave is noise, and so is what is saved: neither can be compressed away.
    assert 100_000 < job["blob_bytes"] < job["bytes_in"] < job["blob_bytes"] + 1_000
    assert log["routes"]["POST /request"]["bytes_in"] == job["bytes_in"]
    assert 3_000 < job["bytes_out"] < 6_000
    assert log["routes"]["GET /result"] == {"requests": 1, "bytes_in": 0, "bytes_out": job["bytes_out"]}
    assert log["total"]["bytes_in"] == job["bytes_in"]
    assert log["total"]["bytes_out"] == sum(route["bytes_out"] for route in log["routes"].values())


def test_a_result_over_the_websocket_is_counted_and_one_too_large_for_it_is_fetched(
    loopback: Loopback, model: TransformersModel, local: torch.Tensor
) -> None:
    blocking(model, loopback.url)
    log = loopback.log()
    assert log["routes"]["WEBSOCKET /subscribe"]["bytes_out"] > log["jobs"][0]["bytes_out"]
    assert "GET /result" not in log["routes"]
    loopback.faults(inline_max=10)
    torch.testing.assert_close(blocking(model, loopback.url), local)
    assert loopback.log()["jobs"][1]["downloads"] == 1


def test_a_reset_leaves_nothing_behind_but_the_model(loopback: Loopback, model: TransformersModel) -> None:
    backend = submit(model, loopback.url)
    until(backend)
    loopback.faults(fail=3, hold=True)
    submit(model, loopback.url)
    loopback.reset()
    assert loopback.log() == {"jobs": [], "routes": {}, "total": {"requests": 0, "bytes_in": 0, "bytes_out": 0}}
    assert answer(loopback, f"/response/{backend.job_id}").status_code == 404
    settings = loopback.faults()
    assert (settings["fail"], settings["hold"]) == (0, False)
    deployed = loopback.get("/status")[
        "deployments"
    ].values()  # with those of the tests before, in whatever order they ran
    assert {one["model_key"]: one["application_state"] for one in deployed}[model.to_model_key()] == "RUNNING"


def test_keys_are_asked_for_as_the_real_server_asks(
    loopback: Loopback, model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(uuid.uuid4())
    loopback.faults(api_keys=[key])
    for wrong, code, words in [
        (None, 401, "Missing or invalid API key"),
        ("abc", 400, "Invalid API key format: 'abc'"),
        (str(uuid.uuid4()), 403, "Invalid API key."),
    ]:
        monkeypatch.setattr(CONFIG.API, "APIKEY", wrong)
        with pytest.raises(RemoteError, match=words) as raised:
            submit(model, loopback.url)
        assert isinstance(raised.value.__cause__, httpx.HTTPStatusError)
        assert raised.value.__cause__.response.status_code == code
        assert loopback.get("/whoami", {"ndif-api-key": wrong or ""}) == {"email": None, "tags": []}
    monkeypatch.setattr(CONFIG.API, "APIKEY", key)
    until(submit(model, loopback.url))
    assert loopback.get("/whoami", {"ndif-api-key": key})["email"] == "loopback@example.org"


@pytest.mark.slow
def test_what_the_environment_is_said_to_be_can_be_changed(loopback: Loopback) -> None:
    before = loopback.get("/env")
    assert before["python_version"] == sys.version
    loopback.faults(env={"python": "3.12.9 (main)", "transformers": "5.8.0", "torchaudio": None})
    after = loopback.get("/env")
    assert after["python_version"] == "3.12.9 (main)"
    changed = {**before["packages"], "transformers": "5.8.0"}
    del changed["torchaudio"]
    assert after["packages"] == changed


def test_weights_are_of_the_type_that_is_asked_for(
    loopback: Loopback, model: TransformersModel, local: torch.Tensor
) -> None:
    loopback.faults(dtype="bfloat16")
    logits = blocking(model, loopback.url)
    assert logits.dtype == torch.bfloat16
    assert 0 < (logits.float() - local).abs().max() < 0.1


def test_a_class_that_is_born_in_the_block_comes_home(loopback: Loopback, model: TransformersModel) -> None:
    with model.trace(WAVE, remote=loopback.url, blocking=False) as tracer:

        class Kept:
            def __init__(self, value):
                self.value = value

        kept = nnsight.save(Kept(model.output.logits.shape[1]))  # noqa: F841
    assert until(tracer.backend)["kept"].value == 5


@pytest.mark.slow
def test_it_ends_with_whoever_started_it_however_that_ends(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, pathlib\n"
        "from tests.remote.loopback import Loopback\n"
        "server = Loopback(pathlib.Path(sys.argv[1])).start()\n"
        "print(server.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(tmp_path)]
    starter = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert starter.returncode == -signal.SIGKILL, starter.stderr
    try:
        server = psutil.Process(int(starter.stdout))
    except psutil.NoSuchProcess:
        return
    assert psutil.wait_procs([server], timeout=PATIENCE)[1] == []


@pytest.mark.slow
def test_a_client_knows_nothing_of_the_users_ndif_and_registers_nothing_by_itself(
    loopback: Loopback, folder: Path, run_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NDIF_API_KEY", "the user's")
    monkeypatch.setenv("NDIF_HOST", "http://nowhere.invalid")
    done = run_client(
        """
        from __future__ import annotations
        import json, sys
        import nnsight, numpy as np
        from nnsight.modeling import huggingface
        from nnsight.schema.config import CONFIG

        folder, url = sys.argv[1:]
        assert (CONFIG.API.APIKEY, CONFIG.API.HOST) == (None, "https://api.ndif.us")
        assert nnsight.ndif._PULLED_ENV
        huggingface._ID_CACHE[folder] = folder
        model = nnsight.TransformersModel(folder, task="audio-classification", feature_extractor=folder)

        def doubled(value):
            return 2 * value

        with model.trace(np.zeros(32_000, np.float32), remote=url):
            shape = nnsight.save(doubled(model.output.logits.shape[1]))
        print("the shape is", shape)
        """,
        folder,
        loopback.url,
    )
    assert "the shape is 10" in done.stdout


def test_a_client_that_fails_is_shown(run_client: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nraise SystemExit(f'sorry, {sys.argv[1:]}')\n")
    with pytest.raises(AssertionError, match=r"sorry, \['1', 'b'\]"):
        run_client(script, 1, "b", as_installed=False)
    assert run_client(script, check=False, as_installed=False).returncode == 1
    given = run_client("import os\nprint(os.environ['NDIF_API_KEY'])", env={"NDIF_API_KEY": "k"}, as_installed=False)
    assert given.stdout == "k\n"
