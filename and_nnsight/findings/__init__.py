"""The paper's findings as functions over a dissection: each returns a table, and draws its figure where asked to.

`units_per_adjective` (Fig. 3), `accuracy_by_word_type` (Fig. 4), `adjectives_per_layer` (Fig. 5),
`uninterpretable_units` (Fig. 6). They need scipy, scikit-learn and, for figures, matplotlib
(`pip install 'and-nnsight[findings]'`).
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
