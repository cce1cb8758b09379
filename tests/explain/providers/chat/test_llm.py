"""Models of the `llm` library, through a model that is registered as llm's documentation says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

llm = pytest.importorskip("llm")
from llm import plugins as llm_plugins  # noqa: E402

from and_nnsight.explain.providers.answers import LONGEST_ANSWER  # noqa: E402
from and_nnsight.explain.providers.chat import llm as chat_llm  # noqa: E402
from and_nnsight.explain.providers.chat.llm import LlmLibrary  # noqa: E402
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure, Message  # noqa: E402
from and_nnsight.plugins import PluginError, make  # noqa: E402


class Parrot(llm.Model):
    model_id = "parrot"

    class Options(llm.Options):
        max_output_tokens: int | None = None
        temperature: float | None = None

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        if "crash" in prompt.prompt:
            raise RuntimeError("fell off the perch")
        options = prompt.options.model_dump(exclude_none=True)
        yield f"{prompt.system} | {prompt.prompt} | {options}"


class Blunt(llm.Model):
    """Has no system role and says so as llm's own models do."""

    model_id = "blunt"

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        if prompt.system:
            raise NotImplementedError("Model does not support system prompts")
        yield prompt.prompt


class Locked(llm.KeyModel):
    model_id = "locked"
    needs_key = "locked"

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any, key: str | None) -> Iterator[str]:
        yield "never"


class Silent(llm.Model):
    """Never streams, and answers a conversation about silence only when it is let."""

    model_id = "silent"
    can_stream = False
    release = threading.Event()

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        if "silence" in prompt.prompt:
            self.release.wait()
        yield prompt.prompt.rpartition("\n")[2]


class Hosted(llm.KeyModel):
    """The same on somebody's server."""

    model_id = "hosted"
    needs_key = "hosted"
    key = "any"
    can_stream = False

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any, key: str | None) -> Iterator[str]:
        yield from Silent().execute(prompt, stream, response, conversation)


class OurPlugin:
    __name__ = "OurPlugin"

    @llm.hookimpl
    def register_models(self, register: Any) -> None:
        for model in (Parrot(), Blunt(), Locked(), Endless(), Silent(), Hosted()):
            register(model, aliases=("polly",) if isinstance(model, Parrot) else ())


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))  # no keys, no aliases of whoever runs the tests
    monkeypatch.setattr(llm_plugins, "LLM_LOAD_PLUGINS", "")  # nor plugins
    llm_plugins.load_plugins()
    plugin = OurPlugin()
    llm_plugins.pm.register(plugin, name="our plugin")
    Silent.release.clear()
    yield
    Silent.release.set()
    llm_plugins.pm.unregister(plugin)


OPTIONS = ChatOptions(max_tokens=9, temperature=0.5)


def asked(*texts: str) -> list[Conversation]:
    return [(Message("system", "Be brief."), Message("user", text)) for text in texts]


def test_answers_come_in_order_and_the_model_gets_the_options_that_it_knows() -> None:
    chat = make("chat model", "llm:parrot")
    assert chat.name == "llm:parrot"
    assert list(chat.chat(asked("a", "b"), OPTIONS)) == [
        "Be brief. | a | {'max_output_tokens': 9, 'temperature': 0.5}",
        "Be brief. | b | {'max_output_tokens': 9, 'temperature': 0.5}",
    ]


def test_an_alias_is_recorded_by_the_name_of_its_model() -> None:
    assert LlmLibrary("polly").name == "llm:parrot"


def test_an_error_is_the_failure_of_its_conversation() -> None:
    first, second, third = LlmLibrary("parrot").chat(asked("a", "crash", "c"), OPTIONS)
    assert isinstance(first, str)
    assert isinstance(third, str)
    assert second == Failure("RuntimeError: fell off the perch")


def test_a_model_without_system_role_finds_it_in_the_user_turn() -> None:
    assert list(LlmLibrary("blunt").chat(asked("a"), OPTIONS)) == ["Be brief.\n\na"]


def test_earlier_turns_stand_before_the_last() -> None:
    conversation = (Message("user", "1+1?"), Message("assistant", "2"), Message("user", "2+2?"))
    assert list(LlmLibrary("blunt").chat([conversation], OPTIONS)) == ["User: 1+1?\n\nAssistant: 2\n\nUser: 2+2?"]


def test_a_model_that_is_not_installed_is_answered_with_those_that_are() -> None:
    with pytest.raises(PluginError, match=r"no model 'toucan'; it has .*parrot"):
        make("chat model", "llm:toucan")


