"""From a unit's clips to words: captions, summaries, calibration, concepts, labels, search, scores.

Each step is a function over a `Dissection`; it writes one table in the folder's `explanations/`, goes on where it was
stopped, and does only what is missing. `explain` runs them all. Models stand behind plugins (`and_nnsight.plugins`).
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
