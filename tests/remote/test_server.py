"""Settings, versions, and answers that are read without trusting who sent them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
import zstandard
from nnsight.intervention.backends.remote import RemoteError
from nnsight.schema.config import CONFIG

from and_nnsight.remote import Remote, RemoteRunError, as_settings
from and_nnsight.remote.server import Job, JobLost, Unanswered, one_line
from and_nnsight.remote.settings import at


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NDIF_API_KEY", raising=False)
    monkeypatch.setattr(CONFIG.API, "APIKEY", None)
    monkeypatch.setattr(CONFIG.API, "HOST", "https://host.example/")


def test_where_to_is_nnsights_host_a_url_or_this_process() -> None:
    assert as_settings(True).host == "https://host.example"
    assert as_settings("http://there:5001/").host == "http://there:5001"
    assert as_settings("local").url == "local"
    mine = Remote("http://there", clips_per_job=3)
    assert as_settings(mine) is mine
    assert (at(mine, gather="cache", audio=None).gather, at(mine, gather=None).gather) == ("cache", None)


@pytest.mark.parametrize(
    "url", ["", "there", "there:5001", "ftp://there", "http://", "http://there:port", "/there", "http://[::1"]
)
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"give http://|True, a server's URL"):
        as_settings(url)


@pytest.mark.parametrize(
    "wrong",
    [{"clips_per_job": 0}, {"bytes_per_job": 0}, {"in_flight": 0}, {"most_bytes_home": 0}, {"retries": -1},
     {"deadline": -1.0}, {"patience": float("nan")}],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Remote("http://there", **wrong)


def test_the_key_is_the_one_given_the_environments_or_nnsights_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Remote().key == ""
    monkeypatch.setattr(CONFIG.API, "APIKEY", "nnsight's")
    assert Remote().key == "nnsight's"
    monkeypatch.setenv("NDIF_API_KEY", "the environment's")
    assert Remote().key == "the environment's"
    assert Remote(api_key="mine").key == "mine"
    assert "mine" not in repr(Remote(api_key="mine"))


@pytest.fixture
def job() -> Job:
    """One that was sent, without a model."""
    made = object.__new__(Job)
    made.settings = Remote("http://there", most_bytes_home=100_000)
    made.host, made.compress, made.api_key, made.sent = "http://there", True, "", 123_456
    return made


def blob(saved: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(saved, buffer, **options)
    return zstandard.ZstdCompressor().compress(buffer.getvalue())


class Trap:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_tensors_and_plain_values_are_read(job: Job) -> None:
    state = {"values": torch.ones(2), "clips": 3, "dtype": "float32"}
    read = job._read(blob({"state": state}))
    assert torch.equal(read.pop("values"), torch.ones(2))
    assert read == {"clips": 3, "dtype": "float32"}


@pytest.mark.parametrize("legacy", [False, True])
def test_what_would_run_code_is_not_even_unpickled(legacy: bool, job: Job, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    answer = blob({"state": {"values": Trap(trap)}}, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(JobLost, match="cannot be read as plain tensors"):
        job._read(answer)
    with pytest.raises(JobLost, match="cannot be read as plain tensors"):
        job._read(zstandard.ZstdCompressor().compress(pickle.dumps(Trap(trap))))
    assert not trap.exists()


@pytest.mark.parametrize(
    "answer", [b"", b"garbage", blob({"state": {}})[:-30], blob([1, 2]), blob({"other": {}}), blob({"state": 1})]
)
def test_what_is_no_answer_is_lost(answer: bytes, job: Job) -> None:
    with pytest.raises(JobLost, match="its answer"):
        job._read(answer)


def test_what_is_too_large_is_refused_before_it_is_unpacked(job: Job) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    with pytest.raises(RemoteRunError, match="larger than 100,000 bytes"):
        job._read(bomb)


def refusal(job: Job, code: int, detail: str) -> Exception:
    request = httpx.Request("POST", "http://there/request")
    error = RemoteError(f"Failed to send request: {detail}")
    error.__cause__ = httpx.HTTPStatusError("", request=request, response=httpx.Response(code, request=request))
    return job._refusal(error)


@pytest.mark.parametrize(
    ("code", "detail", "kind", "sentence"),
    [
        (401, "Missing", RemoteRunError, r"wants an API key \(Missing\)"),
        (400, "Invalid API key format", RemoteRunError, "wants an API key"),
        (
            400,
            "Client nnsight version 0.8.1 is below",
            RemoteRunError,
            r"refused the job \(400: Client nnsight version",
        ),
        (404, "Not Found", RemoteRunError, r"refused the job \(404: Not Found\)"),
        (413, "Too Large", RemoteRunError, "takes no request of 123,456 bytes: lower clips_per_job"),
        (429, "Slow down", Unanswered, r"is not ready \(429: Slow down\)"),
        (503, "Reconnecting", Unanswered, r"is not ready \(503: Reconnecting\)"),
    ],
)
def test_a_refusal_is_a_sentence(code: int, detail: str, kind: type[Exception], sentence: str, job: Job) -> None:
    with pytest.raises(kind, match=sentence):
        raise refusal(job, code, detail)


def test_a_servers_words_are_one_printable_line() -> None:
    assert one_line("first\nsecond") == "first"
    assert one_line("\x1b]0;title\x07 hi") == "]0;title  hi"
    assert one_line(ValueError()) == "ValueError"
    assert len(one_line("x" * 10_000)) == 400
