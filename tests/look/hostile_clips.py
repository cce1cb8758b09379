"""A small dissection with sounds and curves, of clips whose labels, captions and names attack whoever shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from and_nnsight import Dissection
from tests.look.hostile import ATTACKS
from tests.run.runs import made, quick
from tests.sounds_for_tests import RATE, noise

SITE = "blocks.1.mlp.hook_post"


def clips() -> list[dict[str, Any]]:
    return [
        {
            "audio": noise(0.3 + 0.02 * index, seed=index), "sampling_rate": RATE,
            "label": attack, "caption": ATTACKS[index - 1], "path": f"{ATTACKS[index % 4]}/{index}.wav",
        }
        for index, attack in enumerate(ATTACKS)
    ]  # fmt: skip


def hostile_clips(folder: Path) -> Dissection:
    return quick(made(), clips(), folder, sites=SITE, keep_exemplars=[(SITE, 0), (SITE, 1)])
