"""Reasoning in any dress is left out of an answer or makes it a failure; an answer without any stays as it is."""

from __future__ import annotations

import pytest

from and_nnsight.explain.providers.reasoning import is_mark, opens, without_thinking
from and_nnsight.explain.roles import Failure

ANSWER = "Most of the clips are engines."
THOUGHT = "Okay, the user wants a summary. Let me look at each of the clips."
PAIRS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<Thought>", "</Thought>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<chain_of_thought>", "</chain_of_thought>"),
    ("< think >", "< /think >"),
    ('<think time="3">', "</think>"),
    ("<|think|>", "<|/think|>"),
    ("<|thinking|>", "</thinking>"),
    ("<|think_start|>", "<|think_end|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
    ("<think_never_used_51bce0c785ca2f68081bfa7d91973934>", "</think_never_used_51bce0c785ca2f68081bfa7d91973934>"),
    ("[THINK]", "[/THINK]"),
    ("[thinking]", "[/thinking]"),
    ("[[reasoning]]", "[[/reasoning]]"),
    ("◁think▷", "◁/think▷"),
    ("【think】", "【/think】"),
    ("{think}", "{/think}"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
]
CHANNEL = "<|channel|>analysis<|message|>{thought}<|end|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>{answer}"


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_marked_reasoning_is_left_out_however_it_is_marked(opening: str, closing: str) -> None:
    assert without_thinking(f"{opening}\n{THOUGHT}\n{closing}\n\n{ANSWER}") == ANSWER
    assert without_thinking(f"{THOUGHT}\n{closing}\n\n{ANSWER}") == ANSWER, "the prompt may hold the opening mark"
    assert without_thinking(f"{ANSWER}\n{opening}{THOUGHT}{closing}") == ANSWER
    assert isinstance(without_thinking(f"{opening}\n{THOUGHT}"), Failure), "cut off in its midst"
    assert isinstance(without_thinking(f"{opening}\n{THOUGHT}\n{closing}\n"), Failure), "nothing but reasoning"
    assert isinstance(without_thinking(f"{THOUGHT}\n{closing}"), Failure)


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (f"<think>{THOUGHT}</think>Most of the clips<think>Hm.</think> are engines.", ANSWER),
        (f"<think>{THOUGHT}</think> half </think> {ANSWER}", ANSWER),
        (f"<think><think>{THOUGHT}</think> more </think>{ANSWER}", ANSWER),
        (f"<think>{THOUGHT}</thinking>{ANSWER}", ANSWER),
        (f"<think/>{ANSWER}", ANSWER),
        (f"<think>\n\n</think>\n\n{ANSWER}", ANSWER),
        (f"<think>{THOUGHT}</think><answer>{ANSWER}</answer>", ANSWER),
        (f"{THOUGHT} <answer>{ANSWER}</answer> Done.", ANSWER),
        (f"<reasoning>{THOUGHT}</reasoning><output>{ANSWER}", ANSWER),
        (f"<|START_THINKING|>{THOUGHT}<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>", ANSWER),
        (f"<think>{THOUGHT}</think><|begin_of_box|>{ANSWER}<|end_of_box|>", ANSWER),
        (f'<details type="reasoning" done="true"><summary>Thought for 3 s</summary>{THOUGHT}</details>{ANSWER}', ANSWER),
        (f"```thinking\n{THOUGHT}\n```\n{ANSWER}", ANSWER),
        (f"Here is my thought process:\n{THOUGHT}\n\nHere is my response:\n{ANSWER}", ANSWER),
        (f"Thinking...\n{THOUGHT}\n...done thinking.\n\n{ANSWER}", ANSWER),
        (f"**Reasoning:** {THOUGHT}\n\n**Final answer:** {ANSWER}", ANSWER),
        ((CHANNEL + FINAL).format(thought=THOUGHT, answer=ANSWER), ANSWER),
        ((CHANNEL + FINAL).format(thought=THOUGHT, answer=f"{ANSWER}<|return|>"), ANSWER),
        ((CHANNEL + CHANNEL + FINAL).format(thought=THOUGHT, answer=ANSWER), ANSWER),
        (f"{THOUGHT}<|end|>{FINAL.format(answer=ANSWER)}", ANSWER),
        (f"<|channel|>final <|constrain|>text<|message|>{ANSWER}", ANSWER),
        (f"analysis{THOUGHT}assistantfinal{ANSWER}", ANSWER),
        (f"analysis{THOUGHT}assistantcommentaryNone.assistantfinal{ANSWER}", ANSWER),
        (f"<|channel>thought\n{THOUGHT}<channel|>{ANSWER}", ANSWER),
        (f"{ANSWER}<|im_end|>\n<|im_start|>user\nAnd now?", ANSWER),
    ],
)  # fmt: skip
def test_blocks_channels_and_headings(answer: str, left: str) -> None:
    assert without_thinking(answer) == left


@pytest.mark.parametrize(
    "answer",
    [
        CHANNEL.format(thought=THOUGHT),
        f"<|channel|>analysis<|message|>{THOUGHT}",
        f"<|channel>thought\n{THOUGHT}",
        f"analysis{THOUGHT}",
        f"Thinking...\n{THOUGHT}",
        f"Here is my thought process: {THOUGHT}",
        f'<details type="reasoning">{THOUGHT}',
        f"```reasoning\n{THOUGHT}",
        f"<think>{THOUGHT}</think><think>And again",
        "<think></think>",
        "",
    ],
)
def test_what_holds_no_answer_is_a_failure(answer: str) -> None:
    assert isinstance(without_thinking(answer), Failure)


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        "  Dogs bark.\n",
        "Thoughtful piano music. People think aloud; the reasoning of a speaker.",
        "Analysis of engines: a low, steady rumble. It is final.",
        "[Music] and [laughter], a <beep> of 440 Hz & more, 3 < 4 > 2.",
        "Captions say 'channel' and 'output'.",
        "[thoughtful piano music plays]",
    ],
)
def test_an_answer_without_reasoning_stays_as_it_is(answer: str) -> None:
    assert without_thinking(answer) == answer


def test_a_prompt_that_opens_the_reasoning_is_told() -> None:
    assert opens("<|assistant|>\n<think>\n") == "<think>"
    assert opens("[THINK]") == "[THINK]"
    assert opens("<think>\n\n</think>\n\n") == opens("<think>a") == opens("Hello.") == ""


def test_tokens_that_tell_reasoning_are_kept_in_decoding() -> None:
    assert all(is_mark(token) for token in ("[THINK]", "[/THINK]", "<think>", "<|channel|>", "<|END_THINKING|>"))
    assert not any(is_mark(token) for token in ("<s>", "<|im_end|>", "<pad>", "[INST]", "<|audio|>"))
