"""A model of which a part is opened that reads tokens: with its processor, and with answers behind its texts."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..sites.geometry import Geometry
from ..sites.parts import bare_parts, hearing
from ..sites.reader_blocks import ReaderBlock, find_reader_blocks, reader_sites
from ..sites.site import Site
from .checkpoint import ModelError, reaching
from .extractors import default_extractor
from .features import Featuriser, make_featuriser
from .readers.opening import load_processor, open_reader
from .readers.options import ReaderOptions
from .readers.reader import Reader


class ReaderSource:
    """What a reader is made of, kept until it is wanted: a model's sites are there without its processor.

    processor  the one that was given; None: the checkpoint's
    options    how it reads
    """

    def __init__(self, processor: Any, options: ReaderOptions) -> None:
        self.options = options
        self._given = load_processor(processor) if isinstance(processor, str) else processor
        self._checkpoint: tuple[str, str | None, dict[str, Any]] | None = None
        self._loaded: Any = None

    def comes_with(self, checkpoint: str | None, revision: str | None, options: dict[str, Any]) -> None:
        """Which checkpoint a processor is to be taken from."""
        if checkpoint is not None:
            self._checkpoint = (checkpoint, revision, reaching(options))

    @property
    def processor(self) -> Any:
        """The processor; None if there is none. Raises ModelError for one that cannot be loaded."""
        if self._given is not None:
            return self._given
        if self._loaded is None and self._checkpoint is not None:
            name, revision, reach = self._checkpoint
            self._loaded = load_processor(name, revision, **reach)
        return self._loaded

    def reader(self, module: nn.Module, part: str, path: str, extractor: Any) -> Reader:
        """The part at a path as what reads. Raises ModelError for one that cannot be read with."""

        def hears() -> Featuriser:
            return make_featuriser(module, extractor if extractor is not None else default_extractor(module))

        tower = hearing(bare_parts(module))
        if tower is None:
            raise ModelError(f"no part of {type(module).__name__} hears, so {part} cannot be shown any sound")
        return open_reader(module, part, path, self.processor, self.options, hears, tower.path)


def blocks_that_read(module: nn.Module, path: str) -> tuple[ReaderBlock, ...]:
    """The blocks of the part at a path, where it reads tokens; empty where it is none of a model that hears."""
    return find_reader_blocks(module, path) if path and hearing(bare_parts(module)) is not None else ()


def sites_to_be(blocks: tuple[ReaderBlock, ...]) -> tuple[Site, ...]:
    """The sites of blocks as they are before a reader says what their frames are."""
    return reader_sites(blocks, Geometry())
