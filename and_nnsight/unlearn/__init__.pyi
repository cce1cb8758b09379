# The public names of `unlearn`, once: `__init__.py` imports each on first use (SPEC 1), type checkers read this.
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
from .result import Measurement as Measurement
from .selection import METHODS as METHODS
from .selection import choose as choose
from .selection import ranked as ranked
from .unit_set import ChoiceError as ChoiceError
from .unit_set import UnitChoice as UnitChoice
from .unit_set import matched as matched
