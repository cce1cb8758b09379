"""Do verdicts have power, and are they calibrated? True claims, claims of other units, claims of nothing.

Every dissection is scored three times (`explain.score`): with the claims that were made, with the same claims dealt out
anew among the units of each site (`shuffled`), and with clips dealt out anew among the rows of its held-out activations
(`noise`), so that no claim can be true. Planted units (see `planted`) say which claims are right.

    python -m benchmarks.verdicts [--seeds 0 1 2] [--per-class 12] [--real NAME=DIR,HELD_OUT_DIR ...]

`--real` adds dissections of real models that have been explained, with another over held-out, captioned clips
(--keep-activations). Nothing in their folders is changed. The rule before this one is computed beside it (`old_rule`):
a claim had to have a higher Pearson and AUPRC than the null that goes best with its unit, and than 19 of 20 claims of
other units.
"""

from __future__ import annotations

from typing import Any

TARGETS = {"rightly_named_hold": 0.9, "shuffled_hold_at_most": 0.05, "noise_holds_at_most": 0.05}
_K = 16
At = tuple[str, int]
Row = dict[str, Any]
