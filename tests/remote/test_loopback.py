"""The loopback NDIF is what it says: stock nnsight runs on it, and every fault is the one that was asked for."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import nnsight
import numpy as np
import psutil
import pytest
import torch
import transformers
import websocket
from nnsight import TransformersModel
from nnsight.intervention.backends.remote import AsyncRemoteBackend, RemoteBackend, RemoteError
from nnsight.modeling import huggingface
from nnsight.schema.config import CONFIG

from tests.families import ast_config, ast_extractor
from tests.remote.loopback import HIDDEN, Loopback

WAVE = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
PATIENCE = 120.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random AST."""
    folder = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    transformers.ASTForAudioClassification(ast_config()).save_pretrained(folder)
    ast_extractor().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's NDIF, no display, and the folder's name is its own: no hub is asked."""
    monkeypatch.setattr(CONFIG.API, "APIKEY", None)
    monkeypatch.setattr(CONFIG.APP, "REMOTE_LOGGING", False)
    monkeypatch.setitem(huggingface._ID_CACHE, str(folder), str(folder))


@pytest.fixture(scope="module")
def model(folder: Path) -> TransformersModel:
    """As a client holds it: without weights."""
    return TransformersModel(str(folder), task="audio-classification", feature_extractor=str(folder))


@pytest.fixture(scope="module")
def local(folder: Path) -> torch.Tensor:
    """The logits that the model gives here."""
    inputs = ast_extractor()(WAVE, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        return transformers.ASTForAudioClassification.from_pretrained(folder).eval()(**inputs).logits


def blocking(model: TransformersModel, url: str) -> torch.Tensor:
    """The logits from there, over the websocket."""
    with model.trace(WAVE, remote=url):
        print("hello from the block")
        logits = nnsight.save(model.output.logits)
    return logits


def submit(model: TransformersModel, url: str) -> RemoteBackend:
    """The same, not waited for."""
    with model.trace(WAVE, remote=url, blocking=False) as tracer:
        print("hello from the block")
        logits = nnsight.save(model.output.logits)  # noqa: F841
    return tracer.backend


def until(backend: RemoteBackend, over: Callable[[Any], bool] = lambda result: result is not None) -> Any:
    """Ask for the job's result until it is there, or until `over` says so."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.1)):
        if over(result := backend()):
            return result
        pause.wait(0.1)
    raise AssertionError(f"still {backend.status}")


def running(backend: RemoteBackend) -> Callable[[Any], bool]:
    return lambda result: backend.status == "RUNNING"


def answer(loopback: Loopback, path: str, **options: Any) -> httpx.Response:
    return httpx.get(f"{loopback.url}{path}", **options)


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

    *updates, result = asyncio.run(statuses())
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
    (deployed,) = loopback.get("/status")["deployments"].values()
    assert (deployed["model_key"], deployed["application_state"]) == (model.to_model_key(), "RUNNING")


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


def test_while_its_backend_is_away_only_what_needs_none_answers(loopback: Loopback, model: TransformersModel) -> None:
    backend = submit(model, loopback.url)
    until(backend)
    loopback.faults(reconnecting=True)
    with pytest.raises(RemoteError, match="compute backend is reconnecting"):
        submit(model, loopback.url)
    assert [answer(loopback, path).status_code for path in ("/status", "/env", "/connected")] == [503] * 3
    assert answer(loopback, "/ping").json() == "pong"
    assert backend() is not None


def test_an_old_client_is_refused(loopback: Loopback, model: TransformersModel) -> None:
    loopback.faults(min_nnsight="99.0")
    with pytest.raises(RemoteError, match=r"below the minimum supported 99\.0"):
        submit(model, loopback.url)


