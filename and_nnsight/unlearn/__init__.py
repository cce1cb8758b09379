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
    from .choice import ChoiceError as ChoiceError
    from .choice import UnitChoice as UnitChoice
    from .choice import matched as matched
    from .choosing import METHODS as METHODS
    from .choosing import choose as choose
    from .choosing import ranked as ranked
    from .exporting import ExportError as ExportError
    from .exporting import export as export
    from .label_effects import label_effects as label_effects
    from .measured import Measured as Measured
    from .measuring import measure as measure
    from .outcomes import Outcome as Outcome
    from .outcomes import Outcomes as Outcomes
    from .outcomes import ablated_outcomes as ablated_outcomes

_HOMES = {
    "ChoiceError": ".choice",
    "ExportError": ".exporting",
    "METHODS": ".choosing",
    "Measured": ".measured",
    "Outcome": ".outcomes",
    "Outcomes": ".outcomes",
    "UnitChoice": ".choice",
    "ablate": ".ablation",
    "ablated_outcomes": ".outcomes",
    "ablating": ".ablation",
    "causal_effects": ".causal",
    "choose": ".choosing",
    "export": ".exporting",
    "label_effects": ".label_effects",
    "matched": ".choice",
    "measure": ".measuring",
    "ranked": ".choosing",
}
__all__ = [
    "METHODS", "ChoiceError", "ExportError", "Measured", "Outcome", "Outcomes", "UnitChoice", "ablate",
    "ablated_outcomes", "ablating", "causal_effects", "choose", "export",
    "label_effects", "matched", "measure", "ranked",
]  # fmt: skip

__getattr__, __dir__ = lazily(__name__, _HOMES)
