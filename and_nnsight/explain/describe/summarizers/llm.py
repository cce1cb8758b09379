"""`llm`: a chat model reads the captions of a unit's clips and says what they have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....storage import short_hash
from ...roles import CaptionedExemplar, ChatModel, ChatOptions, Evidence, Failure, Request, Summary
from ._cleaning import clean_answer
from ._prompts import CONTRAST, PLAIN, Prompt

FORMS: Mapping[str, Prompt] = {"contrast": CONTRAST, "plain": PLAIN}


class LanguageModel:
    """A chat model says what a unit's highly captions share, and its lowly ones; `llm:contrast` compares with others.

    Two conversations a unit. In the form `contrast` the model is told, beside each highly caption, how strongly the
    unit responds to the clip and when in it, and captions of clips that fire the unit's neighbours and not the unit
    (`Evidence.contrast`), and is asked what the first have that the second lack. In the form `plain`, the paper's and
    the default, it is given the captions alone. Lowly captions are summarized in the plain form by both.

    Contrast is for models that can hold two lists apart. SmolLM2-135M cannot: of 16 units of Whisper tiny.en its plain
    summaries led an independent matcher back to 3 of 16 (chance 1), those with contrast to none, and 6 only repeated
    the worked example.
    """

    wants_contrast: bool = True

    def __init__(self, form: str = "plain", *, chat: ChatModel, options: ChatOptions | None = None) -> None:
        """Choose the form of the request.

        form     contrast or plain
        chat     the model
        options  how it is to answer; None: greedily, in 256 tokens at most

        Raises ValueError for another form.
        """
        if form not in FORMS:
            raise ValueError(f"unknown form {form!r} of llm: one of {', '.join(FORMS)}")
        self._form, self._chat, self._options = form, chat, options or ChatOptions()
        self.wants_contrast = form == "contrast"

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a summary depends on beside captions, model and options: the form and the wording of the request."""
        texts = "\n".join((*PLAIN.texts, *FORMS[self._form].texts))
        return {"form": self._form, "prompt": short_hash(texts)}

    def summarize(self, evidence: Sequence[Evidence]) -> Iterator[Summary]:
        """One summary a unit. A side without captions, or without a sensible answer, is a Failure with the reason."""
        sides = [side for unit in evidence for side in self._sides(unit) if side.clips]
        conversations = [side.prompt.conversation(side.clips, side.contrast) for side in sides]
        ids = iter(Request(self._chat.name, conversation, self._options).id for conversation in conversations)
        answers = iter(self._chat.chat(conversations, self._options))
        for unit in evidence:
            requests = tuple(next(ids) for side in self._sides(unit) if side.clips)
            highly, lowly = (_summary(side, answers) for side in self._sides(unit))
            yield Summary(highly, lowly, requests)

    def _sides(self, unit: Evidence) -> tuple[_Side, _Side]:
        return _Side(FORMS[self._form], unit.highly, unit.contrast), _Side(PLAIN, unit.lowly)


@dataclass(frozen=True)
class _Side:
    """One end of a unit: the form of its request, its clips, and those that they are contrasted with."""

    prompt: Prompt
    clips: Sequence[CaptionedExemplar]
    contrast: Sequence[CaptionedExemplar] = ()


def _summary(side: _Side, answers: Iterator[str | Failure]) -> str | Failure:
    if not side.clips:
        return Failure("there are no captions")
    answer = next(answers, Failure("the chat model gave no answer"))
    if isinstance(answer, Failure):
        return answer
    captions = [clip.caption for clip in side.clips]  # of contrast clips may be spoken, as of what is lacking there
    return clean_answer(answer, side.prompt.instructions, captions, example=side.prompt.example_answer)
