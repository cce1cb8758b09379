"""Unlearning by pruning: choose the units of a concept, ablate them or export a model without them, and measure.

What a method of choosing units is worth shows only against chance: everything is measured beside random units, as many
of them at every site.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