def test_a_missing_key_stops_at_once() -> None:
    with pytest.raises(PluginError, match="llm keys set locked"):
        list(LlmLibrary("locked").chat(asked("a", "b"), OPTIONS))


def test_a_broken_plugin_of_llm_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("no module named llama_cpp")

    monkeypatch.setattr(llm, "get_model", broken)
    with pytest.raises(PluginError, match="cannot be loaded: ImportError: no module named llama_cpp"):
        LlmLibrary("parrot")


class Refusing(llm.Model):
    """Passes on its server's errors as plugins of llm do."""

    model_id = "refusing"

    class Options(llm.Options):
        temperature: float | None = None
        top_p: float | None = None

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        options = prompt.options.model_dump(exclude_none=True)
        if prompt.prompt == "key":
            raise RuntimeError("Error code: 401 - {'error': 'http://me:secret@host says no'}")
        if {"temperature", "top_p"} <= options.keys():
            raise RuntimeError("temperature and top_p cannot both be specified")
        if prompt.system:
            raise RuntimeError("Error code: 400 - {'message': 'System role not supported'}")
        yield f"{prompt.prompt} | {options}"


def test_what_a_server_behind_llm_does_not_take_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = LlmLibrary("parrot")
    chat._model = Refusing()
    assert list(chat.chat(asked("a"), ChatOptions())) == ["Be brief.\n\na | {'temperature': 0.0}"]
    with pytest.raises(PluginError, match=r"answered 401: .*http://…@host says no.* \(check the key\)"):
        list(chat.chat([(Message("user", "key"),)], ChatOptions()))


class Endless(llm.Model):
    """Streams for ever, as servers do whose model repeats itself and that know no bound."""

    model_id = "endless"
    can_stream = True
    said = 0

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        assert stream
        while prompt.prompt != "brief":
            Endless.said += 1
            yield "" if prompt.prompt == "silent" else "a clip of an engine " * 1000
        yield "an "
        yield "engine"


def test_an_answer_without_an_end_is_one_failure() -> None:
    chat = LlmLibrary("endless")
    long, brief = chat.chat(asked("long", "brief"), OPTIONS)
    assert isinstance(long, Failure)
    assert long.reason.endswith(f"its answer is longer than {LONGEST_ANSWER:,} characters: the rest was not read")
    assert Endless.said < 100
    assert brief == "an engine"


def test_a_model_that_streams_nothing_for_ever_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_llm, "LONGEST_ANSWER", 500)
    (silent,) = LlmLibrary("endless").chat(asked("silent"), OPTIONS)
    assert isinstance(silent, Failure)


@pytest.mark.parametrize(("name", "failures"), [("silent", 1), ("hosted", 3)])
def test_a_model_that_never_answers_fails_single_conversations_and_in_the_end_all(
    name: str, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hosted model is asked on beside what it never answered; one that runs here is not asked twice at a time."""
    monkeypatch.setenv("AND_NNSIGHT_LLM_TIMEOUT", "0.2")
    model = LlmLibrary(name)
    answers = model.chat(asked(*["silence"] * failures, "b"), OPTIONS)
    for _ in range(failures):
        reason = f"no answer within 0.2 s: see whether `llm -m {name} hello` answers, or set AND_NNSIGHT_LLM_TIMEOUT"
        assert next(answers) == Failure(f"TimeoutError: {reason} to more seconds")
    with pytest.raises(PluginError, match=f"{failures} without an answer within 0.2 s: see whether"):
        next(answers)
    assert [thread.is_alive() for thread in model._patience._given_up] == [True] * failures
    Silent.release.set()
    monkeypatch.setenv("AND_NNSIGHT_LLM_TIMEOUT", "60")
    assert list(LlmLibrary(name).chat(asked("silence", "b"), OPTIONS)) == ["silence", "b"]


def test_a_model_that_answered_late_goes_on_with_the_next_conversation() -> None:
    model = LlmLibrary("silent", timeout=60.0)
    model._patience._seconds = 0.2
    answers = model.chat(asked("silence", "b"), OPTIONS)
    assert isinstance(next(answers), Failure)
    model._patience._seconds = 60.0
    Silent.release.set()
    assert next(answers) == "b"


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", "1e99"])
def test_a_time_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_NNSIGHT_LLM_TIMEOUT", value)
    with pytest.raises(PluginError, match=r"AND_NNSIGHT_LLM_TIMEOUT\) is to be a number of seconds above 0"):
        LlmLibrary("silent")
