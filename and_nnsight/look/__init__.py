"""Units to see and hear: spectrograms, views of units with all that a page shows of them, and the page itself."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
