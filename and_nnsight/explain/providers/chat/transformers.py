"""Chat models that run here, through `transformers`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ....plugins import PluginError, require
from ....wording import first_line
from ...conversations import in_order, without_system
from ...roles import ChatOptions, Conversation, Failure, Message
from ..batching import chunks_of
from ..reasoning import opens
from ..special_tokens import decoded, harmless, special_tokens
from ._sampling import Sampling

_BATCH_SIZE = {"cuda": 32}
_BATCH_SIZE_ELSEWHERE = 8
_WINDOW = 8
_LONGEST_MARK = 32  # tokens


class TransformersChat:
    """A chat model on this machine, from a hub repository, a folder or a GGUF file, answering in batches."""

    requires: ClassVar[Mapping[str, str]] = {"transformers": "and-nnsight"}

    def __init__(self, model: str, *, device: Any = None, dtype: Any = None, batch_size: int | None = None) -> None:
        """Load the model.

        model       a hub repository (`Qwen/Qwen3-8B`), a folder, or a GGUF file: a path, or `ORG/REPOSITORY/FILE.gguf`
        device      None: a GPU where there is one
        dtype       None: the checkpoint's own on a GPU, float32 elsewhere
        batch_size  how many conversations are answered at once; halved for good if memory runs out

        Raises PluginError if it cannot be loaded, or its tokenizer has no chat template.
        """
        self.name = f"transformers:{model}"
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if batch_size is not None and batch_size < 1:
            raise PluginError(f"batch_size is at least 1, not {batch_size}")
        self._batch_size = batch_size or _BATCH_SIZE.get(self.device.type, _BATCH_SIZE_ELSEWHERE)
        self._tokenizer, self._model = _load(model, dtype or ("auto" if self.device.type == "cuda" else torch.float32))
        self._model.to(self.device).eval()
        self._context = _context_length(self._model, self._tokenizer)
        self._takes_system = _takes_system(self._tokenizer, model)
        self._special = special_tokens(self._tokenizer)
        self._ends = _end_tokens(self._model, self._tokenizer)

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterator[str | Failure]:
        """One answer a conversation, in order. What does not fit the model's context is a Failure.

        Greedy at temperature 0. Otherwise sampled, each conversation from the seed and its own text, so that its
        answer does not depend on what else is in its batch.
        """
        for part in chunks_of(conversations, _WINDOW * self._batch_size):
            yield from in_order(self.chat_unordered(part, options), len(part))

    def chat_unordered(
        self, conversations: Sequence[Conversation], options: ChatOptions
    ) -> Iterator[tuple[int, str | Failure]]:
        """The same, each answer with the index of its conversation, batch by batch: those of like length together."""
        prompts: dict[int, list[int]] = {}
        for index, conversation in enumerate(conversations):
            prompt = self._tokens(conversation)
            if isinstance(prompt, Failure):
                yield index, prompt
            elif len(prompt) + options.max_tokens > self._context:
                need = f"{len(prompt)} tokens and {options.max_tokens} for the answer"
                yield index, Failure(f"{need} do not fit the model's context of {self._context}")
            else:
                prompts[index] = prompt
        waiting = sorted(prompts, key=lambda index: len(prompts[index]))
        while waiting:
            batch = [waiting.pop() for _ in range(min(self._batch_size, len(waiting)))]
            yield from zip(batch, self._answers([prompts[index] for index in batch], options), strict=True)

    def _tokens(self, conversation: Conversation) -> list[int] | Failure:
        turns = conversation if self._takes_system else without_system(conversation)
        messages = [{"role": turn.role, "content": harmless(turn.content, self._special)} for turn in turns]
        try:
            text = _rendered(self._tokenizer, messages)
        except Exception as error:  # templates raise whatever they like
            return Failure(f"the model's chat template does not take this conversation: {error}")
        return self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def _answers(self, prompts: list[list[int]], options: ChatOptions) -> list[str | Failure]:
        """The answers of one batch; a batch that fails is tried again in halves."""
        try:
            return list(self._generate(prompts, options))
        except Exception as error:
            if len(prompts) == 1:
                return [Failure(f"the model raised {type(error).__name__}: {error}")]
            if isinstance(error, torch.OutOfMemoryError):
                self._batch_size = min(self._batch_size, (len(prompts) + 1) // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # here the error, and the tensors that its traceback holds, are gone
        half = len(prompts) // 2
        return self._answers(prompts[:half], options) + self._answers(prompts[half:], options)

    def _generate(self, prompts: list[list[int]], options: ChatOptions) -> list[str]:
        from transformers import GenerationConfig, LogitsProcessorList

        length = max(map(len, prompts))
        tokens = torch.full((len(prompts), length), self._ends[0])
        attended = torch.zeros_like(tokens)
        for row, prompt in enumerate(prompts):  # padded on the left, so that every answer begins in the same column
            tokens[row, length - len(prompt) :] = torch.tensor(prompt)
            attended[row, length - len(prompt) :] = 1
        settings = GenerationConfig(
            max_new_tokens=options.max_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=self._ends,
            pad_token_id=self._ends[0],
        )
        sampling = [Sampling(prompts, options)] if options.temperature > 0 else []
        with torch.inference_mode():
            generated: Tensor = self._model.generate(
                input_ids=tokens.to(self.device),
                attention_mask=attended.to(self.device),
                generation_config=settings,
                logits_processor=LogitsProcessorList(sampling),
            )
        answers = []
        for prompt, row in zip(prompts, generated[:, length:].tolist(), strict=True):
            end = next((place for place, token in enumerate(row) if token in self._ends), len(row))
            # Where the template has opened the reasoning already, its mark belongs to the answer.
            opening = opens(self._tokenizer.decode(prompt[-_LONGEST_MARK:]))
            answers.append(opening + decoded(self._tokenizer, row[:end]))
        return answers


def _load(name: str, dtype: Any) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    where, options = name, {}
    if name.endswith(".gguf"):
        require({"gguf": "and-nnsight[gguf]", "accelerate": "and-nnsight[gguf]"})
        path = Path(name).expanduser()
        if path.exists():
            where, options = str(path.parent), {"gguf_file": path.name}
        else:
            parts = name.split("/")
            if len(parts) < 3 or name.startswith(("/", ".", "~")):
                raise PluginError(f"there is no file {name}")
            where, options = "/".join(parts[:2]), {"gguf_file": "/".join(parts[2:])}
    elif Path(name).expanduser().is_dir():
        where = str(Path(name).expanduser())
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, **options)
        model = AutoModelForCausalLM.from_pretrained(where, dtype=dtype, trust_remote_code=False, **options)
    except Exception as error:  # of many kinds: no such repository, no network, no such architecture, damaged files
        raise PluginError(f"the chat model {name} cannot be loaded: {first_line(error)}") from error
    # Authors' sampling habits would be mixed into ours: what counts is what stands in the record.
    authors: Any = model.generation_config
    model.generation_config = GenerationConfig(eos_token_id=authors.eos_token_id if authors else None)
    return tokenizer, model


def _context_length(model: Any, tokenizer: Any) -> int:
    config = model.config.get_text_config()
    lengths = [getattr(config, "max_position_embeddings", None), getattr(tokenizer, "model_max_length", None)]
    return min(int(length) for length in lengths if length)


def _takes_system(tokenizer: Any, name: str) -> bool:
    """Whether the chat template has a place for a system turn. Raises PluginError if it can do without one neither."""
    system, user = Message("system", "a sentinel"), Message("user", "hello")
    try:
        if system.content in _rendered(tokenizer, [system._asdict(), user._asdict()]):
            return True
    except Exception:  # templates raise whatever they like
        pass
    try:
        _rendered(tokenizer, [user._asdict()])
    except Exception as error:
        raise PluginError(
            f"{name} is no chat model: its tokenizer has no chat template that works ({error}); choose a model tuned "
            "for instructions"
        ) from error
    return False


def _rendered(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    # Templates without a switch for thinking leave it alone.
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    ends = [end for end in (*ends, tokenizer.eos_token_id) if end is not None]
    if not ends:
        raise PluginError("the model names no token that ends an answer")
    return list(dict.fromkeys(ends))
