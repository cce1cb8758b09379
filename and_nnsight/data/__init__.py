"""From a dataset to batches of model inputs: `open_source`, then `batches`."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
