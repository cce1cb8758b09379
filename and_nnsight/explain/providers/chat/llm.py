"""Chat models of the `llm` library: whatever its plugins have installed, hosted or local."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ....plugins import PluginError
from ....redaction import without_credentials
from ....wording import first_line
from ...conversations import without_system
from ...roles import ChatOptions, Conversation, Failure
from ..answers import LONGEST_ANSWER
from ..patience import Patience
from ..refusals import Kind, Refusal, refusal

_NAMES = {  # what llm's plugins call our options
    "max_tokens": ("max_tokens", "max_output_tokens", "max_completion_tokens", "num_predict", "max_length"),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "seed": ("seed", "random_seed"),
}
_TIMEOUT, _SECONDS = "AND_NNSIGHT_LLM_TIMEOUT", 600.0
_MOST_GIVEN_UP = 3  # requests to a hosted model that may still wait; a local one has no two at a time


class LlmLibrary:
    """A model of the `llm` library, hosted or local, one request after another; `llm models` lists them."""

    requires: ClassVar[Mapping[str, str]] = {"llm": "and-nnsight[llm]"}

    def __init__(self, model: str, *, timeout: float | None = None) -> None:
        """Find the model by its id or alias. Raises PluginError if `llm` has none of that name or cannot be loaded.

        timeout  seconds that the model may say nothing, before its conversation is a Failure; a whole answer may take
                 ten times as long. None: AND_NNSIGHT_LLM_TIMEOUT, or 600
        """
        import llm

        try:
            self._model = llm.get_model(model)
        except llm.UnknownModelError as error:
            known = ", ".join(sorted(entry.model_id for entry in llm.get_models())) or "none"
            raise PluginError(f"the llm library has no model {model!r}; it has {known}") from error
        except Exception as error:  # a broken plugin of llm breaks llm
            raise PluginError(f"the llm library cannot be loaded: {type(error).__name__}: {error}") from error
        self.name = f"llm:{self._model.model_id}"
        most = _MOST_GIVEN_UP if getattr(self._model, "needs_key", None) else 1
        remedy = f"see whether `llm -m {self._model.model_id} hello` answers, or set {_TIMEOUT} to more seconds"
        self._patience = Patience(_seconds(timeout), most, remedy)
        self._dropped: set[str] = set()
        self._merged = False  # system turns, into the first of the user's

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterator[str | Failure]:
        """One answer a conversation, in order. Options that the model does not know are not sent.

        Raises PluginError if the model needs a key and there is none, or its server takes neither the key nor the
        model's name.
        """
        for conversation in conversations:
            yield self._answer(conversation, options)

    def _answer(self, conversation: Conversation, options: ChatOptions) -> str | Failure:
        """One answer. What the model's server does not take is left out from then on, and the conversation repeated."""
        from llm import NeedsKeyException

        while True:
            known = dict(self._options(options).values())
            try:
                return self._prompt(conversation, known)
            except (NeedsKeyException, PluginError) as error:
                raise PluginError(f"{self.name}: {error}") from error
            except TimeoutError as error:
                return Failure(f"TimeoutError: {first_line(error)}")
            except Exception as error:  # whatever a plugin of llm raises is this conversation's failure
                failure = Failure(without_credentials(f"{type(error).__name__}: {first_line(error)}"))
                refused = self._refusal(error, conversation, options)
            if refused.kind is Kind.FATAL and refused.status:
                raise PluginError(f"{self.name}: {refused}" + (f" ({refused.help})" if refused.help else ""))
            if not self._learn(refused, options):
                return failure

    def _learn(self, refused: Refusal, options: ChatOptions) -> bool:
        """Whether a refusal tells in which other form the server takes requests; from now on they have that form."""
        if refused.kind is Kind.SYSTEM:
            self._merged = True
            return True
        if refused.kind is not Kind.OPTION or refused.option is None:
            return False
        self._dropped.add(refused.option)
        if refused.option != "top_p" or options.top_p != 1:
            warnings.warn(f"{self.name} does not take {refused.option!r}: its own default is used", stacklevel=2)
        return True

    def _refusal(self, error: Exception, conversation: Conversation, options: ChatOptions) -> Refusal:
        """What an error means. Plugins of llm pass on their server's, in whatever way; others have the status 0."""
        response = getattr(error, "response", None)
        status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
        if status is None:
            mention = re.search(r"\b(?:error code|status|http)\D{0,3}([45]\d\d)\b", str(error), re.IGNORECASE)
            status = mention[1] if mention else None
        try:
            body = str(getattr(response, "text", None) or error)
        except Exception:  # a response that was streamed and not read
            body = str(error)
        system = not self._merged and any(turn.role == "system" for turn in conversation)
        sent = self._options(options)
        refused = refusal(int(status or 400), body, options=sent.keys(), system=system)
        return refused if status else replace(refused, status=0)

    def _prompt(self, conversation: Conversation, options: Mapping[str, Any]) -> str:
        conversation = without_system(conversation) if self._merged else conversation
        system = "\n\n".join(turn.content for turn in conversation if turn.role == "system")
        turns = tuple(turn for turn in conversation if turn.role != "system")
        try:
            return self._text(_transcript(turns), {**options, "system": system or None})
        except NotImplementedError:  # so say models without a system role
            merged = _transcript(without_system(conversation))
            return self._text(merged, options)

    def _text(self, prompt: str, options: Mapping[str, Any]) -> str:
        """What the model says, piece by piece where it can, and no further than the bound."""
        streams = bool(getattr(self._model, "can_stream", False))
        pieces, length = [], 0
        for piece in self._patience.pieces(lambda: self._model.prompt(prompt, stream=streams, **options)):
            pieces.append(piece)
            length += max(1, len(piece))  # also a model that for ever says nothing comes to an end
            if length > LONGEST_ANSWER:
                raise ValueError(f"its answer is longer than {LONGEST_ANSWER:,} characters: the rest was not read")
        return "".join(pieces)

    def _options(self, options: ChatOptions) -> dict[str, tuple[str, Any]]:
        """By our name of each option that the model knows: its name there, and its value."""
        takes = self._model.Options.model_fields
        known = {}
        for ours, theirs in _NAMES.items():
            name = next((name for name in theirs if name in takes), None)
            if name is not None and ours not in self._dropped:
                known[ours] = (name, getattr(options, ours))
        return known


def _seconds(timeout: float | None) -> float:
    """A number above 0: the one given, or the environment's, or the default. Raises PluginError for any other."""
    given: Any = os.environ.get(_TIMEOUT) or _SECONDS if timeout is None else timeout
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < threading.TIMEOUT_MAX / 10:
        raise PluginError(f"the timeout of llm models ({_TIMEOUT}) is to be a number of seconds above 0, not {given!r}")
    return seconds


def _transcript(turns: Conversation) -> str:
    """One turn as it is. Earlier turns, for which llm has no form that all its plugins understand, stand before it."""
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in turns)
