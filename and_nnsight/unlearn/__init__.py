"""Unlearning by pruning: choose the units of a concept, ablate them or export a model without them, and measure.

What a method of choosing units is worth shows only against chance: everything is measured beside random units, as many
of them at every site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._facade import lazily

if TYPE_CHECKING:
    from .ablation import ablate as ablate
    from .ablation import ablating as ablating
    from .causal import causal_effects as causal_effects
    from .causal_labels import label_effects as label_effects
    from .exporting import ExportError as ExportError
    from .exporting import export as export
    from .forward import Outcome as Outcome
    from .forward import Outcomes as Outcomes
    from .forward import ablated_outcomes as ablated_outcomes
    from .measurement import measure as measure
    from .result import Measured as Measured
    from .selection import METHODS as METHODS
    from .selection import choose as choose
    from .selection import ranked as ranked
    from .unit_set import ChoiceError as ChoiceError
    from .unit_set import UnitChoice as UnitChoice
    from .unit_set import matched as matched

_HOMES = {
    "ChoiceError": ".unit_set",
    "ExportError": ".exporting",
    "METHODS": ".selection",
    "Measured": ".result",
    "Outcome": ".forward",
    "Outcomes": ".forward",
    "UnitChoice": ".unit_set",
    "ablate": ".ablation",
    "ablated_outcomes": ".forward",
    "ablating": ".ablation",
    "causal_effects": ".causal",
    "choose": ".selection",
    "export": ".exporting",
    "label_effects": ".causal_labels",
    "matched": ".unit_set",
    "measure": ".measurement",
    "ranked": ".selection",
}
__all__ = [
    "METHODS", "ChoiceError", "ExportError", "Measured", "Outcome", "Outcomes", "UnitChoice", "ablate",
    "ablated_outcomes", "ablating", "causal_effects", "choose", "export",
    "label_effects", "matched", "measure", "ranked",
]  # fmt: skip

__getattr__, __dir__ = lazily(__name__, _HOMES)