def test_a_model_that_cannot_be_deployed_is_an_error_that_says_why(
    loopback: Loopback, model: TransformersModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback.faults(deployable=["somebody/else"])
    with pytest.raises(RemoteError, match=r"^Could not deploy this model\. CANT_ACCOMMODATE: placed 0 of 1"):
        until(submit(model, loopback.url))
    loopback.faults(deployable=[str(folder)])
    until(submit(model, loopback.url))
    monkeypatch.setitem(huggingface._ID_CACHE, str(folder), f"{folder}-elsewhere")
    loopback.faults(deployable=None)
    with pytest.raises(RemoteError, match=r"^Could not deploy this model\.") as raised:
        until(submit(model, loopback.url))
    assert "elsewhere" in str(raised.value)
    assert len(str(raised.value)) < 1_600


def test_jobs_fail_as_often_as_they_are_told_to(loopback: Loopback, model: TransformersModel) -> None:
    loopback.faults(fail=1)
    backend = submit(model, loopback.url)
    with pytest.raises(RemoteError, match=r"torch\.OutOfMemoryError: CUDA out of memory\. Tried to allocate 2\.00 GiB"):
        until(backend)
    assert backend.meta is not None
    assert "alloc_shortfall_by_gpu" in backend.meta
    loopback.faults(fail=1, fail_text="something else")
    with pytest.raises(RemoteError, match=r"^something else$"):
        blocking(model, loopback.url)
    blocking(model, loopback.url)
    assert [job["error"] is None for job in loopback.log()["jobs"]] == [False, False, True]


def test_a_block_that_fails_says_where_in_the_callers_code(loopback: Loopback, model: TransformersModel) -> None:
    with model.trace(WAVE, remote=loopback.url, blocking=False) as tracer:
        wrong = nnsight.save(model.output.logits @ torch.ones(3, 3))  # noqa: F841
    with pytest.raises(RemoteError, match=r"@ torch\.ones\(3, 3\)") as raised:
        until(tracer.backend)
    assert "ndif_server" not in str(raised.value)


def test_a_payload_that_cannot_be_read_is_refused_in_a_sentence(
    loopback: Loopback, model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("nnsight.schema.request.RequestModel.serialize", lambda tracer, compress: b"garbage")
        with pytest.raises(RemoteError, match=r"^Your request payload could not be read"):
            until(submit(model, loopback.url))


def test_a_client_whose_model_has_other_modules_is_told_so(
    loopback: Loopback, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers.ASTForAudioClassification(ast_config(num_hidden_layers=3)).save_pretrained(tmp_path)
    ast_extractor().save_pretrained(tmp_path)
    deeper = TransformersModel(str(tmp_path), task="audio-classification", feature_extractor=str(tmp_path))
    monkeypatch.setitem(huggingface._ID_CACHE, str(tmp_path), str(folder))
    with pytest.raises(RemoteError, match=r"it has no module at 'Module:model\..*layers\.2'"):
        until(submit(deeper, loopback.url))


def test_a_lost_job_runs_for_ever_and_a_forgotten_one_was_never_there(
    loopback: Loopback, model: TransformersModel
) -> None:
    loopback.faults(lose=1)
    lost = submit(model, loopback.url)
    until(lost, running(lost))
    loopback.faults(forget=1)
    forgotten = submit(model, loopback.url)
    until(submit(model, loopback.url))  # the queue has moved on past both
    assert lost() is None
    assert lost.status == "RUNNING"
    assert forgotten() is None
    assert answer(loopback, f"/response/{forgotten.job_id}").status_code == 404


def test_connections_are_cut_and_requests_turned_away(loopback: Loopback, model: TransformersModel) -> None:
    loopback.faults(drop=1)
    with pytest.raises(RemoteError, match="Failed to send request"):
        submit(model, loopback.url)
    loopback.faults(unavailable=1)
    with pytest.raises(RemoteError, match="temporarily unavailable"):
        submit(model, loopback.url)
    assert loopback.log()["jobs"] == []
    loopback.faults(drop_answers=1)
    with pytest.raises(RemoteError, match="Failed to send request"):
        submit(model, loopback.url)
    assert len(loopback.log()["jobs"]) == 1  # it was accepted: only its answer is lost
    loopback.faults(drop=1, on="/response")
    backend = submit(model, loopback.url)
    with pytest.raises(httpx.TransportError):
        backend()
    until(backend)
    loopback.faults(drop=1, on="/subscribe")
    with pytest.raises((OSError, websocket.WebSocketException)):
        blocking(model, loopback.url)
    blocking(model, loopback.url)


def test_a_websocket_is_cut_while_its_job_runs(loopback: Loopback, model: TransformersModel) -> None:
    loopback.faults(cut_sockets=1)
    with pytest.raises((OSError, websocket.WebSocketException)):
        blocking(model, loopback.url)
    blocking(model, loopback.url)


def test_a_request_that_is_too_large_is_refused(loopback: Loopback, model: TransformersModel) -> None:
    loopback.faults(max_request=10_000)
    with pytest.raises(RemoteError, match="Request Entity Too Large"):
        submit(model, loopback.url)
    log = loopback.log()
    assert log["jobs"] == []
    assert log["total"]["bytes_in"] > 100_000  # it went over the wire all the same


@pytest.mark.parametrize(
    ("kind", "error"),
    [("truncated", Exception), ("garbage", Exception), ("gone", httpx.HTTPStatusError)],
)
def test_a_result_that_cannot_be_read(
    loopback: Loopback, model: TransformersModel, kind: str, error: type[Exception]
) -> None:
    loopback.faults(wrong_results=1, wrong_result=kind)
    backend = submit(model, loopback.url)
    with pytest.raises(error):
        until(backend)
    assert backend.status == "COMPLETED"


def test_a_result_that_was_not_asked_for(loopback: Loopback, model: TransformersModel) -> None:
    loopback.faults(wrong_results=4, wrong_result="other names")
    assert until(submit(model, loopback.url)) == {"nobody_asked_for_this": 1}
    loopback.faults(wrong_result="not a dict")
    assert until(submit(model, loopback.url)) == [1, 2, 3]
    loopback.faults(wrong_result="no data")
    backend = submit(model, loopback.url)
    until(backend, lambda result: backend.status == "COMPLETED")
    assert backend() is None
    loopback.faults(wrong_result="huge", huge_bytes=2**21)
    assert set(until(submit(model, loopback.url))) == {"logits", "padding"}
    assert loopback.log()["jobs"][-1]["bytes_out"] > 2**21


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


def test_an_unknown_setting_is_an_error(loopback: Loopback) -> None:
    with pytest.raises(RuntimeError, match="no such settings"):
        loopback.faults(speed="fast")


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Loopback]:
    """A server of the test's own."""
    with Loopback(tmp_path / "mortal") as server:
        yield server


@pytest.mark.slow
def test_it_dies_in_the_middle_of_a_job_and_what_it_stored_outlives_it(
    mortal: Loopback, model: TransformersModel, local: torch.Tensor
) -> None:
    url = mortal.url
    mortal.faults(die_on=2)
    done = submit(model, url)
    until(done)
    dies = submit(model, url)
    assert mortal.wait_for_end() == 17
    with pytest.raises(httpx.TransportError):
        dies()
    mortal.restart()
    assert mortal.url == url
    torch.testing.assert_close(until(done)["logits"], local)
    # As in the real one: nobody is left who would say that the job is lost.
    assert dies() is None
    assert dies.status == "RUNNING"
    torch.testing.assert_close(blocking(model, url), local)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such settings"):
        Loopback(tmp_path, speed="fast").start()


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
