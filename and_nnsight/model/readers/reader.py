"""What reads tokens in a model that hears: its sites, and which positions of its sequence are frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...data.tokens import Token
from ...sites.geometry import Geometry
from ...sites.reader_blocks import ReaderBlock, find_reader_blocks, reader_sites
from ...sites.site import Site
from ..checkpoint import ModelError
from ..features import Features, Featuriser
from ..forwards import Forward, Hearing
from .answers import appended, by_length, chosen_rows, given_answer, greedy_answers
from .options import GENERATED, ReaderOptions

OnActivation = Callable[[Site, Tensor], None]
POSITIONS = "frame_positions"
"""Beside a model's inputs: the positions of its sequence that are frames, [clip, frame]."""


class Reader(ABC):
    """A part of a model that reads tokens.

    module      the whole model, which runs
    part, path  name and path of the part whose sites are meant
    tokenizer   of its texts
    options     which tokens count
    """

    default_tokens = "audio"

    def __init__(self, module: nn.Module, part: str, path: str, tokenizer: Any, options: ReaderOptions) -> None:
        self.module, self.part, self.path, self.tokenizer, self.options = module, part, path, tokenizer, options
        self.counted = options.tokens or ("answer" if options.answer else self.default_tokens)
        self.blocks: tuple[ReaderBlock, ...] = find_reader_blocks(module, path)
        if not self.blocks:
            raise ModelError(
                f"no repeated transformer block was found in {path or type(module).__name__}: name sites by module path"
            )

    @property
    def answer(self) -> str:
        """Where answers come from."""
        return self.options.answer or GENERATED

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites of the part, in forward order."""
        return reader_sites(self.blocks, self.geometry)

    @property
    @abstractmethod
    def featuriser(self) -> Featuriser:
        """Waveforms in, model inputs out."""

    @property
    @abstractmethod
    def geometry(self) -> Geometry:
        """Where its frames lie in the time of a clip, or what they are instead."""

    @abstractmethod
    def forwards(self, clips: Sequence[Hearing], features: Features) -> Iterator[Forward]:
        """The clips of a group, whose texts have one length, as they run: answers are written first."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """What the manifest says of how it reads."""

    def placed(self, features: Features) -> Features:
        """Features with the positions of frames; those that have them as they are.

        Raises ValueError for a batch of clips whose numbers of frames differ.
        """
        if POSITIONS in features:
            return features
        forwards = list(self.forwards([_Unsaid()] * len(next(iter(features.values()))), features))
        if len(forwards) != 1:
            raise ValueError(
                f"these clips have answers of {len(forwards)} lengths, so their frames are no one table: run them one "
                "at a time"
            )
        return forwards[0].features

    def watching(self, features: Features, on_activation: OnActivation) -> tuple[Features, OnActivation]:
        """Features that are ready to run, and what hands on of each activation the positions that are frames."""
        placed = self.placed(features)
        positions = placed[POSITIONS]

        def choose(site: Site, value: Tensor) -> None:
            on_activation(site, self.frames(value, positions))

        return placed, choose

    def completed(self, features: Features) -> Features:
        """What the model is called with: answers behind the texts, if those are what counts, and no positions."""
        features = self.placed(features) if self.needs_answers else features
        return {name: value for name, value in features.items() if name != POSITIONS}

    @property
    def needs_answers(self) -> bool:
        """Whether a forward is not whole before the reader has put tokens behind what it is given."""
        return self.counted == "answer"

    def frames(self, folded: Tensor, positions: Tensor) -> Tensor:
        """The activations at positions: [clip, frame, unit] out of [clip, position, unit]."""
        if folded.ndim < 3 or folded.shape[1] <= int(positions.max()):
            return folded  # not of this sequence: a site by a module's path
        rows = torch.arange(len(folded), device=folded.device)[:, None]
        return folded[rows, positions.to(folded.device)]

    # -- answers ---------------------------------------------------------------------------------------------------

    def answers(self, clips: Sequence[Hearing], features: Features, before: int) -> list[list[int]]:
        """Token ids of the answer to each clip: those it is known by, or given ones, or what the model writes.

        before  tokens of the text that they follow
        """
        if all(clip.tokens for clip in clips):
            return [[token.id for token in clip.tokens or ()] for clip in clips]
        if self.answer == GENERATED:
            most = self.options.answer_tokens
            return greedy_answers(self.module, features, before, most, self.generation_rules(before))
        return [self._given(clip) for clip in clips]

    def generation_rules(self, before: int) -> list[Any]:
        """What holds of a text that the model writes behind so many tokens: logits processors of transformers."""
        return []

    def _given(self, clip: Hearing) -> list[int]:
        text = (clip.caption if self.answer == "caption" else clip.label) or ""
        ids = given_answer(self.tokenizer, text, self.options.answer_tokens)
        if not ids:
            raise ValueError(
                f"a clip has no {self.answer} to be its answer: give data whose every clip has one, or let the model "
                "write it (answer='generated')"
            )
        return ids

    def with_answers(
        self, clips: Sequence[Hearing], features: Features, ids: str, mask: str | None, generating: Features
    ) -> Iterator[Forward]:
        """The clips with their answers behind their texts, by the answers' lengths.

        ids, mask   names of the token ids, and of the mask over them, among the features
        generating  what the model is given to write an answer
        """
        before = features[ids].shape[1]
        answers = self.answers(clips, generating, before)
        for length, rows in by_length(answers).items():
            chosen = [answers[row] for row in rows]
            part = chosen_rows(features, rows, len(clips))
            part[ids] = appended(part[ids], chosen)
            if mask is not None and mask in part:
                part[mask] = torch.nn.functional.pad(part[mask], (0, length), value=1)
            positions = torch.arange(before, before + length, device=part[ids].device)
            part[POSITIONS] = positions.expand(len(rows), -1)
            texts = [self.tokens_of(each) for each in chosen]
            yield Forward(rows, part, self.in_time([clips[row] for row in rows], part, texts))

    def in_time(self, clips: Sequence[Hearing], features: Features, texts: list[list[Token]]) -> list[list[Token]]:
        """The answers to clips that run together, with the seconds of their tokens where the model tells them."""
        return texts

    def tokens_of(self, ids: Sequence[int]) -> list[Token]:
        """Token ids with their texts."""
        return [Token(int(each), self.text_of(int(each))) for each in ids]

    def text_of(self, token: int) -> str:
        """What a token stands for."""
        text = str(self.tokenizer.decode([token], skip_special_tokens=False))
        return str(self.tokenizer.convert_ids_to_tokens(token)) if "\ufffd" in text else text  # a part of a character


class _Unsaid:
    """A clip that nothing is known of."""

    label = caption = seconds = tokens = None
