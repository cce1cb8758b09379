"""Language models behind an ear (Qwen2-Audio, Granite Speech, …): a clip among the tokens of a prompt."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...kernels.surroundings import plain_torch
from ...sites.blocks import SharedLayersError, find_blocks
from ...sites.geometry import Geometry, Tokens
from ..checkpoint import ModelError
from ..features import Features, Featuriser
from ..forwards import Forward, Hearing
from .conversation import ConversationFeaturiser, converses
from .features import ReaderFeaturiser
from .options import ReaderOptions
from .prompt import in_message, rendered
from .reader import POSITIONS, Reader
from .seconds import counted_seconds, is_in_order, shortest_clip

_AUDIO_IDS = ("audio_token_id", "audio_token_index")
_RATE = 16_000
_PROBE_SECONDS = 8.0


class _FirstBlock(Exception):
    """Ends a forward where what goes into the first block is known."""


class LanguageReader(Reader):
    """A language model that reads a clip as tokens in the text of a prompt.

    Frames are the audio tokens, in order of time; or the tokens of the text around them; or those of an answer.
    """

    def __init__(
        self, module: nn.Module, part: str, path: str, processor: Any, options: ReaderOptions, tower: str | None = None
    ) -> None:
        """`tower` is the path of the part that hears; None: it is looked for.

        Raises ModelError for a processor that makes no audio tokens.
        """
        super().__init__(module, part, path, getattr(processor, "tokenizer", processor), options)
        self.processor, self.tower = processor, tower
        self.audio_id = _audio_id(module, processor)
        self.audio_token = str(self.tokenizer.convert_ids_to_tokens(self.audio_id))
        written = in_message if converses(processor) else partial(rendered, processor)
        self.text = written(options.prompt, self.audio_token)

    @property
    def featuriser(self) -> Featuriser:
        """The processor on a clip and the prompt."""
        return self._shows

    @cached_property
    def _shows(self) -> ReaderFeaturiser:
        extractor = _extractor_of(self.processor)
        rate = int(getattr(extractor, "sampling_rate", _RATE))
        window = getattr(extractor, "n_samples", None)
        heard = (extractor, rate, 1, None if window is None else int(window))
        text = {"processor": self.processor, "text": self.text}
        made = (
            ConversationFeaturiser(*heard, **text, audio_token=self.audio_token)
            if converses(self.processor)
            else ReaderFeaturiser(*heard, **text)
        )
        return replace(made, minimum_samples=shortest_clip(lambda samples: self._count(made, samples), rate))

    @property
    def geometry(self) -> Geometry:
        """Seconds of audio tokens, where they were seen to be right; the texts of a prompt's tokens; of answers none.

        Warns where audio tokens get no seconds.
        """
        return self._frames

    @cached_property
    def _frames(self) -> Geometry:
        if self.counted == "prompt":
            return Tokens(texts=self._prompt_texts())
        return Tokens() if self.counted == "answer" else self._audio_geometry()

    def forwards(self, clips: Sequence[Hearing], features: Features) -> Iterator[Forward]:
        """The clips of a group as they run."""
        if self.counted == "answer":
            yield from self.with_answers(clips, features, "input_ids", "attention_mask", features)
            return
        of_sound = features["input_ids"] == self.audio_id
        wanted = of_sound if self.counted == "audio" else ~of_sound & _there(features)
        yield Forward(range(len(clips)), {**features, POSITIONS: _positions(wanted)})

    def described(self) -> dict[str, Any]:
        """What the manifest says of how it reads."""
        answer = {"answer": self.answer, "answer_tokens": self.options.answer_tokens}
        return {
            "tokens": self.counted,
            "prompt": self.text,
            **(answer if self.counted == "answer" else {}),
        }

    # -- seconds ---------------------------------------------------------------------------------------------------

    def _count(self, featuriser: Featuriser, samples: int) -> int:
        ids = featuriser([np.zeros(samples, np.float32)])["input_ids"]
        return int((ids == self.audio_id).sum())

    def _prompt_texts(self) -> tuple[str, ...]:
        features = self.featuriser([np.zeros(self.featuriser.sampling_rate, np.float32)])
        ids = features["input_ids"][0]
        return tuple(self.text_of(int(token)) for token in ids[ids != self.audio_id])

    def _audio_geometry(self) -> Geometry:
        made = self.featuriser
        geometry = counted_seconds(lambda samples: self._count(made, samples), made.sampling_rate, made.window_samples)
        if geometry is None:
            return self._without_seconds("their number follows no rule of the clip's length")
        if any(parameter.is_meta for parameter in self.module.parameters()):
            return geometry  # tried once the weights are there
        samples = round(made.sampling_rate * min(_PROBE_SECONDS, made.window_seconds or _PROBE_SECONDS))
        tower, attentions = self._attentions()
        if not is_in_order(geometry, self._embeddings, tower, attentions, samples, made.sampling_rate):
            return self._without_seconds("a change of the sound does not move the tokens at its place")
        return geometry

    def _without_seconds(self, why: str) -> Geometry:
        warnings.warn(
            f"the audio tokens of {type(self.module).__name__} are counted without seconds: {why}", stacklevel=2
        )
        return Geometry()

    def _attentions(self) -> tuple[nn.Module, list[str]]:
        """The attentions of the tower that hears, by their paths in it."""
        tower = self.module if self.tower is None else self.module.get_submodule(self.tower)
        try:
            return tower, [block.attention for block in find_blocks(tower)]
        except SharedLayersError:
            return tower, []

    @plain_torch()
    def _embeddings(self, clips: Sequence[np.ndarray]) -> Tensor:
        """What goes into the first block for the audio tokens of clips of one length: [clip, token, width]."""
        features = self.featuriser(clips)
        caught: list[Tensor] = []

        def catch(_: nn.Module, args: Any, kwargs: Any) -> None:
            caught.append(args[0] if args else kwargs["hidden_states"])
            raise _FirstBlock

        first = self.module.get_submodule(self.blocks[0].path)
        parameter = next(self.module.parameters())
        handle = first.register_forward_pre_hook(catch, with_kwargs=True)
        was_training = self.module.training
        self.module.eval()
        try:
            with torch.no_grad():
                self.module(**{name: _as(value, parameter) for name, value in features.items()})
        except _FirstBlock:
            pass
        finally:
            handle.remove()
            self.module.train(was_training)
        positions = _positions(features["input_ids"] == self.audio_id)
        return self.frames(caught[0].float().cpu(), positions)


def _audio_id(module: nn.Module, processor: Any) -> int:
    """The token that stands for sound. Raises ModelError where neither config nor processor has one."""
    config = getattr(module, "config", None)
    inner = [getattr(config, name, None) for name in getattr(type(config), "sub_configs", {})]
    for holder in (config, *inner, processor):
        for name in _AUDIO_IDS:
            if isinstance(value := getattr(holder, name, None), int):
                return value
    raise ModelError(
        f"{type(module).__name__} names no token that stands for sound: its language model cannot be shown any"
    )


def _extractor_of(processor: Any) -> Any:
    """What of a processor hears. Raises ModelError where nothing does."""
    for name in ("feature_extractor", "audio_processor"):
        if (extractor := getattr(processor, name, None)) is not None:
            return extractor
    raise ModelError(f"{type(processor).__name__} has no feature extractor: give the checkpoint's own processor=")


def _there(features: Features) -> Tensor:
    """Which tokens are no padding."""
    mask = features.get("attention_mask")
    return torch.ones_like(features["input_ids"], dtype=torch.bool) if mask is None else mask.bool()


def _positions(wanted: Tensor) -> Tensor:
    """Where a table [clip, position] is true: [clip, frame]. Raises ValueError where clips differ in how often."""
    counts = wanted.sum(1)
    if not bool((counts == counts[0]).all()):
        raise ValueError(
            f"clips of {int(counts.min())} to {int(counts.max())} audio tokens are no one table of frames: run clips "
            "of one length together"
        )
    return wanted.nonzero()[:, 1].view(len(wanted), -1)


def _as(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """A model input where a model's weights are, and of their dtype if it is no index."""
    return value.to(parameter.device, parameter.dtype if value.is_floating_point() else None)
