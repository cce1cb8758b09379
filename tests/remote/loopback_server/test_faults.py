"""Every fault of the loopback NDIF is the one that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import nnsight
import pytest
import torch
import transformers
import websocket
from nnsight import TransformersModel
from nnsight.intervention.backends.remote import RemoteBackend, RemoteError
from nnsight.modeling import huggingface

from tests.families import ast_config, ast_extractor
from tests.remote.loopback import Loopback
from tests.remote.loopback_server.stock_client import WAVE, answer, blocking, submit, until

pytestmark = pytest.mark.slow


def running(backend: RemoteBackend) -> Callable[[Any], bool]:
    return lambda result: backend.status == "RUNNING"


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


def test_an_unknown_setting_is_an_error(loopback: Loopback) -> None:
    with pytest.raises(RuntimeError, match="no such settings"):
        loopback.faults(speed="fast")


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Loopback]:
    """A server of the test's own."""
    with Loopback(tmp_path / "mortal") as server:
        yield server


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
