# The public names of `findings`, once: `__init__.py` imports each on first use (SPEC 1), type checkers read this.
from .adjectives import AdjectiveRow as AdjectiveRow
from .adjectives import UnitsPerAdjective as UnitsPerAdjective
from .adjectives import units_per_adjective as units_per_adjective
from .caption_clusters import ClusterRow as ClusterRow
from .finding import Finding as Finding
from .interpretability import uninterpretable_units as uninterpretable_units
from .layers import AdjectivesPerLayer as AdjectivesPerLayer
from .layers import LayerRow as LayerRow
from .layers import LineRow as LineRow
from .layers import adjectives_per_layer as adjectives_per_layer
from .pruned_accuracy import AccuracyByWordType as AccuracyByWordType
from .pruned_accuracy import PruningResult as PruningResult
from .pruned_accuracy import PruningRow as PruningRow
from .shared_clusters import InterpretabilityRow as InterpretabilityRow
from .shared_clusters import UninterpretableShare as UninterpretableShare
from .shared_clusters import UninterpretableUnits as UninterpretableUnits
from .word_types import accuracy_by_word_type as accuracy_by_word_type
