"""What a language model says around an answer, and answers that are none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...roles import LONGEST_SUMMARY, Failure

_REFUSAL = re.compile(
    r"\W*(?:(?:i'?m|i am|we'?re|we are)\s+(?:\w+\s+)?(?:sorry|unable|not able)\b|(?:i\s+)?apologi[sz]e\b|sorry[,.!]"
    r"|(?:unfortunately,?\s+|but\s+)?(?:i|we)\s+(?:can(?:no|')t|can\s*not|could(?:n'?t| not)|won'?t|will not"
    r"|do(?:n'?t| not) have)\b"
    r"|(?:[^.!?]{0,40}\s)?(?:as|i'?m|i am) an? (?:\w+ )?(?:ai|artificial intelligence|(?:large )?language model)\b)",
    re.IGNORECASE,
)
_FIRST_WORDS = (
    r"(?:(?:okay|ok|alright|all right|hmm+|well|so|now|right|first(?:ly|\s+of\s+all)?|wait|let(?:'| u)?s see|"
    r"let me see)\b[\s,.!:…-]*)*"
)
_THINKS_ALOUD = re.compile(
    rf"\W*{_FIRST_WORDS}(?:the user\b|let me\b|let'?s\b|let us\b|"
    r"(?:i|we) (?:need|have|must|should|ought|am asked|are asked|are given|want|could start|can start)\b|"
    r"(?:i'll|i will|we'll|we will)\b|"
    r"(?:i'm|i am|we're) (?:asked|given|supposed|going|to|tasked|trying)\b|"
    r"(?:my|the) task (?:is|here)\b|the (?:prompt|instructions?|question) (?:says?|asks?|is|are)\b)",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"\s*(?:sure|sure thing|certainly|of course|okay|ok|absolutely|great)(?:[!.,:]+\s+|\s*\n+)(?=\S)", re.IGNORECASE
)
_LEAD_IN = re.compile(
    r"\s*[*#_\s]*(?:(?:here(?:'s| is| are)|this is|below (?:is|are)|the following (?:is|are)|based on|summary|"
    r"(?:common|shared)\s+(?:features|characteristics|elements|acoustic)|answer|in summary)[^.!?\n]{0,160}?:[*_]*)"
    r"\s*(?=\S)",
    re.IGNORECASE,
)  # fmt: skip
_MARKER = re.compile(r"^\s*(?:[-*•·–]+|\(?\d{1,2}[.)]|#+)\s+")
_SENTENCE = re.compile(r".+?(?:[.!?]+[\"'”’)]*(?=\s|$)|$)", re.DOTALL)
_ENDED = re.compile(r"[.!?][\"'”’)]*$")
_QUOTES = '"“”'
_ECHO_LETTERS = 30
_ECHO_SHARE = 0.8
_STEM = 5
_COMMON = frozenset({"clips", "sound", "sounds"})


def clean_answer(
    answer: str, prompt: Sequence[str], captions: Sequence[str], *, example: Sequence[str] = ()
) -> str | Failure:
    """A summary in plain sentences out of a language model's answer, or why it is none.

    Left out are greetings and lead-ins ("Sure! Here is a summary:"), marks of lists and headings, sentences that were
    said before, sentences of the prompt, and a last sentence that was cut off. Refusals, floods, a mere list of the
    captions, one phrase over and over, reasoning without a mark ("Okay, the user wants"), and answers of which nothing
    is left are Failures.

    prompt    the sentences of the instructions, for telling an echo
    captions  what was to be summarized
    example   the sentences of an example's answer: copied ones are left out too, unless the captions speak of the same
    """
    text = _without_lead_in(answer)
    reason = _why_no_summary(text)
    if reason is not None:
        return Failure(reason)
    sentences = _sentences(text)
    if not sentences:
        return Failure(f"the answer is one phrase over and over: {_short(text)}")
    copied = [sentence for sentence in example if not _speak_of(sentence, captions)]
    own = [sentence for sentence in sentences if not _echoes(sentence, (*prompt, *copied))]
    if not own:
        return Failure(f"the answer repeats the instructions: {_short(text)}")
    if _quotes(own, captions):
        return Failure(f"the answer only repeats the captions: {_short(text)}")
    return " ".join(own)


def _without_lead_in(answer: str) -> str:
    text = answer.replace("’", "'").strip().strip(_QUOTES).strip()
    while lead := _GREETING.match(text) or _LEAD_IN.match(text):
        text = text[lead.end() :].lstrip(_QUOTES + " \n")
    return text


def _why_no_summary(text: str) -> str | None:
    """Why a text is no summary, whatever its sentences are; None: it may be one."""
    if not any(letter.isalpha() for letter in text):
        return "the answer has no words"
    if _REFUSAL.match(text):
        return f"the model refused: {_short(text)}"
    if _THINKS_ALOUD.match(text):
        return f"the model thinks aloud: {_short(text)}"
    if len(text) > LONGEST_SUMMARY:
        return f"the answer is a flood of {len(text):,} characters: {_short(text)}"
    return None


def _sentences(text: str) -> list[str]:
    """The sentences, each once; none if all there is is a loop."""
    lines = _lines(text)
    sentences = [sentence for line in lines for sentence in _split(line)]
    if len(lines) == 1 and _is_cut_off(sentences):
        sentences.pop()
    by_letters: dict[str, str] = {}
    for sentence in sentences:
        by_letters.setdefault(_letters(sentence), _ended(sentence))
    return [sentence for letters, sentence in by_letters.items() if letters and not _loops(sentence)]


def _lines(text: str) -> list[str]:
    """The lines without marks, and without headings if anything else is left."""
    lines = [_MARKER.sub("", line).replace("**", "").replace("__", "").strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    return [line for line in lines if not line.endswith(":")] or lines


def _split(line: str) -> list[str]:
    sentences = (sentence.strip() for sentence in _SENTENCE.findall(line))
    return [sentence for sentence in sentences if sentence]


def _is_cut_off(sentences: Sequence[str]) -> bool:
    """Whether the last of several sentences has no end, and the one before it has."""
    return len(sentences) > 1 and not _ENDED.search(sentences[-1]) and bool(_ENDED.search(sentences[-2]))


def _ended(sentence: str) -> str:
    return sentence if _ENDED.search(sentence) else f"{sentence.rstrip(',;:')}."


def _loops(sentence: str) -> bool:
    """Whether a sentence is one stretch of words three times or more on end, for the most part."""
    words = _letters(sentence).split()
    for length in range(1, len(words) // 3 + 1):
        same = 0
        for place in range(length, len(words)):
            same = same + 1 if words[place] == words[place - length] else 0
            if same >= max(2 * length, 3, len(words) // 2):
                return True
    return False


def _echoes(sentence: str, prompt: Sequence[str]) -> bool:
    letters = _letters(sentence)
    return len(letters) >= _ECHO_LETTERS and any(letters in _letters(ours) for ours in prompt)


def _speak_of(sentence: str, captions: Sequence[str]) -> bool:
    """Whether half of the longer words of a sentence are in the captions, whatever their endings."""
    stems = {word[:_STEM] for word in _letters(sentence).split() if len(word) >= _STEM and word not in _COMMON}
    there = {word[:_STEM] for caption in captions for word in _letters(caption).split()}
    return 2 * len(stems & there) >= len(stems)


def _quotes(sentences: Sequence[str], captions: Sequence[str]) -> bool:
    """Whether two different captions at least make up nearly all of the sentences."""
    rest = _letters(" ".join(sentences))
    whole, quoted = len(rest), 0
    for caption in sorted({_letters(caption) for caption in captions}, key=len, reverse=True):
        if caption and caption in rest:
            rest, quoted = rest.replace(caption, ""), quoted + 1
    return quoted > 1 and len(rest) < (1 - _ECHO_SHARE) * whole


def _letters(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:79]}…"
