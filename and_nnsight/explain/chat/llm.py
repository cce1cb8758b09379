"""Chat models of the `llm` library: whatever its plugins have installed, hosted or local."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ...plugins import PluginError
from ..conversations import without_system
from ..roles import ChatOptions, Conversation, Failure

_NAMES = {  # what llm's plugins call our options
    "max_tokens": ("max_tokens", "max_output_tokens", "max_completion_tokens", "num_predict", "max_length"),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "seed": ("seed", "random_seed"),
}


class LlmLibrary:
    """A model of the `llm` library, hosted or local, one request after another; `llm models` lists them."""

    requires: ClassVar[Mapping[str, str]] = {"llm": "and-nnsight[llm]"}

    def __init__(self, model: str) -> None:
        """Find the model by its id or alias. Raises PluginError if `llm` has none of that name or cannot be loaded."""
        import llm

        try:
            self._model = llm.get_model(model)
        except llm.UnknownModelError as error:
            known = ", ".join(sorted(entry.model_id for entry in llm.get_models())) or "none"
            raise PluginError(f"the llm library has no model {model!r}; it has {known}") from error
        except Exception as error:  # a broken plugin of llm breaks llm
            raise PluginError(f"the llm library cannot be loaded: {type(error).__name__}: {error}") from error
        self.name = f"llm:{self._model.model_id}"

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterator[str | Failure]:
        """One answer a conversation, in order. Options that the model does not know are not sent.

        Raises PluginError if the model needs a key and there is none.
        """
        from llm import NeedsKeyException

        known = self._options(options)
        for conversation in conversations:
            try:
                yield self._answer(conversation, known)
            except NeedsKeyException as error:
                raise PluginError(f"{self.name}: {error}") from error
            except Exception as error:  # whatever a plugin of llm raises is this conversation's failure
                yield Failure(f"{type(error).__name__}: {error}")

    def _answer(self, conversation: Conversation, options: Mapping[str, Any]) -> str:
        system = "\n\n".join(turn.content for turn in conversation if turn.role == "system")
        turns = tuple(turn for turn in conversation if turn.role != "system")
        try:
            return self._model.prompt(_transcript(turns), system=system or None, stream=False, **options).text()
        except NotImplementedError:  # so say models without a system role
            merged = _transcript(without_system(conversation))
            return self._model.prompt(merged, stream=False, **options).text()

    def _options(self, options: ChatOptions) -> dict[str, Any]:
        takes = self._model.Options.model_fields
        known = {}
        for ours, theirs in _NAMES.items():
            if name := next((name for name in theirs if name in takes), None):
                known[name] = getattr(options, ours)
        return known


def _transcript(turns: Conversation) -> str:
    """One turn as it is. Earlier turns, for which llm has no form that all its plugins understand, stand before it."""
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in turns)
