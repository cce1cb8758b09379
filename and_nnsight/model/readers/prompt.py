"""The prompt that a clip goes in with, as the processor's chat template writes it."""

from __future__ import annotations

from typing import Any

from ...wording import first_line
from ..checkpoint import ModelError
from .options import DEFAULT_PROMPT


def rendered(processor: Any, prompt: str | None, audio_token: str) -> str:
    """The text around a clip, with the audio token once, where the sound goes.

    Raises ModelError where neither the chat template nor the prompt itself has a place for the sound.
    """
    prompt = DEFAULT_PROMPT if prompt is None else prompt
    if audio_token in prompt:
        return _with_one(prompt, audio_token, "the prompt")
    if not _has_template(processor):
        return f"{audio_token}\n{prompt}"
    contents = (
        [{"type": "audio", "audio": ""}, {"type": "text", "text": prompt}],
        f"{audio_token}{prompt}",
        [{"type": "text", "text": f"{audio_token}{prompt}"}],
    )
    failures: list[str] = []
    for content in contents:
        text, failure = _by_template(processor, content)
        if text.count(audio_token) == 1:
            return text
        failures.append(failure or f"it puts {audio_token!r} into the text {text.count(audio_token)} times")
    raise ModelError(
        f"the chat template of {type(processor).__name__} has no place for a sound ({failures[0]}): give a prompt= "
        f"that is the whole text, with {audio_token!r} where the sound goes"
    )


def in_message(prompt: str | None, audio_token: str) -> str:
    """The message that a clip goes in with: the sound first, where the prompt itself has no place for it."""
    prompt = DEFAULT_PROMPT if prompt is None else prompt
    return _with_one(prompt, audio_token, "the prompt") if audio_token in prompt else f"{audio_token}{prompt}"


def _has_template(processor: Any) -> bool:
    holders = (processor, getattr(processor, "tokenizer", None))
    return any(getattr(holder, "chat_template", None) for holder in holders)


def _by_template(processor: Any, content: Any) -> tuple[str, str]:
    """A conversation as text, or "" and why the template could not write it."""
    own = getattr(processor, "chat_template", None)
    writer = processor if own else processor.tokenizer
    conversation = [{"role": "user", "content": content}]
    try:
        return str(writer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)), ""
    except Exception as error:  # a template is a program of the checkpoint's, and raises anything
        return "", first_line(error)


def _with_one(text: str, audio_token: str, what: str) -> str:
    count = text.count(audio_token)
    if count != 1:
        raise ModelError(f"{what} has the audio token {audio_token!r} {count} times: one clip goes in, at one place")
    return text
