"""Answers: the text that a model writes, greedily and no further than it may, and text that it is given instead."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...sites.audio_spec import inputs_of
from ..features import Features


def greedy_answers(module: Any, inputs: Features, before: int, most: int, rules: Sequence[Any] = ()) -> list[list[int]]:
    """Token ids that a model writes for each clip of a batch whose texts have one length.

    before  tokens of each text
    most    tokens of an answer at most
    rules   logits processors of transformers

    The end of a text is no part of the answer, but of one that has nothing else: every clip has a token.
    """
    from transformers.generation.logits_process import LogitsProcessorList
    from transformers.generation.utils import GenerationMixin

    sound = next(iter(inputs.values()))
    if "attention_mask" not in inputs and "attention_mask" in inputs_of(type(module)):
        inputs = {**inputs, "attention_mask": torch.ones(len(sound), sound.shape[-1], device=sound.device)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of settings that the checkpoint's own generation config has
        # The mixin's own: Whisper's splits clips, and makes its own beginning of a text.
        mixin: Any = GenerationMixin
        greedily = {"do_sample": False, "num_beams": 1, "max_new_tokens": most, "use_cache": True}
        sequences = mixin.generate(module, **inputs, logits_processor=LogitsProcessorList(rules), **greedily)
    ends = end_tokens(module)
    rows = sequences[:, before:].tolist()
    return [answer_of(row, ends) for row in rows]


def answer_of(tokens: Sequence[int], ends: Iterable[int]) -> list[int]:
    """The tokens before the first that ends a text; that one alone where there is nothing before it."""
    ends = set(ends)
    first = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
    return list(tokens[:first] or tokens[:1])


def end_tokens(module: Any) -> list[int]:
    """Ids of the tokens that end a text."""
    end = getattr(getattr(module, "generation_config", None), "eos_token_id", None)
    if end is None:
        return []
    return list(end) if isinstance(end, (list, tuple)) else [int(end)]


def given_answer(tokenizer: Any, text: str, most: int) -> list[int]:
    """The token ids of a text that is given as an answer, cut to so many."""
    return list(tokenizer(text, add_special_tokens=False).input_ids)[:most]


def by_length(answers: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    """Rows by how many tokens their answers have, in order of the first of each."""
    rows: dict[int, list[int]] = {}
    for row, answer in enumerate(answers):
        rows.setdefault(len(answer), []).append(row)
    return rows


def chosen_rows(features: Features, rows: Sequence[int], total: int) -> Features:
    """The features of some clips of a batch of so many."""
    if list(rows) == list(range(total)):
        return dict(features)
    return {name: value[list(rows)] for name, value in features.items()}


def appended(ids: Tensor, answers: Sequence[Sequence[int]]) -> Tensor:
    """Token ids [clip, token] with answers of one length behind them."""
    return torch.cat([ids, torch.tensor([list(each) for each in answers], dtype=ids.dtype, device=ids.device)], 1)
