"""The paper's findings as functions over a dissection: each returns a table, and draws its figure where asked to.

`units_per_adjective` (Fig. 3), `accuracy_by_word_type` (Fig. 4), `adjectives_per_layer` (Fig. 5),
`uninterpretable_units` (Fig. 6). They need scipy, scikit-learn and, for figures, matplotlib
(`pip install 'and-nnsight[findings]'`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._facade import lazily

if TYPE_CHECKING:
    from .adjectives import UnitsPerAdjective as UnitsPerAdjective
    from .adjectives import units_per_adjective as units_per_adjective
    from .finding import Finding as Finding
    from .interpretability import uninterpretable_units as uninterpretable_units
    from .layers import AdjectivesPerLayer as AdjectivesPerLayer
    from .layers import adjectives_per_layer as adjectives_per_layer
    from .pruned_accuracy import AccuracyByWordType as AccuracyByWordType
    from .shared_clusters import UninterpretableUnits as UninterpretableUnits
    from .word_types import accuracy_by_word_type as accuracy_by_word_type

_HOMES = {
    "AccuracyByWordType": ".pruned_accuracy",
    "AdjectivesPerLayer": ".layers",
    "Finding": ".finding",
    "UninterpretableUnits": ".shared_clusters",
    "UnitsPerAdjective": ".adjectives",
    "accuracy_by_word_type": ".word_types",
    "adjectives_per_layer": ".layers",
    "uninterpretable_units": ".interpretability",
    "units_per_adjective": ".adjectives",
}
__all__ = [
    "AccuracyByWordType",
    "AdjectivesPerLayer",
    "Finding",
    "UninterpretableUnits",
    "UnitsPerAdjective",
    "accuracy_by_word_type",
    "adjectives_per_layer",
    "uninterpretable_units",
    "units_per_adjective",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
