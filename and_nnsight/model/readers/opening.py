"""Which reader a part of a model is, and the processor or tokenizer that it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ...sites.reader_blocks import find_reader_blocks
from ..checkpoint import ModelError, reaching
from ..features import Featuriser
from .decoder import DecoderReader
from .language import LanguageReader
from .options import ReaderOptions
from .reader import Reader


def is_decoder(module: nn.Module, path: str) -> bool:
    """Whether the part at a path attends to an encoder's sequence."""
    return any(block.cross is not None for block in find_reader_blocks(module, path))


def open_reader(
    module: nn.Module,
    part: str,
    path: str,
    processor: Any,
    options: ReaderOptions,
    hears: Callable[[], Featuriser],
    tower: str | None = None,
) -> Reader:
    """The part at a path as what reads tokens.

    processor  the checkpoint's; of a decoder its tokenizer will do
    hears      gives what makes an encoder's inputs
    tower      path of the part that hears, where it is known

    Raises ModelError for what cannot be read with, or without.
    """
    if processor is None:
        raise ModelError(
            f"{part} reads text, and no processor came with {type(module).__name__}: pass processor=, the transformers "
            "processor (of a decoder the tokenizer) or the checkpoint to take it from"
        )
    if is_decoder(module, path):
        return DecoderReader(module, part, path, getattr(processor, "tokenizer", processor), options, hears())
    if getattr(processor, "tokenizer", None) is None:
        raise ModelError(
            f"{part} is shown sound by its processor, and a {type(processor).__name__} is none: pass processor="
        )
    return LanguageReader(module, part, path, processor, options, tower)


def load_processor(source: str, revision: str | None = None, **reach: Any) -> Any:
    """The processor of a checkpoint, else its tokenizer. Raises ModelError, with what to do, if it has neither."""
    import transformers

    options = {"revision": revision, **reaching({}), **reach}
    failures: list[str] = []
    for kind in (transformers.AutoProcessor, transformers.AutoTokenizer):
        loader: Any = kind
        try:
            return loader.from_pretrained(source, **options)
        except Exception as error:  # of a broken file, or for a library that is not there, it raises anything
            failures.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
    raise ModelError(f"{source} has no processor that can be loaded: pass processor= ({failures[0]})")
